//! What a multistep solver remembers.

use tch::Tensor;

/// The clean latents that the last steps predicted; forgets them when a step does not follow the one before.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Newest first.
    states: Vec<Tensor>,
    next: usize,
}

impl History {
    /// Whether step `index` follows the last one that was pushed.
    pub(super) fn continues_at(&self, index: usize) -> bool {
        !self.states.is_empty() && self.next == index
    }

    /// What is remembered, newest first.
    pub(super) fn states(&self) -> &[Tensor] {
        &self.states
    }

    /// Adds what step `index` predicted and keeps at most `most` of them; returns all, newest first.
    pub(super) fn push(&mut self, index: usize, state: Tensor, most: usize) -> &[Tensor] {
        if !self.continues_at(index) {
            self.states.clear();
        }
        self.next = index + 1;
        self.states.insert(0, state);
        self.states.truncate(most);
        &self.states
    }
}
