//! Ctrl-C: asks the work to stop at the next safe point.

use std::sync::atomic::{AtomicBool, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);

/// Becomes true when the user asks to stop. The first call installs the handler.
///
/// A second Ctrl-C ends the program at once; nothing is half-written then either, because files appear as a whole.
pub(crate) fn stop_flag() -> &'static AtomicBool {
    // A second call finds the handler installed already, which is what it wants.
    let _ = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(crate::failure::FAILED));
        }
        eprintln!("\nstopping after this step; once more to stop at once");
    });
    &STOP
}

/// Whether the user asked to stop.
pub(crate) fn is_wanted() -> bool {
    stop_flag().load(Ordering::Relaxed)
}
