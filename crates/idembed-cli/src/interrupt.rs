//! Ctrl-C and other wishes to stop: obeyed at once where nothing is lost by it, else at the next safe point.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use idembed_studio::Canceller;

use crate::failure;
use crate::logging;

/// How long saying goodbye may take: a reader that does not read could hold it up for ever.
const GOODBYE: Duration = Duration::from_millis(1500);

/// Whether the user asked to stop.
static WANTED: AtomicBool = AtomicBool::new(false);
/// The job that goes on and is to end at a safe point, if there is one.
static DEFERRED: Mutex<Option<Canceller>> = Mutex::new(None);

/// Lets SIGINT, SIGTERM and SIGHUP end the program: at once, or, while a [`Deferred`] lives, at the second time.
///
/// Libtorch cannot be interrupted within an operation, and one step may take minutes, so the process ends under it.
/// Nothing is half-written then, because files appear as a whole.
pub(crate) fn install() {
    let installed = ctrlc::set_handler(|| {
        let again = WANTED.swap(true, Ordering::SeqCst);
        match &*DEFERRED.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(canceller) if !again => canceller.cancel(),
            _ => end(),
        }
        logging::bars().suspend(|| eprintln!("stopping after this step; once more to stop at once"));
    });
    if let Err(error) = installed {
        tracing::debug!("requests to stop end the program without a word: {error}");
    }
}

/// While it lives, the first request to stop is only noted.
#[derive(Debug)]
pub(crate) struct Deferred(());

impl Deferred {
    /// The first request to stop cancels this job, whose result says how far it came.
    pub(crate) fn begin(canceller: Canceller) -> Deferred {
        *DEFERRED.lock().unwrap_or_else(PoisonError::into_inner) = Some(canceller);
        Deferred(())
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        *DEFERRED.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Ends the process with an error, whatever its other threads are doing.
fn end() -> ! {
    std::thread::spawn(|| {
        std::thread::sleep(GOODBYE);
        exit();
    });
    let _no_more_files = idembed_files::hold_writes();
    let text = failure::render(&idembed_diffusion::Error::Stopped.into());
    logging::bars().suspend(|| eprint!("{text}"));
    exit()
}

/// Leaves without running what libraries registered for the end: their threads are still at work.
fn exit() -> ! {
    // SAFETY: `_exit` only ends the process.
    unsafe { libc::_exit(i32::from(failure::FAILED)) }
}
