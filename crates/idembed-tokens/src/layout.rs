//! How the rows of an identity are arranged, and which of them are learned.

use std::ops::Range;

/// The rows of an identity: for keys and for values, one for each stage, cross-attention layer and word.
///
/// All rows together are a table in this order: K rows before V rows, then by stage (the noisiest first), by layer (in the
/// order of the forward pass) and by word. Not every row of it is learned on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Number of stages.
    pub stages: usize,
    /// Cross-attention layers with rows of their own; 1 if all layers read the same.
    pub layers: usize,
    /// Tokens that the identity takes in a prompt.
    pub words: usize,
    /// Whether the last of them is the class word and stays it.
    pub class_follows: bool,
    /// Whether keys and values have rows of their own.
    pub split_kv: bool,
    /// The stages with rows of their own. In noisier ones the class word stands, in cleaner ones what the last of these has.
    pub learned: Range<usize>,
}

impl Layout {
    /// One word, the same in all layers, with rows of its own in every stage.
    pub fn staged(stages: usize, split_kv: bool) -> Self {
        Layout { stages, layers: 1, words: 1, class_follows: false, split_kv, learned: 0..stages }
    }

    /// Number of rows in the table.
    pub fn rows(&self) -> usize {
        2 * self.half()
    }

    /// Number of rows that are learned.
    pub fn learned_rows(&self) -> usize {
        self.halves() * self.learned.len() * self.layers * self.learned_words()
    }

    /// Number of words that are learned.
    pub fn learned_words(&self) -> usize {
        self.words - usize::from(self.class_follows)
    }

    /// For each row of the table, which of the learned rows it is, these in the order of the table; or, from
    /// [`Layout::learned_rows`] on, which word of the class.
    pub fn sources(&self) -> Vec<i64> {
        let halves = 0..2;
        let cells = halves.flat_map(|half| (0..self.stages).map(move |stage| (half, stage)));
        let cells = cells.flat_map(|(half, stage)| (0..self.layers).map(move |layer| (half, stage, layer)));
        let rows = cells.flat_map(|cell| (0..self.words).map(move |word| (cell, word)));
        rows.map(|((half, stage, layer), word)| self.source(half, stage, layer, word) as i64).collect()
    }

    fn source(&self, half: usize, stage: usize, layer: usize, word: usize) -> usize {
        if stage < self.learned.start || word >= self.learned_words() {
            return self.learned_rows() + word;
        }
        let half = if self.split_kv { half } else { 0 };
        let stage = stage.min(self.learned.end - 1) - self.learned.start;
        ((half * self.learned.len() + stage) * self.layers + layer) * self.learned_words() + word
    }

    /// The place in the table of the first word of a stage and layer.
    pub(crate) fn place(&self, value: bool, stage: usize, layer: usize) -> usize {
        let half = if value { self.half() } else { 0 };
        half + (stage * self.layers + layer) * self.words
    }

    /// How many texts an encoder must read for one stage: keys and values, and every layer.
    pub(crate) fn halves(&self) -> usize {
        1 + usize::from(self.split_kv)
    }

    fn half(&self) -> usize {
        self.stages * self.layers * self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_stands_in_several_places() {
        assert_eq!(Layout::staged(2, true).sources(), [0, 1, 2, 3]);
        assert_eq!(Layout::staged(3, false).sources(), [0, 1, 2, 0, 1, 2]);
        let layers = Layout { layers: 3, ..Layout::staged(1, false) };
        assert_eq!((layers.learned_rows(), layers.sources()), (3, vec![0, 1, 2, 0, 1, 2]));
        let words = Layout { words: 2, ..Layout::staged(2, true) };
        assert_eq!(words.sources(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!((words.place(false, 1, 0), words.place(true, 1, 0)), (2, 6));
        let class = Layout { class_follows: true, ..words };
        assert_eq!((class.learned_rows(), class.sources()), (4, vec![0, 5, 1, 5, 2, 5, 3, 5]));
    }

    #[test]
    fn before_the_learned_stages_stands_the_class_word_and_after_them_the_last() {
        let middle = Layout { learned: 1..3, ..Layout::staged(5, true) };
        assert_eq!(middle.learned_rows(), 4);
        assert_eq!(middle.sources(), [4, 0, 1, 1, 1, 4, 2, 3, 3, 3]);
        let words = Layout { learned: 1..2, words: 2, layers: 2, ..Layout::staged(3, false) };
        let half = [4, 5, 4, 5, 0, 1, 2, 3, 0, 1, 2, 3];
        assert_eq!(words.sources(), [half, half].concat());
    }
}
