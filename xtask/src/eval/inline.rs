//! Picture files to stand in a page, within limits: nothing is decoded, so nothing can be made smaller.

use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use idembed_page::Inlined;

/// The largest photo to stand on the page, in bytes; cameras make a few MiB.
pub(crate) const MAX_PHOTO: u64 = 16 << 20;
/// The largest picture to stand on the page, in bytes; 1024 x 1024 pixels seldom take more as PNG.
pub(crate) const MAX_PICTURE: u64 = 2 << 20;
/// All pictures together, in bytes; a browser still opens a page of a third more.
pub(crate) const MAX_PICTURES: u64 = 64 << 20;

/// Why a picture does not stand on the page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It is larger than this many bytes.
    TooLarge(u64),
    /// Other pictures took all room.
    NoRoom,
    /// It cannot be read, or no browser shows its format.
    Unknown,
}

impl Display for Absent {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(limit) => write!(formatter, "not shown: larger than {} MiB", limit >> 20),
            Self::NoRoom => formatter.write_str("not shown: the page is full"),
            Self::Unknown => formatter.write_str("not shown: not a picture that a browser shows"),
        }
    }
}

/// What is left on a page for pictures.
#[derive(Debug)]
pub(crate) struct Room {
    bytes: u64,
}

impl Room {
    /// Room for pictures of so many bytes together.
    pub(crate) fn new(bytes: u64) -> Self {
        Self { bytes }
    }

    /// A picture file, if there is room for it.
    pub(crate) fn inline(&mut self, path: &Path) -> Result<Inlined, Absent> {
        let (picture, bytes) = inline(path, MAX_PICTURE)?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or(Absent::NoRoom)?;
        Ok(picture)
    }
}

/// The pictures, in their order, until `room` bytes are taken. Those at both ends of the list come first: there are the
/// most and the least similar ones.
pub(crate) fn from_both_ends(pictures: &[&Path], room: u64) -> Vec<Result<Inlined, Absent>> {
    let mut inlined: Vec<_> = pictures.iter().map(|_| Err(Absent::NoRoom)).collect();
    let mut room = Room::new(room);
    let count = pictures.len();
    for index in (0..count).map(|turn| if turn % 2 == 0 { turn / 2 } else { count - 1 - turn / 2 }) {
        inlined[index] = room.inline(pictures[index]);
        if inlined[index] == Err(Absent::NoRoom) {
            break;
        }
    }
    inlined
}

/// A picture file with the number of its bytes, if it has at most `limit` of them.
pub(crate) fn inline(path: &Path, limit: u64) -> Result<(Inlined, u64), Absent> {
    let file = File::open(path).map_err(|_| Absent::Unknown)?;
    let mut bytes = Vec::new();
    let read = file.take(limit + 1).read_to_end(&mut bytes).map_err(|_| Absent::Unknown)? as u64;
    if read > limit {
        return Err(Absent::TooLarge(limit));
    }
    Ok((Inlined::of_file(&bytes).ok_or(Absent::Unknown)?, read))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_a_browser_does_not_show_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.png");
        fs::write(&path, "<svg>").unwrap();
        assert_eq!(inline(&path, 100), Err(Absent::Unknown));
        assert_eq!(inline(&folder.path().join("missing.png"), 100), Err(Absent::Unknown));
    }

    #[test]
    fn large_pictures_and_too_many_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.png");
        fs::write(&path, b"\x89PNG56789").unwrap();
        assert!(inline(&path, 9).is_ok());
        assert_eq!(inline(&path, 8), Err(Absent::TooLarge(8)));
        let shown = |count, room| -> Vec<bool> {
            from_both_ends(&vec![path.as_path(); count], room).iter().map(Result::is_ok).collect()
        };
        assert_eq!(shown(5, 45), [true; 5]);
        assert_eq!(shown(5, 44), [true, true, false, true, true]);
        assert_eq!(shown(4, 27), [true, true, false, true]);
        assert_eq!(shown(2, 8), [false, false]);
        assert!(shown(0, 100).is_empty());
        assert_eq!(Absent::TooLarge(MAX_PICTURE).to_string(), "not shown: larger than 2 MiB");
    }
}
