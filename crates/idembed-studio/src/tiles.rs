//! Large pictures drawn once more in overlapping parts of the size that a model likes, one after the other: each begins at what the
//! parts before it left.

use idembed_face::CropRect;
use image::RgbImage;
use image::imageops;

use crate::size::Size;

/// Of a tile's side, the least that it shares with its neighbour.
const OVERLAP: f64 = 0.25;

/// A part of a picture, and how far tiles before it reach into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tile {
    /// The part.
    pub(crate) part: CropRect,
    /// Columns that it shares with the tile to the left.
    left: u32,
    /// Rows that it shares with the tile above.
    above: u32,
}

/// The tiles of a picture, row by row; `side` is the longest that a tile's sides may be.
pub(crate) fn tiles(size: Size, side: u32) -> Vec<Tile> {
    let (width, height) = (size.width.min(side), size.height.min(side));
    let columns = along(size.width, width);
    let rows = along(size.height, height);
    let tiles = rows.into_iter().flat_map(|(y, above)| {
        columns.iter().map(move |&(x, left)| Tile { part: CropRect { x, y, width, height }, left, above })
    });
    tiles.collect()
}

/// Where tiles of a side begin in a length, and how far the tile before reaches into each.
fn along(length: u32, side: u32) -> Vec<(u32, u32)> {
    let shared = (f64::from(side) * OVERLAP).round() as u32;
    let steps = (length - side).div_ceil((side - shared).max(1));
    let begin =
        |step: u32| if steps == 0 { 0 } else { (u64::from(length - side) * u64::from(step) / u64::from(steps)) as u32 };
    (0..=steps).map(|step| (begin(step), if step == 0 { 0 } else { begin(step - 1) + side - begin(step) })).collect()
}

impl Tile {
    /// It as it is in a picture.
    pub(crate) fn of(&self, picture: &RgbImage) -> RgbImage {
        let CropRect { x, y, width, height } = self.part;
        imageops::crop_imm(picture, x, y, width, height).to_image()
    }

    /// Puts it back after it was drawn; it fades into the tiles before it.
    pub(crate) fn put_back(&self, drawn: &RgbImage, picture: &mut RgbImage) {
        let faded = |at: u32, over: u32| if at < over { (f64::from(at) + 0.5) / f64::from(over) } else { 1.0 };
        for (column, row, new) in drawn.enumerate_pixels() {
            let share = faded(column, self.left) * faded(row, self.above);
            let old = picture.get_pixel_mut(self.part.x + column, self.part.y + row);
            for (old, new) in old.0.iter_mut().zip(new.0) {
                *old = (f64::from(*old) * (1.0 - share) + f64::from(new) * share).round() as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn tiled(width: u32, height: u32, side: u32) -> Vec<Tile> {
        tiles(Size { width, height }, side)
    }

    #[test]
    fn tiles_cover_the_picture_and_overlap() {
        for (width, height, side) in
            [(128, 128, 128), (192, 128, 128), (256, 264, 128), (520, 96, 128), (8, 8, 512), (24, 16, 8)]
        {
            let found = tiled(width, height, side);
            let mut covered = vec![0u32; (width * height) as usize];
            for Tile { part, left, above } in &found {
                assert!(part.width <= side && part.height <= side);
                assert!(*left == 0 || f64::from(*left) >= OVERLAP * f64::from(side) - 1.0, "{left} of {side}");
                assert_eq!((*left == 0, *above == 0), (part.x == 0, part.y == 0));
                for y in part.y..part.y + part.height {
                    (part.x..part.x + part.width).for_each(|x| covered[(y * width + x) as usize] += 1);
                }
            }
            assert!(covered.iter().all(|&times| times > 0), "{width}x{height} by {side}");
        }
        assert_eq!(tiled(128, 128, 128).len(), 1);
        assert_eq!(
            tiled(224, 128, 128).iter().map(|tile| (tile.part.x, tile.left)).collect::<Vec<_>>(),
            [(0, 0), (96, 32)]
        );
        assert_eq!(tiled(256, 128, 128).iter().map(|tile| tile.part.x).collect::<Vec<_>>(), [0, 64, 128]);
    }

    #[test]
    fn a_tile_fades_into_those_before_it() {
        let mut picture = RgbImage::from_pixel(224, 128, Rgb([0; 3]));
        let tile = tiled(224, 128, 128)[1];
        assert_eq!(tile.of(&picture).dimensions(), (128, 128));
        tile.put_back(&RgbImage::from_pixel(128, 128, Rgb([200; 3])), &mut picture);
        let along: Vec<u8> = (0..224).map(|x| picture.get_pixel(x, 64).0[0]).collect();
        assert!(along.is_sorted() && along[95] == 0 && along[96] < 10 && along[128] == 200, "{along:?}");
        assert_eq!(picture.get_pixel(150, 0).0, [200; 3]);
    }
}
