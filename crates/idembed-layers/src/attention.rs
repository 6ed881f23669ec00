//! Multi-head attention: fused for computing, and its probabilities alone for those who watch.
//!
//! All tensors are `[batch, heads, positions, head_dim]`.

use tch::{Kind, TchError, Tensor};

type Result<T> = std::result::Result<T, TchError>;

/// `softmax(Q K^T / sqrt(head_dim))`, all of it in f32 whatever the format of the inputs.
///
/// In f16 the product of large queries and keys overflows, and in bf16 it is rounded to three digits, which hides the
/// small differences of maps that are alike.
///
/// # Shapes
/// - `query`: `[batch, heads, n, head_dim]`
/// - `key`: `[batch, heads, tokens, head_dim]` (a batch of 1 is broadcast)
/// - returns: `[batch, heads, n, tokens]`, f32, rows sum to 1
pub fn attention_probs(query: &Tensor, key: &Tensor) -> Result<Tensor> {
    let head_dim = query.size().last().copied().unwrap_or(1);
    let scale = 1.0 / (head_dim as f64).sqrt();
    let (query, key) = (query.f_to_kind(Kind::Float)?, key.f_to_kind(Kind::Float)?);
    let scores = query.f_mul_scalar(scale)?.f_matmul(&key.f_transpose(-2, -1)?)?;
    scores.f_softmax(-1, Kind::Float)
}

/// libtorch's fused attention; `causal` hides later positions.
pub fn fused_attention(query: &Tensor, key: &Tensor, value: &Tensor, causal: bool) -> Result<Tensor> {
    Tensor::f_scaled_dot_product_attention(query, key, value, None::<Tensor>, 0.0, causal, None, false)
}

/// [`fused_attention`] in f32, whatever the format of the inputs; the result is in the format of `value`.
///
/// # Source
/// diffusers' `upcast_attention`, which its plain attention obeys for `Q K^T` and its softmax.
pub fn upcast_attention(query: &Tensor, key: &Tensor, value: &Tensor) -> Result<Tensor> {
    let float = |x: &Tensor| x.f_to_kind(Kind::Float);
    fused_attention(&float(query)?, &float(key)?, &float(value)?, false)?.f_to_kind(value.kind())
}

/// `[batch, n, heads * head_dim]` to `[batch, heads, n, head_dim]`.
pub fn split_heads(x: &Tensor, heads: i64) -> Result<Tensor> {
    let (batch, positions, width) = x.size3()?;
    x.f_view([batch, positions, heads, width / heads])?.f_transpose(1, 2)
}

/// `[batch, heads, n, head_dim]` to `[batch, n, heads * head_dim]`.
pub fn merge_heads(x: &Tensor) -> Result<Tensor> {
    let (batch, heads, positions, head_dim) = x.size4()?;
    x.f_transpose(1, 2)?.f_reshape([batch, positions, heads * head_dim])
}
