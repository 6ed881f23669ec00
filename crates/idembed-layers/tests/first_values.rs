//! Every layer starts as PyTorch's does.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use idembed_layers::{BatchNorm, Conv2d, ConvShape, GroupNorm, LayerNorm, Linear, PRelu};
use idembed_weights::{Init, Parameters, Weights};
use tch::{Device, Kind};

#[test]
fn first_values_are_those_of_pytorch() {
    let parameters = Parameters::new(3, Device::Cpu);
    let weights = Weights::from_parameters(&parameters, Kind::Float);
    let root = weights.root();
    Linear::load(&(&root / "linear"), 16, 300).unwrap();
    Linear::load_without_bias(&(&root / "plain"), 25, 40).unwrap();
    Linear::load_with_bias(&(&root / "still"), 4, 300, Init::ZEROS).unwrap();
    Conv2d::load(&(&root / "conv"), 4, 300, ConvShape { kernel: [3, 5], stride: 2, padding: [1, 2] }).unwrap();
    GroupNorm::load(&(&root / "group"), 6, 3, 1e-5).unwrap();
    LayerNorm::load(&(&root / "layer"), 6, 1e-5).unwrap();
    BatchNorm::load(&(&root / "batch"), 6, 1e-5).unwrap();
    PRelu::load(&(&root / "prelu"), 6).unwrap();

    // Evenly from one to the other.
    let expected = [
        ("batch.bias", 0.0, 0.0),
        ("batch.running_mean", 0.0, 0.0),
        ("batch.running_var", 1.0, 1.0),
        ("batch.weight", 1.0, 1.0),
        ("conv.bias", -1.0 / 60.0_f64.sqrt(), 1.0 / 60.0_f64.sqrt()),
        ("conv.weight", -1.0 / 60.0_f64.sqrt(), 1.0 / 60.0_f64.sqrt()),
        ("group.bias", 0.0, 0.0),
        ("group.weight", 1.0, 1.0),
        ("layer.bias", 0.0, 0.0),
        ("layer.weight", 1.0, 1.0),
        ("linear.bias", -0.25, 0.25),
        ("linear.weight", -0.25, 0.25),
        ("plain.weight", -0.2, 0.2),
        ("prelu.weight", 0.25, 0.25),
        ("still.bias", 0.0, 0.0),
        ("still.weight", -0.5, 0.5),
    ];
    let list = parameters.list();
    assert_eq!(list.len(), expected.len());
    for ((name, values), (expected, low, high)) in list.iter().zip(expected) {
        assert_eq!(name, expected);
        let (lowest, highest) = (values.min().double_value(&[]), values.max().double_value(&[]));
        let slack = 0.05 * (high - low);
        assert!((low..=low + slack).contains(&lowest), "{name}: {lowest}");
        assert!((high - slack..=high).contains(&highest), "{name}: {highest}");
    }
}
