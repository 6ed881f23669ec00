//! How strongly an identity acts: from the class word to what was learned, and somewhat beyond.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use idembed_diffusion::StableDiffusion;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::identity::EncoderRows;
use crate::start::word_vectors;
use crate::{Identity, Result, TokensError, UNetChanges};

/// How strongly an identity acts, in all stages or in each, the noisiest first: 0 is the class word, 1 the identity as it was
/// learned, numbers above 1 exaggerate it.
///
/// As text it is `0.7`, or `0.2/0.4/0.6/0.8/1` for five stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "OneOrMany", into = "OneOrMany")]
pub struct Strength {
    /// One, or one for each stage.
    values: Vec<f64>,
}

/// No strength is NaN.
impl Eq for Strength {}

/// A strength as files have it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(f64),
    Many(Vec<f64>),
}

impl Strength {
    /// The largest strength. Vectors at twice their distance from the class word are still words of a kind; farther out, the
    /// text encoder only sees their direction.
    pub const MAX: f64 = 2.0;

    /// The most stages that can have a strength each.
    const MOST_STAGES: usize = 1000;

    /// The same strength in all stages.
    ///
    /// # Errors
    /// Not a number from 0 to [`Strength::MAX`].
    pub fn new(value: f64) -> Result<Self> {
        Self::of_stages(vec![value])
    }

    /// A strength for each stage, the noisiest first; one alone serves all.
    ///
    /// # Errors
    /// None at all, or not numbers from 0 to [`Strength::MAX`].
    pub fn of_stages(values: Vec<f64>) -> Result<Self> {
        let fits = |value: &f64| (0.0..=Self::MAX).contains(value);
        if (1..=Self::MOST_STAGES).contains(&values.len()) && values.iter().all(fits) {
            return Ok(Strength { values });
        }
        Err(refused(shown(&values)))
    }

    /// One number, or one for each stage, the noisiest first.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Whether the identity acts as it was learned.
    pub fn is_full(&self) -> bool {
        self.values.iter().all(|&value| value == 1.0)
    }

    /// The number that holds in all stages, if there is one.
    fn everywhere(&self) -> Option<f64> {
        let first = self.values[0];
        self.values.iter().all(|&value| value == first).then_some(first)
    }
}

impl Default for Strength {
    /// As it was learned.
    fn default() -> Self {
        Strength { values: vec![1.0] }
    }
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.values))
    }
}

impl FromStr for Strength {
    type Err = TokensError;

    fn from_str(text: &str) -> Result<Self> {
        let values: Option<Vec<f64>> = text.split('/').map(|value| value.parse().ok()).collect();
        Strength::of_stages(values.ok_or_else(|| refused(format!("`{text}`")))?)
    }
}

impl TryFrom<OneOrMany> for Strength {
    type Error = TokensError;

    fn try_from(values: OneOrMany) -> Result<Self> {
        match values {
            OneOrMany::One(value) => Strength::new(value),
            OneOrMany::Many(values) => Strength::of_stages(values),
        }
    }
}

impl From<Strength> for OneOrMany {
    fn from(strength: Strength) -> Self {
        match strength.values.as_slice() {
            [value] => OneOrMany::One(*value),
            _ => OneOrMany::Many(strength.values),
        }
    }
}

fn shown(values: &[f64]) -> String {
    values.iter().map(f64::to_string).collect::<Vec<_>>().join("/")
}

fn refused(got: String) -> TokensError {
    let most = Strength::MAX;
    TokensError::Setting {
        what: "strength",
        got,
        expected: format!("a number from 0 to {most}, or several with / between"),
    }
}

/// The class word's input embedding for each text encoder of a model, the mean over its tokens: where an identity of strength 0
/// stands, with each of its words.
///
/// # Shapes
/// - returns: `[1, hidden]` each, f32 on the CPU
///
/// # Errors
/// A tokenizer makes nothing of the class word.
pub fn class_vectors(model: &StableDiffusion, class: &str) -> Result<Vec<Tensor>> {
    let vectors = word_vectors(model, "class word", class)?;
    Ok(vectors.iter().map(|vector| vector.f_to_device(tch::Device::Cpu)).collect::<std::result::Result<_, _>>()?)
}

impl Identity {
    /// Fails if the identity cannot act with this strength; needs no model.
    ///
    /// # Errors
    /// Another number of strengths than of stages (an identity of one stage takes any), or strengths that differ from stage to
    /// stage for an identity that changes weights of the U-Net, which are the same in all stages; any for an embedding of
    /// another tool, which knows no class word.
    pub fn check_strength(&self, strength: &Strength) -> Result<()> {
        if self.is_embedding() && !strength.is_full() {
            return Err(TokensError::EmbeddingStrength { name: self.name.clone() });
        }
        let (got, stages) = (strength.values.len(), self.stages());
        let expected = match () {
            () if self.unet.is_some() && strength.everywhere().is_none() => {
                "the same in all stages, because it changes weights of the U-Net".to_owned()
            }
            () if got != 1 && stages != 1 && got != stages => format!("one number, or one for each of {stages} stages"),
            () => return Ok(()),
        };
        let got = format!("{strength} for the identity `{}`", self.name);
        Err(TokensError::Setting { what: "strength", got, expected })
    }

    /// The identity as it acts with a strength: each row lies on the line from the class word's vector through what was
    /// learned, and so does each weight that it changes.
    ///
    /// The class word's vector is the mean over its tokens, and stands at every word of the identity: that is also where
    /// learning starts by default.
    ///
    /// # Errors
    /// As [`Identity::check_strength`] and [`class_vectors`]; text encoders of another number or width.
    pub fn at_strength(&self, strength: &Strength, model: &StableDiffusion) -> Result<Identity> {
        self.check_strength(strength)?;
        if strength.is_full() {
            return Ok(self.clone());
        }
        self.between(&class_vectors(model, &self.class)?, strength)
    }

    /// As [`Identity::at_strength`], from the class word's vectors.
    ///
    /// # Shapes
    /// - `class`: for each text encoder, `[1, hidden]`
    pub(crate) fn between(&self, class: &[Tensor], strength: &Strength) -> Result<Identity> {
        let name = || self.name.clone();
        if class.len() != self.encoders.len() {
            return Err(TokensError::OtherEncoders { name: name(), got: self.encoders.len(), expected: class.len() });
        }
        let weight = Tensor::f_from_slice(&strength.values)?.f_to_kind(Kind::Float)?.f_view([-1, 1, 1])?;
        let stages = self.stages().max(strength.values.len()) as i64;
        let scaled = |rows: &Tensor, class: &Tensor| -> Result<Tensor> {
            let (_, hidden) = rows.size2()?;
            let rows = rows.f_view([self.stages() as i64, -1, hidden])?;
            // `lerp` gives each end exactly. What has one stage spreads over those of the strength.
            let shape = [stages, rows.size()[1], hidden];
            let (class, rows) = (class.f_expand(shape, false)?, rows.f_expand(shape, false)?);
            Ok(class.f_lerp_tensor(&rows, &weight.f_expand(shape, false)?)?.f_reshape([-1, hidden])?)
        };
        let encoders = self.encoders.iter().zip(class).map(|(rows, class)| {
            let (got, expected) = (rows.hidden(), class.size().last().copied().unwrap_or(0));
            if got != expected {
                return Err(TokensError::OtherHidden { name: name(), got, expected });
            }
            Ok(EncoderRows { k: scaled(&rows.k, class)?, v: scaled(&rows.v, class)?, sha256: rows.sha256.clone() })
        });
        let encoders = encoders.collect::<Result<_>>()?;
        let unet = self.unet.as_ref().map(|changes| changes.at_strength(strength)).transpose()?.flatten();
        let unet = unet.map(Cow::into_owned);
        Ok(Identity { encoders, unet, ..self.clone() })
    }
}

impl UNetChanges {
    /// The changes with a strength, which must be the same in all stages; nothing at 0.
    pub(crate) fn at_strength(&self, strength: &Strength) -> Result<Option<Cow<'_, UNetChanges>>> {
        match strength.everywhere() {
            Some(1.0) => Ok(Some(Cow::Borrowed(self))),
            Some(0.0) | None => Ok(None),
            Some(value) => {
                let deltas = self.deltas.iter().map(|(name, delta)| Ok((name.clone(), delta.f_mul_scalar(value)?)));
                let deltas = deltas.collect::<Result<_>>()?;
                Ok(Some(Cow::Owned(UNetChanges { sha256: self.sha256.clone(), deltas })))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use crate::identity::example;

    fn class() -> Vec<Tensor> {
        vec![Tensor::from_slice(&[1.0f32, 0.0, -1.0]).view([1, 3])]
    }

    fn keys(identity: &Identity) -> Vec<f32> {
        Vec::try_from(identity.encoders[0].k.flatten(0, -1)).unwrap()
    }

    fn values(identity: &Identity) -> Vec<f32> {
        Vec::try_from(identity.encoders[0].v.flatten(0, -1)).unwrap()
    }

    #[test]
    fn rows_lie_between_the_class_word_and_what_was_learned() {
        // Keys 1 2 3 and 4 5 6, values 6 5 4 and 3 2 1; the class word at 1 0 -1.
        let at = |text: &str| example().between(&class(), &text.parse().unwrap()).unwrap();
        assert_eq!(keys(&at("0.5")), [1.0, 1.0, 1.0, 2.5, 2.5, 2.5]);
        assert_eq!(values(&at("0.5")), [3.5, 2.5, 1.5, 2.0, 1.0, 0.0]);
        assert_eq!(keys(&at("0")), [1.0, 0.0, -1.0, 1.0, 0.0, -1.0]);
        assert_eq!(keys(&at("1")), keys(&example()));
        assert_eq!(keys(&at("2")), [1.0, 4.0, 7.0, 7.0, 10.0, 13.0]);
        assert_eq!(keys(&at("1/0.25")), [1.0, 2.0, 3.0, 1.75, 1.25, 0.75]);
        assert_eq!(at("0.5").metadata(), example().metadata());
    }

    #[test]
    fn the_class_word_stands_at_every_word_and_layer() {
        let whole = Identity { words: 2, ..example() };
        assert_eq!(whole.stages(), 1);
        let half = whole.between(&class(), &"0.5".parse().unwrap()).unwrap();
        assert_eq!(keys(&half), [1.0, 1.0, 1.0, 2.5, 2.5, 2.5]);
        // One stage becomes three, each with both words.
        let three = Identity { layers: 2, ..example() }.between(&class(), &"0/1/0.5".parse().unwrap()).unwrap();
        assert_eq!((three.stages(), three.layers), (3, 2));
        assert_eq!(keys(&three)[..6], [1.0, 0.0, -1.0, 1.0, 0.0, -1.0]);
        assert_eq!(keys(&three)[6..12], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(keys(&three)[12..], [1.0, 1.0, 1.0, 2.5, 2.5, 2.5]);
    }

    #[test]
    fn changed_weights_are_scaled_too() {
        let delta = Tensor::from_slice(&[0.5f32, -0.25]).to_kind(Kind::Half);
        let changes = UNetChanges { sha256: "abcd".to_owned(), deltas: [("conv.bias".to_owned(), delta)].into() };
        let identity = Identity { unet: Some(changes), ..example() };
        let scaled = |text: &str| identity.between(&class(), &text.parse().unwrap()).unwrap().unet;
        let half = scaled("0.5").unwrap();
        let delta = &half.deltas["conv.bias"];
        assert_eq!(Vec::<f64>::try_from(delta.to_kind(Kind::Double)).unwrap(), [0.25, -0.125]);
        assert_eq!(delta.kind(), Kind::Half);
        assert!(scaled("0").is_none() && scaled("0.5/0.5").is_some());
        let error = identity.check_strength(&"0.5/1".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("same in all stages, because it changes weights of the U-Net"), "{error}");
    }

    #[test]
    fn strengths_are_read_and_shown() {
        for text in ["0.7", "0.2/0.4/0.6/0.8/1", "2", "0/0"] {
            assert_eq!(text.parse::<Strength>().unwrap().to_string(), text);
        }
        for text in ["", "x", "nan", "inf", "-0.1", "2.1", "0.5/", "/", "0.5/x", "1e9"] {
            let error = text.parse::<Strength>().unwrap_err().to_string();
            assert!(error.contains("expected a number from 0 to 2"), "{text}: {error}");
        }
        assert!(Strength::default().is_full() && "1/1".parse::<Strength>().unwrap().is_full());
        let json = |text: &str| serde_json::to_string(&text.parse::<Strength>().unwrap()).unwrap();
        assert_eq!((json("0.7"), json("0.5/1")), ("0.7".to_owned(), "[0.5,1.0]".to_owned()));
        assert_eq!(serde_json::from_str::<Strength>("[0.5,1]").unwrap(), "0.5/1".parse().unwrap());
        assert!(serde_json::from_str::<Strength>("7").is_err() && serde_json::from_str::<Strength>("[]").is_err());
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let strength = |text: &str| text.parse::<Strength>().unwrap();
        example().check_strength(&strength("0.5/1")).unwrap();
        Identity { words: 2, ..example() }.check_strength(&strength("0.5/1/0")).unwrap();
        let error = example().check_strength(&strength("0.5/1/0")).unwrap_err().to_string();
        assert_eq!(
            error,
            "strength is 0.5/1/0 for the identity `me`, expected one number, or one for each of 2 stages"
        );
        let narrow = vec![Tensor::from_slice(&[1.0f32]).view([1, 1])];
        let refused = example().between(&narrow, &strength("0.5"));
        assert!(matches!(refused, Err(TokensError::OtherHidden { got: 3, expected: 1, .. })));
        assert!(matches!(example().between(&[], &strength("0.5")), Err(TokensError::OtherEncoders { .. })));
    }
}
