//! Drawing with faces drawn again ([`crate::face_detail`]): who is where, and the passes that follow.

use idembed_diffusion::StableDiffusion;
use idembed_face::{FaceBox, Turn};

use super::look::Look;
use super::passes::Prepared;
use super::plan::Drawing;
use super::watching::Progress;
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
        let Watched { mut drawn, maps } = whole.watch(seed, drawing.words_of_people(), 1, hash, progress)?;
        let size = Size { width: drawn.picture.width(), height: drawn.picture.height() };
        let found = finder.search(drawn.picture.clone())?;
        // Faces of a turned picture lie elsewhere in this one.
        let faces = if found.view.turned == Turn::None { found.faces } else { Vec::new() };
        let looks = Look::of_all(&maps)?;
        let share = |whose: usize, bounds: &FaceBox| match drawn.record.region_of(&people[whose].name) {
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
