//! Identities made of others: mixed by weight, or one taken from another.
//!
//! Vectors at the input of a text encoder can be added and scaled; what comes of it is an identity like any other, and says
//! what it was made of ([`Ingredient`]).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use tch::{Kind, Tensor};

use crate::identity::EncoderRows;
use crate::prompt::is_identity_name;
use crate::strength::Strength;
use crate::{Identity, Result, TokensError, UNetChanges};

/// The largest share of an identity in a blend, and the smallest below 0: as far from what was learned as a [`Strength`] goes.
const MAX_SHARE: f64 = Strength::MAX;

/// The most stages that a blend may have.
const MOST_STAGES: usize = 100;

/// One of the identities that an identity was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Ingredient {
    /// The name it had been learned under.
    pub name: String,
    /// SHA-256 of its file, as hexadecimal digits.
    pub sha256: String,
    /// How much of it there is: the result's vectors are those of all ingredients times their shares, and what these lack to a
    /// sum of 1 is the class word's vector.
    pub share: f64,
}

impl fmt::Display for Ingredient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.share, self.name, self.sha256)
    }
}

impl FromStr for Ingredient {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let mut parts = text.split(' ');
        let (Some(share), Some(name), Some(sha256), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        let share = share.parse().ok().filter(|share: &f64| share.is_finite()).ok_or(())?;
        let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_identity_name(name) || !is_hash {
            return Err(());
        }
        Ok(Ingredient { name: name.to_owned(), sha256: sha256.to_owned(), share })
    }
}

/// An identity with how much of it is wanted.
#[derive(Debug)]
pub struct Weighted<'a> {
    /// The identity.
    pub identity: &'a Identity,
    /// SHA-256 of its file, as hexadecimal digits.
    pub sha256: String,
    /// Its weight.
    pub weight: f64,
}

/// Mixes identities of one model: the sum of their vectors, and of the weights that they change, times their shares. A share is a
/// weight divided by the sum of all weights, so that 1 and 1 are halves.
///
/// A weight below 0 goes away from an identity: 1.5 of one and -0.5 of another lies beyond the first, seen from the second. The
/// class word is that of the first. Identities of different numbers of stages get as many as divide into both (2 and 3: 6), which
/// is exact; one that has the same vectors for all layers mixes with one that has not.
///
/// # Errors
/// Fewer than two identities, another model, number of words or of layers, a weight that is no number, weights whose sum is not
/// above 0, a share beyond 2, more than 100 stages.
pub fn blend(name: &str, parts: &[Weighted<'_>]) -> Result<Identity> {
    if parts.len() < 2 {
        return Err(setting("number of identities to blend", parts.len().to_string(), "2 or more"));
    }
    if let Some(part) = parts.iter().find(|part| !part.weight.is_finite()) {
        return Err(setting("weight", of(part.weight, part.identity), "a number"));
    }
    let sum: f64 = parts.iter().map(|part| part.weight).sum();
    if !sum.is_finite() || sum <= 0.0 {
        return Err(setting("sum of the weights", sum.to_string(), "above 0, because each is divided by it"));
    }
    let shares: Vec<f64> = parts.iter().map(|part| part.weight / sum).collect();
    if let Some((part, share)) = parts.iter().zip(&shares).find(|(_, share)| share.abs() > MAX_SHARE) {
        let expected = format!("from -{MAX_SHARE} to {MAX_SHARE}: a weight divided by the sum of all weights");
        return Err(setting("share", of(*share, part.identity), &expected));
    }
    combine(name, "blend", parts, &shares, None)
}

/// Takes from one identity what another one adds to its class word: `from - weight * (what - class of what)`, for vectors and for
/// the weights that both change.
///
/// # Shapes
/// - `class`: for each text encoder the vector of the class word of `what`, `[1, hidden]` ([`crate::class_vectors`])
///
/// # Errors
/// Another model, number of words or of layers, a weight that is not above 0 and at most 2, more than 100 stages.
pub fn subtract(name: &str, from: &Weighted<'_>, what: &Weighted<'_>, class: &[Tensor]) -> Result<Identity> {
    let weight = what.weight;
    if !(weight > 0.0 && weight <= MAX_SHARE) {
        return Err(setting("weight", of(weight, what.identity), &format!("above 0, and at most {MAX_SHARE}")));
    }
    let parts = [
        Weighted { identity: from.identity, sha256: from.sha256.clone(), weight: 1.0 },
        Weighted { identity: what.identity, sha256: what.sha256.clone(), weight: -weight },
    ];
    combine(name, "subtract", &parts, &[1.0, -weight], Some((weight, class)))
}

/// The sum of identities times their shares, with the class word's vector, a row for each text encoder, times its own.
fn combine(
    name: &str,
    method: &str,
    parts: &[Weighted<'_>],
    shares: &[f64],
    class: Option<(f64, &[Tensor])>,
) -> Result<Identity> {
    let first = parts[0].identity;
    if !is_identity_name(name) {
        return Err(setting("name", name.to_owned(), "letters, digits, - and _"));
    }
    for part in &parts[1..] {
        check_goes_with(part.identity, first)?;
    }
    let stages = parts.iter().map(|part| part.identity.stages()).fold(1, least_common_multiple);
    if stages > MOST_STAGES {
        let counts: Vec<String> = parts.iter().map(|part| part.identity.stages().to_string()).collect();
        let got = format!("{stages}, because those of the identities are {}", counts.join(" and "));
        return Err(setting("number of stages", got, &format!("at most {MOST_STAGES}")));
    }
    let layers = parts.iter().map(|part| part.identity.layers).max().unwrap_or(1);

    let encoders = (0..first.encoders.len()).map(|index| {
        let sum = |half: fn(&EncoderRows) -> &Tensor| -> Result<Tensor> {
            let hidden = first.encoders[index].hidden();
            let rows = stages * layers * first.words;
            let mut sum = Tensor::f_zeros([rows as i64, hidden], (Kind::Double, tch::Device::Cpu))?;
            for (part, share) in parts.iter().zip(shares) {
                let rows = spread(half(&part.identity.encoders[index]), part.identity, stages, layers)?;
                sum = sum.f_add(&rows.f_mul_scalar(*share)?)?;
            }
            if let Some((share, class)) = class {
                let vector = class.get(index).filter(|vector| vector.size().last() == Some(&hidden));
                let vector = vector.ok_or_else(|| TokensError::Shape {
                    what: "class word's vector",
                    got: class.get(index).map(Tensor::size).unwrap_or_default(),
                    expected: format!("[1, {hidden}]"),
                })?;
                sum = sum.f_add(&vector.f_to_kind(Kind::Double)?.f_mul_scalar(share)?)?;
            }
            finite(sum.f_to_kind(Kind::Float)?)
        };
        Ok(EncoderRows {
            k: sum(|rows| &rows.k)?,
            v: sum(|rows| &rows.v)?,
            sha256: first.encoders[index].sha256.clone(),
        })
    });
    let encoders = encoders.collect::<Result<_>>()?;
    let ingredients = parts.iter().zip(shares).map(|(part, share)| Ingredient {
        name: part.identity.name.clone(),
        sha256: part.sha256.clone(),
        share: *share,
    });
    Ok(Identity {
        name: name.to_owned(),
        class: first.class.clone(),
        method: method.to_owned(),
        encoders,
        layers,
        words: first.words,
        unet: changed_weights(parts, shares)?,
        train_timesteps: first.train_timesteps,
        base_model: first.base_model.clone(),
        prediction_type: first.prediction_type,
        lambda: 0.0,
        attention_reduction: None,
        steps: 0,
        seed: 0,
        started_from: None,
        blended_from: ingredients.collect(),
        created_by: format!("idembed {}", env!("CARGO_PKG_VERSION")),
    })
}

/// Fails if two identities are not of one model, or their vectors do not correspond.
fn check_goes_with(identity: &Identity, first: &Identity) -> Result<()> {
    let sha256 = |identity: &Identity| {
        let all: Vec<&str> = identity.encoders.iter().map(|rows| rows.sha256.as_str()).collect();
        all.join(", ")
    };
    let widths = |identity: &Identity| {
        let all: Vec<String> = identity.encoders.iter().map(|rows| rows.hidden().to_string()).collect();
        all.join(" and ")
    };
    let unet = |identity: &Identity| identity.unet.as_ref().map(|changes| changes.sha256.clone());
    let facts = [
        ("the text encoder", sha256(identity), sha256(first)),
        ("vectors of", widths(identity), widths(first)),
        ("the prediction type", identity.prediction_type.to_string(), first.prediction_type.to_string()),
        ("training timesteps", identity.train_timesteps.to_string(), first.train_timesteps.to_string()),
        ("words", identity.words.to_string(), first.words.to_string()),
    ];
    let mut different: Vec<(&'static str, String, String)> = facts.into_iter().filter(|(_, a, b)| a != b).collect();
    if identity.layers != first.layers && identity.layers != 1 && first.layers != 1 {
        different.push(("layers", identity.layers.to_string(), first.layers.to_string()));
    }
    if let (Some(own), Some(other)) = (unet(identity), unet(first))
        && own != other
    {
        different.push(("changes of the U-Net", own, other));
    }
    match different.into_iter().next() {
        None => Ok(()),
        Some((what, got, expected)) => Err(TokensError::CannotBlend {
            first: first.name.clone(),
            second: identity.name.clone(),
            what,
            got,
            expected,
        }),
    }
}

/// An identity's rows over more stages and layers, f64: each serves those that lie in its own.
fn spread(rows: &Tensor, identity: &Identity, stages: usize, layers: usize) -> Result<Tensor> {
    let (_, hidden) = rows.size2()?;
    let (own, words) = (identity.stages(), identity.words as i64);
    let rows = rows.f_to_kind(Kind::Double)?.f_view([own as i64, identity.layers as i64, words, hidden])?;
    let rows = rows.f_repeat_interleave_self_int((stages / own) as i64, 0, None)?;
    Ok(rows.f_expand([stages as i64, layers as i64, words, hidden], false)?.f_reshape([-1, hidden])?)
}

/// The weights that any of the identities changes, f16.
fn changed_weights(parts: &[Weighted<'_>], shares: &[f64]) -> Result<Option<UNetChanges>> {
    let mut sha256 = None;
    let mut sums: BTreeMap<String, Tensor> = BTreeMap::new();
    for (part, share) in parts.iter().zip(shares) {
        let Some(changes) = &part.identity.unet else { continue };
        sha256.get_or_insert_with(|| changes.sha256.clone());
        for (name, delta) in &changes.deltas {
            let delta = delta.f_to_kind(Kind::Float)?.f_mul_scalar(*share)?;
            let sum = match sums.remove(name) {
                Some(sum) if sum.size() != delta.size() => {
                    return Err(TokensError::CannotBlend {
                        first: parts[0].identity.name.clone(),
                        second: part.identity.name.clone(),
                        what: "changed weights of shape",
                        got: format!("{:?}", delta.size()),
                        expected: format!("{:?} for `{name}`", sum.size()),
                    });
                }
                Some(sum) => sum.f_add(&delta)?,
                None => delta,
            };
            sums.insert(name.clone(), sum);
        }
    }
    let Some(sha256) = sha256 else { return Ok(None) };
    let deltas = sums.into_iter().map(|(name, sum)| Ok((name, finite(sum.f_to_kind(Kind::Half)?)?)));
    Ok(Some(UNetChanges { sha256, deltas: deltas.collect::<Result<_>>()? }))
}

fn finite(tensor: Tensor) -> Result<Tensor> {
    if tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? == 1 {
        return Ok(tensor);
    }
    Err(setting("sum of the vectors or weights", "beyond what the file can hold".to_owned(), "smaller weights"))
}

fn least_common_multiple(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).saturating_mul(b)
}

fn of(number: f64, identity: &Identity) -> String {
    format!("{number} for `{}`", identity.name)
}

fn setting(what: &'static str, got: String, expected: &str) -> TokensError {
    TokensError::Setting { what, got, expected: expected.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use crate::identity::example;

    /// An identity of one number for each row, the keys given, the values ten times as large.
    fn identity(name: &str, keys: &[f32]) -> Identity {
        let k = Tensor::from_slice(keys).view([-1, 1]);
        let v = &k * 10.0;
        let encoders = vec![EncoderRows { k, v, sha256: "00ff".to_owned() }];
        Identity { name: name.to_owned(), encoders, ..example() }
    }

    fn weighted(identity: &Identity, weight: f64) -> Weighted<'_> {
        Weighted { identity, sha256: "ab".repeat(32), weight }
    }

    fn keys(identity: &Identity) -> Vec<f32> {
        Vec::try_from(identity.encoders[0].k.flatten(0, -1)).unwrap()
    }

    fn blended(parts: &[(&Identity, f64)]) -> Result<Identity> {
        blend("both", &parts.iter().map(|(identity, weight)| weighted(identity, *weight)).collect::<Vec<_>>())
    }

    #[test]
    fn vectors_are_mixed_by_their_shares() {
        let (ann, bob) = (identity("ann", &[1.0, 2.0]), identity("bob", &[5.0, -2.0]));
        let both = blended(&[(&ann, 3.0), (&bob, 1.0)]).unwrap();
        assert_eq!(keys(&both), [2.0, 1.0]);
        assert_eq!(Vec::<f32>::try_from(both.encoders[0].v.flatten(0, -1)).unwrap(), [20.0, 10.0]);
        assert_eq!((both.name.as_str(), both.class.as_str(), both.method.as_str()), ("both", "person", "blend"));
        let shares: Vec<f64> = both.blended_from.iter().map(|part| part.share).collect();
        assert_eq!((shares, both.blended_from[1].name.as_str()), (vec![0.75, 0.25], "bob"));
        assert_eq!(keys(&blended(&[(&ann, 1.5), (&bob, -0.5)]).unwrap()), [-1.0, 4.0]);
        assert_eq!(keys(&blended(&[(&ann, 1.0), (&bob, 0.0)]).unwrap()), keys(&ann));
        let three = blended(&[(&ann, 1.0), (&bob, 1.0), (&ann, 2.0)]).unwrap();
        assert_eq!((keys(&three), three.blended_from.len()), (vec![2.0, 1.0], 3));
    }

    #[test]
    fn what_is_taken_away_is_what_was_added_to_the_class_word() {
        let (ann, bob) = (identity("ann", &[1.0, 2.0]), identity("bob", &[5.0, -2.0]));
        let class = [Tensor::from_slice(&[3.0f32]).view([1, 1])];
        let taken = subtract("less", &weighted(&ann, 1.0), &weighted(&bob, 0.5), &class).unwrap();
        // 1 - (5 - 3) / 2, and 2 - (-2 - 3) / 2.
        assert_eq!((keys(&taken), taken.method.as_str()), (vec![0.0, 4.5], "subtract"));
        let shares: Vec<f64> = taken.blended_from.iter().map(|part| part.share).collect();
        assert_eq!(shares, [1.0, -0.5]);
        for weight in [0.0, -1.0, f64::NAN, 2.1] {
            let error =
                subtract("less", &weighted(&ann, 1.0), &weighted(&bob, weight), &class).unwrap_err().to_string();
            assert!(error.contains("for `bob`, expected above 0, and at most 2"), "{error}");
        }
        assert!(subtract("less", &weighted(&ann, 1.0), &weighted(&bob, 1.0), &[]).is_err());
    }

    #[test]
    fn stages_and_layers_meet_exactly() {
        let (two, three) = (identity("two", &[0.0, 6.0]), identity("three", &[0.0, 3.0, 6.0]));
        let both = blended(&[(&two, 1.0), (&three, 1.0)]).unwrap();
        assert_eq!((both.stages(), keys(&both)), (6, vec![0.0, 0.0, 1.5, 4.5, 6.0, 6.0]));
        for timestep in 0..1000 {
            let stage = |identity: &Identity| {
                idembed_diffusion::conditioning::stage_of(f64::from(timestep), identity.stages(), 1000)
            };
            let mean = (keys(&two)[stage(&two)] + keys(&three)[stage(&three)]) / 2.0;
            assert_eq!(keys(&both)[stage(&both)], mean, "{timestep}");
        }
        let layered = Identity { layers: 2, ..identity("layered", &[1.0, 2.0, 3.0, 4.0]) };
        let both = blended(&[(&two, 1.0), (&layered, 1.0)]).unwrap();
        assert_eq!((both.stages(), both.layers, keys(&both)), (2, 2, vec![0.5, 1.0, 4.5, 5.0]));
        let many = identity("many", &[0.0; 64]);
        let error = blended(&[(&many, 1.0), (&three, 1.0)]).unwrap_err().to_string();
        assert!(error.contains("192, because those of the identities are 64 and 3"), "{error}");
    }

    #[test]
    fn changed_weights_are_mixed_too() {
        let with = |deltas: &[(&str, f32)]| {
            let deltas = deltas
                .iter()
                .map(|(name, delta)| ((*name).to_owned(), Tensor::from_slice(&[*delta]).to_kind(Kind::Half)));
            Identity {
                unet: Some(UNetChanges { sha256: "abcd".to_owned(), deltas: deltas.collect() }),
                ..identity("ann", &[1.0, 2.0])
            }
        };
        let both = blended(&[(&with(&[("a", 1.0), ("b", 2.0)]), 1.0), (&with(&[("b", 4.0)]), 1.0)]).unwrap();
        let deltas = both.unet.unwrap().deltas;
        let number = |name: &str| deltas[name].double_value(&[0]);
        assert_eq!((number("a"), number("b"), deltas["a"].kind()), (0.5, 3.0, Kind::Half));
        let half = blended(&[(&with(&[("a", 1.0)]), 1.0), (&identity("bob", &[1.0, 2.0]), 1.0)]).unwrap();
        assert_eq!(half.unet.unwrap().deltas["a"].double_value(&[0]), 0.5);
        let error = blended(&[(&with(&[("a", 60000.0)]), 1.9), (&with(&[("b", 1.0)]), -0.9)]).unwrap_err();
        assert!(error.to_string().contains("beyond what the file can hold"), "{error}");
        let mut other = with(&[("a", 1.0)]);
        other.unet.as_mut().unwrap().sha256 = "other".to_owned();
        let error = blended(&[(&with(&[("a", 1.0)]), 1.0), (&other, 1.0)]).unwrap_err().to_string();
        assert!(error.contains("changes of the U-Net other"), "{error}");
    }

    #[test]
    fn what_cannot_be_mixed_is_said() {
        let (ann, bob) = (identity("ann", &[1.0, 2.0]), identity("bob", &[5.0, -2.0]));
        let refused = |a: f64, b: f64| blended(&[(&ann, a), (&bob, b)]).unwrap_err().to_string();
        assert_eq!(refused(1.0, f64::NAN), "weight is NaN for `bob`, expected a number");
        assert!(refused(f64::INFINITY, 1.0).contains("weight is inf for `ann`"));
        assert!(refused(1.0, -1.0).contains("sum of the weights is 0, expected above 0"));
        assert!(refused(-1.0, -1.0).contains("sum of the weights is -2"));
        assert!(refused(1.0, -0.9).contains("for `ann`, expected from -2 to 2"));
        assert!(refused(1e308, 1e308).contains("sum of the weights is inf"));
        assert!(blended(&[(&ann, 1.0)]).unwrap_err().to_string().contains("expected 2 or more"));
        assert!(blend("a b", &[weighted(&ann, 1.0), weighted(&bob, 1.0)]).is_err());

        let with = |change: fn(&mut Identity)| {
            let mut other = identity("bob", &[5.0, -2.0]);
            change(&mut other);
            blended(&[(&ann, 1.0), (&other, 1.0)]).unwrap_err().to_string()
        };
        assert_eq!(
            with(|other| other.encoders[0].sha256 = "11aa".to_owned()),
            "`bob` does not go with `ann`: it has the text encoder 11aa, and the other one 00ff"
        );
        assert!(
            with(|other| other.train_timesteps = 500).contains("it has training timesteps 500, and the other one 1000")
        );
        assert!(with(|other| other.words = 2).contains("it has words 2, and the other one 1"));
        assert!(with(|other| other.encoders.push(other.encoders[0].clone())).contains("00ff, 00ff"));
        let wide = identity("bob", &[5.0, -2.0]);
        let wide = Identity {
            encoders: vec![EncoderRows {
                k: Tensor::zeros([1, 2], (Kind::Float, tch::Device::Cpu)),
                v: Tensor::zeros([1, 2], (Kind::Float, tch::Device::Cpu)),
                sha256: "00ff".to_owned(),
            }],
            ..wide
        };
        assert!(blended(&[(&ann, 1.0), (&wide, 1.0)]).unwrap_err().to_string().contains("it has vectors of 2"));
        let layers = |layers, keys: &[f32]| Identity { layers, ..identity("bob", keys) };
        let error = blended(&[(&layers(2, &[1.0; 2]), 1.0), (&layers(3, &[1.0; 3]), 1.0)]).unwrap_err().to_string();
        assert!(error.contains("it has layers 3, and the other one 2"), "{error}");
    }

    #[test]
    fn an_ingredient_is_read_as_it_was_written() {
        let part = Ingredient { name: "ann-2".to_owned(), sha256: "0a".repeat(32), share: -1.0 / 3.0 };
        assert_eq!(part.to_string().parse(), Ok(part));
        for text in ["", "1 ann", "x ann 00", "NaN ann 00", "1 a/b 00", "1 ann 00"] {
            assert!(text.parse::<Ingredient>().is_err(), "{text}");
        }
    }
}
