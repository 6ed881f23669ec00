//! Drawing ahead: the data of the next steps, made by threads of their own.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

use crate::{PretrainError, Result, Share, Task};

/// How many batches each thread keeps ready.
const READY: usize = 2;

/// The data of one worker, step by step.
pub(crate) struct Prefetch<B> {
    lines: Vec<Receiver<Result<B>>>,
    next: usize,
}

impl<B: Send> Prefetch<B> {
    /// Starts `threads` that draw from step `first` on. They end when the prefetch is dropped.
    pub(crate) fn start<'scope, S: Task<Batch = B>>(
        scope: &'scope Scope<'scope, '_>,
        stage: &'scope S,
        share: Share,
        first: usize,
        threads: usize,
    ) -> Self
    where
        B: 'scope,
    {
        // Each thread takes every `threads`-th step, so that their order is known.
        let line = |offset: usize| {
            let (sender, receiver) = sync_channel(READY);
            scope.spawn(move || {
                for step in (first + offset..).step_by(threads) {
                    if sender.send(stage.draw(step, share)).is_err() {
                        return;
                    }
                }
            });
            receiver
        };
        Prefetch { lines: (0..threads).map(line).collect(), next: 0 }
    }

    /// The data of the next step.
    pub(crate) fn next(&mut self) -> Result<B> {
        let line = &self.lines[self.next];
        self.next = (self.next + 1) % self.lines.len();
        line.recv().map_err(|_| PretrainError::ThreadEnded)?
    }
}
