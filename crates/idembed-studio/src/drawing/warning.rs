//! What is odd about a drawing.

use std::fmt;

use idembed_tokens::PromptWarning;

use crate::size::Size;

/// What is odd about a wish, and does not keep it from being drawn.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum DrawWarning {
    /// Something about the prompt.
    Prompt(PromptWarning),
    /// An identity was given but the prompt does not name it.
    UnusedIdentity(String),
    /// There is a negative prompt, and no guidance that would heed it.
    NegativeWithoutGuidance {
        /// The guidance scale.
        guidance: f64,
    },
    /// The model was trained on pictures of about another number of pixels.
    UnusualSize {
        /// The size to draw.
        size: Size,
        /// The one of the model's own that is most like it.
        nearest: Size,
    },
    /// Faces are to be drawn once more, and the prompt names nobody whose they are.
    NobodysFace,
    /// Something about the negative prompt.
    Negative(PromptWarning),
}

impl fmt::Display for DrawWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DrawWarning::Prompt(warning) => warning.fmt(f),
            DrawWarning::UnusedIdentity(name) => {
                write!(f, "the identity `{name}` was given, but the prompt does not say <{name}>")
            }
            DrawWarning::NegativeWithoutGuidance { guidance } => {
                write!(f, "the negative prompt has no effect: it needs a guidance above 1, this is {guidance}")
            }
            DrawWarning::UnusualSize { size, nearest } => write!(
                f,
                "SDXL was not trained on pictures as small or large as {size}, and draws them worse; the nearest of its own \
                 sizes is {nearest}"
            ),
            DrawWarning::NobodysFace => {
                f.write_str("no face is drawn once more: the prompt names no identity whose it could be")
            }
            DrawWarning::Negative(warning) => write!(f, "in the negative prompt, {warning}"),
        }
    }
}
