//! The program against a server on this machine: what can go wrong on the way, and that nothing wrong stays.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests stop at the first surprise and say why they skip")]

mod disk;
mod fetching;
mod pickles;
mod place;
mod refusals;
mod resuming;
mod server;
mod tls;
mod together;
