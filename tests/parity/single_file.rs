//! Checkpoints in one file against diffusers' `from_single_file` (`fixtures/single_file/generate.py`), and what
//! becomes of them when something is missing, added or written otherwise.

use std::path::{Path, PathBuf};

use idembed_diffusion::{Compute, Error, ModelFiles, StableDiffusion};
use idembed_integration_tests::checkpoints::checkpoint;
use idembed_integration_tests::{Fixture, Parity};
use idembed_weights::{TensorFile, WeightsError};
use tch::{Kind, Tensor};

use crate::pipelines::compare_pictures;

/// Of text states: the largest difference, relative to the largest expected magnitude.
const LIMIT: f64 = 1e-4;

const VAE: &str = "first_stage_model.";
const TEXT: &str = "cond_stage_model.";

/// A checkpoint of the fixture in a folder of its own.
struct Written {
    folder: tempfile::TempDir,
    file: TensorFile,
}

impl Written {
    /// The checkpoint of the fixture with this name.
    fn of(name: &str) -> Self {
        let drawn = checkpoint(name);
        let tensors = drawn.shapes.iter().map(|(name, shape)| (name.clone(), drawn.draw(name, shape))).collect();
        Written { folder: tempfile::tempdir().unwrap(), file: TensorFile { tensors, ..TensorFile::default() } }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self) -> PathBuf {
        write(&self.file, &self.path("model.safetensors"))
    }

    /// Takes out the tensors whose names begin so, without that beginning.
    fn take(&mut self, prefix: &str) -> TensorFile {
        let names: Vec<String> = self.file.tensors.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
        let taken = names.iter().map(|name| (name[prefix.len()..].to_owned(), self.file.tensors.remove(name).unwrap()));
        TensorFile { tensors: taken.collect(), ..TensorFile::default() }
    }

    fn insert(&mut self, name: &str, tensor: Tensor) {
        self.file.tensors.insert(name.to_owned(), tensor);
    }
}

fn write(file: &TensorFile, path: &Path) -> PathBuf {
    let tensors: Vec<(&str, &Tensor)> = file.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    Tensor::write_safetensors(&tensors, path).unwrap();
    path.to_path_buf()
}

fn load(path: &Path) -> Result<StableDiffusion, Error> {
    StableDiffusion::load(path, Compute::CPU_F32)
}

fn fingerprints(model: &StableDiffusion) -> [String; 3] {
    let texts = model.text_encoders.fingerprints().unwrap().join(",");
    [texts, model.unet.fingerprint().unwrap(), model.vae.fingerprint().unwrap()]
}

#[test]
fn pictures_and_text_states() {
    let fixture = Fixture::open("single_file");
    let mut parity = Parity::new();
    for case in fixture.list("models") {
        let written = Written::of(case["name"].as_str().unwrap());
        let path = written.write();
        // Of SDXL at full size, they are many.
        let Written { folder: _folder, file } = written;
        drop(file);
        let model = load(&path).unwrap();
        for case in case["cases"].as_array().unwrap() {
            let (name, prompt) = (case["name"].as_str().unwrap(), case["prompt"].as_str().unwrap());
            let ours = model.text_states(prompt).unwrap();
            parity.check_tensors(&format!("single_file/{name}/states"), &ours.key, fixture.tensor(name), LIMIT);
            if let Some(pooled) = &ours.pooled {
                let expected = fixture.tensor(&format!("{name}.pooled"));
                parity.check_tensors(&format!("single_file/{name}/pooled"), pooled, expected, LIMIT);
            }
            compare_pictures(&mut parity, &fixture.folder, &model, case);
        }
    }
    parity.finish();
}

/// The names of the last layer of OpenCLIP's text encoder begin so.
fn last_text_layer(written: &Written) -> String {
    const LAYERS: &str = "cond_stage_model.model.transformer.resblocks.";
    let numbers = written.file.tensors.keys().filter_map(|name| name.strip_prefix(LAYERS)?.split('.').next());
    let last = numbers.map(|number| number.parse::<u32>().unwrap()).max().unwrap();
    format!("{LAYERS}{last}.")
}

/// What checkpoints carry beside the three networks, and in which formats, is of no matter.
#[test]
fn formats_and_additions_change_nothing() {
    for name in ["sd1", "sd2", "sdxl"] {
        let mut written = Written::of(name);
        let expected = fingerprints(&load(&written.write()).unwrap());
        for (index, tensor) in written.file.tensors.values_mut().enumerate() {
            *tensor = tensor.to_kind([Kind::Half, Kind::Float][index % 2]);
        }
        let unet = "model.diffusion_model.input_blocks.0.0.weight";
        let average = written.file.tensors[unet].copy();
        written.insert("model_ema.diffusion_modelinput_blocks00weight", average);
        written.insert("model_ema.num_updates", Tensor::from(7i32));
        written.insert("alphas_cumprod", Tensor::ones([1000], (Kind::Double, tch::Device::Cpu)));
        let texts = match name {
            "sd1" => Some("cond_stage_model"),
            "sdxl" => Some("conditioner.embedders.0"),
            _ => None,
        };
        if let Some(texts) = texts {
            let ids = Tensor::arange(77, (Kind::Int64, tch::Device::Cpu)).view([1, 77]);
            written.insert(&format!("{texts}.transformer.text_model.embeddings.position_ids"), ids);
        }
        if name == "sd2" {
            // No number of the last layer is read.
            let prefix = last_text_layer(&written);
            let layer = written.take(&prefix);
            for (inner, tensor) in layer.tensors {
                written.insert(&format!("{prefix}{inner}"), tensor * f64::NAN);
            }
        }
        assert_eq!(fingerprints(&load(&written.write()).unwrap()), expected, "{name}");
    }
}

#[test]
fn a_part_that_is_missing_is_named_and_can_be_given() {
    let mut written = Written::of("sd1");
    let whole = load(&written.write()).unwrap();
    let expected = fingerprints(&whole);
    let own_names = {
        let (_, source) = whole.files.vae().unwrap();
        let tensors = source.names().into_iter().map(|name| {
            let tensor = source.stored(&name).unwrap().tensor().copy();
            (name, tensor)
        });
        TensorFile { tensors: tensors.collect(), ..TensorFile::default() }
    };
    let original = written.take(VAE);
    let files = [
        write(&original, &written.path("original.safetensors")),
        write(&own_names, &written.path("diffusers.safetensors")),
        written.path("whole.safetensors"),
    ];
    std::fs::rename(written.path("model.safetensors"), &files[2]).unwrap();
    let path = written.write();
    let Err(Error::Incomplete { part: "autoencoder", hint, .. }) = load(&path) else { panic!("loaded") };
    assert!(hint.contains("--vae"), "{hint}");
    for file in files {
        let files = ModelFiles::open(&path).unwrap().with_vae(file.clone());
        let model = StableDiffusion::load_files(files, Compute::CPU_F32).unwrap();
        assert_eq!(fingerprints(&model), expected, "{}", file.display());
    }
    let files = ModelFiles::open(&path).unwrap().with_vae(path.clone());
    let error = StableDiffusion::load_files(files, Compute::CPU_F32).unwrap_err().to_string();
    assert!(error.contains("holds no autoencoder"), "{error}");

    written.take(TEXT);
    let error = load(&written.write()).unwrap_err();
    assert!(matches!(error, Error::Incomplete { part: "text encoder", .. }), "{error:?}");
    let mut both = Written::of("sdxl");
    both.take("conditioner.embedders.1.");
    let error = load(&both.write()).unwrap_err();
    assert!(matches!(error, Error::Incomplete { part: "text encoder", .. }), "{error:?}");
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let changed = |change: &dyn Fn(&mut Written)| {
        let mut written = Written::of("sd2");
        change(&mut written);
        match load(&written.write()).unwrap_err() {
            Error::Weights { source, .. } => source,
            other => panic!("{other:?}"),
        }
    };
    let missing = "model.diffusion_model.middle_block.2.out_layers.3.bias";
    let error = changed(&|written| drop(written.file.tensors.remove(missing)));
    assert!(matches!(&error, WeightsError::Missing(name) if name == "mid_block.resnets.1.conv2.bias"), "{error:?}");
    let extra = "model.diffusion_model.middle_block.1.extra";
    for name in [extra, "first_stage_model.encoder.extra.weight", "cond_stage_model.model.extra"] {
        let error = changed(&|written| written.insert(name, Tensor::from(1.0f32)));
        assert!(matches!(&error, WeightsError::Extra { count: 1, .. }), "{name}: {error:?}");
    }
    let stacked = "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_bias";
    let error = changed(&|written| written.insert(stacked, Tensor::ones([385], (Kind::Float, tch::Device::Cpu))));
    assert!(matches!(&error, WeightsError::Rows { name, got: 385, .. } if name == stacked), "{error:?}");
}

#[test]
fn what_the_file_says_of_its_prediction_is_taken() {
    let prediction = |written: &Written, files: fn(ModelFiles) -> ModelFiles| {
        let files = files(ModelFiles::open(&written.write()).unwrap());
        let config = files.scheduler_config().unwrap();
        let zero_snr = config.rescale_betas_zero_snr == Some(true);
        (config.prediction_type.unwrap(), files.prediction_is_said().unwrap(), zero_snr)
    };
    let of = |prediction: &str, said, zero_snr| (prediction.to_owned(), said, zero_snr);
    let mut first = Written::of("sd1");
    assert_eq!(prediction(&first, |files| files), of("epsilon", false, false));
    first.insert("v_pred", Tensor::from(1.0f32));
    assert_eq!(prediction(&first, |files| files), of("v_prediction", true, false));
    first.insert("ztsnr", Tensor::from(1.0f32));
    assert_eq!(prediction(&first, |files| files), of("v_prediction", true, true));
    let second = Written::of("sd2");
    assert_eq!(prediction(&second, |files| files), of("v_prediction", false, false));
    let as_epsilon = |files: ModelFiles| files.with_prediction("epsilon".parse().unwrap());
    assert_eq!(prediction(&second, as_epsilon), of("epsilon", false, false));
    for (said, expected) in [("epsilon", "epsilon"), ("v", "v_prediction")] {
        let mut second = Written::of("sd2");
        second.file.metadata.insert("modelspec.prediction_type".to_owned(), said.to_owned());
        second.file.write(&second.path("said.safetensors")).unwrap();
        let files = ModelFiles::open(&second.path("said.safetensors")).unwrap();
        assert_eq!(files.scheduler_config().unwrap().prediction_type.as_deref(), Some(expected));
        let sides = files.unet().unwrap().0.sample_size;
        assert_eq!(sides, Some(if said == "v" { 96 } else { 64 }));
    }
}
