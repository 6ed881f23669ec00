//! Picture sizes as users type them.

use std::fmt;
use std::str::FromStr;

/// Both sides must be multiples of this: one latent stands for so many pixels in every Stable Diffusion 1.x and 2.x.
pub(crate) const UNIT: u32 = 8;
/// The longest side that is accepted.
const LONGEST: u32 = 4096;

/// Width and height in pixels, written `WxH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// A square.
    pub fn square(side: i64) -> Size {
        let side = u32::try_from(side).unwrap_or(LONGEST);
        Size { width: side, height: side }
    }

    fn each_side(self, change: impl Fn(u32) -> u32) -> Size {
        Size { width: change(self.width), height: change(self.height) }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let numbers = text.split_once(['x', 'X']).and_then(|(width, height)| {
            let number = |text: &str| text.trim().parse().ok();
            Some(Size { width: number(width)?, height: number(height)? })
        });
        let size = numbers.ok_or("expected WIDTHxHEIGHT in pixels, such as 512x512")?;
        let range = UNIT..=LONGEST;
        if !range.contains(&size.width) || !range.contains(&size.height) {
            return Err(format!("each side must have {UNIT} to {LONGEST} pixels"));
        }
        if size.width.is_multiple_of(UNIT) && size.height.is_multiple_of(UNIT) {
            return Ok(size);
        }
        let (below, above) =
            (size.each_side(|side| side / UNIT * UNIT), size.each_side(|side| side.next_multiple_of(UNIT)));
        Err(format!("both sides must be divisible by {UNIT}; the nearest sizes are {below} and {above}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!("512x768".parse(), Ok(Size { width: 512, height: 768 }));
        assert_eq!("128X64".parse(), Ok(Size { width: 128, height: 64 }));
        assert_eq!("512x768".parse::<Size>().map(|size| size.to_string()), Ok("512x768".to_owned()));
    }

    #[test]
    fn the_nearest_sizes_are_named() {
        let error = |text: &str| text.parse::<Size>().unwrap_err();
        let nearest = "both sides must be divisible by 8; the nearest sizes are 496x496 and 504x504";
        assert_eq!(error("500x500"), nearest);
        assert!(error("512x500").ends_with("512x496 and 512x504"));
        for text in ["", "512", "512x", "x512", "axb", "-8x8", "8.5x8", "512*512", "99999999999x8"] {
            assert!(error(text).contains("such as 512x512"), "{text}");
        }
        for text in ["0x8", "8x4104", "4x8"] {
            assert!(error(text).contains("8 to 4096"), "{text}");
        }
    }
}
