//! The face-wise attention loss: pulls the cross-attention maps of one forward pass to a target.
//!
//! With the queries Q of the pass, the prompt's keys K_t and the reference prompt's keys K_r,
//!
//! ```text
//! A_t = softmax(Q K_t^T / sqrt(d))      A_r = softmax(Q K_r^T / sqrt(d))      loss = |A_t - A_r|^2
//! ```
//!
//! for every token, as in arXiv 2402.00631. The other target, a mask, follows Break-A-Scene (arXiv 2305.16311).

use idembed_diffusion::hook::{AttentionHook, Observed, Site};
use idembed_layers::attention::attention_probs;
use tch::Tensor;

use crate::check;
use crate::distance::{map_distance, mask_distance};
use crate::error::{AttentionError, Result};
use crate::layers::Layers;
use crate::mask::Mask;
use crate::options::{Norm, Reduction};
use crate::reference_keys::ReferenceKeys;

/// What the maps of one forward pass are pulled to: [`crate::Target`] with what it compares with.
#[derive(Debug, Clone, Copy)]
pub enum TargetMaps<'a> {
    /// The maps of a reference prompt that agrees with the learned one token by token.
    Reference {
        /// The reference prompt's keys.
        keys: &'a ReferenceKeys,
        /// Distance of two attention values.
        norm: Norm,
        /// How a layer's distances become one number.
        reduction: Reduction,
    },
    /// A mask, for the learned word only.
    Mask {
        /// Where the face is: one mask, or one for each sample.
        mask: &'a Mask,
        /// Token positions of the learned word: one list for all samples, or one for each.
        positions: &'a [Vec<i64>],
    },
}

/// The loss of one layer, for the log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerLoss {
    /// The layer's position in the order of the forward pass.
    pub index: usize,
    /// Its loss, before layers are averaged.
    pub value: f64,
}

/// The attention loss of one forward pass; a hook that keeps nothing but each layer's scalar.
///
/// Probabilities and distances are f32 whatever the format of the network.
#[derive(Debug)]
pub struct FaceWiseLoss<'a> {
    target: TargetMaps<'a>,
    layers: &'a Layers,
    detach_query: bool,
    sum: Option<Tensor>,
    /// Each layer's loss without its gradient.
    seen: Vec<Option<Tensor>>,
}

impl<'a> FaceWiseLoss<'a> {
    /// A loss for one forward pass.
    ///
    /// With `detach_query`, the gradient reaches the learned words through each layer's own keys only.
    ///
    /// # Errors
    /// A number of reference keys that is not the number of layers, or a word without a position.
    pub fn new(target: TargetMaps<'a>, layers: &'a Layers, detach_query: bool) -> Result<Self> {
        let total = layers.total();
        match target {
            TargetMaps::Reference { keys, .. } if keys.total() != total => {
                let keys = keys.total();
                return Err(AttentionError::Setting(format!(
                    "there are reference keys for {keys} cross-attention layers, expected {total}"
                )));
            }
            TargetMaps::Mask { positions, .. } if positions.is_empty() || positions.iter().any(Vec::is_empty) => {
                return Err(AttentionError::Setting("the learned word has no token position".to_owned()));
            }
            _ => {}
        }
        let seen = (0..total).map(|_| None).collect();
        Ok(FaceWiseLoss { target, layers, detach_query, sum: None, seen })
    }

    /// The loss, averaged over the wanted layers: a scalar with its gradient.
    ///
    /// Not checked for NaN, which would make a GPU wait: check the total loss, once.
    ///
    /// # Errors
    /// The pass did not show every wanted layer.
    pub fn finish(&self) -> Result<Tensor> {
        let wanted = self.layers.count();
        let seen = self.seen.iter().flatten().count();
        match &self.sum {
            Some(sum) if seen == wanted => Ok(sum.f_div_scalar(wanted as f64)?),
            _ => Err(AttentionError::Incomplete { seen, wanted }),
        }
    }

    /// The loss of each observed layer, in the order of the forward pass. Waits for the device.
    pub fn layer_losses(&self) -> Result<Vec<LayerLoss>> {
        let seen = self.seen.iter().enumerate().filter_map(|(index, loss)| loss.as_ref().map(|loss| (index, loss)));
        seen.map(|(index, loss)| Ok(LayerLoss { index, value: loss.f_double_value(&[])? })).collect()
    }

    /// Adds one layer's loss.
    fn add(&mut self, site: &Site<'_>, observed: &Observed<'_>) -> Result<()> {
        let downscale = self.layers.downscale(site.index)?;
        if self.seen[site.index].is_some() {
            return Err(AttentionError::SeenTwice { index: site.index });
        }
        let sizes = check::sizes(site, observed)?;
        let Observed { query, key, probs } = *observed;
        let detached;
        let learned = if self.detach_query {
            detached = attention_probs(&query.f_detach()?, key)?;
            &detached
        } else {
            probs
        };
        let loss = match self.target {
            TargetMaps::Reference { keys, norm, reduction } => {
                let key = keys.get(site.index)?;
                check::key("the reference key tensor", site, key, query, sizes)?;
                let reference = tch::no_grad(|| attention_probs(query, key))?;
                map_distance(learned, &reference, downscale, norm, reduction)?
            }
            TargetMaps::Mask { mask, positions } => mask_distance((site.height, site.width), learned, mask, positions)?,
        };
        self.seen[site.index] = Some(loss.f_detach()?);
        self.sum = Some(match self.sum.take() {
            Some(sum) => sum.f_add(&loss)?,
            None => loss,
        });
        Ok(())
    }
}

impl AttentionHook for FaceWiseLoss<'_> {
    fn wants(&self, site: &Site<'_>) -> bool {
        self.layers.to_observe(site.index)
    }

    fn observe(&mut self, site: &Site<'_>, observed: &Observed<'_>) -> idembed_diffusion::Result<()> {
        Ok(self.add(site, observed)?)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::layers::LayerChoice;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn site(index: usize, heads: i64, height: i64, width: i64) -> Site<'static> {
        Site { index, name: "attn2", heads, height, width }
    }

    /// What a layer computed, without randomness.
    struct Computed {
        query: Tensor,
        key: Tensor,
        probs: Tensor,
    }

    impl Computed {
        fn new(batch: i64, heads: i64, pixels: i64, tokens: i64) -> Computed {
            let wave = |shape: [i64; 4], step: f64| {
                let count: i64 = shape.iter().product();
                ((Tensor::arange(count, CPU) * step).sin() * 2.0).reshape(shape)
            };
            let query = wave([batch, heads, pixels, 7], 0.37);
            let key = wave([1, heads, tokens, 7], 0.73);
            let probs = attention_probs(&query, &key).unwrap();
            Computed { query, key, probs }
        }

        fn observed(&self) -> Observed<'_> {
            Observed { query: &self.query, key: &self.key, probs: &self.probs }
        }

        fn reference(&self) -> ReferenceKeys {
            ReferenceKeys::new(vec![self.key.shallow_clone()]).unwrap()
        }
    }

    fn reference(keys: &ReferenceKeys) -> TargetMaps<'_> {
        TargetMaps::Reference { keys, norm: Norm::default(), reduction: Reduction::default() }
    }

    fn one_layer() -> Layers {
        LayerChoice::All.resolve(&[1]).unwrap()
    }

    #[test]
    fn equal_keys_give_exactly_zero() {
        let computed = Computed::new(3, 2, 17 * 5, 77);
        let (layers, keys) = (one_layer(), computed.reference());
        let mut loss = FaceWiseLoss::new(reference(&keys), &layers, false).unwrap();
        loss.observe(&site(0, 2, 17, 5), &computed.observed()).unwrap();
        assert_eq!(loss.finish().unwrap().double_value(&[]), 0.0);
        assert_eq!(loss.layer_losses().unwrap(), [LayerLoss { index: 0, value: 0.0 }]);
    }

    #[test]
    fn unknown_and_repeated_layers_are_refused() {
        let computed = Computed::new(1, 2, 6, 5);
        let (layers, keys) = (one_layer(), computed.reference());
        let mut loss = FaceWiseLoss::new(reference(&keys), &layers, false).unwrap();
        assert!(matches!(loss.finish(), Err(AttentionError::Incomplete { seen: 0, wanted: 1 })));

        let outside = site(1, 2, 3, 2);
        assert!(loss.wants(&outside), "an unknown layer would be missed in silence");
        let error = loss.observe(&outside, &computed.observed()).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "cross-attention layer 1 was observed, but the listener was made for 1 layers");

        loss.add(&site(0, 2, 3, 2), &computed.observed()).unwrap();
        let twice = loss.add(&site(0, 2, 3, 2), &computed.observed());
        assert!(matches!(twice, Err(AttentionError::SeenTwice { index: 0 })));
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let computed = Computed::new(3, 2, 6, 5);
        let layers = one_layer();
        let keys = ReferenceKeys::new(vec![computed.key.narrow(2, 0, 4)]).unwrap();
        let mut loss = FaceWiseLoss::new(reference(&keys), &layers, false).unwrap();
        let error = loss.add(&site(0, 2, 3, 2), &computed.observed()).unwrap_err().to_string();
        assert_eq!(error, "the reference key tensor has shape [1, 2, 4, 7], expected [1 or 3, 2, 5, 7]");
        for wrong in [site(0, 2, 3, 3), site(0, 3, 3, 2), site(0, 2, 0, 2)] {
            let refused = loss.add(&wrong, &computed.observed());
            assert!(matches!(refused, Err(AttentionError::Shape { .. })), "{wrong:?}");
        }
        let (flat, short) = (computed.probs.flatten(0, 1), computed.key.narrow(2, 0, 4));
        let whole = computed.observed();
        for (wrong, what) in [
            (Observed { probs: &flat, ..whole }, "the attention probabilities"),
            (Observed { key: &short, ..whole }, "the key"),
        ] {
            let error = loss.add(&site(0, 2, 3, 2), &wrong).unwrap_err();
            assert!(matches!(error, AttentionError::Shape { what: found, .. } if found == what), "{error}");
        }
    }

    #[test]
    fn what_does_not_fit_the_network_is_refused() {
        let layers = LayerChoice::All.resolve(&[1, 2]).unwrap();
        let keys = ReferenceKeys::new(vec![Tensor::zeros([1, 2, 5, 7], CPU)]).unwrap();
        let error = FaceWiseLoss::new(reference(&keys), &layers, false).unwrap_err().to_string();
        assert_eq!(error, "there are reference keys for 1 cross-attention layers, expected 2");
        let mask = Mask::new(&Tensor::ones([1, 1, 4, 4], CPU)).unwrap();
        for positions in [&[][..], &[vec![]]] {
            let error = FaceWiseLoss::new(TargetMaps::Mask { mask: &mask, positions }, &layers, false).unwrap_err();
            assert_eq!(error.to_string(), "the learned word has no token position");
        }
    }

    #[test]
    fn a_mask_must_fit_batch_and_prompt() {
        let computed = Computed::new(3, 2, 6, 5);
        let layers = one_layer();
        let two = Mask::new(&Tensor::ones([2, 1, 4, 4], CPU)).unwrap();
        let one = Mask::new(&Tensor::ones([1, 1, 4, 4], CPU)).unwrap();
        let cases =
            [(&two, vec![vec![1]]), (&one, vec![vec![1], vec![1]]), (&one, vec![vec![5]]), (&one, vec![vec![-1]])];
        for (mask, positions) in &cases {
            let mut loss = FaceWiseLoss::new(TargetMaps::Mask { mask, positions }, &layers, false).unwrap();
            assert!(loss.observe(&site(0, 2, 3, 2), &computed.observed()).is_err(), "{positions:?}");
        }
    }

    #[test]
    fn a_detached_query_gets_no_gradient() {
        let leaf = |tensor: &Tensor| tensor.copy().set_requires_grad(true);
        let computed = Computed::new(1, 2, 6, 5);
        let layers = one_layer();
        let keys = ReferenceKeys::new(vec![computed.key.flip([2])]).unwrap();
        for detach_query in [false, true] {
            let (query, key) = (leaf(&computed.query), leaf(&computed.key));
            let probs = attention_probs(&query, &key).unwrap();
            let mut loss = FaceWiseLoss::new(reference(&keys), &layers, detach_query).unwrap();
            loss.observe(&site(0, 2, 3, 2), &Observed { query: &query, key: &key, probs: &probs }).unwrap();
            loss.finish().unwrap().backward();
            assert!(key.grad().abs().max().double_value(&[]) > 0.0);
            assert_eq!(query.grad().defined(), !detach_query);
        }
    }

    #[test]
    fn not_a_number_stays_visible() {
        let computed = Computed::new(1, 2, 6, 5);
        let (layers, keys) = (one_layer(), computed.reference());
        let mut loss = FaceWiseLoss::new(reference(&keys), &layers, false).unwrap();
        let wrong = &computed.probs * f64::NAN;
        loss.observe(&site(0, 2, 3, 2), &Observed { probs: &wrong, ..computed.observed() }).unwrap();
        assert!(loss.finish().unwrap().double_value(&[]).is_nan());
    }
}
