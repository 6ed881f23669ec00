//! What jobs tell while they run.

use idembed_tokens::StepReport;

use crate::drawing::Drawn;
use crate::preview::Preview;

/// Something that happened in a job.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A denoising step begins: number `begun` of `of`, pictures that are drawn at the same time counted once.
    DrawStep {
        /// Steps that began, this one included.
        begun: u64,
        /// Steps of the whole job.
        of: u64,
    },
    /// A picture is finished; the job does not keep it.
    Picture(Box<Drawn>),
    /// A picture of the class was drawn, which some methods learn beside the photo.
    ClassPicture {
        /// Those that are there.
        done: usize,
        /// All of them.
        of: usize,
    },
    /// Learning begins, or goes on, after so many steps.
    LearnBegins {
        /// Steps that are done.
        done: usize,
        /// All steps.
        of: usize,
    },
    /// Pictures were drawn with what is learned so far.
    Preview(Box<Preview>),
    /// A training step is done.
    LearnStep {
        /// What it did.
        report: StepReport,
        /// All steps.
        of: usize,
    },
}
