//! Fields of a configuration that are one number or a list.

use serde::Deserialize;

/// A field that holds one number for all blocks, or one for each.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    /// The same for every block.
    One(i64),
    /// One for each block, in the order of the down path.
    Many(Vec<i64>),
}

impl OneOrMany {
    /// One number for each of `count` blocks, or `None` if the list has another length.
    pub(super) fn per_block(&self, count: usize) -> Option<Vec<i64>> {
        match self {
            OneOrMany::One(value) => Some(vec![*value; count]),
            OneOrMany::Many(values) => (values.len() == count).then(|| values.clone()),
        }
    }
}
