//! Writes the folder of libtorch into what is linked here.

fn main() {
    idembed_rpath::write();
}
