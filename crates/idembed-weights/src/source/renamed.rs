//! The tensors of another source under other names, or parts of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use super::{Source, Stored};
use crate::{Result, WeightsError};

/// Which tensor of the base, and which part of it, stands behind a new name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The name in the base.
    pub name: String,
    /// The rows (of the first dimension) of a tensor that is several ones stacked; all if `None`.
    pub rows: Option<Range<i64>>,
    /// The shape to see the rows in, of as many numbers; as they are if `None`.
    pub shape: Option<Vec<i64>>,
    /// Whether it is a matrix whose rows are the columns under the new name.
    pub transposed: bool,
}

impl Alias {
    /// The whole tensor `name`.
    pub fn of(name: impl Into<String>) -> Self {
        Alias { name: name.into(), rows: None, shape: None, transposed: false }
    }

    /// These rows alone.
    pub fn rows(self, rows: Range<i64>) -> Self {
        Alias { rows: Some(rows), ..self }
    }

    /// In another shape, such as `[out, in]` for a convolution `[out, in, 1, 1]`.
    pub fn reshaped(self, shape: &[i64]) -> Self {
        Alias { shape: Some(shape.to_vec()), ..self }
    }

    /// With rows and columns of a matrix exchanged.
    pub fn transposed(self) -> Self {
        Alias { transposed: true, ..self }
    }

    /// The shape under the new name, of a tensor that has shape `base`; its rows are there.
    fn shape_of(&self, base: &[i64]) -> std::result::Result<Vec<i64>, WeightsError> {
        let mut got = base.to_vec();
        if let (Some(rows), Some(count)) = (&self.rows, got.first_mut()) {
            *count = rows.end - rows.start;
        }
        if self.transposed {
            if got.len() != 2 {
                return Err(WeightsError::Dimensions { name: self.name.clone(), got, expected: 2 });
            }
            got.reverse();
        }
        let Some(expected) = self.shape.clone() else { return Ok(got) };
        if got.iter().product::<i64>() != expected.iter().product::<i64>() {
            return Err(WeightsError::Shape { name: self.name.clone(), got, expected });
        }
        Ok(expected)
    }
}

/// A source whose tensors have other names in another source, the base: a checkpoint of another layout.
///
/// OpenCLIP stacks the weights of query, key and value in one tensor:
///
/// ```
/// use idembed_weights::Alias;
///
/// let (hidden, old, new) = (1024, "transformer.resblocks.0.attn", "encoder.layers.0.self_attn");
/// let table = ["q_proj", "k_proj", "v_proj"].into_iter().zip([0, 1, 2]).map(|(name, index)| {
///     let rows = index * hidden..(index + 1) * hidden;
///     (format!("{new}.{name}.weight"), Alias::of(format!("{old}.in_proj_weight")).rows(rows))
/// });
/// # assert_eq!(table.count(), 3);
/// ```
///
/// Nothing is copied: the rows of a mapped tensor are used where they lie.
#[derive(Debug)]
pub struct Renamed {
    base: Box<dyn Source>,
    table: BTreeMap<String, Alias>,
    /// Of those tensors of the base that belong to this network: what the table does not mention.
    others: Vec<String>,
}

impl Renamed {
    /// Names for tensors of `base`: the new name first.
    ///
    /// Tensors of the base that the table does not mention keep their names, so that a network that does not ask for them
    /// is told of them; only those whose names `belongs` says no to are of other networks in the same file, or of no use. A
    /// name in the table whose tensor the base lacks is no error before it is asked for.
    ///
    /// # Errors
    /// A tensor of the base does not have the rows that the table takes from it, or has others beside them
    /// ([`WeightsError::Rows`]); it cannot be seen in the shape that the table says; or one that is not mentioned has a
    /// name of the table.
    pub fn new(
        base: Box<dyn Source>,
        belongs: impl Fn(&str) -> bool,
        table: BTreeMap<String, Alias>,
    ) -> std::result::Result<Self, WeightsError> {
        let mut aliases: BTreeMap<&str, Vec<&Alias>> = BTreeMap::new();
        for alias in table.values() {
            aliases.entry(&alias.name).or_default().push(alias);
        }
        for (name, aliases) in &aliases {
            if let Some(shape) = base.shape(name) {
                check_rows(name, aliases, &shape)?;
                aliases.iter().try_for_each(|alias| alias.shape_of(&shape).map(drop))?;
            }
        }
        let mentioned: BTreeSet<&str> = aliases.into_keys().collect();
        let mut others = base.names();
        others.retain(|name| belongs(name) && !mentioned.contains(name.as_str()));
        let taken: Vec<&String> = others.iter().filter(|name| table.contains_key(*name)).collect();
        if let Some(first) = taken.first() {
            return Err(WeightsError::Extra { first: (*first).clone(), count: taken.len() });
        }
        Ok(Renamed { base, table, others })
    }
}

/// Fails unless the rows that are taken from a tensor are all of its rows.
fn check_rows(name: &str, aliases: &[&Alias], shape: &[i64]) -> std::result::Result<(), WeightsError> {
    let mut named: Vec<Range<i64>> = aliases.iter().filter_map(|alias| alias.rows.clone()).collect();
    if named.len() < aliases.len() {
        named.push(0..shape.first().copied().unwrap_or(0));
    }
    let got = shape.first().copied().unwrap_or(0);
    named.sort_by_key(|rows| rows.start);
    let covered = named
        .iter()
        .try_fold(0, |covered, rows| (rows.start <= covered && rows.start <= rows.end).then(|| covered.max(rows.end)));
    if covered == Some(got) {
        return Ok(());
    }
    Err(WeightsError::Rows { name: name.to_owned(), got, named })
}

impl Source for Renamed {
    fn names(&self) -> Vec<String> {
        let there = self.table.iter().filter(|(_, alias)| self.base.shape(&alias.name).is_some());
        there.map(|(name, _)| name).chain(&self.others).cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<i64>> {
        let alias = self.table.get(name)?;
        alias.shape_of(&self.base.shape(&alias.name)?).ok()
    }

    fn stored(&self, name: &str) -> std::result::Result<Stored, WeightsError> {
        let alias = self.table.get(name).ok_or_else(|| WeightsError::Missing(name.to_owned()))?;
        let mut stored = self.base.stored(&alias.name)?;
        if let Some(rows) = &alias.rows {
            stored = stored.rows(rows)?;
        }
        if alias.transposed {
            stored = stored.transposed()?;
        }
        if let Some(shape) = &alias.shape {
            stored = stored.reshaped(shape)?;
        }
        Ok(stored)
    }

    fn path(&self) -> Option<&Path> {
        self.base.path()
    }

    fn check_unchanged(&self) -> Result<()> {
        self.base.check_unchanged()
    }

    fn check_used_unchanged(&self) -> Result<()> {
        self.base.check_used_unchanged()
    }

    fn release_unused(&self) {
        self.base.release_unused();
    }
}
