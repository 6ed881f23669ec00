//! Weights with something added to some of them: LoRA, and projections that are fine-tuned.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use idembed_weights::TensorFile;
use idembed_weights::{Alias, Compute, Delta, Error, Files, Init, Overlay, Renamed, Source, Weights, WeightsError};
use tch::{Device, Kind, Tensor};

const LINEAR: [i64; 2] = [7, 5];
const CONV: [i64; 4] = [4, 3, 3, 2];
const RANK: i64 = 2;
const SCALE: f64 = 0.75;

/// Numbers between -1 and 1 that repeat nowhere.
fn numbers(shape: &[i64], step: f64) -> Tensor {
    (Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu)) * step).sin().view(shape)
}

fn base(name: &str) -> Tensor {
    match name {
        "linear.weight" => numbers(&LINEAR, 0.7),
        "conv.weight" => numbers(&CONV, 0.3),
        _ => numbers(&[7], 0.9),
    }
}

/// A folder with a weight file in a number format.
fn place(kind: Kind) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("base.safetensors");
    let mut file = TensorFile::default();
    for name in ["linear.weight", "linear.bias", "conv.weight"] {
        file.tensors.insert(name.to_owned(), base(name).to_kind(kind));
    }
    file.write(&path).unwrap();
    (folder, path)
}

fn files(path: &Path) -> Box<dyn Source> {
    Box::new(Files::open(path).unwrap())
}

fn low_rank(up: &Tensor, down: &Tensor) -> Delta {
    Delta::LowRank { up: up.shallow_clone(), down: down.shallow_clone(), scale: SCALE }
}

fn overlay<const N: usize>(base: Box<dyn Source>, deltas: [(&str, Delta); N]) -> Result<Overlay, WeightsError> {
    Overlay::new(base, deltas.map(|(name, delta)| (name.to_owned(), delta)).into())
}

fn weights(source: Overlay, kind: Kind) -> Weights {
    Weights::new(Box::new(source), Compute { device: Device::Cpu, kind }).unwrap()
}

/// Linear weight, linear bias, convolution weight.
fn ask(weights: &Weights) -> [Tensor; 3] {
    let root = weights.root();
    let tensors = [
        root.tensor("linear.weight", &LINEAR, Init::ZEROS).unwrap(),
        root.tensor("linear.bias", &[7], Init::ZEROS).unwrap(),
        root.conv_weight("conv.weight", &CONV, Init::ZEROS).unwrap().get().unwrap().shallow_clone(),
    ];
    weights.check_all_used(&[]).unwrap();
    tensors
}

#[test]
fn a_low_rank_change_is_the_sum() {
    let (up, down) = (numbers(&[7, RANK], 1.1), numbers(&[RANK, 5], 1.3));
    let (conv_up, conv_down) = (numbers(&[4, RANK, 1, 1], 1.7), numbers(&[RANK, 3, 3, 2], 1.9));
    // A convolution of the inputs by `down`, then of that by `up`, is one with the product.
    let conv_product = conv_down.permute([1, 0, 2, 3]).conv2d(&conv_up, None::<Tensor>, 1, 0, 1, 1);
    let conv_product = conv_product.permute([1, 0, 2, 3]);
    for (stored, kind) in
        [(Kind::Float, Kind::Float), (Kind::Half, Kind::Float), (Kind::Float, Kind::BFloat16), (Kind::Half, Kind::Half)]
    {
        let (_folder, path) = place(stored);
        let deltas = [("linear.weight", low_rank(&up, &down)), ("conv.weight", low_rank(&conv_up, &conv_down))];
        let weights = weights(overlay(files(&path), deltas).unwrap(), kind);
        let [linear, bias, conv] = ask(&weights);
        let base = |name| base(name).to_kind(stored).to_kind(Kind::Float);
        assert!(linear.equal(&(base("linear.weight") + up.matmul(&down) * SCALE).to_kind(kind)), "{stored:?} {kind:?}");
        assert!(bias.equal(&base("linear.bias").to_kind(kind)), "{stored:?} {kind:?}");
        let error = (conv - (base("conv.weight") + &conv_product * SCALE).to_kind(kind)).abs().max();
        let limit = if kind == Kind::Float { 1e-6 } else { 1e-2 };
        assert!(error.double_value(&[]) < limit, "{stored:?} {kind:?} {error:?}");
    }
}

#[test]
fn a_full_change_is_the_sum_and_has_a_fingerprint_of_its_own() {
    let (folder, path) = place(Kind::Float);
    let delta = numbers(&LINEAR, 2.3);
    let changed = weights(overlay(files(&path), [("linear.weight", Delta::Full(delta.copy()))]).unwrap(), Kind::Float);
    let sum = base("linear.weight") + &delta;
    assert!(ask(&changed)[0].equal(&sum));
    // That of a file in which the change was made.
    let merged = folder.path().join("merged.safetensors");
    let mut file = TensorFile::read(&path, "file", 100_000).unwrap();
    file.tensors.insert("linear.weight".to_owned(), sum);
    file.write(&merged).unwrap();
    let fingerprint = |weights: &Weights| {
        let _ = ask(weights);
        weights.fingerprint("", |_| true).unwrap()
    };
    let of_file = |path| fingerprint(&Weights::open_file(path, Compute::CPU_F32).unwrap());
    assert_eq!(fingerprint(&changed), of_file(&merged));
    assert_ne!(fingerprint(&changed), of_file(&path));
}

/// Rows, or columns, come to the lengths that are asked for, in the direction of the changed weight; half the way ends halfway.
#[test]
fn a_decomposed_change_has_the_lengths_that_it_is_given() {
    let (_folder, path) = place(Kind::Float);
    let changed = |name: &str, change: Delta, magnitude: Tensor, share: f64| {
        let delta = Delta::Decomposed { change: Box::new(change), magnitude, share };
        let [linear, _, conv] = ask(&weights(overlay(files(&path), [(name, delta)]).unwrap(), Kind::Float));
        if name == "linear.weight" { linear } else { conv }
    };
    let near = |ours: &Tensor, expected: &Tensor| {
        let error = (ours - expected).abs().max().double_value(&[]);
        assert!(error < 1e-6, "{error} {ours:?}");
    };
    let linear = || low_rank(&numbers(&[7, RANK], 1.1), &numbers(&[RANK, 5], 1.3));
    let conv = || Delta::Full(numbers(&CONV, 2.9));
    let sum = base("conv.weight") + numbers(&CONV, 2.9);
    for (magnitude, over) in [([4, 1, 1, 1], [1, 2, 3]), ([1, 3, 1, 1], [0, 2, 3])] {
        let magnitude = numbers(&magnitude, 0.4) + 1.5;
        let whole = changed("conv.weight", conv(), magnitude.copy(), 1.0);
        let length = |tensor: &Tensor| (tensor * tensor).sum_dim_intlist(over.as_slice(), true, Kind::Float).sqrt();
        near(&length(&whole), &magnitude);
        near(&(&whole * length(&sum)), &(&sum * &magnitude));
        let half = changed("conv.weight", conv(), magnitude, 0.5);
        near(&half, &((&whole + base("conv.weight")) / 2));
    }
    let magnitude = numbers(&[7, 1], 0.4) + 1.5;
    let length = changed("linear.weight", linear(), magnitude.copy(), 1.0).square().sum_dim_intlist(
        [1].as_slice(),
        true,
        Kind::Float,
    );
    near(&length.sqrt(), &magnitude);
    // A row of zeros has no direction.
    let nothing = Delta::Full(-base("linear.weight"));
    assert!(
        changed("linear.weight", nothing, magnitude, 1.0).equal(&Tensor::zeros(LINEAR, (Kind::Float, Device::Cpu)))
    );
}

#[test]
fn changes_that_do_not_fit_are_refused() {
    let (_folder, path) = place(Kind::Float);
    let refused = |name, delta| overlay(files(&path), [(name, delta)]).unwrap_err().to_string();
    let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
    assert_eq!(refused("lineal.weight", Delta::Full(zeros(&LINEAR))), "there is no tensor `lineal.weight` to change");
    // What would be broadcast is no better.
    for shape in [&[5, 7][..], &[1, 5], &[5], &[]] {
        let expected = format!("the change of tensor `linear.weight` has shape {shape:?}, expected [7, 5]");
        assert_eq!(refused("linear.weight", Delta::Full(zeros(shape))), expected);
    }
    for (name, up, down) in [
        ("linear.weight", &[7, 2][..], &[3, 5][..]),
        ("linear.weight", &[5, 2], &[2, 7]),
        ("linear.weight", &[7, 2], &[2, 4]),
        ("linear.weight", &[7], &[5]),
        ("linear.weight", &[14], &[2, 5]),
        ("conv.weight", &[4, 2, 3, 2], &[2, 3, 3, 2]),
        ("conv.weight", &[4, 2], &[2, 3]),
        ("linear.bias", &[7, 2], &[2, 1]),
        ("linear.bias", &[7, 2], &[2]),
    ] {
        let text = refused(name, low_rank(&zeros(up), &zeros(down)));
        let expected = format!("the change of tensor `{name}` has shape {up:?} @ {down:?}, expected ");
        assert!(text.starts_with(&expected), "{text}");
    }
    let decomposed = |change, magnitude: &[i64]| Delta::Decomposed {
        change: Box::new(Delta::Full(zeros(change))),
        magnitude: zeros(magnitude),
        share: 1.0,
    };
    for (name, shape, magnitude) in [
        ("linear.weight", &LINEAR[..], &[7][..]),
        ("linear.weight", &LINEAR, &[5, 1]),
        ("linear.weight", &LINEAR, &[7, 5]),
        ("linear.weight", &LINEAR, &[1, 1]),
        ("conv.weight", &CONV, &[4, 1]),
        ("conv.weight", &CONV, &[1, 1, 3, 1]),
        ("linear.bias", &[7], &[7]),
    ] {
        let text = refused(name, decomposed(shape, magnitude));
        let expected =
            format!("the change of tensor `{name}` has shape {magnitude:?} for its magnitudes, expected {shape:?}");
        assert_eq!(text, expected);
    }
    assert!(refused("linear.weight", decomposed(&[5, 7], &[7, 1])).contains("has shape [5, 7], expected"));
}

#[test]
fn gradients_reach_the_changes() {
    let (_folder, path) = place(Kind::Half);
    let leaf = |tensor: Tensor| tensor.set_requires_grad(true);
    for kind in [Kind::Float, Kind::BFloat16] {
        let (up, down) = (leaf(numbers(&[7, RANK], 1.1)), leaf(numbers(&[RANK, 5], 1.3)));
        let (bias, conv) = (leaf(numbers(&[7], 0.2)), leaf(numbers(&CONV, 0.4)));
        let deltas = [
            ("linear.weight", low_rank(&up, &down)),
            ("linear.bias", Delta::Full(bias.shallow_clone())),
            ("conv.weight", Delta::Full(conv.shallow_clone())),
        ];
        let tensors = ask(&weights(overlay(files(&path), deltas).unwrap(), kind));
        let sums = tensors.map(|tensor| tensor.sum(Kind::Float));
        (&sums[0] + &sums[1] * 2.0 + &sums[2] * 3.0).backward();
        // Of the sum of all numbers of up @ down * scale.
        let ones = Tensor::ones(LINEAR, (Kind::Float, Device::Cpu));
        let expected = [ones.matmul(&down.detach().tr()) * SCALE, up.detach().tr().matmul(&ones) * SCALE];
        for (leaf, expected) in [&up, &down].into_iter().zip(expected) {
            assert!((leaf.grad() - expected).abs().max().double_value(&[]) < 1e-5, "{kind:?}");
        }
        assert!(bias.grad().equal(&bias.full_like(2.0)) && conv.grad().equal(&conv.full_like(3.0)), "{kind:?}");
    }
}

#[test]
fn what_is_not_changed_lies_in_the_file() {
    let (_folder, path) = place(Kind::Float);
    let source = || overlay(files(&path), [("linear.weight", Delta::Full(numbers(&LINEAR, 2.3)))]).unwrap();
    let changed = weights(source(), Kind::Float);
    let unchanged = weights(source(), Kind::Float);
    let _sum = changed.root().tensor("linear.weight", &LINEAR, Init::ZEROS).unwrap();
    let _mapped = unchanged.root().tensor("linear.bias", &[7], Init::ZEROS).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    changed.check_unchanged().unwrap();
    let Err(Error::Changed { path: named }) = unchanged.check_unchanged() else { panic!() };
    assert_eq!(named, path);
}

#[test]
fn changes_are_by_the_names_of_the_base_whatever_that_is() {
    let (_folder, path) = place(Kind::Float);
    let table = [
        ("to_q.weight", Alias::of("linear.weight").rows(0..3)),
        ("to_k.weight", Alias::of("linear.weight").rows(3..7)),
        ("bias", Alias::of("linear.bias")),
        ("conv", Alias::of("conv.weight")),
    ];
    let table: BTreeMap<String, Alias> = table.map(|(name, alias)| (name.to_owned(), alias)).into();
    let renamed = || Box::new(Renamed::new(files(&path), |_| true, table.clone()).unwrap());
    let delta = numbers(&[4, 5], 2.3);
    let once = overlay(renamed(), [("to_k.weight", Delta::Full(delta.copy()))]).unwrap();
    let twice = overlay(Box::new(once), [("to_k.weight", Delta::Full(delta.copy()))]).unwrap();
    let weights = weights(twice, Kind::Float);
    let query = weights.root().tensor("to_q.weight", &[3, 5], Init::ZEROS).unwrap();
    let key = weights.root().tensor("to_k.weight", &[4, 5], Init::ZEROS).unwrap();
    assert!(query.equal(&base("linear.weight").narrow(0, 0, 3)));
    assert!(key.equal(&(base("linear.weight").narrow(0, 3, 4) + &delta + &delta)));
    let error = overlay(renamed(), [("linear.weight", Delta::Full(base("linear.weight")))]).unwrap_err();
    assert!(matches!(error, WeightsError::NothingToChange(name) if name == "linear.weight"));
}
