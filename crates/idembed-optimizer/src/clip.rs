//! Gradients that are too long are shortened. Source: `torch.nn.utils.clip_grad_norm_`.

use tch::{Kind, TchError, Tensor};

/// Added to the gradient's norm before dividing by it, as `torch.nn.utils.clip_grad_norm_` does.
const CLIP_EPS: f64 = 1e-6;

/// The norm of all gradients taken as one vector.
pub fn global_norm(gradients: &[Tensor]) -> Result<f64, TchError> {
    if gradients.is_empty() {
        return Ok(0.0);
    }
    // One number leaves the device, not one for each gradient.
    let norms: Vec<Tensor> = gradients.iter().map(Tensor::f_norm).collect::<Result<_, _>>()?;
    Tensor::f_stack(&norms, 0)?.f_to_kind(Kind::Double)?.f_norm()?.f_double_value(&[])
}

/// Scales the gradients down so that their global norm is at most `max_norm`; returns the norm before.
pub fn clip_by_global_norm(gradients: &mut [Tensor], max_norm: f64) -> Result<f64, TchError> {
    let norm = global_norm(gradients)?;
    let factor = max_norm / (norm + CLIP_EPS);
    if factor < 1.0 {
        for gradient in gradients {
            *gradient = gradient.f_mul_scalar(factor)?;
        }
    }
    Ok(norm)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn clips_only_what_is_too_long() {
        let mut gradients = [Tensor::from_slice(&[3.0f32]), Tensor::from_slice(&[4.0f32])];
        assert_eq!(clip_by_global_norm(&mut gradients, 10.0).unwrap(), 5.0);
        assert_eq!(gradients[0].double_value(&[0]), 3.0);
        clip_by_global_norm(&mut gradients, 1.0).unwrap();
        assert!((global_norm(&gradients).unwrap() - 1.0).abs() < 1e-5);
    }
}
