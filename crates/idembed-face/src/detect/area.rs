//! Scaling by area: each pixel of the result is the mean of the pixels that it covers, whole ones at its edges too.
//!
//! # Source
//! `torch.nn.functional.interpolate(mode="area")`, which enlarges by the same rule.

use std::ops::Range;

use image::RgbImage;
use rayon::prelude::*;
use tch::{Device, Tensor};

use crate::{CropRect, FaceResult};

/// Pictures as the networks see them: `[pictures, height, width, 3]`, from -1 to 1.
pub(super) struct Pixels {
    values: Vec<f32>,
    size: [usize; 3],
}

impl Pixels {
    /// # Shapes
    /// - returns: `[pictures, 3, height, width]`, channels last in memory
    pub(super) fn into_tensor(self, device: Device) -> FaceResult<Tensor> {
        let [pictures, height, width] = self.size.map(|size| size as i64);
        let tensor = Tensor::f_from_slice(&self.values)?.f_view([pictures, height, width, 3])?;
        Ok(tensor.f_permute([0, 3, 1, 2])?.f_to_device(device)?)
    }
}

/// The rows `rows` of what the picture is when scaled to `width` x `height`.
pub(super) fn scale_rows(picture: &RgbImage, (width, height): (usize, usize), rows: Range<usize>) -> Pixels {
    let whole = CropRect { x: 0, y: 0, width: picture.width(), height: picture.height() };
    let scaling = Scaling::new(picture, whole, width, height);
    let first = rows.start;
    let mut values = vec![0.0; rows.len() * width * 3];
    values.par_chunks_exact_mut(width * 3).enumerate().for_each_init(Vec::new, |sums, (row, out)| {
        scaling.row(first + row, sums, out);
    });
    Pixels { values, size: [1, rows.len(), width] }
}

/// Parts of the picture, each scaled to a square with this side.
pub(super) fn scale_parts(picture: &RgbImage, parts: &[CropRect], side: u32) -> Pixels {
    let side = side as usize;
    let mut values = vec![0.0; parts.len() * side * side * 3];
    values.par_chunks_exact_mut(side * side * 3).zip(parts).for_each_init(Vec::new, |sums, (out, &part)| {
        let scaling = Scaling::new(picture, part, side, side);
        for (row, out) in out.chunks_exact_mut(side * 3).enumerate() {
            scaling.row(row, sums, out);
        }
    });
    Pixels { values, size: [parts.len(), side, side] }
}

/// A part of a picture and what it is scaled to.
struct Scaling<'a> {
    picture: &'a RgbImage,
    part: CropRect,
    height: usize,
    /// The columns of the part that each column of the result covers.
    columns: Vec<Range<usize>>,
}

impl<'a> Scaling<'a> {
    fn new(picture: &'a RgbImage, part: CropRect, width: usize, height: usize) -> Self {
        let columns = (0..width).map(|column| covered(column, part.width as usize, width)).collect();
        Scaling { picture, part, height, columns }
    }

    /// One row of the result; `sums` is memory to work in.
    fn row(&self, row: usize, sums: &mut Vec<f32>, out: &mut [f32]) {
        let [x, y, width, height] =
            [self.part.x, self.part.y, self.part.width, self.part.height].map(|number| number as usize);
        let stride = self.picture.width() as usize * 3;
        let rows = covered(row, height, self.height);
        sums.clear();
        sums.resize(width * 3, 0.0);
        for line in rows.clone() {
            let start = (y + line) * stride + x * 3;
            for (sum, &value) in sums.iter_mut().zip(&self.picture.as_raw()[start..start + width * 3]) {
                *sum += f32::from(value);
            }
        }
        for (columns, out) in self.columns.iter().zip(out.chunks_exact_mut(3)) {
            let mut total = [0.0_f32; 3];
            for pixel in sums[columns.start * 3..columns.end * 3].chunks_exact(3) {
                for (total, &sum) in total.iter_mut().zip(pixel) {
                    *total += sum;
                }
            }
            let count = (rows.len() * columns.len()) as f32;
            for (out, total) in out.iter_mut().zip(total) {
                *out = (total / count - 127.5) * (1.0 / 128.0);
            }
        }
    }
}

/// The pixels, of `inputs` in a line, that the pixel `index` of `outputs` covers.
fn covered(index: usize, inputs: usize, outputs: usize) -> Range<usize> {
    index * inputs / outputs..((index + 1) * inputs).div_ceil(outputs)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tch::Kind;

    use super::*;

    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([x * 37 + y * 11, x * y * 7, x * x + 91 * y].map(|v| v as u8))
        })
    }

    /// libtorch's own operation on the same part.
    fn expected(picture: &RgbImage, part: CropRect, width: i64, height: i64) -> Tensor {
        let (columns, rows) = (i64::from(picture.width()), i64::from(picture.height()));
        let whole = Tensor::from_slice(picture.as_raw()).view([1, rows, columns, 3]).permute([0, 3, 1, 2]);
        let [x, y, part_width, part_height] = [part.x, part.y, part.width, part.height].map(i64::from);
        let part = whole.narrow(2, y, part_height).narrow(3, x, part_width).to_kind(Kind::Float);
        (part.adaptive_avg_pool2d([height, width]) - 127.5) * 0.007_812_5
    }

    fn check(ours: Pixels, expected: &Tensor) {
        let ours = ours.into_tensor(Device::Cpu).unwrap();
        assert_eq!(ours.size(), expected.size());
        // One rounding apart: libtorch divides twice where the memory order is another.
        assert!((ours - expected).abs().max().double_value(&[]) < 3e-7);
    }

    #[test]
    fn bands_are_rows_of_the_scaled_picture() {
        for (width, height, to_width, to_height) in [(37, 53, 13, 17), (37, 53, 37, 53), (5, 3, 12, 13), (300, 1, 7, 4)]
        {
            let picture = picture(width, height);
            let whole = CropRect { x: 0, y: 0, width, height };
            let expected = expected(&picture, whole, to_width, to_height);
            for (first, last) in [(0, to_height), (1, to_height), (1, 2)] {
                let size = (to_width as usize, to_height as usize);
                let ours = scale_rows(&picture, size, first as usize..last as usize);
                check(ours, &expected.narrow(2, first, last - first));
            }
        }
    }

    #[test]
    fn parts_become_squares() {
        let picture = picture(61, 47);
        let parts = [(0, 0, 61, 47), (3, 5, 1, 1), (60, 46, 1, 1), (7, 9, 24, 24), (10, 2, 50, 31), (0, 40, 5, 7)]
            .map(|(x, y, width, height)| CropRect { x, y, width, height });
        let expected: Vec<Tensor> = parts.iter().map(|&part| expected(&picture, part, 24, 24)).collect();
        check(scale_parts(&picture, &parts, 24), &Tensor::cat(&expected, 0));
    }
}
