//! The parity tests once more, computed as processors that know fewer instructions compute them.
//!
//! libtorch, oneDNN and MKL each choose their loops by the processor at hand, and with the loops the order in which
//! numbers are added. Each has a variable of the environment that makes it choose as if on a lesser processor.

use anyhow::{Result, ensure};

use crate::parity;

/// A kind of processor, and what makes libtorch and its libraries compute like one.
struct Processor {
    name: &'static str,
    /// Whether this processor can stand in for it: libtorch takes the variable's word without a check.
    is_within: fn() -> bool,
    environment: [(&'static str, &'static str); 3],
}

/// As in `cargo xtask test`, no test may skip; the tests themselves run side by side.
const COMMON: [(&str, &str); 2] = [("IDEMBED_REQUIRE_WEIGHTS", "1"), ("OMP_NUM_THREADS", "1")];

/// The test modules whose results no instruction set touches.
const UNTOUCHED: [&str; 2] = ["tokenizer::", "weights::"];

const LESSER: [Processor; 2] = [
    Processor {
        name: "AVX2, no AVX-512",
        is_within: has_avx2,
        environment: [("ATEN_CPU_CAPABILITY", "avx2"), ("ONEDNN_MAX_CPU_ISA", "AVX2"), ("MKL_CBWR", "AVX2")],
    },
    Processor {
        name: "SSE 4.1, no AVX",
        is_within: || true,
        environment: [("ATEN_CPU_CAPABILITY", "default"), ("ONEDNN_MAX_CPU_ISA", "SSE41"), ("MKL_CBWR", "COMPATIBLE")],
    },
];

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

/// Repeats the parity tests as each lesser processor.
///
/// # Errors
/// When the tests cannot be run, and when a comparison fails, after all processors had their turn.
pub(crate) fn repeat() -> Result<()> {
    let mut failed = Vec::new();
    let skip: Vec<&str> = UNTOUCHED.iter().flat_map(|name| ["--skip", *name]).collect();
    for processor in &LESSER {
        if !(processor.is_within)() {
            println!("parity as on a processor with {}: skipped, this one cannot stand in for it", processor.name);
            continue;
        }
        println!("parity as on a processor with {}", processor.name);
        let (figures, passed) = parity::figures(&skip, processor.environment.into_iter().chain(COMMON))?;
        println!("{}", parity::summary(&figures));
        if !passed {
            failed.push(processor.name);
        }
    }
    ensure!(failed.is_empty(), "the parity tests fail as on a processor with {}", failed.join("; with "));
    Ok(())
}
