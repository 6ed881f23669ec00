//! A disk without room: a clear error, and nothing half-written.

use std::path::Path;
use std::process::Command;

use crate::program::{Place, portrait, text};

/// A file system in memory with so little room that nothing of use fits.
struct TinyDisk {
    place: Place,
}

impl TinyDisk {
    fn mount(kilobytes: u32) -> Option<TinyDisk> {
        let place = Place::new();
        std::fs::create_dir(place.path("disk")).unwrap();
        let size = format!("size={kilobytes}k");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(place.path("disk")).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(TinyDisk { place });
        }
        println!("skipped: only root may mount a small file system");
        None
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.place.path("disk")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let path: &Path = &self.place.path("disk");
        let _ = Command::new("umount").arg(path).status();
    }
}

#[test]
fn pictures_are_whole_or_not_there() {
    let Some(disk) = TinyDisk::mount(16) else { return };
    let said = disk.place.run(&["generate", "a man", "--steps=1", "--out=disk", "--size=256x256"]);
    said.is_clear_error(1, &["cannot write `disk/0.png`", "No space left", "hint: make room on the disk"]);
    assert_eq!(disk.files(), [""; 0]);
}

#[test]
fn an_identity_is_whole_or_not_there() {
    let Some(disk) = TinyDisk::mount(16) else { return };
    let said = disk.place.run(&["learn", "--no-face", text(&portrait()), "--name=me", "--steps=1", "--out=disk/me"]);
    said.is_clear_error(1, &["cannot write `disk/me.ckpt`", "No space left", "hint: make room on the disk"]);
    assert_eq!(disk.files(), [""; 0]);
}
