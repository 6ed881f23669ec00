//! A mapped file that loses pages: a clear error instead of a death by SIGBUS.
//!
//! When a file is cut short while it is mapped, or its disk fails, the system answers the next touch of a lost page with
//! SIGBUS, on whatever thread that happens. No call can return an error there, so the signal's handler says which file it
//! was, in the form of all other errors, and ends the program.

use std::io::IsTerminal;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// A mapped file, as the handler needs to know it.
#[derive(Debug)]
struct Place {
    addresses: Range<usize>,
    /// What to say if a page of it is lost.
    report: String,
    mapped: AtomicBool,
    next: Link,
}

/// The end of the list, or its next place. Reading it takes no lock, as a signal handler must not.
type Link = OnceLock<&'static Place>;

/// The places of all files that were ever mapped. They are never freed, because the handler may look at any time: a few
/// hundred bytes for each file.
static FIRST: Link = OnceLock::new();

/// A mapped file that the handler knows until this is dropped.
#[derive(Debug)]
pub(crate) struct Registered(&'static Place);

impl Drop for Registered {
    fn drop(&mut self) {
        self.0.mapped.store(false, Ordering::Release);
    }
}

/// Tells the handler which file is mapped at these addresses. Drop the answer before the file is unmapped.
pub(crate) fn register(path: &Path, addresses: Range<usize>) -> Registered {
    let place: &'static Place = Box::leak(Box::new(Place {
        addresses,
        report: report(path),
        mapped: AtomicBool::new(true),
        next: OnceLock::new(),
    }));
    let mut link = &FIRST;
    while link.set(place).is_err() {
        if let Some(taken) = link.get() {
            link = &taken.next;
        }
    }
    Registered(place)
}

fn report(path: &Path) -> String {
    // On a terminal the cursor may stand behind a progress bar.
    let start = if std::io::stderr().is_terminal() { "\n" } else { "" };
    format!(
        "{start}error: cannot read `{}`\n  caused by: the file was cut short while it was in use, or its disk failed\n\n\
         hint: put the whole file back, and let nothing change it while it is in use\n",
        path.display()
    )
}

/// Installs the handler. For programs to call once, at their start.
///
/// From then on, a lost page of a mapped weight file ends the program with an error on the standard error and status 1.
/// Any other SIGBUS ends it as if there were no handler. Nothing runs after the error: what was written whole stays, and
/// nobody may be in the middle of writing a file while weights are read.
pub fn announce_lost_pages() {
    #[cfg(target_os = "linux")]
    handler::install();
}

#[cfg(target_os = "linux")]
mod handler {
    use super::*;

    /// Exit status of a program that failed.
    const FAILED: libc::c_int = 1;

    pub(super) fn install() {
        // SAFETY: the action is fully set, and its handler does only what a signal handler may do.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_bus_error as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigemptyset(&mut action.sa_mask);
            if libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut()) != 0 {
                tracing::debug!("the system refused the handler of SIGBUS");
            }
        }
    }

    extern "C" fn on_bus_error(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
        /// Several threads may touch the same lost pages; one speaks.
        static SAID: AtomicBool = AtomicBool::new(false);

        // SAFETY: `info` is what the system gives to a handler with SA_SIGINFO; every function called here, and reading
        // atomics, is allowed in a signal handler.
        unsafe {
            // Faults have positive codes; other codes are of signals that somebody sent.
            let is_fault = (*info).si_code > 0;
            if is_fault && let Some(place) = find((*info).si_addr() as usize) {
                while SAID.swap(true, Ordering::AcqRel) {
                    libc::pause();
                }
                libc::write(libc::STDERR_FILENO, place.report.as_ptr().cast(), place.report.len());
                libc::_exit(FAILED);
            }
            // The fault comes again as soon as this returns, and finds no handler; what was sent is sent again.
            libc::signal(signal, libc::SIG_DFL);
            if !is_fault {
                libc::raise(signal);
            }
        }
    }

    /// The mapped file that an address lies in.
    fn find(address: usize) -> Option<&'static Place> {
        let mut link = &FIRST;
        while let Some(place) = link.get() {
            if place.mapped.load(Ordering::Acquire) && place.addresses.contains(&address) {
                return Some(place);
            }
            link = &place.next;
        }
        None
    }
}
