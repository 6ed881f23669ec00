//! Two-dimensional convolutions.

use idembed_weights::{ConvWeight, Init, Result, Scope};
use tch::{TchError, Tensor};

/// What a convolution is besides its channels: kernel and padding as `[height, width]`.
#[derive(Clone, Copy, Debug)]
pub struct ConvShape {
    /// Pixels that it sees.
    pub kernel: [i64; 2],
    /// Pixels from one place to the next.
    pub stride: i64,
    /// Zeros on each side.
    pub padding: [i64; 2],
}

impl ConvShape {
    /// A square kernel.
    pub const fn square(kernel: i64, stride: i64, padding: i64) -> ConvShape {
        ConvShape { kernel: [kernel; 2], stride, padding: [padding; 2] }
    }

    /// A square kernel of odd size that keeps the size of the picture.
    pub const fn same(kernel: i64) -> ConvShape {
        ConvShape::square(kernel, 1, kernel / 2)
    }
}

/// A two-dimensional convolution.
#[derive(Debug)]
pub struct Conv2d {
    weight: ConvWeight,
    bias: Option<Tensor>,
    stride: i64,
    padding: [i64; 2],
}

impl Conv2d {
    /// Reads `weight` `[outputs, inputs, kernel height, kernel width]` and `bias` `[outputs]`.
    ///
    /// # Errors
    /// One is missing or has another shape.
    pub fn load(scope: &Scope<'_>, inputs: i64, outputs: i64, shape: ConvShape) -> Result<Self> {
        let without = Self::load_without_bias(scope, inputs, outputs, shape)?;
        let bias = scope.tensor("bias", &[outputs], init(inputs, shape))?;
        Ok(Conv2d { bias: Some(bias), ..without })
    }

    /// Reads `weight` alone.
    ///
    /// # Errors
    /// As [`Conv2d::load`].
    pub fn load_without_bias(scope: &Scope<'_>, inputs: i64, outputs: i64, shape: ConvShape) -> Result<Self> {
        let [height, width] = shape.kernel;
        let weight = scope.conv_weight("weight", &[outputs, inputs, height, width], init(inputs, shape))?;
        Ok(Conv2d { weight, bias: None, stride: shape.stride, padding: shape.padding })
    }

    /// # Shapes
    /// - `x`: `[batch, inputs, height, width]`
    /// - returns: `[batch, outputs, ..., ...]`
    ///
    /// # Errors
    /// Another shape or number format.
    pub fn forward(&self, x: &Tensor) -> std::result::Result<Tensor, TchError> {
        x.f_conv2d(self.weight.get()?, self.bias.as_ref(), self.stride, self.padding, 1, 1)
    }
}

fn init(inputs: i64, shape: ConvShape) -> Init {
    let [height, width] = shape.kernel;
    Init::fan_in(inputs * height * width)
}
