//! The folder of libtorch, written into a package's programs, tests and examples, so that they start without
//! `LD_LIBRARY_PATH`.
//!
//! For build scripts only, of packages that depend on `torch-sys` themselves: cargo tells no other where libtorch is.
//! This crate never sees libtorch.
//!
//! ```
//! idembed_rpath::write(); // the whole `main` of a `build.rs`
//! ```

/// Makes the folder of libtorch the run path of what the package links.
#[allow(clippy::print_stdout, reason = "how a build script talks to cargo")]
pub fn write() {
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    if let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
