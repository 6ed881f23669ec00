//! Errors that end with a hint, and the one place where errors become text.

use std::fmt::{self, Display, Formatter, Write as _};

/// An error, or the context of one, with what to do about it.
#[derive(Debug)]
pub struct Hinted {
    message: String,
    hint: String,
}

impl Hinted {
    /// An error `message` (no capital, no full stop) with a `hint` (the same).
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl Display for Hinted {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Hinted {}

/// `error: ...`, one indented line for each cause, and the hint of the outermost error that has one.
pub fn render(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        let _ = writeln!(text, "  caused by: {cause}");
    }
    if let Some(hinted) = error.downcast_ref::<Hinted>() {
        let _ = writeln!(text, "\nhint: {}", hinted.hint);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_indented_and_the_hint_comes_last() {
        let error =
            anyhow::anyhow!("no route").context(Hinted::new("cannot fetch", "try later")).context("set-up failed");
        assert_eq!(
            render(&error),
            "error: set-up failed\n  caused by: cannot fetch\n  caused by: no route\n\nhint: try later\n"
        );
    }

    #[test]
    fn an_error_without_hint_has_none() {
        assert_eq!(render(&anyhow::anyhow!("plain")), "error: plain\n");
    }
}
