//! Threads that turn their share of each step into gradients.
//!
//! Each works on a single core on a network of its own, whose parameters share their storage with all others: libtorch's
//! own threads would wait for each other in every layer, these only once a step.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use idembed_weights::{Parameters, pack};
use tch::{Kind, Tensor};

use crate::prefetch::Prefetch;
use crate::{PretrainError, Result, Share, Task};

/// How a worker computes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// Its part of each step.
    pub(crate) share: Share,
    /// Samples per step, of all workers.
    pub(crate) batch: usize,
    /// The first step.
    pub(crate) first: usize,
    /// The format of weights and activations.
    pub(crate) kind: Kind,
    /// Threads that draw for it.
    pub(crate) drawing_threads: usize,
}

/// What a worker found in one step; weighted by its share of the samples.
pub(crate) struct Found {
    pub(crate) total: f64,
    pub(crate) parts: Vec<(&'static str, f64)>,
    /// As [`idembed_weights::Packed::numbers`].
    pub(crate) gradient: Tensor,
}

/// The near end of a worker.
pub(crate) struct Worker {
    go: Sender<()>,
    found: Receiver<Result<Found>>,
}

impl Worker {
    /// Starts a worker; it ends when this is dropped.
    pub(crate) fn start<'scope, S: Task>(
        scope: &'scope Scope<'scope, '_>,
        stage: &'scope S,
        parameters: Parameters,
        work: Work,
    ) -> Self
    where
        S::Batch: 'scope,
    {
        let (go, started) = channel::<()>();
        let (sender, found) = channel();
        scope.spawn(move || {
            tch::set_num_threads(1);
            let mut data = Prefetch::start(scope, stage, work.share, work.first, work.drawing_threads);
            let mut network = None;
            while started.recv().is_ok() {
                let result = data.next().and_then(|batch| learn(stage, &parameters, work, &batch, &mut network));
                if sender.send(result).is_err() {
                    return;
                }
            }
        });
        Worker { go, found }
    }

    /// Lets it do the next step.
    pub(crate) fn go(&self) -> Result<()> {
        self.go.send(()).map_err(|_| PretrainError::ThreadEnded)
    }

    /// Waits for what it found.
    pub(crate) fn found(&self) -> Result<Found> {
        self.found.recv().map_err(|_| PretrainError::ThreadEnded)?
    }
}

fn learn<S: Task>(
    stage: &S,
    parameters: &Parameters,
    work: Work,
    batch: &S::Batch,
    network: &mut Option<S::Network>,
) -> Result<Found> {
    // In a shorter format the weights are copies that last for one step.
    if work.kind != Kind::Float {
        *network = None;
    }
    let network = match network {
        Some(network) => network,
        None => network.insert(stage.build(parameters, work.kind)?),
    };
    let losses = stage.losses(network, batch, parameters.device())?;
    let weight = work.share.samples(work.batch).len() as f64 / work.batch as f64;
    let leaves: Vec<Tensor> = parameters.list().into_iter().map(|(_, leaf)| leaf).collect();
    let gradients = Tensor::f_run_backward(&[&losses.total.f_mul_scalar(weight)?], &leaves, false, false)?;
    let value = |loss: &Tensor| -> Result<f64> { Ok(weight * loss.f_double_value(&[])?) };
    let gradient = pack(&gradients)?;
    let parts = losses.parts.iter().map(|(name, loss)| Ok((*name, value(loss)?))).collect::<Result<_>>()?;
    Ok(Found { total: value(&losses.total)?, parts, gradient })
}
