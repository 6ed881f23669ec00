//! The recogniser's training against PyTorch, NumPy and SciPy (`fixtures/recogniser/generate.py`).

use idembed_integration_tests::Parity;
use idembed_pretrain::recogniser::{AngularMargin, equal_error_rate};
use tch::Tensor;

use crate::open;

/// Relative to the largest expected value.
const LIMIT: f64 = 1e-4;

#[test]
fn angular_margin_with_gradients() {
    let fixture = open("recogniser");
    let mut parity = Parity::new();
    for (index, case) in fixture.list("margins").iter().enumerate() {
        let leaf = |name: &str| fixture.tensor(&format!("margin.{index}.{name}")).copy().set_requires_grad(true);
        let (embeddings, centres) = (leaf("embeddings"), leaf("centres"));
        let number = |key: &str| case[key].as_f64().unwrap();
        let margin = AngularMargin { scale: number("scale"), angle: number("angle") };
        let loss = margin.loss(&embeddings, &centres, fixture.tensor(&format!("margin.{index}.classes"))).unwrap();
        let off = (loss.double_value(&[]) / number("loss") - 1.0).abs();
        parity.check(&format!("recogniser/margin.{index}"), off, LIMIT);
        loss.backward();
        for (name, leaf) in [("embeddings", embeddings), ("centres", centres)] {
            let expected = fixture.tensor(&format!("margin.{index}.{name}.gradient"));
            parity.check_tensors(&format!("recogniser/margin.{index}.{name}"), &leaf.grad(), expected, LIMIT);
        }
    }
    parity.finish();
}

/// Where an embedding lies on its centre, the angle has no slope of its own; training must go on.
#[test]
fn an_embedding_on_its_centre_has_a_finite_gradient() {
    let centres = Tensor::from_slice(&[3.0f32, 0.0, 0.0, 2.0]).view([2, 2]);
    let embeddings = (centres.narrow(0, 0, 1) * 0.5).set_requires_grad(true);
    let margin = AngularMargin { scale: 24.0, angle: 0.3 };
    margin.loss(&embeddings, &centres, &Tensor::from_slice(&[0_i64])).unwrap().backward();
    let largest = embeddings.grad().abs().max().double_value(&[]);
    assert!(largest.is_finite(), "{largest}");
}

#[test]
fn equal_error_rates() {
    let fixture = open("recogniser");
    let mut parity = Parity::new();
    for (index, expected) in fixture.list("rates").iter().enumerate() {
        let scores = |name: &str| Vec::<f32>::try_from(fixture.tensor(&format!("rate.{index}.{name}"))).unwrap();
        let off = equal_error_rate(&scores("same"), &scores("different")) - expected.as_f64().unwrap();
        parity.check_metric(&format!("recogniser/rate.{index}"), "difference", off.abs(), 1e-9);
    }
    parity.finish();
    assert_eq!(equal_error_rate(&[0.9, 0.8], &[0.1]), 0.0);
    assert_eq!(equal_error_rate(&[0.1], &[0.9, 0.8]), 1.0);
    assert!(equal_error_rate(&[], &[0.5]).is_nan() && equal_error_rate(&[f32::NAN], &[0.5]).is_nan());
}
