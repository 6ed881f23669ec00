//! The frame of an event in its file: length and checksums, as TensorFlow's record files have them.

/// What is added to a checksum after its bits were turned, so that the checksum of data that hold one is no special case.
const MASK: u32 = 0xa282_ead8;

/// The bytes with their length before them, and a checksum behind each.
///
/// # Source
/// The description of the format in TensorFlow's documentation ("TFRecord and tf.train.Example").
pub(crate) fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), data, &masked(data)].concat()
}

fn masked(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(MASK).to_le_bytes()
}
