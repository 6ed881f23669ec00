//! The boxes of an ISO base media file: HEIC, AVIF and videos are such files.
//!
//! Their decoders read the boxes themselves; here they only tell the kind of file and what must be said about it.
//!
//! # Source
//! ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (brands, `irot`, `imir`).

/// What a file is, by its brands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Pictures coded by HEVC: what phones write.
    Heic,
    /// Pictures coded by AV1.
    Avif,
    /// Pictures coded by something else.
    Heif,
    /// No picture.
    Video,
}

/// One box: its kind and what is in it.
struct IsoBox<'a> {
    kind: [u8; 4],
    content: &'a [u8],
    /// Whether the box says that it is longer than the file.
    cut_short: bool,
}

/// The family of a file that starts with `head`; `None` if it is no ISO base media file.
///
/// Writers name a brand for any kind of picture first as often as one for the coding, so all brands count: the major one,
/// then those that the file is said to be compatible with.
pub(crate) fn family(head: &[u8]) -> Option<Family> {
    let brands = boxes(head).next().filter(|first| &first.kind == b"ftyp")?.content;
    let major = brands.get(..4)?;
    let mut compatible = brands.get(8..).unwrap_or_default().chunks_exact(4);
    let coded = |brand: &[u8]| match brand {
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => Some(Family::Heic),
        b"avif" | b"avis" => Some(Family::Avif),
        _ => None,
    };
    let any_picture = |brand: &[u8]| matches!(brand, b"mif1" | b"mif2" | b"msf1");
    let family = coded(major).or_else(|| any_picture(major).then(|| compatible.find_map(coded))?);
    Some(family.unwrap_or(if any_picture(major) { Family::Heif } else { Family::Video }))
}

/// Whether the file ends inside a box, or before the one that describes the picture.
pub(crate) fn is_cut_short(bytes: &[u8]) -> bool {
    boxes(bytes).any(|one| one.cut_short) || !boxes(bytes).any(|one| &one.kind == b"meta")
}

/// What a file says about how its picture is to be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turning {
    /// It is to be turned or mirrored.
    pub(crate) any: bool,
    /// Its width becomes its height.
    pub(crate) on_its_side: bool,
}

/// How the picture in a file is to be seen; the decoder sees to it.
pub(crate) fn turning(bytes: &[u8]) -> Turning {
    let find = |bytes, kind: &[u8; 4]| boxes(bytes).find(|one| one.kind == *kind).map(|one| one.content);
    // `meta` begins with a version and flags.
    let properties = find(bytes, b"meta")
        .and_then(|meta| find(meta.get(4..)?, b"iprp"))
        .and_then(|properties| find(properties, b"ipco"))
        .unwrap_or_default();
    let mut turning = Turning::default();
    for property in boxes(properties) {
        let quarters = if &property.kind == b"irot" { property.content.first().map_or(0, |turn| turn % 4) } else { 0 };
        turning.any |= quarters != 0 || &property.kind == b"imir";
        turning.on_its_side |= quarters % 2 == 1;
    }
    turning
}

/// The boxes that follow each other in `bytes`.
fn boxes(bytes: &[u8]) -> impl Iterator<Item = IsoBox<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let kind: [u8; 4] = rest.get(4..8)?.try_into().ok()?;
        let stated = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?);
        let (start, length) = match stated {
            // The last box may say that it goes on to the end; a long one has its length behind its kind.
            0 => (8, rest.len() as u64),
            1 => (16, u64::from_be_bytes(rest.get(8..16)?.try_into().ok()?)),
            length => (8, u64::from(length)),
        };
        if length < start {
            return None;
        }
        let cut_short = length > rest.len() as u64;
        let end = usize::try_from(length).map_or(rest.len(), |length| length.min(rest.len()));
        let content = rest.get(start as usize..end)?;
        rest = &rest[end..];
        Some(IsoBox { kind, content, cut_short })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(8 + content.len() as u32).to_be_bytes()[..], kind, content].concat()
    }

    fn family_of(brands: &[u8]) -> Option<Family> {
        family(&boxed(b"ftyp", brands))
    }

    #[test]
    fn all_brands_tell_the_family() {
        assert_eq!(family_of(b"heic\0\0\0\0mif1heic"), Some(Family::Heic));
        assert_eq!(family_of(b"mif1\0\0\0\0mif1heix"), Some(Family::Heic));
        assert_eq!(family_of(b"msf1\0\0\0\0hevc"), Some(Family::Heic));
        assert_eq!(family_of(b"mif1\0\0\0\0mif1miafavif"), Some(Family::Avif));
        assert_eq!(family_of(b"avis\0\0\0\0msf1"), Some(Family::Avif));
        assert_eq!(family_of(b"mif1\0\0\0\0mif1jpeg"), Some(Family::Heif));
        assert_eq!(family_of(b"qt  \0\0\0\0qt  "), Some(Family::Video));
        assert_eq!(family_of(b"heic"), Some(Family::Heic));
        assert_eq!(family_of(b"he"), None);
        assert_eq!(family(b"\0\0\0\x10free\0\0\0\0heic"), None);
        assert_eq!(family(b"\0\0"), None);
    }

    fn file(properties: &[u8]) -> Vec<u8> {
        let iprp = boxed(b"iprp", &boxed(b"ipco", properties));
        let meta = boxed(b"meta", &[b"\0\0\0\0".as_slice(), &boxed(b"pitm", b"\0\0\0\0\0\x01"), &iprp].concat());
        [boxed(b"ftyp", b"heic\0\0\0\0mif1heic"), meta, boxed(b"mdat", &[7; 40])].concat()
    }

    #[test]
    fn turns_and_mirrors_are_seen() {
        let size = boxed(b"ispe", &[0; 12]);
        let with = |more: Vec<u8>| turning(&file(&[size.clone(), more].concat()));
        let (upright, on_its_side) =
            (Turning { any: true, on_its_side: false }, Turning { any: true, on_its_side: true });
        assert_eq!([with(Vec::new()), with(boxed(b"irot", &[0]))], [Turning::default(); 2]);
        assert_eq!([with(boxed(b"irot", &[2])), with(boxed(b"imir", &[0]))], [upright; 2]);
        assert_eq!([with(boxed(b"irot", &[1])), with(boxed(b"irot", &[3]))], [on_its_side; 2]);
    }

    #[test]
    fn a_file_that_ends_inside_a_box_is_cut_short() {
        let whole = file(&[]);
        assert!(!is_cut_short(&whole));
        let data = whole.len() - 48;
        // Right behind a box, or inside the next one's header, nothing tells that there should be more.
        for end in (0..data).chain(data + 8..whole.len()) {
            assert!(is_cut_short(&whole[..end]), "cut at {end} of {}", whole.len());
        }
        for end in 0..whole.len() {
            turning(&whole[..end]);
        }
    }

    #[test]
    fn lengths_that_make_no_sense_end_the_reading() {
        for start in [b"\0\0\0\x04ftyp".as_slice(), b"\0\0\0\x01ftyp\0\0\0\0\0\0\0\x02", b"\xff\xff\xff\xffftyphe"] {
            assert_eq!(family(start), None);
        }
        assert_eq!(family(b"\0\0\0\0ftypheic"), Some(Family::Heic));
    }
}
