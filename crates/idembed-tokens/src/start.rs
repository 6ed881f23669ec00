//! Where an identity's vectors start.

use idembed_diffusion::StableDiffusion;
use idembed_diffusion::text_encoders::TextEncoder;
use idembed_weights::UnknownName;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::layout::Layout;
use crate::prompt::Prompt;
use crate::{Identity, Result, TokensError, identity_start, place_rows};

/// Where the vectors of an identity start.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = UnknownName::of::<Self>)]
#[non_exhaustive]
pub enum Start {
    /// At the class word.
    #[default]
    Class,
    /// At what the text encoder makes of the class word.
    ClassOutput,
    /// At the mean of the names that the model knows: of the first names for the first word, of the last names for the second,
    /// of both where there is one word.
    Names,
    /// At what the text encoder makes of that mean (cross initialisation, arXiv 2312.15905).
    NamesOutput,
    /// At a word that the model hardly knows.
    Rare,
    /// At the vectors of an identity that was learned before ([`crate::Examples::start`]).
    Identity,
}

impl Start {
    /// Whether it needs names that the model knows.
    pub fn is_of_names(self) -> bool {
        matches!(self, Start::Names | Start::NamesOutput)
    }
}

/// The input embeddings of names, first and last ones.
#[derive(Debug)]
pub(crate) struct NameVectors {
    /// For each text encoder, `[names, 2, hidden]`, f32.
    pub(crate) encoders: Vec<Tensor>,
}

/// The fewest names that span anything.
const FEWEST_NAMES: usize = 3;

impl NameVectors {
    /// Of those names that are two tokens for every text encoder.
    ///
    /// # Errors
    /// There are too few of them.
    pub(crate) fn of(model: &StableDiffusion, names: &[String]) -> Result<Self> {
        let mut known: Vec<Vec<Vec<i64>>> = Vec::new();
        for name in names {
            let ids: Vec<Vec<i64>> = model
                .text_encoders
                .tokenizers()
                .map(|tokenizer| Ok(tokenizer.token_ids(name)?))
                .collect::<Result<_>>()?;
            if ids.iter().all(|ids| ids.len() == 2) {
                known.push(ids);
            }
        }
        if known.len() < FEWEST_NAMES {
            let got = format!("{} of {}", known.len(), names.len());
            let expected = format!("{FEWEST_NAMES} or more that are two tokens for the model");
            return Err(TokensError::Setting { what: "number of names to start at", got, expected });
        }
        let encoders = model.text_encoders.iter().enumerate().map(|(index, encoder)| {
            let ids: Vec<i64> = known.iter().flat_map(|name| &name[index]).copied().collect();
            let embeds = encoder.embed(&ids)?;
            let hidden = encoder.model.hidden_size();
            Ok(embeds.f_view([known.len() as i64, 2, hidden])?)
        });
        Ok(NameVectors { encoders: encoders.collect::<Result<_>>()? })
    }

    /// For each text encoder the vectors as those of one or two words, `[names, words, hidden]`.
    pub(crate) fn of_words(&self, words: usize) -> Result<Vec<Tensor>> {
        let of_words = |names: &Tensor| match words {
            1 => names.f_mean_dim(1i64, true, Kind::Float),
            _ => Ok(names.shallow_clone()),
        };
        Ok(self.encoders.iter().map(of_words).collect::<std::result::Result<_, _>>()?)
    }
}

/// A word's input embedding for each text encoder, `[1, hidden]`, f32: the mean over its tokens.
///
/// # Errors
/// A tokenizer makes nothing of it; `what` names the setting.
pub(crate) fn word_vectors(model: &StableDiffusion, what: &'static str, word: &str) -> Result<Vec<Tensor>> {
    let vector = |encoder: &TextEncoder| {
        let ids = encoder.tokenizer.token_ids(word)?;
        if ids.is_empty() {
            let expected = "a word that the tokenizer knows".to_owned();
            return Err(TokensError::Setting { what, got: format!("`{word}`"), expected });
        }
        Ok(encoder.embed(&ids)?.f_mean_dim(1i64, false, Kind::Float)?)
    };
    model.text_encoders.iter().map(vector).collect()
}

/// What learning can start at.
#[derive(Debug)]
pub(crate) struct Origins<'a> {
    /// The class word, for each text encoder `[1, hidden]`.
    pub(crate) class: &'a [Tensor],
    /// A word that the model hardly knows.
    pub(crate) rare: &'a str,
    /// Names that the model knows.
    pub(crate) names: Option<&'a NameVectors>,
    /// An identity that was learned before.
    pub(crate) identity: Option<&'a Identity>,
}

/// The vectors to start at, for each text encoder `[learned words, hidden]`, or, of an identity, `[learned rows, hidden]`, f32.
pub(crate) fn start_vectors(
    model: &StableDiffusion,
    start: Start,
    layout: &Layout,
    origins: &Origins<'_>,
) -> Result<Vec<Tensor>> {
    let words = layout.learned_words();
    let missing = |what| TokensError::Setting {
        what,
        got: "missing".to_owned(),
        expected: format!("given, because the start is {start}"),
    };
    let repeated = |vectors: &[Tensor]| -> Result<Vec<Tensor>> {
        let repeat = |vector: &Tensor| vector.f_expand([words as i64, -1], false);
        Ok(vectors.iter().map(repeat).collect::<std::result::Result<_, _>>()?)
    };
    let mean_name = || -> Result<Vec<Tensor>> {
        let names = origins.names.ok_or_else(|| missing("list of names"))?;
        let mean = |names: &Tensor| names.f_mean_dim(0i64, false, Kind::Float);
        Ok(names.of_words(words)?.iter().map(mean).collect::<std::result::Result<_, _>>()?)
    };
    match start {
        Start::Class => repeated(origins.class),
        Start::ClassOutput => encoder_output(model, &repeated(origins.class)?),
        Start::Names => mean_name(),
        Start::NamesOutput => encoder_output(model, &mean_name()?),
        Start::Rare => repeated(&word_vectors(model, "rare word", origins.rare)?),
        Start::Identity => identity_start::rows_of(origins.identity.ok_or_else(|| missing("identity"))?, model, layout),
    }
}

/// What the text encoders make of vectors that stand alone in a prompt, at their own places.
fn encoder_output(model: &StableDiffusion, vectors: &[Tensor]) -> Result<Vec<Tensor>> {
    let encoders = &model.text_encoders;
    let words = vectors.first().map_or(0, |vectors| vectors.size()[0]);
    let prompt = Prompt::parse_with("<it>", encoders.tokenizers(), |_| words as usize)?;
    let mut input = encoders.embed(&prompt.ids)?;
    for (embeds, vectors) in input.embeds.iter_mut().zip(vectors) {
        let places: Vec<(i64, Tensor)> =
            (0..words).map(|word| Ok((1 + word, vectors.f_narrow(0, word, 1)?))).collect::<Result<_>>()?;
        *embeds = place_rows(embeds, &places)?;
    }
    let states = tch::no_grad(|| encoders.encode(&input))?.states;
    let own = states.f_select(0, 0)?.f_narrow(0, 1, words)?.f_to_kind(Kind::Float)?;
    Ok(own.f_split_with_sizes(encoders.widths(), 1)?)
}
