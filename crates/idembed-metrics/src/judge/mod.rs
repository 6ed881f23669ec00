//! What a picture shows, as a small network sees it: whether a prompt was followed.

mod factor;
mod network;
mod verdict;

pub use factor::{Factor, Factors};
pub use network::Judge;
pub use verdict::Verdict;
