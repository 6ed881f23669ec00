//! `shape_predictor_5_face_landmarks`: forests of regression trees, one after the other.
//!
//! Every tree is full: each split asks which of two pixels is brighter by more than a threshold, each leaf says where
//! the landmarks move.

use anyhow::{Context as _, Result, ensure};

use super::reader::Reader;
use super::{Tensor, bytes};

/// Landmarks of a face.
const PARTS: usize = 5;
/// Pixels that a forest looks at, at most: their numbers are written as 32-bit floats, and so stay exact.
const MAX_PIXELS: usize = 1 << 20;

/// What the trees hold, each kind in one list.
#[derive(Default)]
struct Trees {
    /// Of each split, the numbers of its two pixels.
    pixels: Vec<f32>,
    thresholds: Vec<f32>,
    /// Of each leaf, the way of each landmark.
    leaves: Vec<f32>,
}

/// How many of each there are; the same in every forest and every tree.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sizes {
    trees: usize,
    splits: usize,
}

/// The tensors of the predictor.
pub(super) fn read(file: &[u8]) -> Result<Vec<Tensor<'_>>> {
    let mut reader = Reader::new(file);
    reader.expect("the version of the predictor", 1)?;
    let shape = read_shape(&mut reader)?;
    let forests = reader.count("forests", 1)?;
    let mut trees = Trees::default();
    let mut sizes = None;
    for forest in 0..forests {
        let of = read_forest(&mut reader, &mut trees).with_context(|| format!("forest {forest}"))?;
        ensure!(*sizes.get_or_insert(of) == of, "forest {forest} has another size than those before it");
    }
    let Sizes { trees: count, splits } = sizes.context("there is no forest")?;
    let (pixels, anchors) = read_anchors(&mut reader, forests)?;
    let offsets = read_offsets(&mut reader, forests, pixels)?;
    reader.finish()?;
    ensure!(trees.pixels.iter().all(|&pixel| pixel < pixels as f32), "a split asks for a pixel that is not there");
    Ok(vec![
        Tensor::new("landmarks.shape", [PARTS, 2], bytes(&shape)),
        Tensor::new("landmarks.pixels", [forests, count, splits, 2], bytes(&trees.pixels)),
        Tensor::new("landmarks.thresholds", [forests, count, splits], bytes(&trees.thresholds)),
        Tensor::new("landmarks.leaves", [forests, count, splits + 1, PARTS, 2], bytes(&trees.leaves)),
        Tensor::new("landmarks.anchors", [forests, pixels], bytes(&anchors)),
        Tensor::new("landmarks.offsets", [forests, pixels, 2], bytes(&offsets)),
    ])
}

fn read_forest(reader: &mut Reader<'_>, trees: &mut Trees) -> Result<Sizes> {
    let count = reader.count("trees", 1)?;
    let mut splits = None;
    for tree in 0..count {
        let of = read_tree(reader, trees).with_context(|| format!("tree {tree}"))?;
        ensure!(*splits.get_or_insert(of) == of, "tree {tree} has another depth than those before it");
    }
    Ok(Sizes { trees: count, splits: splits.context("there is no tree")? })
}

/// Reads a tree; tells the number of its splits.
fn read_tree(reader: &mut Reader<'_>, trees: &mut Trees) -> Result<usize> {
    let splits = reader.count("splits", 1)?;
    ensure!((splits + 1).is_power_of_two(), "{splits} splits make no full tree");
    for _ in 0..splits {
        for _ in 0..2 {
            trees.pixels.push(reader.integer_in("the number of a pixel", 0, MAX_PIXELS)? as f32);
        }
        trees.thresholds.push(reader.float()?);
    }
    reader.expect("the number of leaves", splits as i64 + 1)?;
    for _ in 0..=splits {
        trees.leaves.extend(read_shape(reader)?);
    }
    Ok(splits)
}

/// A column of coordinates. Its sizes are written as negative numbers, which once told the format from an older one.
fn read_shape(reader: &mut Reader<'_>) -> Result<[f32; 2 * PARTS]> {
    reader.expect("the number of rows", -2 * PARTS as i64)?;
    reader.expect("the number of columns", -1)?;
    let mut shape = [0.0; 2 * PARTS];
    for coordinate in &mut shape {
        *coordinate = reader.float()?;
    }
    Ok(shape)
}

/// Of each pixel of each forest, the landmark beside which it lies; and how many pixels a forest looks at.
fn read_anchors(reader: &mut Reader<'_>, forests: usize) -> Result<(usize, Vec<f32>)> {
    reader.expect("the number of lists of landmarks", forests as i64)?;
    let mut anchors = Vec::new();
    let mut pixels = None;
    for _ in 0..forests {
        let count = reader.count("pixels", 2)?;
        ensure!(*pixels.get_or_insert(count) == count, "a forest looks at more or fewer pixels than those before it");
        for _ in 0..count {
            anchors.push(reader.integer_in("the landmark beside a pixel", 0, PARTS - 1)? as f32);
        }
    }
    Ok((pixels.context("there is no forest")?, anchors))
}

/// Where each pixel lies, seen from its landmark.
fn read_offsets(reader: &mut Reader<'_>, forests: usize, pixels: usize) -> Result<Vec<f32>> {
    reader.expect("the number of lists of pixels", forests as i64)?;
    let mut offsets = Vec::new();
    for _ in 0..forests {
        reader.expect("the number of pixels", pixels as i64)?;
        for _ in 0..2 * pixels {
            offsets.push(reader.float()?);
        }
    }
    Ok(offsets)
}
