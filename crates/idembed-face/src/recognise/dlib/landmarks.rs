//! dlib's landmarks: five points that forests of regression trees move to their places.

use std::path::Path;

use idembed_weights::{Compute, Init, Scope, Weights};
use image::RgbImage;
use tch::Kind;

use super::face_box::PixelBox;
use crate::align::Similarity;
use crate::{FaceError, FaceResult, Point};

/// Landmarks of a face.
const COUNT: usize = 5;

/// dlib's landmarks, left and right as seen in the picture: outer and inner corner of the right eye, outer and inner
/// corner of the left eye, and the place below the nose.
pub type Parts = [Point; COUNT];

/// A shape in the coordinates of the face's box: its upper left pixel is `(0, 0)`, its lower right one `(1, 1)`.
type Shape = [[f32; 2]; COUNT];

/// Finds the five landmarks of a face whose box is known, by comparing pixels. It always computes on the CPU, in f32.
///
/// # Source
/// Kazemi and Sullivan 2014, "One Millisecond Face Alignment with an Ensemble of Regression Trees", as in dlib's
/// `shape_predictor`.
#[derive(Debug)]
pub struct LandmarkPredictor {
    /// Where the landmarks usually lie.
    shape: Shape,
    cascades: Vec<Cascade>,
}

/// A forest, and the pixels that it looks at.
#[derive(Debug)]
struct Cascade {
    /// The landmark beside which each pixel lies, and where, in a face of the usual shape.
    pixels: Vec<(usize, [f32; 2])>,
    trees: Vec<Tree>,
}

/// A full binary tree in the order of its levels.
#[derive(Clone, Debug)]
struct Tree {
    /// Each asks whether its first pixel is brighter than its second one by more than a threshold.
    splits: Vec<([usize; 2], f32)>,
    leaves: Vec<Shape>,
}

impl LandmarkPredictor {
    /// Reads the tensors below `landmarks` of a safetensors file; whatever else is there is let be.
    ///
    /// # Errors
    /// The file cannot be read, a tensor is missing or misshapen, or asks for a pixel or a landmark that is not there.
    pub fn load(path: &Path) -> FaceResult<Self> {
        Self::take(&Weights::open_file(path, Compute::CPU_F32)?, path)
    }

    /// As [`load`](Self::load), from the weights of the file `path` in f32.
    pub(super) fn take(weights: &Weights, path: &Path) -> FaceResult<Self> {
        let root = weights.root() / "landmarks";
        let nonsense = || FaceError::Landmarks { path: path.to_path_buf() };
        let sizes = root.shape("pixels").unwrap_or_default();
        let [forests, trees, splits] = [0, 1, 2].map(|axis| sizes.get(axis).copied().unwrap_or_default());
        let pixels = root.shape("anchors").and_then(|sizes| sizes.get(1).copied()).unwrap_or_default();
        let parts = COUNT as i64;

        let shape = shapes(&numbers(&root, "shape", &[parts, 2])?).next().ok_or_else(nonsense)?;
        let compared = numbers(&root, "pixels", &[forests, trees, splits, 2])?;
        let compared = indices(&compared, pixels).ok_or_else(nonsense)?;
        let thresholds = numbers(&root, "thresholds", &[forests, trees, splits])?;
        let leaves = numbers(&root, "leaves", &[forests, trees, splits + 1, parts, 2])?;
        let anchors = indices(&numbers(&root, "anchors", &[forests, pixels])?, parts).ok_or_else(nonsense)?;
        let offsets = numbers(&root, "offsets", &[forests, pixels, 2])?;
        // Only a full tree leads from every last split to leaves.
        if [forests, trees, splits, pixels].contains(&0) || (splits + 1).count_ones() != 1 {
            return Err(nonsense());
        }

        let [trees, splits, pixels] = [trees, splits, pixels].map(|count| count as usize);
        let asked: Vec<_> = compared.as_chunks::<2>().0.iter().copied().zip(thresholds).collect();
        let leaves: Vec<Shape> = shapes(&leaves).collect();
        let all = asked.chunks(splits).zip(leaves.chunks(splits + 1));
        let all: Vec<Tree> =
            all.map(|(splits, leaves)| Tree { splits: splits.to_vec(), leaves: leaves.to_vec() }).collect();
        let seen: Vec<_> = anchors.into_iter().zip(offsets.as_chunks::<2>().0.iter().copied()).collect();
        let cascades = seen.chunks(pixels).zip(all.chunks(trees));
        let cascade = |(pixels, trees): (&[_], &[_])| Cascade { pixels: pixels.to_vec(), trees: trees.to_vec() };
        Ok(LandmarkPredictor { shape, cascades: cascades.map(cascade).collect() })
    }

    /// The landmarks of the face in `bounds`, in whole pixels, as dlib rounds them.
    ///
    /// Pixels outside the picture count as black.
    pub fn predict(&self, picture: &RgbImage, bounds: PixelBox) -> Parts {
        let mut shape = self.shape;
        for cascade in &self.cascades {
            let levels = cascade.look(picture, bounds, &self.shape, &shape);
            for tree in &cascade.trees {
                add(&mut shape, tree.leaf(&levels));
            }
        }
        shape.map(|place| bounds.pixel(place))
    }
}

impl Cascade {
    /// The brightness of its pixels, which move and turn with the landmarks from the `usual` shape to the `current` one.
    fn look(&self, picture: &RgbImage, bounds: PixelBox, usual: &Shape, current: &Shape) -> Vec<f32> {
        let moved = Similarity::estimate(&usual.map(point), &current.map(point)).unwrap_or(Similarity::IDENTITY);
        let (a, b) = (moved.a as f32, moved.b as f32);
        let level = |&(anchor, [x, y]): &(usize, [f32; 2])| {
            let [left, top] = current[anchor];
            brightness(picture, bounds.pixel([a * x - b * y + left, b * x + a * y + top]))
        };
        self.pixels.iter().map(level).collect()
    }
}

impl Tree {
    fn leaf(&self, levels: &[f32]) -> &Shape {
        let mut node = 0;
        while let Some(&([first, second], threshold)) = self.splits.get(node) {
            let brighter = levels[first] - levels[second] > threshold;
            node = 2 * node + if brighter { 1 } else { 2 };
        }
        &self.leaves[node - self.splits.len()]
    }
}

fn add(shape: &mut Shape, way: &Shape) {
    shape.as_flattened_mut().iter_mut().zip(way.as_flattened()).for_each(|(place, way)| *place += way);
}

fn point([x, y]: [f32; 2]) -> Point {
    Point::new(x.into(), y.into())
}

/// The mean of red, green and blue, rounded down; 0 outside the picture.
fn brightness(picture: &RgbImage, place: Point) -> f32 {
    let inside = place.x >= 0.0 && place.y >= 0.0 && place.x < f64::from(u32::MAX) && place.y < f64::from(u32::MAX);
    let pixel = inside.then(|| picture.get_pixel_checked(place.x as u32, place.y as u32)).flatten();
    pixel.map_or(0.0, |pixel| (pixel.0.map(u32::from).iter().sum::<u32>() / 3) as f32)
}

/// The numbers of a tensor.
fn numbers(place: &Scope<'_>, name: &str, shape: &[i64]) -> FaceResult<Vec<f32>> {
    let tensor = place.tensor(name, shape, Init::ZEROS)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    let mut values = vec![0.0; tensor.numel()];
    tensor.f_copy_data(&mut values, tensor.numel())?;
    Ok(values)
}

/// Numbers that count something of which there are so many; `None` if one does not.
fn indices(values: &[f32], count: i64) -> Option<Vec<usize>> {
    let is_index = |&value: &f32| value >= 0.0 && value < count as f32 && value.fract() == 0.0;
    values.iter().all(is_index).then(|| values.iter().map(|&value| value as usize).collect())
}

fn shapes(values: &[f32]) -> impl Iterator<Item = Shape> {
    let (places, _) = values.as_chunks::<2>();
    places.as_chunks::<COUNT>().0.iter().copied()
}
