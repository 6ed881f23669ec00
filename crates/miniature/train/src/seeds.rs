//! Which pictures of the world are trained on, and which never are.

use crate::{PretrainError, Result};

/// Pictures of one run: far more than any training takes.
const RUN_BITS: u32 = 40;
/// Set in the seeds of all pictures that no run trains on.
const HELD_OUT: u64 = 1 << 63;

/// The seed of the picture `index` of a run.
pub(crate) fn training(run: u64, index: u64) -> u64 {
    (run << RUN_BITS | index) & !HELD_OUT
}

/// The seed of the held-out picture `index`.
pub(crate) fn held_out(index: u64) -> u64 {
    HELD_OUT | index
}

/// Refuses the seed of a run that would share pictures with another.
pub(crate) fn check_run(seed: u64) -> Result<()> {
    let limit = 1 << (63 - RUN_BITS);
    if seed < limit {
        return Ok(());
    }
    let expected = format!("less than {limit}");
    Err(PretrainError::Setting { what: "the seed", got: seed.to_string(), expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_seed_is_both_trained_on_and_held_out() {
        let last = (1 << 23) - 1;
        assert!(check_run(last).is_ok() && check_run(last + 1).is_err());
        let trained = [training(0, 0), training(0, 1), training(1, 0), training(last, (1 << 40) - 1)];
        assert!(trained.iter().all(|seed| seed & HELD_OUT == 0) && held_out(0) & HELD_OUT != 0);
        assert!(trained.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
