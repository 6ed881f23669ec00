//! The error for a name that is none of those to choose from.

use strum::VariantNames;

/// A name was given that is none of those to choose from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not one of {}", known.join(", "))]
pub struct UnknownName {
    /// What was given.
    pub given: String,
    /// What can be chosen.
    pub known: &'static [&'static str],
}

impl UnknownName {
    /// A name that is none of the enum `T`; to derive `FromStr` with, as its `parse_err_fn`.
    pub fn of<T: VariantNames>(given: &str) -> UnknownName {
        UnknownName { given: given.to_owned(), known: T::VARIANTS }
    }
}
