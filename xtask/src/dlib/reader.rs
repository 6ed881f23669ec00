//! The values that dlib's serialization is made of.

use anyhow::{Result, bail, ensure};

/// Reads values one after the other.
///
/// No count is believed that the rest of the file could not hold, so nothing larger than the file is ever asked for.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A tensor of dlib: four sizes, and its numbers where they lie, little-endian f32.
#[derive(Debug, PartialEq)]
pub(super) struct Numbers<'a> {
    pub(super) sizes: [usize; 4],
    pub(super) data: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A whole number: a byte with the count of bytes and the sign, then its bytes, the smallest first.
    pub(super) fn integer(&mut self) -> Result<i64> {
        let start = self.at;
        let control = self.take(1)?[0];
        let (negative, count) = (control & 0x80 != 0, usize::from(control & 0x0f));
        // Where the other bits are set, dlib's older format, numbers as text, begins.
        if control & 0x70 != 0 || !(1..=8).contains(&count) {
            bail!("byte {start}: no whole number begins with {control:#04x}");
        }
        let mut bytes = [0; 8];
        bytes[..count].copy_from_slice(self.take(count)?);
        let Ok(value) = i64::try_from(u64::from_le_bytes(bytes)) else {
            bail!("byte {start}: a whole number of more than 63 bits");
        };
        Ok(if negative { -value } else { value })
    }

    /// A whole number that can only be one: a version, a size of the known architecture.
    pub(super) fn expect(&mut self, what: &str, expected: i64) -> Result<()> {
        let start = self.at;
        let found = self.integer()?;
        ensure!(found == expected, "byte {start}: {what} is {found}, expected {expected}");
        Ok(())
    }

    /// A whole number from `least` to `most`.
    pub(super) fn integer_in(&mut self, what: &str, least: usize, most: usize) -> Result<usize> {
        let start = self.at;
        let found = self.integer()?;
        match usize::try_from(found) {
            Ok(value) if (least..=most).contains(&value) => Ok(value),
            _ => bail!("byte {start}: {what} is {found}, expected {least} to {most}"),
        }
    }

    /// How many elements follow, each of at least `bytes` bytes.
    pub(super) fn count(&mut self, what: &str, bytes: usize) -> Result<usize> {
        let most = (self.bytes.len() - self.at) / bytes;
        self.integer_in(&format!("the number of {what}"), 1, most)
    }

    /// A number as a whole one times a power of two.
    pub(super) fn float(&mut self) -> Result<f32> {
        let start = self.at;
        let (mantissa, exponent) = (self.integer()?, self.integer()?);
        // Beyond lie infinities and what is no number, which dlib writes as exponents of 32000 and more.
        ensure!(exponent.unsigned_abs() < 1000, "byte {start}: a number that is not finite");
        let value = (mantissa as f64 * 2_f64.powi(exponent as i32)) as f32;
        ensure!(value.is_finite(), "byte {start}: a number that does not fit into 32 bits");
        Ok(value)
    }

    /// A flag, written as a digit.
    pub(super) fn flag(&mut self) -> Result<bool> {
        let start = self.at;
        match self.take(1)? {
            b"0" => Ok(false),
            b"1" => Ok(true),
            other => bail!("byte {start}: {:#04x} is no flag", other[0]),
        }
    }

    /// The name of a part and its version, which can only be one.
    pub(super) fn name(&mut self, expected: &str) -> Result<()> {
        let start = self.at;
        let length = self.count("letters", 1)?;
        let found = self.take(length)?;
        ensure!(found == expected.as_bytes(), "byte {start}: `{}`, expected `{expected}`", found.escape_ascii());
        Ok(())
    }

    /// A tensor.
    pub(super) fn numbers(&mut self) -> Result<Numbers<'a>> {
        self.expect("the version of a tensor", 2)?;
        let start = self.at;
        let sizes = self.sizes()?;
        let length = sizes.iter().try_fold(4_usize, |product, &size| product.checked_mul(size));
        let Some(length) = length.filter(|&length| length <= self.bytes.len() - self.at) else {
            bail!("byte {start}: a tensor of {sizes:?} is larger than the rest of the file");
        };
        let data = self.take(length)?;
        let finite = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes).is_finite();
        ensure!(data.as_chunks().0.iter().all(finite), "byte {start}: a tensor with numbers that are not finite");
        Ok(Numbers { sizes, data })
    }

    /// The four sizes of a tensor.
    pub(super) fn sizes(&mut self) -> Result<[usize; 4]> {
        let mut sizes = [0; 4];
        for size in &mut sizes {
            *size = self.integer_in("a size", 0, u32::MAX as usize)?;
        }
        Ok(sizes)
    }

    /// The file must end here.
    pub(super) fn finish(self) -> Result<()> {
        let left = self.bytes.len() - self.at;
        ensure!(left == 0, "byte {}: {left} bytes are left over", self.at);
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        ensure!(count <= rest.len(), "byte {}: the file ends too early", self.at);
        self.at += count;
        Ok(&rest[..count])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(bytes: &[u8]) -> Result<i64> {
        let mut reader = Reader::new(bytes);
        let value = reader.integer()?;
        reader.finish().map(|()| value)
    }

    #[test]
    fn whole_numbers_are_as_dlib_packs_them() {
        assert_eq!(integer(&[0x01, 0x00]).unwrap(), 0);
        assert_eq!(integer(&[0x02, 0x80, 0x12]).unwrap(), 4736);
        assert_eq!(integer(&[0x81, 0x0a]).unwrap(), -10);
        let largest = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(integer(&largest).unwrap(), i64::MAX);
        let mut larger = largest;
        larger[8] = 0x80;
        for (bytes, expected) in [
            (&[][..], "byte 0: the file ends too early"),
            (&[0x02, 0x80], "byte 1: the file ends too early"),
            (&[0x00], "byte 0: no whole number begins with 0x00"),
            (&[0x09, 1, 2, 3, 4, 5, 6, 7, 8, 9], "begins with 0x09"),
            // The text `12 `, as before 2010.
            (b"12 ", "begins with 0x31"),
            (&larger, "more than 63 bits"),
            (&[0x01, 0x00, 0x00], "byte 2: 1 bytes are left over"),
        ] {
            let error = integer(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "no `{expected}` in {error}");
        }
    }

    #[test]
    fn numbers_are_a_mantissa_and_an_exponent() {
        let float = |bytes: &[u8]| Reader::new(bytes).float().map_err(|error| error.to_string());
        assert_eq!(float(&[0x03, 0x0a, 0xd7, 0xa3, 0x81, 0x1c]), Ok(0.04));
        assert_eq!(float(&[0x01, 0x10, 0x81, 0x04]), Ok(1.0));
        assert_eq!(float(&[0x81, 0x03, 0x01, 0x01]), Ok(-6.0));
        // 32002 is no number, 1 * 2^200 none of 32 bits.
        assert!(float(&[0x01, 0x00, 0x02, 0x02, 0x7d]).unwrap_err().contains("not finite"));
        assert!(float(&[0x01, 0x01, 0x01, 0xc8]).unwrap_err().contains("does not fit"));
    }

    #[test]
    fn a_count_is_bounded_by_the_file() {
        let huge = [0x04, 0xff, 0xff, 0xff, 0x7f, 1, 1, 1];
        let error = Reader::new(&huge).count("trees", 1).unwrap_err().to_string();
        assert_eq!(error, "byte 0: the number of trees is 2147483647, expected 1 to 8");
        // 2^31 numbers in each of three dimensions.
        let size = [0x04, 0x00, 0x00, 0x00, 0x80];
        let tensor = [&[0x01, 0x02][..], &size, &size, &size, &[0x01, 0x01]].concat();
        let error = Reader::new(&tensor).numbers().unwrap_err().to_string();
        assert!(error.contains("is larger than the rest of the file"), "{error}");
        assert!(Reader::new(&[0x81, 0x01]).count("trees", 1).is_err());
    }

    #[test]
    fn a_tensor_lies_where_it_is() {
        let sizes = [0x01, 0x02, 0x01, 0x01, 0x01, 0x02, 0x01, 0x01, 0x01, 0x01];
        let data: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let bytes = [&sizes[..], &data].concat();
        assert_eq!(Reader::new(&bytes).numbers().unwrap(), Numbers { sizes: [1, 2, 1, 1], data: &data });
        let nan = [&sizes[..], &data[..4], &f32::NAN.to_le_bytes()].concat();
        assert!(Reader::new(&nan).numbers().unwrap_err().to_string().contains("not finite"));
    }

    #[test]
    fn flags_and_names_are_text() {
        let mut reader = Reader::new(b"10\x01\x05relu_x");
        assert!(reader.flag().unwrap() && !reader.flag().unwrap());
        reader.name("relu_").unwrap();
        assert!(reader.flag().unwrap_err().to_string().contains("byte 9: 0x78 is no flag"));
        let error = Reader::new(b"\x01\x05con_5").name("con_4").unwrap_err().to_string();
        assert_eq!(error, "byte 0: `con_5`, expected `con_4`");
    }
}
