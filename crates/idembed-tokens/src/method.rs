//! The methods and the few lines in which they differ.

use std::fmt;
use std::str::FromStr;

/// How an identity is learned. Everything that [`MethodSpec`] does not name is the same for all methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// Stage tokens with K and V halves and the face-wise attention loss (arXiv 2402.00631).
    #[default]
    Sefi,
    /// One vector, trained with the noise loss (arXiv 2208.01618); the attention loss can be added to it.
    TextualInversion,
}

/// What sets one method apart from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MethodSpec {
    /// Number of stages unless the user says otherwise.
    pub default_stages: usize,
    /// Whether the user may choose the number of stages.
    pub staged: bool,
    /// Whether keys and values get vectors of their own.
    pub split_kv: bool,
    /// Whether a token module makes the vectors, instead of one vector trained directly.
    pub module: bool,
    /// Weight of the attention loss unless the user says otherwise; 0 for a method that was published without it.
    pub default_lambda: f64,
}

impl Method {
    /// All methods, the default first.
    pub const ALL: [Method; 2] = [Method::Sefi, Method::TextualInversion];

    /// The method's declaration.
    pub fn spec(self) -> MethodSpec {
        match self {
            Method::Sefi => {
                MethodSpec { default_stages: 5, staged: true, split_kv: true, module: true, default_lambda: 0.003 }
            }
            Method::TextualInversion => {
                MethodSpec { default_stages: 1, staged: false, split_kv: false, module: false, default_lambda: 0.0 }
            }
        }
    }

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Method::Sefi => "sefi",
            Method::TextualInversion => "textual-inversion",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Method::ALL.into_iter().find(|method| method.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
            format!("`{text}` is not one of {}", names.join(", "))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for method in Method::ALL {
            assert_eq!(method.to_string().parse::<Method>().unwrap(), method);
        }
        assert_eq!("dreambooth".parse::<Method>().unwrap_err(), "`dreambooth` is not one of sefi, textual-inversion");
    }
}
