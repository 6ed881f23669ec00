//! Writes the folder of libtorch into every program linked here, so that it starts without `LD_LIBRARY_PATH`.
//!
//! Shared by all packages of the workspace that link libtorch.

fn main() {
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    if let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
