//! Picture sizes as users type them.

use std::fmt;
use std::str::FromStr;

/// Both sides must be multiples of this: one latent stands for so many pixels in every Stable Diffusion.
pub(crate) const UNIT: u32 = 8;
/// The longest side that is accepted.
pub(crate) const LONGEST: u32 = 4096;

/// Sizes that SDXL was trained on, those that are lower than wide: all have about as many pixels.
///
/// # Source
/// arXiv 2307.01952, appendix I.
const XL_SIZES: [Size; 21] = [
    Size { width: 2048, height: 512 },
    Size { width: 1984, height: 512 },
    Size { width: 1920, height: 512 },
    Size { width: 1856, height: 512 },
    Size { width: 1792, height: 576 },
    Size { width: 1728, height: 576 },
    Size { width: 1664, height: 576 },
    Size { width: 1600, height: 640 },
    Size { width: 1536, height: 640 },
    Size { width: 1472, height: 704 },
    Size { width: 1408, height: 704 },
    Size { width: 1344, height: 704 },
    Size { width: 1344, height: 768 },
    Size { width: 1280, height: 768 },
    Size { width: 1216, height: 832 },
    Size { width: 1152, height: 832 },
    Size { width: 1152, height: 896 },
    Size { width: 1088, height: 896 },
    Size { width: 1088, height: 960 },
    Size { width: 1024, height: 960 },
    Size { width: 1024, height: 1024 },
];
/// How far from their number of pixels a size may be before pictures suffer; a choice.
const XL_TOLERANCE: f64 = 1.25;

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

    /// Of the sizes that SDXL was trained on, the one of the most similar shape; none if this has about as many pixels.
    pub(crate) fn nearest_of_xl(self) -> Option<Size> {
        let pixels = |size: Size| f64::from(size.width) * f64::from(size.height);
        let ratio = pixels(self) / pixels(Size::square(1024));
        if (1.0 / XL_TOLERANCE..=XL_TOLERANCE).contains(&ratio) {
            return None;
        }
        let shape = |size: Size| (f64::from(size.width) / f64::from(size.height)).ln();
        let turned = |size: &Size| Size { width: size.height, height: size.width };
        let sizes = XL_SIZES.iter().copied().chain(XL_SIZES.iter().map(turned));
        sizes.min_by(|a, b| (shape(*a) - shape(self)).abs().total_cmp(&(shape(*b) - shape(self)).abs()))
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
    fn sdxl_likes_some_sizes() {
        let nearest = |text: &str| text.parse::<Size>().unwrap().nearest_of_xl().map(|size| size.to_string());
        assert_eq!(nearest("512x512").as_deref(), Some("1024x1024"));
        assert_eq!(nearest("512x768").as_deref(), Some("832x1216"));
        assert_eq!(nearest("1920x1080").as_deref(), Some("1344x768"));
        assert_eq!(nearest("4096x512").as_deref(), Some("2048x512"));
        assert_eq!([nearest("832x1216"), nearest("1024x1024"), nearest("1000x1000")], [None, None, None]);
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
