//! The average of an identity's rows over the steps of a run, which is calmer than what the last step leaves.

use idembed_optimizer::Ema;
use tch::Tensor;

use crate::Result;
use crate::learned_rows::LearnedRows;

/// A moving average of the rows for each text encoder.
#[derive(Debug)]
pub(crate) struct AveragedRows {
    ema: Ema,
    tables: Vec<Tensor>,
}

impl AveragedRows {
    /// The average of a run that has not begun. `decay` is the share that stays per step.
    pub(crate) fn new(decay: f64, rows: &LearnedRows) -> Result<Self> {
        Ok(AveragedRows { ema: Ema { decay }, tables: tch::no_grad(|| rows.forward())? })
    }

    /// Takes in the rows after step `step`, counted from 0.
    pub(crate) fn update(&self, rows: &LearnedRows, step: usize) -> Result<()> {
        let rows = tch::no_grad(|| rows.forward())?;
        let tables: Vec<&Tensor> = self.tables.iter().collect();
        Ok(self.ema.update(&tables, &rows.iter().collect::<Vec<_>>(), step)?)
    }

    /// The averages, each `[rows, hidden]`.
    pub(crate) fn tables(&self) -> &[Tensor] {
        &self.tables
    }
}
