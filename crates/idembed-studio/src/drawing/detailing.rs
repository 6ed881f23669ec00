//! Drawing with faces drawn again ([`crate::face_detail`]): who is where, and the passes that follow.

use idembed_attention::{AttentionMaps, Selection, Word};
use idembed_diffusion::StableDiffusion;
use idembed_face::{FaceBox, Turn};
use idembed_tokens::Prompt;
use tch::{Kind, Tensor};

use super::passes::Prepared;
use super::plan::Drawing;
use super::watching::Progress;
use super::wish::NamedIdentity;
use super::{Drawn, Watched};
use crate::error::Result;
use crate::face_detail::{FaceDetail, spots};
use crate::faces::Finder;
use crate::hashes::ModelHash;
use crate::size::Size;

/// Draws one picture per seed, then the faces in it, and hands out each.
pub(super) fn draw_each(
    model: &StableDiffusion,
    drawing: &Drawing,
    detail: FaceDetail,
    hash: &ModelHash,
    progress: &Progress<'_>,
    mut each: impl FnMut(Drawn),
) -> Result<()> {
    let finder = Finder::open(model.compute)?;
    let people = drawing.people();
    let whole = Prepared::new(model, drawing)?;
    let alone = people.iter().map(|person| drawing.alone(person, model)).collect::<Result<Vec<_>>>()?;
    let alone = alone.iter().map(|drawing| Prepared::new(model, drawing)).collect::<Result<Vec<_>>>()?;
    // One picture at a time: each has maps of its own.
    for &seed in &drawing.seeds {
        let words = people.iter().map(|named| word_of(&drawing.prompt, named)).collect();
        let Watched { mut drawn, maps } = whole.watch(seed, words, 1, hash, progress)?;
        let size = Size { width: drawn.picture.width(), height: drawn.picture.height() };
        let found = finder.search(drawn.picture.clone())?;
        // Faces of a turned picture lie elsewhere in this one.
        let faces = if found.view.turned == Turn::None { found.faces } else { Vec::new() };
        let looks = (0..people.len()).map(|number| Look::of(&maps, number)).collect::<Result<Vec<_>>>()?;
        let share = |whose: usize, bounds: &FaceBox| match drawing.regions.get(&people[whose].name) {
            Some(region) => region.share_of(in_shares(bounds, size)),
            None => looks[whose].share(bounds, size),
        };
        let spots = spots(&faces, people.len(), size, share);
        let side = u32::try_from(model.native_size()).unwrap_or(size.width);
        for spot in &spots {
            let start = spot.start(&drawn.picture, side, detail.strength)?;
            let face = alone[spot.whose].again(&start, seed, progress)?;
            spot.put_back(&face, &mut drawn.picture);
        }
        let missing = people.len() - spots.len();
        if missing > 0 {
            tracing::warn!("seed {seed}: {missing} of {} faces were not found, and stay as they are", people.len());
        }
        each(drawn);
    }
    Ok(())
}

/// Left, top, right and bottom of a box in shares of a picture.
fn in_shares(bounds: &FaceBox, size: Size) -> [f64; 4] {
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    [bounds.left / width, bounds.top / height, bounds.right / width, bounds.bottom / height]
}

/// Where a person is named in a prompt.
fn word_of(prompt: &Prompt, named: &NamedIdentity) -> Word {
    let own = prompt.placeholders.iter().filter(|placeholder| placeholder.name == named.name);
    let positions = own.flat_map(|placeholder| {
        let words = placeholder.words as i64;
        placeholder.positions.iter().flat_map(move |&first| first..first + words)
    });
    Word::new(format!("<{}>", named.name), positions.collect())
}

/// Where a word looks: its attention, row by row.
struct Look {
    values: Vec<f32>,
    height: usize,
    width: usize,
}

impl Look {
    fn of(maps: &AttentionMaps, word: usize) -> Result<Self> {
        let map: Tensor = maps.word_map(word, &Selection::default())?;
        let (height, width) = map.size2()?;
        let values = Vec::try_from(map.f_to_kind(Kind::Float)?.f_flatten(0, -1)?)?;
        Ok(Look { values, height: height as usize, width: width as usize })
    }

    /// The share of it that lies in a box of a picture.
    fn share(&self, bounds: &FaceBox, size: Size) -> f64 {
        let (right, down) = (f64::from(size.width) / self.width as f64, f64::from(size.height) / self.height as f64);
        let inside = |index: usize| {
            let (x, y) = ((index % self.width) as f64 + 0.5, (index / self.width) as f64 + 0.5);
            (bounds.left..bounds.right).contains(&(x * right)) && (bounds.top..bounds.bottom).contains(&(y * down))
        };
        let sum = |values: &mut dyn Iterator<Item = f32>| values.map(f64::from).sum::<f64>();
        let own = self.values.iter().enumerate().filter(|(index, _)| inside(*index)).map(|(_, &value)| value);
        let all = sum(&mut self.values.iter().copied());
        if all > 0.0 { sum(&mut { own }) / all } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_a_box() {
        let look = Look { values: vec![0.0, 1.0, 2.0, 0.0, 1.0, 0.0], height: 2, width: 3 };
        let size = Size { width: 30, height: 40 };
        let share = |left, top, right, bottom| look.share(&FaceBox { left, top, right, bottom }, size);
        assert_eq!(share(0.0, 0.0, 30.0, 40.0), 1.0);
        assert_eq!(share(10.0, 0.0, 30.0, 20.0), 0.75);
        assert_eq!(share(10.0, 20.0, 20.0, 40.0), 0.25);
        assert_eq!(share(-5.0, 0.0, 4.0, 40.0), 0.0);
    }
}
