//! Where a word looks in a picture.

use idembed_attention::{AttentionMaps, Selection, Word};
use idembed_face::FaceBox;
use idembed_tokens::Prompt;
use tch::Kind;

use super::wish::NamedIdentity;
use crate::error::Result;
use crate::size::Size;

/// Where a person is named in a prompt.
pub(super) fn word_of(prompt: &Prompt, named: &NamedIdentity) -> Word {
    let own = prompt.placeholders.iter().filter(|placeholder| placeholder.name == named.name);
    let positions = own.flat_map(|placeholder| {
        let words = placeholder.words as i64;
        placeholder.positions.iter().flat_map(move |&first| first..first + words)
    });
    Word::new(format!("<{}>", named.name), positions.collect())
}

/// The attention of a word, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look {
    pub(super) values: Vec<f32>,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Look {
    /// That of each word that was watched.
    pub(super) fn of_all(maps: &AttentionMaps) -> Result<Vec<Self>> {
        (0..maps.words().len()).map(|word| Self::of(maps, word)).collect()
    }

    fn of(maps: &AttentionMaps, word: usize) -> Result<Self> {
        let map = maps.word_map(word, &Selection::default())?;
        let (height, width) = map.size2()?;
        let values = Vec::try_from(map.f_to_kind(Kind::Float)?.f_flatten(0, -1)?)?;
        Ok(Look { values, height: height as usize, width: width as usize })
    }

    /// The share of it that lies in a box of a picture.
    pub(super) fn share(&self, bounds: &FaceBox, size: Size) -> f64 {
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        let inside = |[x, y]: [f64; 2]| {
            (bounds.left..bounds.right).contains(&(x * width)) && (bounds.top..bounds.bottom).contains(&(y * height))
        };
        let sum = |values: &mut dyn Iterator<Item = f32>| values.map(f64::from).sum::<f64>();
        let own =
            self.values.iter().enumerate().filter(|(index, _)| inside(self.place(*index))).map(|(_, &value)| value);
        let all = self.sum();
        if all > 0.0 { sum(&mut { own }) / all } else { 0.0 }
    }

    /// All of it.
    pub(super) fn sum(&self) -> f64 {
        self.values.iter().copied().map(f64::from).sum()
    }

    /// The middle of a pixel, in shares of width and height.
    pub(super) fn place(&self, index: usize) -> [f64; 2] {
        let middle = |pixel: usize, pixels: usize| (pixel as f64 + 0.5) / pixels as f64;
        [middle(index % self.width, self.width), middle(index / self.width, self.height)]
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
