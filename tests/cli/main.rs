//! The command line as a user meets it.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
