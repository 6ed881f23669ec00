//! Checks where tensors enter.

use idembed_diffusion::hook::Site;
use tch::{Kind, Tensor};

use crate::error::{AttentionError, Result};

/// The error of a misshapen tensor.
pub(crate) fn shape_error(what: &'static str, tensor: &Tensor, expected: impl Into<String>) -> AttentionError {
    AttentionError::Shape { what, got: tensor.size(), expected: expected.into() }
}

/// Refuses NaN and infinity. Waits for the device.
pub(crate) fn finite(what: &'static str, tensor: &Tensor) -> Result<()> {
    if tensor.f_isfinite()?.f_all()?.f_double_value(&[])? == 1.0 {
        Ok(())
    } else {
        Err(AttentionError::Values { what, expected: "finite" })
    }
}

/// Checks a map `[height, width]` and brings it to f32 on the CPU.
pub(crate) fn map(map: &Tensor) -> Result<Tensor> {
    match map.size()[..] {
        [height, width] if height > 0 && width > 0 => {}
        _ => return Err(shape_error("the attention map", map, "[height, width], neither of them 0")),
    }
    let map = map.f_detach()?.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Float)?;
    finite("the attention map", &map)?;
    Ok(map)
}

/// What one layer showed, with sizes that agree with its site.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed {
    pub(crate) batch: i64,
    pub(crate) tokens: i64,
}

/// Checks what the hook received against the layer that it came from.
pub(crate) fn observed(site: &Site<'_>, query: &Tensor, probs: &Tensor) -> Result<Observed> {
    let pixels = site.height * site.width;
    let batch = match query.size()[..] {
        [batch, heads, n, _] if batch > 0 && pixels > 0 && heads == site.heads && n == pixels => batch,
        _ => {
            let expected = format!("[batch, {}, {} x {} pixels, head_dim]", site.heads, site.height, site.width);
            return Err(shape_error("the query", query, expected));
        }
    };
    match probs.size()[..] {
        [b, heads, n, tokens] if b == batch && heads == site.heads && n == pixels && tokens > 0 => {
            Ok(Observed { batch, tokens })
        }
        _ => Err(shape_error(
            "the attention probabilities",
            probs,
            format!("[{batch}, {}, {pixels} pixels, tokens]", site.heads),
        )),
    }
}
