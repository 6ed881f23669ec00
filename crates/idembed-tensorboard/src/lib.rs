//! Event files that TensorBoard shows: numbers and pictures over steps.
//!
//! It knows files and nothing of what the numbers mean.
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! use idembed_tensorboard::EventWriter;
//!
//! let mut writer = EventWriter::create(folder.path())?;
//! writer.scalars(1, &[("loss/noise", 0.25), ("learning rate", 1e-3)])?;
//! # Ok::<(), std::io::Error>(())
//! ```
//! `tensorboard --logdir FOLDER` shows the folder's files, also while they grow.

mod event;
mod record;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use event::{Content, Event, Picture, Summary, Value, What};
use prost::Message as _;

/// The version of the format that is written first in every file.
const VERSION: &str = "brain.Event:2";

/// Writes one event file.
///
/// Each event is one write at the end of the file, so that a reader, or whoever looks after a kill, sees whole events and at
/// most one that is cut, which TensorBoard skips.
#[derive(Debug)]
pub struct EventWriter {
    file: File,
    path: PathBuf,
    /// Tells the time in seconds since 1970.
    clock: fn() -> f64,
}

impl EventWriter {
    /// A new file in a folder, which is made if it is not there. Older files in it stay: TensorBoard reads all of them.
    ///
    /// # Errors
    /// The folder or the file cannot be made.
    pub fn create(folder: &Path) -> io::Result<Self> {
        Self::with_clock(folder, now)
    }

    fn with_clock(folder: &Path, clock: fn() -> f64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let seconds = clock() as u64;
        let process = std::process::id();
        let mut number = 0;
        let (file, path) = loop {
            let path = folder.join(format!("events.out.tfevents.{seconds:010}.idembed.{process}.{number}"));
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => break (file, path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        };
        let mut writer = EventWriter { file, path, clock };
        writer.write(0, What::FileVersion(VERSION.to_owned()))?;
        Ok(writer)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds numbers of a step, each with its tag; what is before a slash in a tag groups the charts.
    ///
    /// # Errors
    /// What the system says.
    pub fn scalars(&mut self, step: usize, values: &[(&str, f64)]) -> io::Result<()> {
        let value = |(tag, value): &(&str, f64)| Value {
            tag: (*tag).to_owned(),
            content: Some(Content::Simple(*value as f32)),
        };
        self.write(step, What::Summary(Summary { values: values.iter().map(value).collect() }))
    }

    /// Adds a picture of a step.
    ///
    /// `png` is the file of an RGB picture of `width` by `height` pixels.
    ///
    /// # Errors
    /// What the system says.
    pub fn picture(&mut self, step: usize, tag: &str, (width, height): (u32, u32), png: Vec<u8>) -> io::Result<()> {
        let picture = Picture { height: height as i32, width: width as i32, channels: 3, encoded: png };
        let value = Value { tag: tag.to_owned(), content: Some(Content::Picture(picture)) };
        self.write(step, What::Summary(Summary { values: vec![value] }))
    }

    fn write(&mut self, step: usize, what: What) -> io::Result<()> {
        let event = Event { wall_time: (self.clock)(), step: step as i64, what: Some(what) };
        self.file.write_all(&record::framed(&event.encode_to_vec()))
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    /// What `tensorboard` 2.20 itself writes for these events (`tests/events.py`).
    const EXPECTED: &[u8] = include_bytes!("../tests/events.tfevents");

    #[test]
    fn the_bytes_are_those_of_tensorboard() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::with_clock(folder.path(), || 1234.5).unwrap();
        writer.scalars(1, &[("loss/noise", 0.25)]).unwrap();
        writer.scalars(300, &[("loss/noise", -1e-3), ("learning rate", 0.0)]).unwrap();
        writer.picture(300, "drawn/a photo of <me>", (3, 2), vec![1, 2, 3]).unwrap();
        assert_eq!(fs::read(writer.path()).unwrap(), EXPECTED);
    }

    #[test]
    fn every_writer_has_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [0, 1].map(|_| EventWriter::create(&folder.path().join("new/run")).unwrap().path().to_owned());
        assert_ne!(paths[0], paths[1]);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(EventWriter::create(&file).is_err());
    }
}
