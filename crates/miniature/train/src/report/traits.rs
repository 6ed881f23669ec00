//! Whether words for a face are drawn: two prompts that say the opposite of one trait must give faces that differ in it.
//!
//! No network was trained to name traits. How much of one a face shows is read from the recogniser's embedding by a linear
//! probe, which is fitted on drawn people and tried on others.

use idembed_face::detect::Mtcnn;
use idembed_face::recognise::Recogniser;
use idembed_face::{Search, search};
use idembed_world::identity::{EyeColour, FacialHair, Gender, HairColour, HairStyle};
use idembed_world::{Drawn, Identity, SIDE, Sample, Who};
use image::RgbImage;
use ndarray::{Array2, ArrayView1};
use tch::{Kind, Tensor};

use super::faces::plain_photo;
use super::metric::{Metric, percent};
use super::painter::Painter;
use crate::recogniser::true_face;
use crate::{PretrainError, Result};

/// People that the probe is fitted on.
const FITTED: u64 = 1500;
/// People that it is tried on.
const TRIED: u64 = 400;
/// Pairs of pictures of each contrast; the two of a pair begin with the same noise.
const PAIRS: u64 = 6;
/// What keeps the probe small, beside embeddings of length 1.
const RIDGE: f64 = 1.0;
/// Pictures of people drawn and embedded at once.
const BATCH: usize = 100;

/// Two prompts that say the opposite of a trait.
struct Contrast {
    name: &'static str,
    /// Who is drawn: one of them, so that what tells men from women is not taken for the trait.
    gender: Gender,
    /// What is said, of which the second asks for more of the trait; may be nothing.
    words: [&'static str; 2],
    measure: fn(&Identity) -> f32,
}

const CONTRASTS: [Contrast; 16] = [
    contrast("skin", Gender::Man, ["pale skin", "dark skin"], |identity| identity.skin),
    contrast("blond hair", Gender::Woman, ["black hair", "blond hair"], |identity| match identity.hair_colour {
        HairColour::Black => 0.0,
        HairColour::DarkBrown => 0.2,
        HairColour::Brown | HairColour::Auburn | HairColour::Red => 0.5,
        HairColour::Blond | HairColour::Platinum => 1.0,
    }),
    contrast("red hair", Gender::Woman, ["dark brown hair", "red hair"], |identity| {
        is(identity.hair_colour == HairColour::Red)
    }),
    contrast("long hair", Gender::Woman, ["short hair", "long hair"], |identity| {
        is(matches!(identity.hair_style, HairStyle::LongStraight | HairStyle::LongWavy))
    }),
    contrast("no hair", Gender::Man, ["short hair", "no hair"], |identity| is(identity.hair_style == HairStyle::Bald)),
    contrast("blue eyes", Gender::Woman, ["brown eyes", "blue eyes"], |identity| {
        is(identity.eye_colour == EyeColour::Blue)
    }),
    contrast("big eyes", Gender::Woman, ["small eyes", "big eyes"], |identity| identity.eye_size),
    contrast("eyes far apart", Gender::Man, ["eyes close together", "eyes far apart"], |identity| identity.eye_spacing),
    contrast("thick brows", Gender::Man, ["thin brows", "thick brows"], |identity| identity.brow_thickness),
    contrast("long nose", Gender::Man, ["a short nose", "a long nose"], |identity| identity.nose_length),
    contrast("broad nose", Gender::Woman, ["a narrow nose", "a broad nose"], |identity| identity.nose_width),
    contrast("full lips", Gender::Woman, ["thin lips", "full lips"], |identity| identity.lip_size),
    contrast("square jaw", Gender::Man, ["a pointed jaw", "a square jaw"], |identity| identity.jaw),
    contrast("wide face", Gender::Woman, ["a narrow face", "a wide face"], |identity| identity.face_width),
    contrast("freckles", Gender::Woman, ["", "freckles"], |identity| is(identity.freckles > 0.0)),
    contrast("moustache", Gender::Man, ["", "a moustache"], |identity| {
        is(identity.facial_hair == FacialHair::Moustache)
    }),
];

const fn contrast(
    name: &'static str,
    gender: Gender,
    words: [&'static str; 2],
    measure: fn(&Identity) -> f32,
) -> Contrast {
    Contrast { name, gender, words, measure }
}

fn is(holds: bool) -> f32 {
    if holds { 1.0 } else { 0.0 }
}

/// How often the prompt that asks for more of a trait gets more of it, of each contrast and of all; before them the same of
/// drawn people whose traits differ as much as words say, which is the most that the probe can see.
pub(super) fn told_apart(
    painter: &Painter<'_>,
    detector: &Mtcnn,
    recogniser: &dyn Recogniser,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Metric>> {
    let fitted = People::draw(recogniser, (0..FITTED).map(|index| (Who::Passer(index), index)))?;
    let tried = People::draw(recogniser, (0..TRIED).map(|index| (Who::HeldOut(index), FITTED + index)))?;
    let (mut seen, mut followed, mut figures) = (Vec::new(), Vec::new(), Vec::new());
    for contrast in &CONTRASTS {
        let probe = Probe::fit(&fitted, contrast)?;
        seen.extend(probe.tells_apart(&tried, contrast));
        let own = (0..PAIRS)
            .map(|seed| {
                let [less, more] = contrast.prompts();
                let shown = |prompt: &str| {
                    let Search { picture, faces, .. } = search(detector, painter.draw(prompt, seed)?)?;
                    let Some(face) = faces.into_iter().next() else { return Ok(None) };
                    let embedding = recogniser.embed(&[recogniser.crop(&picture, &face)])?;
                    Ok::<_, PretrainError>(Some(probe.read(embedding.row(0))))
                };
                let (less, more) = (shown(&less)?, shown(&more)?);
                // Where no face is, no trait is either.
                Ok(less.zip(more).is_some_and(|(less, more)| more > less))
            })
            .collect::<Result<Vec<bool>>>()?;
        say(&format!("words for a face: {}, {:.0} %", contrast.name, percent(own.iter().copied())));
        figures.push(Metric::new(format!("among them: {}", contrast.name), percent(own.iter().copied()), "%", None));
        followed.extend(own);
    }
    let all = [
        Metric::new("traits of drawn people told apart by the probe", percent(seen), "%", None),
        Metric::new("words for a face followed (half by chance)", percent(followed), "%", None),
    ];
    Ok(all.into_iter().chain(figures).collect())
}

impl Contrast {
    fn prompts(&self) -> [String; 2] {
        let noun = match self.gender {
            Gender::Woman => "a woman",
            Gender::Man => "a man",
        };
        self.words.map(|words| {
            let with = if words.is_empty() { String::new() } else { format!(" with {words}") };
            format!("a close-up photo of {noun}{with} in front of a grey wall")
        })
    }
}

/// Faces with their embeddings.
struct People {
    identities: Vec<Identity>,
    /// `[people, dimensions]`
    embeddings: Array2<f32>,
}

impl People {
    /// A plain photo of each, of this number among all photos.
    fn draw(recogniser: &dyn Recogniser, people: impl Iterator<Item = (Who, u64)>) -> Result<Self> {
        let people: Vec<(Who, u64)> = people.collect();
        let mut rows = Vec::new();
        for some in people.chunks(BATCH) {
            let samples: Vec<Sample> = some.iter().map(|&(who, index)| plain_photo(who, index)).collect();
            let drawn = idembed_world::draw_all(&samples, SIDE)?;
            let crop = |drawn: &Drawn| Some(recogniser.crop(&drawn.picture, &true_face(drawn.truth.faces.first()?)));
            let crops: Vec<RgbImage> = drawn.iter().filter_map(crop).collect();
            rows.push(recogniser.embed(&crops)?);
        }
        let views: Vec<_> = rows.iter().map(Array2::view).collect();
        let embeddings = ndarray::concatenate(ndarray::Axis(0), &views).unwrap_or_default();
        Ok(People { identities: people.iter().map(|(who, _)| who.identity()).collect(), embeddings })
    }

    /// The numbers of those of a gender.
    fn of(&self, gender: Gender) -> Vec<usize> {
        (0..self.identities.len()).filter(|&index| self.identities[index].gender == gender).collect()
    }
}

/// A direction in the space of embeddings along which a trait grows.
struct Probe(Vec<f32>);

impl Probe {
    /// The direction that fits the trait best, by least squares with a ridge; of the people of the contrast's gender.
    fn fit(people: &People, contrast: &Contrast) -> Result<Self> {
        let own = people.of(contrast.gender);
        let (count, width) = (own.len(), people.embeddings.ncols());
        let x: Vec<f32> = own.iter().flat_map(|&index| people.embeddings.row(index).to_vec()).collect();
        let x = Tensor::f_from_slice(&x)?.f_view([count as i64, width as i64])?.f_to_kind(Kind::Double)?;
        let y: Vec<f32> = own.iter().map(|&index| (contrast.measure)(&people.identities[index])).collect();
        let y = Tensor::f_from_slice(&y)?.f_to_kind(Kind::Double)?.f_unsqueeze(1)?;
        let (x, y) = (x.f_sub(&mean(&x)?)?, y.f_sub(&mean(&y)?)?);
        let ridge = Tensor::f_eye(width as i64, (Kind::Double, x.device()))?.f_mul_scalar(RIDGE)?;
        let square = x.f_tr()?.f_matmul(&x)?.f_add(&ridge)?;
        let direction = Tensor::f_linalg_solve(&square, &x.f_tr()?.f_matmul(&y)?, true)?;
        Ok(Probe(Vec::<f32>::try_from(direction.f_flatten(0, -1)?.f_to_kind(Kind::Float)?)?))
    }

    /// How much of the trait an embedding shows; only differences mean something.
    fn read(&self, embedding: ArrayView1<'_, f32>) -> f32 {
        self.0.iter().zip(embedding).map(|(weight, value)| weight * value).sum()
    }

    /// Whether it orders pairs of people of whom one has little and the other much of the trait: lowest and highest fifth.
    fn tells_apart(&self, people: &People, contrast: &Contrast) -> Vec<bool> {
        let own = people.of(contrast.gender).into_iter();
        let mut order: Vec<(f32, usize)> =
            own.map(|index| ((contrast.measure)(&people.identities[index]), index)).collect();
        order.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let fifth = order.len() / 5;
        let pairs = order.iter().take(fifth).zip(order.iter().rev().take(fifth));
        let read = |index: usize| self.read(people.embeddings.row(index));
        pairs.filter(|(less, more)| less.0 < more.0).map(|(less, more)| read(less.1) < read(more.1)).collect()
    }
}

/// The mean of each column.
fn mean(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_mean_dim(0, true, Kind::Double)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn a_probe_finds_the_direction_in_which_a_trait_grows() {
        let identities: Vec<Identity> = (0..300).map(|seed| Who::Passer(seed).identity()).collect();
        let embeddings = Array2::from_shape_fn((300, 3), |(row, column)| match column {
            0 => 5.0 + identities[row].nose_length,
            1 => identities[row].skin,
            _ => (row % 7) as f32,
        });
        let people = People { identities, embeddings };
        let contrast = CONTRASTS.iter().find(|of| of.name == "long nose").unwrap();
        let probe = Probe::fit(&people, contrast).unwrap();
        let seen = probe.tells_apart(&people, contrast);
        assert!(seen.len() > 15 && seen.iter().all(|right| *right));
        assert!(probe.0[0] > 10.0 * probe.0[1].abs().max(probe.0[2].abs()), "{:?}", probe.0);
    }

    #[test]
    fn prompts_differ_in_what_they_say_of_the_face_alone() {
        let freckles = CONTRASTS.iter().find(|of| of.name == "freckles").unwrap();
        let [less, more] = freckles.prompts();
        assert_eq!(less, "a close-up photo of a woman in front of a grey wall");
        assert_eq!(more, "a close-up photo of a woman with freckles in front of a grey wall");
    }
}
