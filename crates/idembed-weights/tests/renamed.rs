//! Weights under other names, stacked or in another shape, as checkpoints of other layouts have them.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use idembed_weights::TensorFile;
use idembed_weights::{Alias, Compute, Error, Files, Init, Parameters, Renamed, Weights, WeightsError};
use tch::{Device, Kind, Tensor};

const HIDDEN: i64 = 6;
const PROJECTIONS: [&str; 3] = ["q_proj", "k_proj", "v_proj"];
/// Before all names of the network in a file that holds others too.
const PART: &str = "cond_stage_model.model.";

/// What a small network asks for: attention, a linear layer and a convolution.
fn ask(weights: &Weights) -> Result<BTreeMap<String, Tensor>, Error> {
    let (root, init) = (weights.root(), Init::Normal(1.0));
    let mut tensors = BTreeMap::new();
    for name in PROJECTIONS {
        let scope = &root / "self_attn" / name;
        tensors.insert(format!("{name}.weight"), scope.tensor("weight", &[HIDDEN, HIDDEN], init)?);
        tensors.insert(format!("{name}.bias"), scope.tensor("bias", &[HIDDEN], init)?);
    }
    tensors.insert("proj".to_owned(), root.tensor("proj.weight", &[5, HIDDEN], init)?);
    tensors.insert("conv".to_owned(), root.conv_weight("conv.weight", &[5, 3, 2, 2], init)?.get()?.shallow_clone());
    weights.check_all_used(&[])?;
    Ok(tensors)
}

/// The network's parameters, each of them other numbers.
fn parameters() -> Parameters {
    let parameters = Parameters::new(3, Device::Cpu);
    ask(&Weights::from_parameters(&parameters, Kind::Float)).unwrap();
    parameters
}

/// The same parameters in OpenCLIP's layout: the projections stacked, the linear layer as a convolution.
fn other_layout() -> TensorFile {
    let tensors: BTreeMap<String, Tensor> = parameters().list().into_iter().collect();
    let mut file = TensorFile::default();
    let mut insert = |name: &str, tensor: Tensor| file.tensors.insert(format!("{PART}{name}"), tensor);
    for kind in ["weight", "bias"] {
        let stacked = Tensor::cat(&PROJECTIONS.map(|name| &tensors[&format!("self_attn.{name}.{kind}")]), 0);
        insert(&format!("attn.in_proj_{kind}"), stacked);
    }
    insert("proj_in.weight", tensors["proj.weight"].view([5, HIDDEN, 1, 1]));
    insert("conv.weight", tensors["conv.weight"].copy());
    file
}

fn table() -> BTreeMap<String, Alias> {
    let old = |name: &str| Alias::of(format!("{PART}{name}"));
    let mut table = BTreeMap::new();
    for (name, index) in PROJECTIONS.into_iter().zip(0..) {
        let rows = index * HIDDEN..(index + 1) * HIDDEN;
        for kind in ["weight", "bias"] {
            let stacked = old(&format!("attn.in_proj_{kind}")).rows(rows.clone());
            table.insert(format!("self_attn.{name}.{kind}"), stacked);
        }
    }
    table.insert("proj.weight".to_owned(), old("proj_in.weight").reshaped(&[5, HIDDEN]));
    table.insert("conv.weight".to_owned(), old("conv.weight"));
    table
}

/// A folder with a file in the other layout, changed.
fn place(change: impl FnOnce(&mut TensorFile)) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let mut file = other_layout();
    change(&mut file);
    file.write(&path).unwrap();
    (folder, path)
}

fn renamed(path: &Path, part: &str) -> Result<Renamed, WeightsError> {
    Renamed::new(Box::new(Files::open(path).unwrap()), |name| name.starts_with(part), table())
}

fn open(path: &Path, kind: Kind) -> Weights {
    let compute = Compute { device: Device::Cpu, kind };
    Weights::new(Box::new(renamed(path, "").unwrap()), compute).unwrap()
}

#[test]
fn another_layout_gives_the_same_tensors() {
    let (folder, path) = place(|_| ());
    let plain = folder.path().join("plain.safetensors");
    parameters().save(&plain, Kind::Float).unwrap();
    for kind in [Kind::Float, Kind::BFloat16] {
        let expected = Weights::open_file(&plain, Compute { device: Device::Cpu, kind }).unwrap();
        let weights = open(&path, kind);
        let (expected_tensors, tensors) = (ask(&expected).unwrap(), ask(&weights).unwrap());
        assert_eq!(tensors.len(), 8);
        for (name, tensor) in &tensors {
            assert!(tensor.equal(&expected_tensors[name]) && tensor.kind() == kind, "{name} {kind:?}");
        }
        assert_eq!(weights.bytes(), expected.bytes());
        let fingerprint = |weights: &Weights| weights.fingerprint("", |_| true).unwrap();
        assert_eq!(fingerprint(&weights), fingerprint(&expected));
        assert_eq!(weights.path(), Some(path.as_path()));
    }
}

#[test]
fn stacked_tensors_are_used_where_they_lie() {
    let (_folder, path) = place(|_| ());
    let touch = || File::options().write(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let (mapped, converted) = (open(&path, Kind::Float), open(&path, Kind::Half));
    let (tensors, _copies) = (ask(&mapped).unwrap(), ask(&converted).unwrap());
    let address = |name: &str| tensors[name].data_ptr() as i64;
    assert_eq!(address("k_proj.weight") - address("q_proj.weight"), HIDDEN * HIDDEN * 4);
    assert_eq!(address("v_proj.weight") - address("k_proj.weight"), HIDDEN * HIDDEN * 4);
    touch();
    assert!(matches!(mapped.check_unchanged(), Err(Error::Changed { .. })));
    converted.check_unchanged().unwrap();
    assert!(matches!(converted.check_all_used(&[]), Err(Error::Changed { .. })));
}

#[test]
fn what_the_table_does_not_mention_is_reported() {
    let extra = |name: &str, part: &str| {
        let (_folder, path) = place(|file| drop(file.tensors.insert(name.to_owned(), Tensor::from(1.0f32))));
        let source = match renamed(&path, part) {
            Ok(source) => source,
            Err(error) => return Some(error),
        };
        match ask(&Weights::new(Box::new(source), Compute::CPU_F32).unwrap()) {
            Ok(_) => None,
            Err(Error::Content { source, .. }) => Some(source),
            Err(other) => panic!("{other:?}"),
        }
    };
    let is = |error: Option<WeightsError>, name: &str| match error {
        Some(WeightsError::Extra { first, count: 1 }) => first == name,
        other => panic!("{other:?}"),
    };
    let own = format!("{PART}logit_scale");
    assert!(is(extra(&own, ""), &own));
    assert!(is(extra(&own, PART), &own));
    // Of another network in the same file.
    assert!(is(extra("first_stage_model.conv.bias", ""), "first_stage_model.conv.bias"));
    assert!(extra("first_stage_model.conv.bias", PART).is_none());
    // Not the tensor that the table gives this name.
    assert!(is(extra("proj.weight", ""), "proj.weight"));
}

#[test]
fn tensors_that_nothing_asks_for_are_reported_by_their_new_names() {
    let (_folder, path) = place(|_| ());
    let weights = open(&path, Kind::Float);
    for name in ["q_proj.weight", "v_proj.weight"] {
        let _ = (weights.root() / "self_attn").tensor(name, &[HIDDEN, HIDDEN], Init::ZEROS).unwrap();
    }
    let Err(Error::Content { source: WeightsError::Extra { first, count }, .. }) =
        weights.check_all_used(&["bias", "conv.weight"])
    else {
        panic!()
    };
    // The other is the projection of the keys.
    assert_eq!((first.as_str(), count), ("proj.weight", 2));
}

#[test]
fn a_tensor_that_does_not_fit_the_table_is_refused() {
    let stacked = format!("{PART}attn.in_proj_bias");
    for rows in [3 * HIDDEN - 1, 3 * HIDDEN + 1] {
        let longer = Tensor::zeros([rows], (Kind::Float, Device::Cpu));
        let (_folder, path) = place(|file| drop(file.tensors.insert(stacked.clone(), longer)));
        let error = renamed(&path, "").unwrap_err();
        let expected =
            format!("tensor `{stacked}` has {rows} rows, but its other names stand for rows [0..6, 6..12, 12..18]");
        assert_eq!(error.to_string(), expected);
    }
    let flat = format!("{PART}proj_in.weight");
    let (_folder, path) = place(|file| {
        drop(file.tensors.insert(flat.clone(), Tensor::zeros([5, HIDDEN, 3, 3], (Kind::Float, Device::Cpu))))
    });
    let error = renamed(&path, "").unwrap_err();
    assert_eq!(error.to_string(), format!("tensor `{flat}` has shape [5, 6, 3, 3], expected [5, 6]"));
    // Other widths are the network's to find.
    let wide = Tensor::zeros([3 * HIDDEN, 7], (Kind::Float, Device::Cpu));
    let (_folder, path) = place(|file| drop(file.tensors.insert(format!("{PART}attn.in_proj_weight"), wide)));
    let Err(Error::Content { source: WeightsError::Shape { name, got, .. }, .. }) = ask(&open(&path, Kind::Float))
    else {
        panic!()
    };
    assert_eq!((name.as_str(), got.as_slice()), ("self_attn.q_proj.weight", [HIDDEN, 7].as_slice()));
}

#[test]
fn a_missing_tensor_is_called_by_its_name_in_the_file() {
    let gone = format!("{PART}conv.weight");
    let (_folder, path) = place(|file| drop(file.tensors.remove(&gone)));
    let weights = open(&path, Kind::Float);
    assert!(!weights.contains("conv.weight") && weights.contains("proj.weight"));
    let Err(Error::Content { source: WeightsError::Missing(name), .. }) = ask(&weights) else { panic!() };
    assert_eq!(name, gone);
}
