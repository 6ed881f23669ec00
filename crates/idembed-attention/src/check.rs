//! Checks where tensors enter.

use idembed_diffusion::hook::{Observed, Site};
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

/// Sizes that every tensor of one layer agrees with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) batch: i64,
    pub(crate) tokens: i64,
}

/// Checks what the hook received against the layer that it came from.
pub(crate) fn sizes(site: &Site<'_>, observed: &Observed<'_>) -> Result<Sizes> {
    let Observed { query, key, probs } = observed;
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
            let sizes = Sizes { batch, tokens };
            self::key("the key", site, key, query, sizes)?;
            Ok(sizes)
        }
        _ => Err(shape_error(
            "the attention probabilities",
            probs,
            format!("[{batch}, {}, {pixels} pixels, tokens]", site.heads),
        )),
    }
}

/// Checks a key tensor against the layer that it is to be used in.
pub(crate) fn key(what: &'static str, site: &Site<'_>, key: &Tensor, query: &Tensor, sizes: Sizes) -> Result<()> {
    let Sizes { batch, tokens } = sizes;
    let dim = query.size()[3];
    match key.size()[..] {
        [b, heads, t, d] if (b == 1 || b == batch) && heads == site.heads && t == tokens && d == dim => Ok(()),
        _ => Err(shape_error(what, key, format!("[1 or {batch}, {}, {tokens}, {dim}]", site.heads))),
    }
}
