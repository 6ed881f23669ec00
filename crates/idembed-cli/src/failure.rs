//! The one place where errors become text: what failed, why, and what helps.

use std::error::Error;
use std::fmt::{self, Display, Formatter, Write as _};

use crate::hints;

/// Exit status of a command that failed.
pub(crate) const FAILED: u8 = 1;
/// Exit status of a command that was called wrongly.
const WRONG_USAGE: u8 = 2;

/// An error, or the context of one, with what to do about it.
#[derive(Debug)]
pub(crate) struct Hinted {
    message: String,
    hint: String,
}

impl Hinted {
    /// An error `message` (no capital, no full stop) with a `hint` (the same).
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Hinted {
        Hinted { message: message.into(), hint: hint.into() }
    }
}

impl Display for Hinted {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl Error for Hinted {}

/// Flags that contradict each other; what clap cannot see by itself.
#[derive(Debug)]
pub(crate) struct WrongUsage(pub(crate) String);

impl Display for WrongUsage {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Error for WrongUsage {}

/// The error of a wrong call.
pub(crate) fn wrong_usage(message: impl Into<String>) -> anyhow::Error {
    WrongUsage(message.into()).into()
}

/// `error: ...`, one indented line for each cause, and the outermost hint.
pub(crate) fn render(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        let _ = writeln!(text, "  caused by: {cause}");
    }
    if let Some(hint) = hint(error) {
        let _ = writeln!(text, "\nhint: {hint}");
    }
    text
}

/// The status to end the program with.
pub(crate) fn exit_status(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<WrongUsage>().is_some() { WRONG_USAGE } else { FAILED }
}

fn hint(error: &anyhow::Error) -> Option<String> {
    if error.downcast_ref::<WrongUsage>().is_some() {
        return Some("`idembed help COMMAND` explains the flags".to_owned());
    }
    let hinted = error.downcast_ref::<Hinted>().map(|hinted| hinted.hint.clone());
    hinted.or_else(|| error.chain().find_map(hints::of))
}

/// Turns the message of a panic, which is a mistake in this program, into an error like all others.
pub(crate) fn announce_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let what = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let what = what.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        let place = panic.location().map(|place| format!(" ({}:{})", place.file(), place.line())).unwrap_or_default();
        eprintln!("error: internal error: {what}{place}\n\nhint: this is a mistake in idembed; please report it");
    }));
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use idembed_tokens::TokensError;

    use super::*;

    #[test]
    fn causes_are_indented_and_the_outermost_hint_comes_last() {
        let inner = TokensError::UnknownIdentity { name: "me".to_owned(), given: Vec::new() };
        let error = anyhow::Error::new(inner).context("cannot read the prompt");
        assert_eq!(
            render(&error),
            "error: cannot read the prompt\n  caused by: the prompt names <me>, but no identity was given\n\n\
             hint: give it with --identity me=FILE, or an embedding of another tool with --embedding me=FILE\n"
        );
        let outer = error.context(Hinted::new("cannot draw", "try a shorter prompt"));
        assert!(render(&outer).ends_with("\nhint: try a shorter prompt\n"));
        assert_eq!(exit_status(&outer), FAILED);
    }

    #[test]
    fn a_full_disk_has_a_hint() {
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge] {
            let full = std::io::Error::from(kind);
            assert!(render(&anyhow::Error::new(full).context("cannot write `a`")).contains("hint: make room"));
        }
        assert_eq!(render(&anyhow::anyhow!("plain")), "error: plain\n");
    }

    #[test]
    fn wrong_usage_has_its_own_status() {
        let error = wrong_usage("--masked-noise needs --mask");
        assert_eq!(exit_status(&error), WRONG_USAGE);
        assert!(render(&error).starts_with("error: --masked-noise needs --mask\n"));
    }
}
