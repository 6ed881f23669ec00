//! The face-wise attention loss: pulls the cross-attention maps of one forward pass to a target.
//!
//! With the queries Q of the pass, the prompt's keys K_t and the reference prompt's keys K_r,
//!
//! ```text
//! A_t = softmax(Q K_t^T / sqrt(d))      A_r = softmax(Q K_r^T / sqrt(d))      loss = |A_t - A_r|^2
//! ```
//!
//! for every token, as in arXiv 2402.00631. The other target, a mask, follows Break-A-Scene (arXiv 2305.16311).

use idembed_diffusion::hook::{AttentionHook, Site};
use idembed_layers::attention::attention_probs;
use tch::{Kind, Tensor};

use crate::check::{self, Observed};
use crate::distance::{map_distance, mask_distance};
use crate::error::{AttentionError, Result};
use crate::layers::Layers;
use crate::mask::Mask;
use crate::options::{LossOptions, Norm, Reduction, TargetKind};
use crate::reference_keys::ReferenceKeys;

/// What the maps of one forward pass are pulled to.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// The maps of a reference prompt that agrees with the learned one token by token.
    Reference(&'a ReferenceKeys),
    /// A mask, for the learned word only.
    Mask {
        /// Where the face is: one mask, or one for each sample.
        mask: &'a Mask,
        /// Token positions of the learned word: one list for all samples, or one for each.
        positions: &'a [Vec<i64>],
    },
    /// Nothing; no layer is observed.
    None,
}

impl Target<'_> {
    /// Which kind of target this is.
    pub fn kind(&self) -> TargetKind {
        match self {
            Target::Reference(_) => TargetKind::Reference,
            Target::Mask { .. } => TargetKind::Mask,
            Target::None => TargetKind::None,
        }
    }
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
    norm: Norm,
    reduction: Reduction,
    layers: &'a Layers,
    target: Target<'a>,
    /// The learned prompt's keys, if the query is to be detached: the layer's own probabilities know the live query.
    detached_with: Option<&'a [Tensor]>,
    sum: Option<Tensor>,
    /// Each layer's loss without its gradient.
    seen: Vec<Option<Tensor>>,
}

impl<'a> FaceWiseLoss<'a> {
    /// A loss for one forward pass.
    ///
    /// `layers` is `options.layers`, resolved for the network. `learned_keys` holds K_t of every cross-attention layer;
    /// only `options.detach_query` needs it.
    ///
    /// # Shapes
    /// - `learned_keys`: one `[1 or batch, heads, tokens, head_dim]` for each cross-attention layer
    ///
    /// # Errors
    /// A target of another kind than `options.target`, a number of keys that is not the number of layers, or
    /// `detach_query` without `learned_keys`.
    pub fn new(
        options: &LossOptions,
        layers: &'a Layers,
        target: Target<'a>,
        learned_keys: Option<&'a [Tensor]>,
    ) -> Result<Self> {
        if target.kind() != options.target {
            return Err(AttentionError::Setting(format!(
                "the attention target is `{}`, but data for `{}` was given",
                options.target,
                target.kind()
            )));
        }
        if let Target::Reference(keys) = target {
            check_count("reference", keys.total(), layers)?;
        }
        if let Target::Mask { positions, .. } = target
            && (positions.is_empty() || positions.iter().any(Vec::is_empty))
        {
            return Err(AttentionError::Setting("the learned word has no token position".to_owned()));
        }
        let detached_with = match (options.detach_query, learned_keys) {
            (true, Some(keys)) => {
                check_count("learned", keys.len(), layers)?;
                Some(keys)
            }
            (true, None) => {
                let what = "a detached query needs the learned prompt's keys";
                return Err(AttentionError::Setting(what.to_owned()));
            }
            (false, _) => None,
        };
        let seen = (0..layers.total()).map(|_| None).collect();
        let LossOptions { norm, reduction, .. } = *options;
        Ok(FaceWiseLoss { norm, reduction, layers, target, detached_with, sum: None, seen })
    }

    /// The loss, averaged over the wanted layers: a scalar with its gradient; `None` for [`Target::None`].
    ///
    /// Not checked for NaN, which would make a GPU wait: check the total loss, once.
    ///
    /// # Errors
    /// The pass did not show every wanted layer.
    pub fn finish(&self) -> Result<Option<Tensor>> {
        if matches!(self.target, Target::None) {
            return Ok(None);
        }
        let wanted = self.layers.count();
        let seen = self.seen.iter().flatten().count();
        match &self.sum {
            Some(sum) if seen == wanted => Ok(Some(sum.f_div_scalar(wanted as f64)?)),
            _ => Err(AttentionError::Incomplete { seen, wanted }),
        }
    }

    /// The loss of each observed layer, in the order of the forward pass. Waits for the device.
    pub fn layer_losses(&self) -> Result<Vec<LayerLoss>> {
        let seen = self.seen.iter().enumerate().filter_map(|(index, loss)| loss.as_ref().map(|loss| (index, loss)));
        seen.map(|(index, loss)| Ok(LayerLoss { index, value: loss.f_double_value(&[])? })).collect()
    }

    /// Adds one layer's loss.
    fn add(&mut self, site: &Site<'_>, query: &Tensor, probs: &Tensor) -> Result<()> {
        self.layers.check(site.index)?;
        if self.seen[site.index].is_some() {
            return Err(AttentionError::SeenTwice { index: site.index });
        }
        let observed = check::observed(site, query, probs)?;
        let learned = match self.detached_with {
            Some(keys) => {
                probabilities("the learned key tensor", site, &query.f_detach()?, &keys[site.index], observed)?
            }
            None => probs.f_to_kind(Kind::Float)?,
        };
        let loss = match self.target {
            Target::Reference(keys) => {
                let key = keys.get(site.index)?;
                let reference = tch::no_grad(|| probabilities("the reference key tensor", site, query, key, observed))?;
                map_distance(&learned, &reference, self.norm, self.reduction)?
            }
            Target::Mask { mask, positions } => mask_distance((site.height, site.width), &learned, mask, positions)?,
            Target::None => return Ok(()),
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
        !matches!(self.target, Target::None) && self.layers.to_observe(site.index)
    }

    fn observe(&mut self, site: &Site<'_>, query: &Tensor, probs: &Tensor) -> idembed_diffusion::Result<()> {
        Ok(self.add(site, query, probs)?)
    }
}

fn check_count(whose: &str, keys: usize, layers: &Layers) -> Result<()> {
    if keys == layers.total() {
        return Ok(());
    }
    let layers = layers.total();
    Err(AttentionError::Setting(format!("there are {whose} keys for {keys} cross-attention layers, expected {layers}")))
}

/// Probabilities of the layer's query under other keys, which must fit what the layer showed.
fn probabilities(
    what: &'static str,
    site: &Site<'_>,
    query: &Tensor,
    key: &Tensor,
    observed: Observed,
) -> Result<Tensor> {
    let Observed { batch, tokens } = observed;
    let dim = query.size()[3];
    match key.size()[..] {
        [b, heads, t, d] if (b == 1 || b == batch) && heads == site.heads && t == tokens && d == dim => {}
        _ => return Err(check::shape_error(what, key, format!("[1 or {batch}, {}, {tokens}, {dim}]", site.heads))),
    }
    Ok(attention_probs(query, key)?)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::layers::LayerChoice;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn site(index: usize, heads: i64, height: i64, width: i64) -> Site<'static> {
        Site { index, name: "attn2", heads, height, width }
    }

    /// A query, its probabilities and the key behind them, without randomness.
    fn layer(batch: i64, heads: i64, pixels: i64, tokens: i64) -> (Tensor, Tensor, Tensor) {
        let wave = |shape: [i64; 4], step: f64| {
            let count: i64 = shape.iter().product();
            ((Tensor::arange(count, CPU) * step).sin() * 2.0).reshape(shape)
        };
        let query = wave([batch, heads, pixels, 7], 0.37);
        let key = wave([1, heads, tokens, 7], 0.73);
        let probs = attention_probs(&query, &key).unwrap();
        (query, probs, key)
    }

    fn mask_options() -> LossOptions {
        LossOptions { target: TargetKind::Mask, ..LossOptions::default() }
    }

    #[test]
    fn equal_keys_give_exactly_zero() {
        let (query, probs, key) = layer(3, 2, 17 * 5, 77);
        let layers = LayerChoice::All.resolve(&[1]).unwrap();
        let keys = ReferenceKeys::new(vec![key]).unwrap();
        let mut loss = FaceWiseLoss::new(&LossOptions::default(), &layers, Target::Reference(&keys), None).unwrap();
        loss.observe(&site(0, 2, 17, 5), &query, &probs).unwrap();
        assert_eq!(loss.finish().unwrap().unwrap().double_value(&[]), 0.0);
        assert_eq!(loss.layer_losses().unwrap(), [LayerLoss { index: 0, value: 0.0 }]);
    }

    #[test]
    fn no_target_wants_nothing() {
        let options = LossOptions { target: TargetKind::None, ..LossOptions::default() };
        let layers = LayerChoice::All.resolve(&[1]).unwrap();
        let loss = FaceWiseLoss::new(&options, &layers, Target::None, None).unwrap();
        assert!(!loss.wants(&site(0, 2, 17, 5)));
        assert!(loss.finish().unwrap().is_none());
    }

    #[test]
    fn unknown_and_repeated_layers_are_refused() {
        let (query, probs, key) = layer(1, 2, 6, 5);
        let layers = LayerChoice::All.resolve(&[1]).unwrap();
        let keys = ReferenceKeys::new(vec![key]).unwrap();
        let mut loss = FaceWiseLoss::new(&LossOptions::default(), &layers, Target::Reference(&keys), None).unwrap();
        assert!(matches!(loss.finish(), Err(AttentionError::Incomplete { seen: 0, wanted: 1 })));

        let outside = site(1, 2, 3, 2);
        assert!(loss.wants(&outside), "an unknown layer would be missed in silence");
        let error = loss.observe(&outside, &query, &probs).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "cross-attention layer 1 was observed, but the listener was made for 1 layers");

        loss.add(&site(0, 2, 3, 2), &query, &probs).unwrap();
        let twice = loss.add(&site(0, 2, 3, 2), &query, &probs);
        assert!(matches!(twice, Err(AttentionError::SeenTwice { index: 0 })));
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let (query, probs, key) = layer(3, 2, 6, 5);
        let layers = LayerChoice::All.resolve(&[1]).unwrap();
        let keys = ReferenceKeys::new(vec![key.narrow(2, 0, 4)]).unwrap();
        let options = LossOptions::default();
        let mut loss = FaceWiseLoss::new(&options, &layers, Target::Reference(&keys), None).unwrap();
        let error = loss.add(&site(0, 2, 3, 2), &query, &probs).unwrap_err().to_string();
        assert_eq!(error, "the reference key tensor has shape [1, 2, 4, 7], expected [1 or 3, 2, 5, 7]");
        for wrong in [site(0, 2, 3, 3), site(0, 3, 3, 2), site(0, 2, 0, 2)] {
            assert!(matches!(loss.add(&wrong, &query, &probs), Err(AttentionError::Shape { .. })), "{wrong:?}");
        }
        let flat = probs.flatten(0, 1);
        assert!(matches!(loss.add(&site(0, 2, 3, 2), &query, &flat), Err(AttentionError::Shape { .. })));
    }

    #[test]
    fn settings_that_do_not_fit_are_refused() {
        let layers = LayerChoice::All.resolve(&[1, 2]).unwrap();
        let keys = ReferenceKeys::new(vec![Tensor::zeros([1, 2, 5, 7], CPU)]).unwrap();
        let options = LossOptions::default();
        assert!(FaceWiseLoss::new(&options, &layers, Target::Reference(&keys), None).is_err());
        assert!(FaceWiseLoss::new(&options, &layers, Target::None, None).is_err());

        let layers = LayerChoice::All.resolve(&[1]).unwrap();
        let detached = LossOptions { detach_query: true, ..options };
        assert!(FaceWiseLoss::new(&detached, &layers, Target::Reference(&keys), None).is_err());
        assert!(FaceWiseLoss::new(&detached, &layers, Target::Reference(&keys), Some(&[])).is_err());

        let mask = Mask::new(&Tensor::ones([1, 1, 4, 4], CPU)).unwrap();
        for positions in [&[][..], &[vec![]]] {
            let target = Target::Mask { mask: &mask, positions };
            assert!(FaceWiseLoss::new(&mask_options(), &layers, target, None).is_err());
        }
    }

    #[test]
    fn a_mask_must_fit_batch_and_prompt() {
        let (query, probs, _) = layer(3, 2, 6, 5);
        let layers = LayerChoice::All.resolve(&[1]).unwrap();
        let two = Mask::new(&Tensor::ones([2, 1, 4, 4], CPU)).unwrap();
        let one = Mask::new(&Tensor::ones([1, 1, 4, 4], CPU)).unwrap();
        let cases =
            [(&two, vec![vec![1]]), (&one, vec![vec![1], vec![1]]), (&one, vec![vec![5]]), (&one, vec![vec![-1]])];
        for (mask, positions) in &cases {
            let target = Target::Mask { mask, positions };
            let mut loss = FaceWiseLoss::new(&mask_options(), &layers, target, None).unwrap();
            assert!(loss.observe(&site(0, 2, 3, 2), &query, &probs).is_err(), "{positions:?}");
        }
    }

    #[test]
    fn not_a_number_stays_visible() {
        let (query, probs, key) = layer(1, 2, 6, 5);
        let layers = LayerChoice::All.resolve(&[1]).unwrap();
        let keys = ReferenceKeys::new(vec![key]).unwrap();
        let mut loss = FaceWiseLoss::new(&LossOptions::default(), &layers, Target::Reference(&keys), None).unwrap();
        loss.observe(&site(0, 2, 3, 2), &query, &(probs * f64::NAN)).unwrap();
        assert!(loss.finish().unwrap().unwrap().double_value(&[]).is_nan());
    }
}
