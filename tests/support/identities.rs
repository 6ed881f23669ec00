//! Identities whose rows are given.

use idembed_diffusion::StableDiffusion;
use idembed_tokens::{EncoderRows, Identity};
use tch::Tensor;

/// An identity for a model, with the rows for keys and for values, `[stages * words, hidden]`, of each text encoder.
pub fn identity(model: &StableDiffusion, name: &str, words: usize, rows: &[[&Tensor; 2]]) -> Identity {
    let fingerprints = model.text_encoders.fingerprints().unwrap();
    assert_eq!(rows.len(), fingerprints.len());
    let encoders =
        rows.iter().zip(fingerprints).map(|([k, v], sha256)| EncoderRows { k: k.copy(), v: v.copy(), sha256 });
    Identity {
        name: name.to_owned(),
        class: "person".to_owned(),
        method: "sefi".to_owned(),
        encoders: encoders.collect(),
        layers: 1,
        words,
        unet: None,
        train_timesteps: 1000,
        base_model: "mini".to_owned(),
        prediction_type: model.noise_schedule.prediction_type,
        lambda: 0.0,
        attention_reduction: None,
        steps: 0,
        seed: 0,
        started_from: None,
        blended_from: Vec::new(),
        created_by: "a test".to_owned(),
    }
}
