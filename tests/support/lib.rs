//! What the integration tests share: fixtures, paths, comparisons.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests stop at the first surprise and print their figures"
)]

pub mod checkpoints;
pub mod drawing;
pub mod drawn_weights;
pub mod identities;
pub mod tensor_file;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use safetensors::{Dtype, SafeTensors};
use tch::{Kind, Tensor};

/// The folder of one topic's fixtures: `$IDEMBED_FIXTURES/<topic>` if it exists, else `fixtures/<topic>` of this
/// package.
///
/// The variable serves runs on freshly drawn fixtures.
pub fn fixture_dir(topic: &str) -> PathBuf {
    fixture_dir_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"), topic)
}

/// As [`fixture_dir`], with the committed ones below another folder.
fn fixture_dir_in(committed: &Path, topic: &str) -> PathBuf {
    let fresh = std::env::var_os("IDEMBED_FIXTURES").map(|root| PathBuf::from(root).join(topic));
    match fresh {
        Some(folder) if folder.is_dir() => folder,
        _ => committed.join(topic),
    }
}

/// The bundled miniature model.
pub fn mini_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/mini")
}

/// A photo with one face, 512 x 512.
pub fn photo() -> PathBuf {
    fixture_dir("photos").join("astronaut.png")
}

/// The reference's Python, if `IDEMBED_PYTHON` names one; else prints why the test skips.
///
/// Panics instead of skipping if `IDEMBED_REQUIRE_PYTHON` is set.
pub fn python() -> Option<PathBuf> {
    let python = std::env::var_os("IDEMBED_PYTHON").map(PathBuf::from);
    if python.is_none() {
        let reason = "needs diffusers: `cargo xtask test --python` sets it up";
        assert!(std::env::var_os("IDEMBED_REQUIRE_PYTHON").is_none(), "IDEMBED_PYTHON is not set, but required");
        println!("skipped: {reason}");
    }
    python
}

/// The folder with `weights` of dlib and `photos` of faces that `IDEMBED_FACES` names; else prints why the test skips.
///
/// Panics instead of skipping if `IDEMBED_REQUIRE_PYTHON` is set: what sets it brings both.
pub fn reference_faces() -> Option<PathBuf> {
    let folder = std::env::var_os("IDEMBED_FACES").map(PathBuf::from);
    if folder.is_none() {
        assert!(std::env::var_os("IDEMBED_REQUIRE_PYTHON").is_none(), "IDEMBED_FACES is not set, but required");
        println!("skipped: needs photos of faces: `cargo xtask test --python` fetches them");
    }
    folder
}

/// The folder `models/<name>` with weights that are not bundled, if it is there; else prints why the test skips.
///
/// Panics instead of skipping if `IDEMBED_REQUIRE_WEIGHTS` is set.
pub fn weights(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("IDEMBED_REQUIRE_WEIGHTS").is_none(), "`models/{name}` is missing, but required");
    println!("skipped: needs `models/{name}`: `cargo xtask test` fetches it");
    None
}

/// Reads a JSON file.
pub fn read_json(path: &Path) -> serde_json::Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads every tensor of a safetensors file, in the dtype that it has there.
pub fn read_safetensors(path: &Path) -> BTreeMap<String, Tensor> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.iter()
        .map(|(name, view)| {
            let kind = match view.dtype() {
                Dtype::F64 => Kind::Double,
                Dtype::F32 => Kind::Float,
                Dtype::F16 => Kind::Half,
                Dtype::BF16 => Kind::BFloat16,
                Dtype::I64 => Kind::Int64,
                Dtype::I32 => Kind::Int,
                Dtype::I16 => Kind::Int16,
                Dtype::U8 => Kind::Uint8,
                Dtype::BOOL => Kind::Bool,
                other => panic!("{}: tensor `{name}` has dtype {other:?}", path.display()),
            };
            let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
            (name.to_owned(), Tensor::from_data_size(view.data(), &shape, kind))
        })
        .collect()
}

/// What a generator left in one topic's folder: `cases.json` and `tensors.safetensors`.
#[derive(Debug)]
pub struct Fixture {
    /// The folder.
    pub folder: PathBuf,
    /// What was computed.
    pub cases: serde_json::Value,
    tensors: BTreeMap<String, Tensor>,
}

impl Fixture {
    /// Reads both files of [`fixture_dir`].
    pub fn open(topic: &str) -> Self {
        Self::read(fixture_dir(topic))
    }

    /// The same for the tests of another package: `committed` is the folder of its fixtures.
    pub fn open_in(committed: &Path, topic: &str) -> Self {
        Self::read(fixture_dir_in(committed, topic))
    }

    fn read(folder: PathBuf) -> Self {
        let cases = read_json(&folder.join("cases.json"));
        let tensors = read_safetensors(&folder.join("tensors.safetensors"));
        Fixture { folder, cases, tensors }
    }

    /// A tensor that must be there.
    pub fn tensor(&self, name: &str) -> &Tensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("the fixture lacks `{name}`"))
    }

    /// A list of cases that must be there.
    pub fn list(&self, key: &str) -> &[serde_json::Value] {
        self.cases[key].as_array().unwrap_or_else(|| panic!("the fixture lacks `{key}`"))
    }
}

/// The largest difference of two tensors, relative to the largest magnitude expected.
///
/// Infinite if either holds NaN or infinity. Panics if the shapes differ.
pub fn max_relative(ours: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(ours.size(), expected.size(), "shapes differ");
    if ours.numel() == 0 {
        return 0.0;
    }
    let ours = ours.to_kind(Kind::Double);
    let expected = expected.to_kind(Kind::Double).to_device(ours.device());
    let difference = (&ours - &expected).abs().max().double_value(&[]);
    let scale = expected.abs().max().double_value(&[]);
    if difference == 0.0 {
        0.0
    } else if difference.is_finite() && scale.is_finite() {
        difference / scale
    } else {
        f64::INFINITY
    }
}

/// Reads a PNG file.
pub fn read_picture(path: &Path) -> RgbImage {
    image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).to_rgb8()
}

/// The share of pixels in which some channel differs by more than one grey level. Panics if the sizes differ.
pub fn pixels_off(ours: &RgbImage, theirs: &RgbImage) -> f64 {
    assert_eq!(ours.dimensions(), theirs.dimensions());
    let pixels = ours.pixels().zip(theirs.pixels());
    let off = pixels.filter(|(a, b)| a.0.iter().zip(b.0).any(|(a, b)| a.abs_diff(b) > 1)).count();
    off as f64 / f64::from(ours.width() * ours.height())
}

/// Prints one line per comparison and remembers those over their limit.
#[derive(Debug, Default)]
pub struct Parity {
    failures: Vec<String>,
}

impl Parity {
    /// Nothing compared yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes one comparison by [`max_relative`]; `case` is `<topic>/<name>`.
    pub fn check(&mut self, case: &str, max_rel: f64, limit: f64) {
        self.check_metric(case, "max_rel", max_rel, limit);
    }

    /// Notes one comparison by any measure that should not exceed its limit; `case` is `<topic>/<name>`.
    pub fn check_metric(&mut self, case: &str, metric: &str, value: f64, limit: f64) {
        let line = format!("parity: {case} {metric}={value:.3e} limit={limit:.0e}");
        println!("{line}");
        let within = value <= limit;
        if !within {
            self.failures.push(line);
        }
    }

    /// Compares two tensors by [`max_relative`].
    pub fn check_tensors(&mut self, case: &str, ours: &Tensor, expected: &Tensor, limit: f64) {
        self.check(case, max_relative(ours, expected), limit);
    }

    /// Panics if any comparison was over its limit.
    pub fn finish(self) {
        assert!(self.failures.is_empty(), "over the limit:\n{}", self.failures.join("\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_to_the_largest() {
        let expected = Tensor::from_slice(&[0.0f32, -4.0]);
        assert_eq!(max_relative(&Tensor::from_slice(&[1.0f32, -4.0]), &expected), 0.25);
        assert_eq!(max_relative(&expected, &expected), 0.0);
    }

    #[test]
    fn not_a_number_is_never_close() {
        let expected = Tensor::from_slice(&[1.0f32]);
        assert_eq!(max_relative(&Tensor::from_slice(&[f32::NAN]), &expected), f64::INFINITY);
        assert_eq!(max_relative(&Tensor::from_slice(&[1.0f32]), &Tensor::from_slice(&[0.0f32])), f64::INFINITY);
    }
}
