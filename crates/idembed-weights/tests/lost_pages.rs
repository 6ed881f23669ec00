//! Processes whose mapped files lose their pages. Each runs this test's own program again.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

use idembed_weights::{Compute, Init, TensorFile, Weights, announce_lost_pages};
use tch::{Device, Kind, Tensor};

const CASE: &str = "IDEMBED_TEST_CASE";
const FOLDER: &str = "IDEMBED_TEST_FOLDER";
const NUMBERS: i64 = 100_000;

/// Runs one of the cases below in a process of its own.
fn run(case: &str, folder: &Path) -> Output {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["--exact", "in_a_process_of_its_own", "--nocapture"]).current_dir(folder);
    command.env(CASE, case).env(FOLDER, folder).output().unwrap()
}

#[test]
fn in_a_process_of_its_own() {
    let (Some(case), Some(folder)) = (std::env::var_os(CASE), std::env::var_os(FOLDER)) else { return };
    let path = Path::new(&folder).join("weights.safetensors");
    match case.to_str().unwrap() {
        "not announced" => read_cut(&path),
        "this thread" => {
            announce_lost_pages();
            read_cut(&path);
        }
        "another thread" => {
            announce_lost_pages();
            std::thread::spawn(move || read_cut(&path)).join().unwrap();
        }
        "another file" => {
            announce_lost_pages();
            // Something is known, but it is not what is lost.
            let _known = weights(&path);
            let empty = tempfile::tempfile().unwrap();
            // SAFETY: a map at a place that the system chooses.
            let page = unsafe {
                libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_PRIVATE, empty.as_raw_fd(), 0)
            };
            assert_ne!(page, libc::MAP_FAILED);
            // SAFETY: mapped just above, one page beyond the end of an empty file.
            std::hint::black_box(unsafe { std::ptr::read_volatile(page.cast::<u8>()) });
        }
        "the same addresses later" => {
            announce_lost_pages();
            let address = {
                let weights = weights(&path);
                tensor(&weights).data_ptr() as usize
            };
            let (page, empty) = (address & !0xfff, tempfile::tempfile().unwrap());
            // SAFETY: an anonymous map where the file's was; the system may refuse the place, never take another's.
            let again = unsafe {
                libc::mmap(
                    page as *mut _,
                    4096,
                    libc::PROT_READ,
                    libc::MAP_PRIVATE | libc::MAP_FIXED_NOREPLACE,
                    empty.as_raw_fd(),
                    0,
                )
            };
            assert_eq!(again as usize, page, "the old addresses are free");
            // SAFETY: mapped just above, one page beyond the end of an empty file.
            std::hint::black_box(unsafe { std::ptr::read_volatile(page as *const u8) });
        }
        other => panic!("no case `{other}`"),
    }
}

fn weights(path: &Path) -> Weights {
    Weights::open_file(path, Compute::CPU_F32).unwrap()
}

fn tensor(weights: &Weights) -> Tensor {
    weights.root().tensor("x", &[NUMBERS], Init::ZEROS).unwrap()
}

fn cut(path: &Path) {
    File::options().write(true).open(path).unwrap().set_len(0).unwrap();
}

/// Cuts the file short while a tensor lies in its map, and reads the tensor.
fn read_cut(path: &Path) {
    let weights = weights(path);
    let tensor = tensor(&weights);
    cut(path);
    std::hint::black_box(tensor.sum(Kind::Float).double_value(&[]));
}

/// A folder with a weight file.
fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut file = TensorFile::default();
    file.tensors.insert("x".to_owned(), Tensor::ones([NUMBERS], (Kind::Float, Device::Cpu)));
    file.write(&folder.path().join("weights.safetensors")).unwrap();
    folder
}

#[test]
fn a_lost_page_of_weights_is_an_error_on_any_thread() {
    for case in ["this thread", "another thread"] {
        let place = place();
        let output = run(case, place.path());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{case}: {stderr}");
        let expected = format!(
            "error: cannot read `{}`\n  caused by: the file was cut short while it was in use, or its disk failed\n\n\
             hint: put the whole file back, and let nothing change it while it is in use\n",
            place.path().join("weights.safetensors").display()
        );
        assert_eq!(stderr, expected, "{case}");
    }
}

#[test]
fn any_other_bus_error_kills_as_ever() {
    for case in ["not announced", "another file", "the same addresses later"] {
        let output = run(case, place().path());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.signal(), Some(libc::SIGBUS), "{case}: {stderr}");
        assert!(!stderr.contains("error: "), "{case}: {stderr}");
    }
}
