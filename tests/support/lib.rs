//! What the integration tests share: fixtures, paths, comparisons.
