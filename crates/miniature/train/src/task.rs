//! What a training needs to know of the network that is trained.

use std::ops::Range;
use std::path::Path;

use idembed_weights::Parameters;
use image::RgbImage;
use tch::{Device, Kind, Tensor};

use crate::Result;

/// One network, its data and its loss.
pub trait Task: Sync {
    /// What one worker learns from in one step.
    type Batch: Send;
    /// The network.
    type Network;

    /// Short; names its checkpoint and its sheet.
    fn name(&self) -> &'static str;

    /// What a checkpoint must agree with to go on from it, by name.
    fn settings(&self) -> Vec<(String, String)>;

    /// Builds the network on the parameters, in this format; those that are not there yet are made here.
    fn build(&self, parameters: &Parameters, kind: Kind) -> Result<Self::Network>;

    /// Gives parameters that begin with more than chance their first values.
    fn begin(&self, _parameters: &Parameters) -> Result<()> {
        Ok(())
    }

    /// Takes over what [`Task::export`] wrote below `folder`, to train it further.
    fn import(&self, parameters: &Parameters, folder: &Path) -> Result<()>;

    /// Draws a worker's share of a step. Depends on nothing but the stage, the step and the share.
    fn draw(&self, step: usize, share: Share) -> Result<Self::Batch>;

    /// The loss on a share, a mean over its samples.
    fn losses(&self, network: &Self::Network, batch: &Self::Batch, device: Device) -> Result<Losses>;

    /// A few figures on samples that are never trained on, for the log; fast.
    fn glance(&self, network: &Self::Network) -> Result<Vec<Check>>;

    /// The figures on samples that are never trained on.
    fn check(&self, network: &Self::Network) -> Result<Vec<Check>>;

    /// Something to look at.
    fn sheet(&self, network: &Self::Network) -> Result<RgbImage>;

    /// Writes the network with these parameters below `folder`, for `idembed` and diffusers to load.
    fn export(&self, network: &Self::Network, parameters: &Parameters, folder: &Path) -> Result<()>;
}

/// The loss of a share of a step.
#[derive(Debug)]
pub struct Losses {
    /// What is minimised; a scalar.
    pub total: Tensor,
    /// What it is made of, each a scalar, before weighting; for the log.
    pub parts: Vec<(&'static str, Tensor)>,
}

/// A figure with its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Check {
    /// What was measured.
    pub name: &'static str,
    /// The result.
    pub value: f64,
    /// Its unit; may be empty.
    pub unit: &'static str,
}

/// Which part of each step a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The worker, counted from 0.
    pub index: usize,
    /// How many there are.
    pub of: usize,
}

impl Share {
    /// The worker's samples among the `batch` of a step.
    pub fn samples(&self, batch: usize) -> Range<usize> {
        batch * self.index / self.of..batch * (self.index + 1) / self.of
    }
}
