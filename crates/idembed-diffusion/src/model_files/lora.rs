//! LoRA: small files that change some weights of a model (arXiv 2106.09685).
//!
//! With magnitudes (DoRA, arXiv 2402.09353) a weight `W` becomes `m V / |V|` of `V = W + s B A`. What that is at another strength
//! `k` than 1 is up to the tools: PEFT, which writes `lora_magnitude_vector`, takes `V = W + k s B A`, so that the magnitudes act
//! as a whole; those that read `dora_scale` (AUTOMATIC1111, ComfyUI) go the share `k` of the way from `W` to what it becomes. Each
//! file is taken as by the tools that it is for, but 0 never changes anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idembed_layouts::lora::{Factors, Layer, Magnitude, Network, layers};
use idembed_layouts::{Family, Kind, LoraForm, unet};
use idembed_weights::{Delta, Files, Overlay, Source};
use serde_json::Value;
use tch::{Kind as Format, Tensor};

use super::read_listing;
use crate::{Error, Result};

/// The largest strength in either direction; files are made for 1.
const STRONGEST: f64 = 100.0;

/// A file of LoRA that was looked at, and how strongly it is to act.
#[derive(Debug, Clone)]
pub struct Lora {
    path: PathBuf,
    strength: f64,
    /// The models that it was made for, where that is told.
    made_for: Option<Family>,
    layers: BTreeMap<Layer, Factors>,
    /// PEFT's settings, where the metadata hold them.
    settings: Value,
}

impl Lora {
    /// Looks at a file; 1 is the strength that it was made for, 0 none, and less than 0 the opposite.
    ///
    /// # Errors
    /// No such file, a file that is no LoRA or written in a form that is not read, a tensor that belongs to no layer or to a
    /// layer that is not whole, numbers that change nothing or are none, or a strength out of range.
    pub fn open(path: &Path, strength: f64) -> Result<Self> {
        if !(-STRONGEST..=STRONGEST).contains(&strength) {
            let what =
                format!("the strength of `{}` is {strength}, expected -{STRONGEST} to {STRONGEST}", path.display());
            return Err(Error::Setting(what));
        }
        let listing = read_listing(path)?;
        let refused = |what: String| Err(Error::Lora { path: path.to_path_buf(), what });
        let made_for = match Kind::of(&listing) {
            Kind::Lora { form: LoraForm::LowRank | LoraForm::Dora, family } => family,
            Kind::Lora { form, .. } => return refused(format!("it is written as {form}, which is not read")),
            other => return refused(format!("it is no LoRA: {other}")),
        };
        let layers = match layers(&listing) {
            Ok(layers) => layers,
            Err(stray) => return refused(stray.to_string()),
        };
        let settings = listing.metadata.get("lora_adapter_metadata").and_then(|json| serde_json::from_str(json).ok());
        let settings = settings.unwrap_or_default();
        let lora = Lora { path: path.to_path_buf(), strength, made_for, layers, settings };
        lora.check_numbers()?;
        Ok(lora)
    }

    /// Fails if a number is none, or if nothing would change.
    fn check_numbers(&self) -> Result<()> {
        let files = Files::open(&self.path)?;
        let mut changes = false;
        for (layer, factors) in &self.layers {
            let magnitude = factors.magnitude.as_ref().map(Magnitude::tensor);
            let names = [&factors.down, &factors.up].into_iter().chain(&factors.mid).map(String::as_str);
            for name in names.chain(magnitude) {
                if self.tensor(&files, name)?.f_isfinite()?.f_all()?.f_double_value(&[])? == 0.0 {
                    return Err(self.error(format!("tensor `{name}` holds NaN or infinity")));
                }
            }
            let holds_any =
                |name: &str| -> Result<bool> { Ok(self.tensor(&files, name)?.f_any()?.f_double_value(&[])? != 0.0) };
            if let Some(name) = magnitude
                && !holds_any(name)?
            {
                return Err(
                    self.error(format!("tensor `{name}` holds only 0, so that nothing of its layer would be left"))
                );
            }
            changes |= magnitude.is_some() || holds_any(&factors.up)?;
            let alpha = self.alpha(layer, factors, &files)?;
            if alpha.is_some_and(|alpha| alpha == 0.0 || !alpha.is_finite()) {
                let name = factors.alpha.as_deref().unwrap_or("lora_alpha");
                return Err(self.error(format!("`{name}` is {}", alpha.unwrap_or_default())));
            }
        }
        if changes { Ok(()) } else { Err(self.error("all its numbers are 0, so that nothing would change".to_owned())) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How strongly it acts.
    pub fn strength(&self) -> f64 {
        self.strength
    }

    /// Fails if it is made for a model that reads text states of another width, or for more text encoders than there are.
    pub(super) fn check_model(&self, cross_attention_dim: i64, text_encoders: usize) -> Result<()> {
        let second = self.layers.iter().find(|(layer, _)| layer.network == Network::SecondTextEncoder);
        if let Some((_, factors)) = second.filter(|_| text_encoders < 2) {
            let tensor = &factors.down;
            return Err(
                self.error(format!("tensor `{tensor}` is for a second text encoder, which this model does not have"))
            );
        }
        // One for SDXL is told by its second text encoder, too, whatever the widths.
        let made_for = self.made_for.filter(|&family| family != Family::Sdxl || text_encoders < 2);
        let made_for = made_for.and_then(|family| Some((family, family.text_width()?)));
        match made_for {
            Some((family, width)) if width != cross_attention_dim => {
                let what = format!(
                    "it is made for {family}, whose text states are {width} wide; those of this model are {cross_attention_dim}"
                );
                Err(self.error(what))
            }
            _ => Ok(()),
        }
    }

    /// A network's weights with this added to them; the others stay where they lie.
    pub(super) fn apply(&self, network: Network, base: Box<dyn Source>) -> Result<Box<dyn Source>> {
        let deltas = self.deltas(network, &*base)?;
        if deltas.is_empty() || self.strength == 0.0 {
            return Ok(base);
        }
        let changed = Overlay::new(base, deltas);
        Ok(Box::new(changed.map_err(|source| Error::Weights { path: self.path.clone(), source })?))
    }

    /// What is added to which weights of a network.
    fn deltas(&self, network: Network, base: &dyn Source) -> Result<BTreeMap<String, Delta>> {
        let names = base.names();
        // SDXL's are mostly trained with scripts that name the U-Net's layers as the original code does.
        let originals = if network == Network::Unet { unet::original_names(&names) } else { BTreeMap::new() };
        let is_of = |layer: &Layer, name: &String| {
            layer.is_of(name) || originals.get(name).is_some_and(|original| layer.is_of(original))
        };
        let files = Files::open(&self.path)?;
        let own = self.layers.iter().filter(|(layer, _)| layer.network == network);
        let deltas = own.map(|(layer, factors)| {
            let name = names.iter().find(|name| is_of(layer, name)).ok_or_else(|| {
                let tensor = &factors.down;
                self.error(format!(
                    "tensor `{tensor}` belongs to a layer that the {network} of this model does not have"
                ))
            })?;
            let shape = base.shape(name).unwrap_or_default();
            Ok((name.clone(), self.delta(layer, factors, &shape, &files)?))
        });
        let deltas = deltas.collect::<Result<_>>()?;
        files.check_unchanged()?;
        Ok(deltas)
    }

    /// How a weight of a shape is changed.
    fn delta(&self, layer: &Layer, factors: &Factors, shape: &[i64], files: &Files) -> Result<Delta> {
        // Where the strength acts on the whole change, the factors act as they were made.
        let (strength, share) = match factors.magnitude {
            Some(Magnitude::Scale(_)) => (1.0, self.strength),
            _ => (self.strength, 1.0),
        };
        let change = self.product(layer, factors, strength, files)?;
        let Some(magnitude) = &factors.magnitude else { return Ok(change) };
        let magnitude = self.magnitude(magnitude, shape, files)?;
        Ok(Delta::Decomposed { change: Box::new(change), magnitude, share })
    }

    /// What the factors add to a weight.
    fn product(&self, layer: &Layer, factors: &Factors, strength: f64, files: &Files) -> Result<Delta> {
        let (down, up) = (self.tensor(files, &factors.down)?, self.tensor(files, &factors.up)?);
        let rank = *down.size().first().unwrap_or(&0);
        let alpha = self.alpha(layer, factors, files)?;
        let scale = strength * alpha.map_or(1.0, |alpha| alpha / self.divisor(layer, factors, rank as f64));
        let Some(mid) = &factors.mid else { return Ok(Delta::LowRank { up, down, scale }) };
        // A convolution in three steps: inputs to the rank, the kernel within it, the rank to the outputs.
        let (up, down) = (up.f_flatten(1, -1)?, down.f_flatten(1, -1)?);
        let inner = Tensor::f_einsum("pqhw,qi->pihw", &[&self.tensor(files, mid)?, &down], None::<&[i64]>)?;
        let whole = Tensor::f_einsum("op,pihw->oihw", &[&up, &inner], None::<&[i64]>)?;
        Ok(Delta::Full(whole.f_mul_scalar(scale)?))
    }

    /// The magnitudes of a weight of a shape: `[outputs, 1, ...]`, or `[1, inputs, 1, ...]`.
    fn magnitude(&self, magnitude: &Magnitude, shape: &[i64], files: &Files) -> Result<Tensor> {
        let name = magnitude.tensor();
        let tensor = self.tensor(files, name)?;
        let along = |axis: usize| -> Vec<i64> {
            shape.iter().enumerate().map(|(dim, &size)| if dim == axis { size } else { 1 }).collect()
        };
        let (rows, columns, flat) = (along(0), along(1), vec![*shape.first().unwrap_or(&0)]);
        let got = tensor.size();
        let (sizes, expected) = match magnitude {
            // PEFT has those of convolutions in its second dimension.
            Magnitude::Vector(_) => {
                let of_conv = vec![1, flat[0], 1, 1];
                ((got == flat || got == of_conv).then_some(rows), format!("{flat:?} or {of_conv:?}"))
            }
            Magnitude::Scale(_) => {
                let expected = format!("{rows:?} or {columns:?}");
                let is_rows = got == flat || got == rows;
                (if is_rows { Some(rows) } else { (got == columns).then_some(columns) }, expected)
            }
        };
        let sizes =
            sizes.ok_or_else(|| self.error(format!("tensor `{name}` has shape {got:?}, expected {expected}")))?;
        Ok(tensor.f_view(sizes.as_slice())?)
    }

    /// A tensor of the file, f32; a copy in memory, so that nothing depends on the file when the networks are made.
    fn tensor(&self, files: &Files, name: &str) -> Result<Tensor> {
        let in_file = |source| Error::Weights { path: self.path.clone(), source };
        Ok(files.stored(name).map_err(in_file)?.read(|tensor| tensor.f_to_dtype(Format::Float, false, true))?)
    }

    /// What a layer's product is multiplied with, over the rank; the rank itself if nothing says it.
    fn alpha(&self, layer: &Layer, factors: &Factors, files: &Files) -> Result<Option<f64>> {
        let Some(name) = &factors.alpha else { return Ok(self.usual_alpha(layer)) };
        let alpha = self.tensor(files, name)?;
        match alpha.numel() {
            1 => Ok(Some(alpha.f_view([1])?.f_double_value(&[0])?)),
            _ => Err(self.error(format!("tensor `{name}` has shape {:?}, expected one number", alpha.size()))),
        }
    }

    /// What alpha is divided by: the rank, or its root where PEFT's settings say so (arXiv 2312.03732).
    fn divisor(&self, layer: &Layer, factors: &Factors, rank: f64) -> f64 {
        let is_of_root = factors.alpha.is_none() && *self.setting(layer, "use_rslora") == true;
        if is_of_root { rank.sqrt() } else { rank }
    }

    /// The alpha of layers that bring none, where PEFT's settings say it.
    fn usual_alpha(&self, layer: &Layer) -> Option<f64> {
        let of_some = self.setting(layer, "alpha_pattern").as_object();
        let own = of_some.and_then(|alphas| alphas.iter().find(|(name, _)| layer.is_called(name)));
        own.map_or(self.setting(layer, "lora_alpha"), |(_, alpha)| alpha).as_f64()
    }

    /// One of PEFT's settings for the network of a layer.
    fn setting(&self, layer: &Layer, name: &str) -> &Value {
        let network = match layer.network {
            Network::Unet => "unet",
            Network::TextEncoder => "text_encoder",
            Network::SecondTextEncoder => "text_encoder_2",
        };
        &self.settings[format!("{network}.{name}")]
    }

    fn error(&self, what: String) -> Error {
        Error::Lora { path: self.path.clone(), what }
    }
}
