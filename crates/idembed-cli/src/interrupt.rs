//! Ctrl-C and other wishes to stop: obeyed at once where nothing is lost by it, else at the next safe point.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::failure;
use crate::logging;

/// How long saying goodbye may take: a reader that does not read could hold it up for ever.
const GOODBYE: Duration = Duration::from_millis(1500);

/// Whether the user asked to stop.
static WANTED: AtomicBool = AtomicBool::new(false);
/// Whether work goes on that is to end at a safe point.
static DEFERRED: AtomicBool = AtomicBool::new(false);

/// Lets SIGINT, SIGTERM and SIGHUP end the program: at once, or, while a [`Deferred`] lives, at the second time.
///
/// Libtorch cannot be interrupted within an operation, and one step may take minutes, so the process ends under it.
/// Nothing is half-written then, because files appear as a whole.
pub(crate) fn install() {
    let installed = ctrlc::set_handler(|| {
        let again = WANTED.swap(true, Ordering::SeqCst);
        if again || !DEFERRED.load(Ordering::SeqCst) {
            end();
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
    /// Begins work that looks at [`stop_flag`] by itself.
    pub(crate) fn begin() -> Deferred {
        DEFERRED.store(true, Ordering::SeqCst);
        Deferred(())
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        DEFERRED.store(false, Ordering::SeqCst);
    }
}

/// Becomes true when the user asks to stop.
pub(crate) fn stop_flag() -> &'static AtomicBool {
    &WANTED
}

/// Whether the user asked to stop while that was deferred.
pub(crate) fn is_wanted() -> bool {
    WANTED.load(Ordering::Relaxed)
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
