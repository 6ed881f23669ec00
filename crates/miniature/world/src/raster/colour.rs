//! Colours as they are stored in a picture, with opacity.

use super::noise::mix;

/// Red, green, blue from 0 to 1 in sRGB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rgb(pub(crate) [f32; 3]);

/// A colour and how much of it covers what lies below.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    pub(crate) colour: Rgb,
    pub(crate) opacity: f32,
}

impl Rgb {
    pub(crate) const WHITE: Rgb = Rgb([1.0; 3]);
    pub(crate) const BLACK: Rgb = Rgb([0.0; 3]);

    /// From `0xRRGGBB`.
    pub(crate) const fn hex(code: u32) -> Rgb {
        Rgb([(code >> 16 & 255) as f32 / 255.0, (code >> 8 & 255) as f32 / 255.0, (code & 255) as f32 / 255.0])
    }

    /// From this colour at 0 to the other at 1.
    pub(crate) fn mix(self, other: Rgb, t: f32) -> Rgb {
        Rgb(std::array::from_fn(|channel| mix(self.0[channel], other.0[channel], t)))
    }

    /// All channels times a factor.
    pub(crate) fn lit(self, factor: f32) -> Rgb {
        Rgb(self.0.map(|value| value * factor))
    }

    /// Channel by channel.
    pub(crate) fn times(self, other: Rgb) -> Rgb {
        Rgb(std::array::from_fn(|channel| self.0[channel] * other.0[channel]))
    }

    /// Brightness as the eye weighs it (Rec. 709).
    pub(crate) fn luma(self) -> f32 {
        let [red, green, blue] = self.0;
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// Stronger (above 1) or paler (below 1).
    pub(crate) fn saturated(self, factor: f32) -> Rgb {
        let grey = self.luma();
        Rgb(self.0.map(|value| mix(grey, value, factor)))
    }

    /// This colour as a veil.
    pub(crate) fn veil(self, opacity: f32) -> Paint {
        Paint { colour: self, opacity }
    }

    /// Rounded to bytes.
    pub(crate) fn bytes(self) -> [u8; 3] {
        self.0.map(byte)
    }
}

/// A share from 0 to 1 as a byte: the nearest, as casting cuts off what lies above a whole number, and at the ends.
pub(super) fn byte(share: f32) -> u8 {
    (share * 255.0 + 0.5) as u8
}

impl From<Rgb> for Paint {
    fn from(colour: Rgb) -> Paint {
        colour.veil(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_bytes_again() {
        assert_eq!(Rgb::hex(0x12_80_FF).bytes(), [0x12, 0x80, 0xFF]);
        assert_eq!(Rgb([-1.0, 2.0, 0.5]).bytes(), [0, 255, 128]);
        assert!((Rgb::WHITE.luma() - 1.0).abs() < 1e-6);
    }
}
