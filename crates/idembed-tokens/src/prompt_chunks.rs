//! The chunks of a prompt through the text encoders, one by one, and their states behind each other.

use std::ops::Range;

use idembed_clip::EncodedText;
use idembed_diffusion::text_encoders::TextEncoders;
use tch::Tensor;

use crate::Result;
use crate::contexts::{place_in_all, words_at};
use crate::emphasis::weigh;
use crate::prompt::Prompt;

/// Several texts of one prompt, which differ in the rows that stand for its identities.
pub(crate) struct Chunks<'a> {
    pub(crate) prompt: &'a Prompt,
    /// For each identity, where it begins in the prompt's ids.
    pub(crate) positions: &'a [&'a [i64]],
    /// How many texts.
    pub(crate) texts: i64,
    /// Layers of the text encoders that are left out.
    pub(crate) skipped_layers: usize,
}

impl Chunks<'_> {
    /// The states of all chunks, weighed, along the tokens, and what is pooled of the first chunk.
    ///
    /// # Shapes
    /// - `rows_of`: for the numbers of a text encoder and an identity, `[texts, words, hidden]`
    /// - returns: states `[texts, chunks * tokens, sum of hidden]`; `[1, ...]` where all texts are the same
    pub(crate) fn encode(
        &self,
        encoders: &TextEncoders,
        rows_of: impl Fn(usize, usize) -> Result<Tensor>,
    ) -> Result<EncodedText> {
        let chunks = (0..self.prompt.chunks()).map(|chunk| {
            let text = self.encode_one(encoders, self.prompt.places_of(chunk), &rows_of)?;
            match self.prompt.weights_of(chunk) {
                Some(weights) => weigh(text, weights, &encoders.widths(), &self.prompt.text),
                None => Ok(text),
            }
        });
        self.behind_each_other(chunks.collect::<Result<_>>()?)
    }

    /// A batch of all texts, or of 1 where no identity stands in the chunk.
    fn encode_one(
        &self,
        encoders: &TextEncoders,
        places: Range<usize>,
        rows_of: impl Fn(usize, usize) -> Result<Tensor>,
    ) -> Result<EncodedText> {
        let within = |&position: &i64| {
            let place = usize::try_from(position).ok().filter(|place| places.contains(place))?;
            Some((place - places.start) as i64)
        };
        let ids: Vec<Vec<i64>> = self.prompt.ids.iter().map(|ids| ids[places.clone()].to_vec()).collect();
        let placed = place_in_all(&encoders.embed(&ids)?, |encoder, embeds| {
            let mut placements = Vec::new();
            for (identity, positions) in self.positions.iter().enumerate() {
                let here: Vec<i64> = positions.iter().filter_map(within).collect();
                if here.is_empty() {
                    continue;
                }
                let rows = rows_of(encoder, identity)?.f_to_device(embeds.device())?;
                for position in here {
                    placements.extend(words_at(position, &rows)?);
                }
            }
            Ok(placements)
        })?;
        Ok(encoders.encode_earlier(&placed, self.skipped_layers)?)
    }

    fn behind_each_other(&self, mut chunks: Vec<EncodedText>) -> Result<EncodedText> {
        if chunks.len() == 1 {
            return Ok(chunks.remove(0));
        }
        let expand = |tensor: &Tensor| {
            let mut size = tensor.size();
            size[0] = self.texts;
            tensor.f_expand(size, false)
        };
        let states = chunks.iter().map(|chunk| expand(&chunk.states)).collect::<std::result::Result<Vec<_>, _>>()?;
        let pooled = chunks.first().and_then(|first| first.pooled.as_ref()).map(expand).transpose()?;
        Ok(EncodedText { states: Tensor::f_cat(&states, 1)?, pooled })
    }
}
