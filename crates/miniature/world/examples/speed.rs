//! Pictures per second on one core: `cargo run --release -p idembed-world --example speed -- 2000`.
#![allow(clippy::print_stdout, reason = "a command-line program")]

use std::time::Instant;

use anyhow::{Context as _, Result};
use idembed_world::factors::Style;
use idembed_world::{SIDE, Sample, draw};

fn main() -> Result<()> {
    let count = match std::env::args().nth(1) {
        Some(text) => text.parse().context("the number of pictures is a whole number")?,
        None => 1000,
    };
    measure("as in training", count, None)?;
    for style in Style::ALL {
        measure(style.phrase(), count / 4, Some(style))?;
    }
    Ok(())
}

fn measure(what: &str, count: u64, style: Option<Style>) -> Result<()> {
    let start = Instant::now();
    for seed in 0..count {
        let mut sample = Sample::training(seed);
        sample.style = style.unwrap_or(sample.style);
        draw(&sample, SIDE)?;
    }
    println!("{what:28} {:6.0} pictures per second", count as f64 / start.elapsed().as_secs_f64());
    Ok(())
}
