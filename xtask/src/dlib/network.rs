//! `dlib_face_recognition_resnet_model_v1`: the network of dlib's example `dnn_face_recognition_ex`.
//!
//! A network of dlib is a type that contains the type of the layer before it. So the file holds the versions of all
//! layers, the last one first, then the input, then what each layer has, the first one first.

use anyhow::{Context as _, Result, ensure};

use super::reader::Reader;
use super::{Tensor, bytes};

/// Width and height of the picture.
const SIDE: i64 = 150;
/// Blocks in each stage; in all but the first stage the first block halves the side.
const STAGES: [usize; 5] = [3, 4, 3, 3, 1];

/// A layer, from the picture to the embedding.
enum Layer {
    Convolution {
        name: String,
        kernel: usize,
        stride: i64,
        padding: i64,
    },
    /// `x * weight + bias` for each channel: what is left of a batch normalisation after training.
    Affine {
        name: String,
    },
    Relu,
    MaxPool,
    /// The mean of 2 x 2 pixels.
    AveragePool,
    /// Marks a place.
    Tag,
    /// Goes on from a marked place.
    Skip,
    /// Adds what is at a marked place.
    Add,
    /// The mean of all pixels.
    AverageAll,
    Embedding,
}

/// The tensors of the network.
pub(super) fn read(file: &[u8]) -> Result<Vec<Tensor<'_>>> {
    let mut reader = Reader::new(file);
    let layers = layers();
    reader.expect("the version of the loss layer", 1)?;
    reader.name("loss_metric_2")?;
    let [_margin, threshold] = [reader.float()?, reader.float()?];
    for (index, layer) in layers.iter().enumerate().rev() {
        reader.expect("the version of a layer", layer.version(index))?;
    }
    reader.name("input_rgb_image_sized")?;
    let mean = [reader.float()?, reader.float()?, reader.float()?];
    for side in ["the height of the input", "the width of the input"] {
        reader.expect(side, SIDE)?;
    }
    let mut tensors = vec![
        Tensor::new("network.mean", [3], bytes(&mean)),
        Tensor::new("network.same_below", [1], bytes(&[threshold])),
    ];
    let mut width = 3;
    for (index, layer) in layers.iter().enumerate() {
        layer.read(&mut reader, &mut width, &mut tensors).with_context(|| format!("layer {index}"))?;
        if layer.is_computed() {
            read_state(&mut reader).with_context(|| format!("layer {index}"))?;
        }
        if index == 0 {
            reader.expect("how many samples become of one", 1)?;
        }
    }
    reader.finish()?;
    Ok(tensors)
}

fn layers() -> Vec<Layer> {
    let convolution = |name, kernel, stride, padding| Layer::Convolution { name, kernel, stride, padding };
    let mut layers = vec![
        convolution("network.stem.conv".to_owned(), 7, 2, 0),
        Layer::Affine { name: "network.stem.affine".to_owned() },
        Layer::Relu,
        Layer::MaxPool,
    ];
    let mut block = 0;
    for (stage, count) in STAGES.into_iter().enumerate() {
        for index in 0..count {
            let halves = stage > 0 && index == 0;
            let name = |part| format!("network.blocks.{block}.{part}");
            let (stride, padding) = if halves { (2, 0) } else { (1, 1) };
            layers.extend([
                Layer::Tag,
                convolution(name("conv1"), 3, stride, padding),
                Layer::Affine { name: name("affine1") },
                Layer::Relu,
                convolution(name("conv2"), 3, 1, 1),
                Layer::Affine { name: name("affine2") },
            ]);
            if halves {
                layers.extend([Layer::Tag, Layer::Skip, Layer::AveragePool]);
            }
            layers.extend([Layer::Add, Layer::Relu]);
            block += 1;
        }
    }
    layers.extend([Layer::AverageAll, Layer::Embedding]);
    layers
}

impl Layer {
    /// The version of its serialization; the first layer holds the input.
    fn version(&self, index: usize) -> i64 {
        match self {
            _ if index == 0 => 3,
            Layer::Tag | Layer::Skip => 1,
            _ => 2,
        }
    }

    /// Whether it computes anything; the others have nothing but their version.
    fn is_computed(&self) -> bool {
        !matches!(self, Layer::Tag | Layer::Skip)
    }

    /// Reads what it has; `width` is the number of channels before and after it.
    fn read<'a>(&self, reader: &mut Reader<'a>, width: &mut usize, tensors: &mut Vec<Tensor<'a>>) -> Result<()> {
        match self {
            Layer::Convolution { name, kernel, stride, padding } => {
                *width = read_convolution(reader, name, [*kernel as i64, *stride, *padding], *width, tensors)?;
            }
            Layer::Affine { name } => read_affine(reader, name, *width, tensors)?,
            Layer::Embedding => read_embedding(reader, *width, tensors)?,
            Layer::Relu => reader.name("relu_")?,
            Layer::Add => reader.name("add_prev_")?,
            Layer::MaxPool => read_pooling(reader, "max_pool_2", [3, 2])?,
            Layer::AveragePool => read_pooling(reader, "avg_pool_2", [2, 2])?,
            // Pixels of 0 mean all of them.
            Layer::AverageAll => read_pooling(reader, "avg_pool_2", [0, 1])?,
            Layer::Tag | Layer::Skip => {}
        }
        Ok(())
    }
}

/// Reads a convolution; tells the number of its channels.
fn read_convolution<'a>(
    reader: &mut Reader<'a>,
    name: &str,
    [kernel, stride, padding]: [i64; 3],
    inputs: usize,
    tensors: &mut Vec<Tensor<'a>>,
) -> Result<usize> {
    reader.name("con_4")?;
    let parameters = reader.numbers()?;
    let outputs = reader.integer_in("the number of filters", 1, parameters.data.len())?;
    for (what, expected) in [("kernel", kernel), ("stride", stride), ("padding", padding)] {
        for _ in ["height", "width"] {
            reader.expect(what, expected)?;
        }
    }
    let shape = [outputs, inputs, kernel as usize, kernel as usize];
    expect_part(reader, shape)?;
    expect_part(reader, [1, outputs, 1, 1])?;
    let weights: usize = shape.iter().product();
    expect_sizes(parameters.sizes, [weights + outputs, 1, 1, 1])?;
    read_multipliers(reader)?;
    let (weight, bias) = parameters.data.split_at(4 * weights);
    tensors.push(Tensor::new(format!("{name}.weight"), shape, weight));
    tensors.push(Tensor::new(format!("{name}.bias"), [outputs], bias));
    Ok(outputs)
}

fn read_affine<'a>(reader: &mut Reader<'a>, name: &str, width: usize, tensors: &mut Vec<Tensor<'a>>) -> Result<()> {
    reader.name("affine_")?;
    let parameters = reader.numbers()?;
    expect_sizes(parameters.sizes, [2 * width, 1, 1, 1])?;
    expect_part(reader, [1, width, 1, 1])?;
    expect_part(reader, [1, width, 1, 1])?;
    reader.expect("the mode of an affine layer", 0)?;
    let (weight, bias) = parameters.data.split_at(4 * width);
    tensors.push(Tensor::new(format!("{name}.weight"), [width], weight));
    tensors.push(Tensor::new(format!("{name}.bias"), [width], bias));
    Ok(())
}

/// Reads the matrix that makes an embedding of the channels; it has no bias.
fn read_embedding<'a>(reader: &mut Reader<'a>, inputs: usize, tensors: &mut Vec<Tensor<'a>>) -> Result<()> {
    reader.name("fc_2")?;
    let outputs = reader.integer_in("the length of an embedding", 1, u16::MAX.into())?;
    reader.expect("the inputs of the embedding", inputs as i64)?;
    let parameters = reader.numbers()?;
    expect_sizes(parameters.sizes, [inputs, outputs, 1, 1])?;
    expect_part(reader, [inputs, outputs, 1, 1])?;
    expect_part(reader, [0; 4])?;
    reader.expect("the kind of bias", 1)?;
    read_multipliers(reader)?;
    // dlib has a row for each input, PyTorch one for each output.
    let (numbers, _) = parameters.data.as_chunks::<4>();
    let transposed: Vec<[u8; 4]> =
        (0..inputs * outputs).map(|place| numbers[place % inputs * outputs + place / inputs]).collect();
    tensors.push(Tensor::new("network.embedding.weight", [outputs, inputs], transposed.as_flattened().to_vec()));
    Ok(())
}

fn read_pooling(reader: &mut Reader<'_>, name: &str, [kernel, stride]: [i64; 2]) -> Result<()> {
    reader.name(name)?;
    for (what, expected) in [("kernel", kernel), ("stride", stride), ("padding", 0)] {
        for _ in ["height", "width"] {
            reader.expect(what, expected)?;
        }
    }
    Ok(())
}

/// How fast weights and biases learn and decay.
fn read_multipliers(reader: &mut Reader<'_>) -> Result<()> {
    (0..4).try_for_each(|_| reader.float().map(|_| ()))
}

/// What training leaves in a layer: three flags and three tensors, which are empty in a network that was cleaned.
fn read_state(reader: &mut Reader<'_>) -> Result<()> {
    (0..3).try_for_each(|_| reader.flag().map(|_| ()))?;
    (0..3).try_for_each(|_| expect_sizes(reader.numbers()?.sizes, [0; 4]))
}

/// The sizes of a part of a layer's parameters.
fn expect_part(reader: &mut Reader<'_>, expected: [usize; 4]) -> Result<()> {
    reader.expect("the version of a part of the parameters", 1)?;
    expect_sizes(reader.sizes()?, expected)
}

fn expect_sizes(found: [usize; 4], expected: [usize; 4]) -> Result<()> {
    ensure!(found == expected, "a tensor has the sizes {found:?}, expected {expected:?}");
    Ok(())
}
