//! Embeddings of other tools against diffusers' `load_textual_inversion` (`fixtures/embeddings/generate.py`).

use idembed_diffusion::StableDiffusion;
use idembed_integration_tests::{Fixture, Parity};
use idembed_tokens::{Conditions, Identities, Identity, condition};

use crate::prompts::{compare_picture, constant, encoder_pair, mini, read, text, thinned};

/// Of states: relative to the largest expected value.
const LIMIT: f64 = 1e-4;

fn embedding(fixture: &Fixture, name: &str) -> Identity {
    Identity::read_embedding(name, &fixture.folder.join(format!("{name}.safetensors"))).unwrap()
}

#[test]
fn one_vector_or_several_in_prompts_and_a_picture() {
    let fixture = Fixture::open("embeddings");
    let model = mini();
    let [one, many] = ["one", "many"].map(|name| embedding(&fixture, name));
    assert_eq!((one.words, many.words as i64), (1, fixture.cases["vectors"].as_i64().unwrap()));
    let identities = Identities::named([("one", &one), ("many", &many)]).unwrap();
    let mut parity = Parity::new();
    for (number, prompt) in fixture.list("prompts").iter().enumerate() {
        let prompt = read(prompt.as_str().unwrap(), &model.text_encoders, &identities);
        let conditioning = condition(&model, &prompt, &identities, false).unwrap();
        let states = constant(&conditioning);
        assert!(states.key.equal(&states.value));
        let name = format!("states.{number}");
        parity.check_tensors(
            &format!("embeddings/{name}"),
            &thinned(&states.key, &fixture),
            fixture.tensor(&name),
            LIMIT,
        );
    }
    for case in fixture.list("pictures") {
        compare_picture(&mut parity, &fixture, &model, case, &identities, Conditions::default());
    }
    parity.finish();
}

#[test]
fn a_pair_for_two_text_encoders() {
    let fixture = Fixture::open("embeddings");
    let case = &fixture.cases["pair"];
    let model = StableDiffusion { text_encoders: encoder_pair(case), ..mini() };
    let both = embedding(&fixture, "pair");
    let identities = Identities::named([("both", &both)]).unwrap();
    let prompt = read(text(case, "prompt"), &model.text_encoders, &identities);
    let conditioning = condition(&model, &prompt, &identities, false).unwrap();
    let states = constant(&conditioning);
    let mut parity = Parity::new();
    parity.check_tensors("embeddings/pair.states", &states.key.get(0), fixture.tensor("pair.states"), LIMIT);
    parity.check_tensors(
        "embeddings/pair.pooled",
        states.pooled.as_ref().unwrap(),
        fixture.tensor("pair.pooled"),
        LIMIT,
    );
    parity.finish();
    // Neither fits the other's model, and nothing can be forced.
    for (embedding, model) in [(&both, mini()), (&self::embedding(&fixture, "one"), model)] {
        for force in [false, true] {
            let error = embedding.check_base(&model, force).unwrap_err().to_string();
            assert!(error.contains("16 + 24") && error.contains("128"), "{error}");
        }
    }
}
