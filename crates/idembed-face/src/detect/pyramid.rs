//! The sizes in which P-Net sees a picture, and the bands of rows that each is cut into.

use std::ops::Range;

use crate::{FaceError, FaceResult};

/// Side of the face that P-Net sees in one cell of its result, in pixels.
pub(super) const CELL: usize = 12;
/// Distance of two cells, in pixels.
pub(super) const STRIDE: usize = 2;
/// Most pixels in a band, unless the rows of a single cell have more. P-Net needs about 100 bytes for each.
const BAND_PIXELS: usize = 1 << 18;

/// What to look for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MtcnnOptions {
    /// Side of the smallest face to be found, in pixels; at least 1.
    pub min_face: f64,
    /// How much smaller each size of the picture is than the one before; between 0 and 1.
    pub factor: f64,
    /// Scores that a face must reach in P-Net, and exceed in R-Net and O-Net; 0 to 1.
    pub thresholds: [f64; 3],
}

impl Default for MtcnnOptions {
    fn default() -> Self {
        MtcnnOptions { min_face: 20.0, factor: 0.709, thresholds: [0.6, 0.7, 0.7] }
    }
}

impl MtcnnOptions {
    pub(super) fn check(&self) -> FaceResult<()> {
        let refuse = |name, value, expected| Err(FaceError::DetectOption { name, value, expected });
        if !(self.min_face.is_finite() && self.min_face >= 1.0) {
            return refuse("min_face", self.min_face, "at least 1 pixel");
        }
        if !(self.factor > 0.0 && self.factor < 1.0) {
            return refuse("factor", self.factor, "a number between 0 and 1");
        }
        match self.thresholds.iter().find(|threshold| !(0.0..=1.0).contains(*threshold)) {
            Some(&threshold) => refuse("thresholds", threshold, "numbers from 0 to 1"),
            None => Ok(()),
        }
    }
}

/// One size of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    /// Pixels of this size for one of the picture.
    pub(super) factor: f64,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Scale {
    /// Number of P-Net's cells below each other. Its pooling keeps an odd last row, so the last cell may lack one.
    fn cell_rows(self) -> usize {
        ((self.height + 1) / STRIDE).saturating_sub(CELL / STRIDE - 1)
    }

    /// The bands from top to bottom.
    ///
    /// Neighbours share the rows that the cells on both sides of their border need, so that the cells of all bands are
    /// those of the undivided picture.
    pub(super) fn bands(self) -> impl Iterator<Item = Band> {
        let shared = CELL - STRIDE;
        let cells_per_band = ((BAND_PIXELS / self.width).saturating_sub(shared) / STRIDE).max(1);
        let cells = self.cell_rows();
        (0..cells).step_by(cells_per_band).map(move |first| {
            let last = (first + cells_per_band).min(cells);
            Band { first, rows: first * STRIDE..(last * STRIDE + shared).min(self.height) }
        })
    }
}

/// Some rows of a size of the picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Band {
    /// The number of its first row of cells.
    pub(super) first: usize,
    /// Its rows of pixels.
    pub(super) rows: Range<usize>,
}

/// From the size in which the smallest face fills a cell to the one in which the largest possible does.
pub(super) fn scales(width: u32, height: u32, options: &MtcnnOptions) -> Vec<Scale> {
    let cell = CELL as f64;
    let mut factor = cell / options.min_face;
    let mut shorter = f64::from(width.min(height)) * factor;
    let scaled = |length: u32, factor: f64| (f64::from(length) * factor + 1.0) as usize;
    let mut scales = Vec::new();
    while shorter >= cell {
        scales.push(Scale { factor, width: scaled(width, factor), height: scaled(height, factor) });
        factor *= options.factor;
        shorter *= options.factor;
    }
    scales
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_go_down_to_one_cell() {
        let options = MtcnnOptions::default();
        let scales = scales(512, 300, &options);
        assert_eq!((scales[0].width, scales[0].height), (308, 181));
        assert_eq!(scales.len(), 8);
        assert!(scales.last().unwrap().height > CELL);
        assert!(super::scales(512, 19, &options).is_empty());
        assert_eq!(super::scales(20, 20, &options).len(), 1);
    }

    #[test]
    fn bands_hold_every_cell_once() {
        for (width, height) in [(13, 12), (13, 13), (7201, 5401), (300_000, 40), (1000, 999), (512, 511), (20_000, 77)]
        {
            let scale = Scale { factor: 1.0, width, height };
            let mut next = 0;
            for Band { first, rows } in scale.bands() {
                assert_eq!((first, rows.start), (next, first * STRIDE));
                assert!(rows.len() * width <= BAND_PIXELS || rows.len() == CELL, "{rows:?}");
                let cells = Scale { height: rows.len(), ..scale }.cell_rows();
                assert!(cells > 0 && rows.end <= height);
                next += cells;
            }
            assert_eq!(next, scale.cell_rows(), "{width} x {height}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let good = MtcnnOptions::default();
        assert!(good.check().is_ok());
        for bad in [0.0, 0.99, -20.0, f64::NAN, f64::INFINITY] {
            assert!(MtcnnOptions { min_face: bad, ..good }.check().is_err(), "{bad}");
        }
        for bad in [0.0, 1.0, -0.5, 2.0, f64::NAN] {
            assert!(MtcnnOptions { factor: bad, ..good }.check().is_err(), "{bad}");
        }
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(MtcnnOptions { thresholds: [0.6, bad, 0.7], ..good }.check().is_err(), "{bad}");
        }
        let error = MtcnnOptions { factor: 1.5, ..good }.check().unwrap_err();
        assert_eq!(error.to_string(), "the detector's option `factor` is 1.5; expected a number between 0 and 1");
    }
}
