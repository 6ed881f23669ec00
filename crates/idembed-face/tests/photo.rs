//! Photos of every kind, good and bad, through `Photo::open`.
//!
//! The files beside `fixtures/generate.py` come from Python's Pillow; the others are written here.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use idembed_face::{CropRect, MAX_FILE_BYTES, Note, Photo, PhotoError, crop_and_resize, pictures_in};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{DynamicImage, ImageEncoder, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba};
use proptest::prelude::*;
use tempfile::TempDir;

const RED: [u8; 3] = [220, 30, 30];
const GREEN: [u8; 3] = [30, 200, 40];
const BLUE: [u8; 3] = [40, 50, 210];
const YELLOW: [u8; 3] = [230, 220, 40];
/// The quadrants of the test picture: upper left, upper right, lower left, lower right.
const UPRIGHT: [[u8; 3]; 4] = [RED, GREEN, BLUE, YELLOW];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The test picture, 64 x 48.
fn quadrants() -> RgbImage {
    RgbImage::from_fn(64, 48, |x, y| Rgb(UPRIGHT[usize::from(x >= 32) + 2 * usize::from(y >= 24)]))
}

fn encode(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 95).encode_image(picture).unwrap();
    bytes
}

/// Writes `bytes` to a file of a neutral name and opens it as a photo.
fn open_bytes(bytes: &[u8]) -> Result<Photo, PhotoError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("photo");
    fs::write(&path, bytes).unwrap();
    Photo::open(&path)
}

fn open_picture(picture: impl Into<DynamicImage>) -> Photo {
    open_bytes(&encode(&picture.into(), ImageFormat::Png)).unwrap()
}

#[track_caller]
fn assert_quadrants(photo: &Photo, expected: [[u8; 3]; 4], tolerance: u8) {
    let (width, height) = photo.pixels.dimensions();
    for (quadrant, expected) in expected.iter().enumerate() {
        let x = width / 4 + width / 2 * (quadrant as u32 % 2);
        let y = height / 4 + height / 2 * (quadrant as u32 / 2);
        let got = photo.pixels[(x, y)].0;
        let far = got.iter().zip(expected).any(|(got, expected)| got.abs_diff(*expected) > tolerance);
        assert!(!far, "quadrant {quadrant}: got {got:?}, expected {expected:?}");
    }
}

/// A segment that holds nothing but the orientation, in either byte order.
fn exif_segment(orientation: u8, big_endian: bool) -> Vec<u8> {
    let mut segment = b"\xff\xe1\x00\x22Exif\0\0".to_vec();
    segment.extend_from_slice(&if big_endian {
        [b"MM\0*\0\0\0\x08\0\x01".as_slice(), b"\x01\x12\0\x03\0\0\0\x01\0", &[orientation], b"\0\0\0\0\0\0"].concat()
    } else {
        [b"II*\0\x08\0\0\0\x01\0".as_slice(), b"\x12\x01\x03\0\x01\0\0\0", &[orientation], b"\0\0\0\0\0\0\0"].concat()
    });
    segment
}

#[test]
fn every_orientation_of_a_jpeg_is_turned_upright() {
    // Where the stored quadrants belong, by the meaning of the tag (Exif 2.32, 4.6.5, Orientation).
    let [a, b, c, d] = UPRIGHT;
    let expected = [
        [a, b, c, d],
        [b, a, d, c],
        [d, c, b, a],
        [c, d, a, b],
        [a, c, b, d],
        [c, a, d, b],
        [d, b, c, a],
        [b, d, a, c],
    ];
    let plain = jpeg(&quadrants());
    for (index, expected) in expected.into_iter().enumerate() {
        let orientation = index as u8 + 1;
        for big_endian in [false, true] {
            // Cameras put other application segments before it.
            let other = b"\xff\xe1\x00\x09other\0\0";
            let bytes = [&plain[..2], other, &exif_segment(orientation, big_endian), &plain[2..]].concat();
            let photo = open_bytes(&bytes).unwrap();
            let size = if orientation >= 5 { (48, 64) } else { (64, 48) };
            assert_eq!(photo.pixels.dimensions(), size, "orientation {orientation}");
            assert_eq!(photo.original_size, (64, 48));
            assert_eq!(photo.notes.contains(&Note::TurnedUpright), orientation > 1);
            assert_quadrants(&photo, expected, 24);
        }
    }
}

#[test]
fn a_senseless_orientation_is_ignored() {
    let plain = jpeg(&quadrants());
    for orientation in [0, 9, 255] {
        let bytes = [&plain[..2], &exif_segment(orientation, true), &plain[2..]].concat();
        assert_quadrants(&open_bytes(&bytes).unwrap(), UPRIGHT, 24);
    }
    let cut = [&plain[..2], b"\xff\xe1\x00\x0aExif\0\0", &plain[2..]].concat();
    assert_quadrants(&open_bytes(&cut).unwrap(), UPRIGHT, 24);
}

#[test]
fn png_and_webp_are_turned_upright_too() {
    let turned = [BLUE, RED, YELLOW, GREEN];
    for name in ["oriented.png", "oriented.webp"] {
        let photo = Photo::open(&fixture(name)).unwrap();
        assert_eq!(photo.pixels.dimensions(), (48, 64), "{name}");
        assert_quadrants(&photo, turned, 0);
        assert_eq!(photo.notes, [Note::TurnedUpright]);
    }
}

#[test]
fn files_of_other_software_are_read() {
    for (name, tolerance) in
        [("progressive.jpg", 24), ("rgb.jpg", 24), ("lossy.webp", 24), ("animated.webp", 0), ("palette.png", 0)]
    {
        let photo = Photo::open(&fixture(name)).unwrap();
        assert_quadrants(&photo, UPRIGHT, tolerance);
        assert_eq!(photo.notes, [], "{name}");
    }
    let grey = Photo::open(&fixture("grey.jpg")).unwrap();
    assert_quadrants(&grey, [[87; 3], [131; 3], [65; 3], [202; 3]], 4);
    assert_eq!(grey.notes, [Note::Grey]);
    let one_bit = Photo::open(&fixture("one_bit.png")).unwrap();
    assert_quadrants(&one_bit, [[0; 3], [255; 3], [0; 3], [255; 3]], 0);
    let palette = Photo::open(&fixture("palette_transparent.png")).unwrap();
    assert_eq!(palette.notes, [Note::FlattenedOnWhite]);
    let corners = [(8, 8), (56, 8), (8, 40), (56, 40)].map(|at| palette.pixels[at].0);
    assert_eq!(corners.iter().filter(|corner| **corner == [255; 3]).count(), 1, "{corners:?}");
}

#[test]
fn transparency_lies_on_white() {
    let photo = open_picture(image::RgbaImage::from_fn(64, 48, |x, _| match x {
        0..16 => Rgba([10, 20, 30, 255]),
        16..32 => Rgba([0, 0, 0, 0]),
        32..48 => Rgba([255, 0, 100, 128]),
        _ => Rgba([0, 0, 0, 1]),
    }));
    let at = |x| photo.pixels[(x, 5)].0;
    assert_eq!([at(8), at(24), at(40), at(60)], [[10, 20, 30], [255; 3], [255, 127, 177], [254; 3]]);
    assert_eq!(photo.notes, [Note::FlattenedOnWhite]);
    let seen_through = photo.transparency.unwrap();
    let stored = [8, 24, 40, 60].map(|x| (seen_through.stored[(x, 5)].0, seen_through.opacity[(x, 5)].0[0]));
    assert_eq!(stored, [([10, 20, 30], 255), ([0; 3], 0), ([255, 0, 100], 128), ([0; 3], 1)]);

    let opaque = open_picture(image::RgbaImage::from_pixel(64, 48, Rgba([1, 2, 3, 255])));
    assert_eq!(opaque.pixels[(0, 0)].0, [1, 2, 3]);
    assert_eq!(opaque.notes, []);
    assert!(opaque.transparency.is_none());
}

#[test]
fn what_is_transparent_is_turned_with_the_photo() {
    // Its right half is transparent, and its tag turns it by a quarter to the right.
    let picture = image::RgbaImage::from_fn(64, 48, |x, y| Rgba([x as u8, y as u8, 9, if x < 32 { 255 } else { 0 }]));
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(&mut bytes);
    encoder.set_exif_metadata(exif_segment(6, true)[10..].to_vec()).unwrap();
    picture.write_with_encoder(encoder).unwrap();
    let photo = open_bytes(&bytes).unwrap();
    assert_eq!(photo.notes, [Note::FlattenedOnWhite, Note::TurnedUpright]);
    let seen_through = photo.transparency.unwrap();
    assert_eq!((photo.pixels.dimensions(), seen_through.opacity.dimensions()), ((48, 64), (48, 64)));
    // The lower left corner has become the upper left one.
    assert_eq!((seen_through.stored[(0, 0)].0, seen_through.opacity[(0, 0)].0), ([0, 47, 9], [255]));
    assert_eq!((seen_through.stored[(0, 63)].0, seen_through.opacity[(0, 63)].0), ([63, 47, 9], [0]));
    assert_eq!((photo.pixels[(0, 0)].0, photo.pixels[(0, 63)].0), ([0, 47, 9], [255; 3]));
}

#[test]
fn the_photos_of_a_folder_come_by_their_names() {
    let folder = TempDir::new().unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let png = encode(&quadrants().into(), ImageFormat::Png);
    for name in ["b.png", "a.jpg", "no ending", ".hidden.png"] {
        put(name, &png);
    }
    put("a.txt", b"a photo of {}");
    put("empty.png", b"");
    fs::create_dir(folder.path().join("below.png")).unwrap();
    let found = pictures_in(folder.path()).unwrap();
    let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["a.jpg", "b.png", "no ending"]);
    assert!(matches!(pictures_in(&folder.path().join("none")), Err(PhotoError::Read { .. })));
}

#[test]
fn grey_and_deep_pictures_become_rgb() {
    let grey = open_picture(image::GrayImage::from_pixel(40, 40, Luma([77])));
    assert_eq!((grey.pixels[(0, 0)].0, grey.notes), ([77; 3], vec![Note::Grey]));

    let grey_alpha = open_picture(image::GrayAlphaImage::from_pixel(40, 40, LumaA([0, 51])));
    assert_eq!((grey_alpha.pixels[(0, 0)].0, grey_alpha.notes), ([204; 3], vec![Note::Grey, Note::FlattenedOnWhite]));

    let deep = open_picture(DynamicImage::ImageRgb16(image::ImageBuffer::from_pixel(
        40,
        40,
        Rgb([0_u16, 128 * 257 + 128, 128 * 257 + 129]),
    )));
    assert_eq!((deep.pixels[(0, 0)].0, deep.notes), ([0, 128, 129], vec![Note::Deep]));

    let deep_grey = open_picture(DynamicImage::ImageLuma16(image::ImageBuffer::from_pixel(40, 40, Luma([65_535_u16]))));
    assert_eq!((deep_grey.pixels[(0, 0)].0, deep_grey.notes), ([255; 3], vec![Note::Grey, Note::Deep]));

    let deep_alpha =
        open_picture(DynamicImage::ImageRgba16(image::ImageBuffer::from_pixel(40, 40, Rgba([0_u16, 0, 0, 0]))));
    assert_eq!((deep_alpha.pixels[(0, 0)].0, deep_alpha.notes), ([255; 3], vec![Note::Deep, Note::FlattenedOnWhite]));
}

#[test]
fn the_content_counts_not_the_name() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("really a png.jpg");
    fs::write(&path, encode(&quadrants().into(), ImageFormat::Png)).unwrap();
    assert_eq!(Photo::open(&path).unwrap().pixels, quadrants());
    let webp = open_bytes(&encode(&quadrants().into(), ImageFormat::WebP)).unwrap();
    assert_eq!(webp.pixels, quadrants());
}

#[test]
fn what_is_no_photo_is_named() {
    let folder = TempDir::new().unwrap();
    let error = Photo::open(folder.path()).unwrap_err();
    assert!(matches!(error, PhotoError::Folder { .. }), "{error}");
    assert!(error.hint().is_some());

    let missing = Photo::open(&folder.path().join("missing.jpg")).unwrap_err();
    assert!(matches!(missing, PhotoError::Read { .. }), "{missing}");
    assert!(missing.hint().is_some());

    assert!(matches!(open_bytes(b""), Err(PhotoError::Empty { .. })));
    assert!(matches!(open_bytes(b"x"), Err(PhotoError::NotAPicture { .. })));
    assert!(matches!(open_bytes(b"Dear diary, today I took a photo.\n"), Err(PhotoError::NotAPicture { .. })));
    let jpeg_xl = open_bytes(b"\xff\x0a\xfa\x7f\x01\x90").unwrap_err();
    let expected = "is of the format JPEG XL; JPEG, PNG, WebP, HEIC, TIFF, BMP and GIF are read";
    assert!(jpeg_xl.to_string().ends_with(expected), "{jpeg_xl}");
}

#[test]
fn what_is_not_read_can_be_converted_by_a_command() {
    for (brands, format, command) in [
        ("avif\0\0\0\0mif1miaf", "AVIF", "magick photo.avif photo.png"),
        ("mif1\0\0\0\0mif1avif", "AVIF", "magick photo.avif photo.png"),
        ("mif1\0\0\0\0mif1jpeg", "HEIF", "heif-convert photo.heif photo.jpg"),
    ] {
        let error = open_bytes(&[b"\0\0\0\x18ftyp", brands.as_bytes()].concat()).unwrap_err();
        assert!(matches!(error, PhotoError::OtherFormat { format: got, .. } if got == format), "{error}");
        assert!(error.hint().unwrap().contains(command), "{:?}", error.hint());
    }
    let palette = Photo::open(&fixture("palette.tif")).unwrap_err();
    assert!(matches!(palette, PhotoError::Unsupported { .. }), "{palette}");
    assert!(palette.hint().unwrap().contains("magick PHOTO photo.png"));
}

#[test]
fn heic_is_read_and_turned_once() {
    let [a, b, c, d] = UPRIGHT;
    for (name, size, expected, notes) in [
        ("plain.heic", (64, 48), UPRIGHT, vec![]),
        ("grid.heic", (128, 96), UPRIGHT, vec![]),
        ("exif.heic", (64, 48), UPRIGHT, vec![]),
        ("deep.heic", (64, 48), UPRIGHT, vec![Note::Deep]),
        ("turned.heic", (48, 64), [c, a, d, b], vec![Note::TurnedUpright]),
        ("mirrored.heic", (64, 48), [b, a, d, c], vec![Note::TurnedUpright]),
        ("upside_down.heic", (64, 48), [d, c, b, a], vec![Note::TurnedUpright]),
        ("alpha.heic", (64, 48), [[255; 3], b, [255; 3], d], vec![Note::FlattenedOnWhite]),
        ("grey.heic", (64, 48), [[87; 3], [131; 3], [65; 3], [202; 3]], vec![Note::Grey]),
    ] {
        let photo = Photo::open(&fixture(name)).unwrap();
        let stored = if name == "turned.heic" { (64, 48) } else { size };
        assert_eq!((photo.pixels.dimensions(), photo.original_size), (size, stored), "{name}");
        // libheif's own conversion differs from the colours by 2 at most.
        assert_quadrants(&photo, expected, 3);
        assert_eq!(photo.notes, notes, "{name}");
    }
}

#[test]
fn tiff_bmp_and_gif_are_read() {
    let [a, b, c, d] = UPRIGHT;
    let grey = [[87; 3], [131; 3], [65; 3], [202; 3]];
    for (name, size, expected, notes) in [
        ("plain.tif", (64, 48), UPRIGHT, vec![]),
        ("lzw.tif", (64, 48), UPRIGHT, vec![]),
        ("pages.tif", (64, 48), UPRIGHT, vec![]),
        ("oriented.tif", (48, 64), [c, a, d, b], vec![Note::TurnedUpright]),
        ("alpha.tif", (64, 48), [[255; 3], b, [255; 3], d], vec![Note::FlattenedOnWhite]),
        ("deep.tif", (64, 48), grey, vec![Note::Grey, Note::Deep]),
        ("rgb.bmp", (64, 48), UPRIGHT, vec![]),
        ("top_down.bmp", (64, 48), UPRIGHT, vec![]),
        ("palette.bmp", (64, 48), UPRIGHT, vec![]),
        ("alpha.bmp", (64, 48), UPRIGHT, vec![]),
        ("still.gif", (64, 48), UPRIGHT, vec![]),
        ("animated.gif", (64, 48), UPRIGHT, vec![]),
        ("transparent.gif", (64, 48), [[255; 3], b, c, d], vec![Note::FlattenedOnWhite]),
    ] {
        let photo = Photo::open(&fixture(name)).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!((photo.pixels.dimensions(), photo.original_size), (size, (64, 48)), "{name}");
        assert_quadrants(&photo, expected, 1);
        assert_eq!(photo.notes, notes, "{name}");
    }
    assert_quadrants(&Photo::open(&fixture("jpeg.tif")).unwrap(), UPRIGHT, 24);
}

#[test]
fn inks_become_the_colours_that_pillow_makes_of_them() {
    for (name, expected) in [
        ("inks.jpg", "inks.png"),
        ("inks_plain.jpg", "inks.png"),
        ("inks.tif", "inks.png"),
        ("inks_ycck.jpg", "inks_ycck.png"),
    ] {
        let photo = Photo::open(&fixture(name)).unwrap();
        let expected = image::open(fixture(expected)).unwrap().into_rgb8();
        assert_eq!(photo.pixels.dimensions(), expected.dimensions());
        let worst = photo.pixels.iter().zip(expected.iter()).map(|(got, wanted)| got.abs_diff(*wanted)).max().unwrap();
        assert!(worst <= 3, "{name} differs by {worst} grey levels");
        assert_eq!(photo.notes, [Note::Cmyk], "{name}");
    }
    let quadrants = Photo::open(&fixture("cmyk.jpg")).unwrap();
    assert_quadrants(&quadrants, UPRIGHT, 24);
}

/// A PNG that only announces a size.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend_from_slice(&width.to_be_bytes());
    bytes.extend_from_slice(&height.to_be_bytes());
    bytes.extend_from_slice(&[8, 2, 0, 0, 0]);
    bytes
}

#[test]
fn sizes_out_of_range_are_refused_before_decoding() {
    for (width, height) in [(1, 1), (31, 400), (400, 31)] {
        let small = open_bytes(&encode(&RgbImage::new(width, height).into(), ImageFormat::Png)).unwrap_err();
        assert!(matches!(small, PhotoError::TooSmall { .. }), "{small}");
        assert!(small.to_string().contains(&format!("is {width} x {height} pixels")), "{small}");
        assert!(matches!(open_bytes(&jpeg(&RgbImage::new(width, height))), Err(PhotoError::TooSmall { .. })));
    }
    assert_eq!(open_picture(RgbImage::new(32, 32)).pixels.dimensions(), (32, 32));

    for (width, height) in [(20_000, 100), (20_000, 20_000), (16_000, 16_000), (u32::MAX, u32::MAX)] {
        let large = open_bytes(&png_header(width, height)).unwrap_err();
        assert!(matches!(large, PhotoError::TooLarge { .. }), "{large}");
        assert!(large.to_string().contains("at most 16384 on a side and 120 million in all"), "{large}");
    }
    let wide = open_bytes(&encode(&RgbImage::new(20_000, 40).into(), ImageFormat::Png)).unwrap_err();
    assert!(matches!(wide, PhotoError::TooLarge { width: 20_000, height: 40, .. }), "{wide}");
    let wide = open_bytes(&jpeg(&RgbImage::new(20_000, 40))).unwrap_err();
    assert!(matches!(wide, PhotoError::TooLarge { width: 20_000, height: 40, .. }), "{wide}");
}

#[test]
fn files_that_claim_to_be_huge_are_refused_before_decoding() {
    let file = |name: &str| fs::read(fixture(name)).unwrap();
    let put = |mut bytes: Vec<u8>, at: usize, value: &[u8]| {
        bytes[at..at + value.len()].copy_from_slice(value);
        bytes
    };
    let bmp = put(put(file("rgb.bmp"), 18, &60_000_u32.to_le_bytes()), 22, &60_000_u32.to_le_bytes());
    let gif = put(put(file("still.gif"), 6, &60_000_u16.to_le_bytes()), 8, &60_000_u16.to_le_bytes());
    let mut tiff = file("plain.tif");
    // Three entries of the directory, each with one number: width, height, rows per strip.
    for tag in [0x0100_u16, 0x0101, 0x0116] {
        let entry = tiff.windows(8).position(|window| {
            window[..2] == tag.to_le_bytes() && (window[2] == 3 || window[2] == 4) && window[3..] == [0, 1, 0, 0, 0]
        });
        let at = entry.unwrap() + 8;
        tiff = put(tiff, at, &60_000_u16.to_le_bytes());
    }
    let mut heic = file("grid.heic");
    // A grid's size stands in its item: two flags, rows and columns less one, then width and height.
    let grid = heic.windows(8).position(|window| window == [0, 0, 1, 1, 0, 128, 0, 96]).unwrap();
    heic = put(heic, grid + 4, &[0x46, 0x50, 0x27, 0x10]);
    let sizes = [("bmp", bmp, 60_000, 60_000), ("gif", gif, 60_000, 60_000), ("tiff", tiff, 60_000, 60_000)];
    for (name, bytes, wide, high) in sizes.into_iter().chain([("heic", heic, 18_000, 10_000)]) {
        let error = open_bytes(&bytes).unwrap_err();
        let expected = matches!(error, PhotoError::TooLarge { width, height, .. } if (width, height) == (wide, high));
        assert!(expected, "{name}: {error:?}");
    }
}

#[test]
fn a_huge_file_is_not_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("huge.png");
    fs::write(&path, png_header(64, 64)).unwrap();
    // A sparse file: it takes no room on the disk.
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
    assert!(matches!(Photo::open(&path), Err(PhotoError::FileTooLarge { .. })));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let noise = RgbImage::from_fn(64, 48, |x, y| Rgb([(x * 37 + y * 91) as u8, (x * y) as u8, (x * 5) as u8]));
    let mut files = vec![
        ("baseline jpeg", jpeg(&noise)),
        ("png", encode(&noise.clone().into(), ImageFormat::Png)),
        ("lossless webp", encode(&noise.into(), ImageFormat::WebP)),
    ];
    let names = [
        "progressive.jpg",
        "lossy.webp",
        "palette.png",
        "oriented.webp",
        "animated.webp",
        "inks_plain.jpg",
        "plain.heic",
        "grid.heic",
        "plain.tif",
        "lzw.tif",
        "rgb.bmp",
        "still.gif",
    ];
    for name in names {
        files.push((name, fs::read(fixture(name)).unwrap()));
    }
    for (name, bytes) in files {
        // A PNG whose end chunk alone is missing holds all pixels, so the cuts stop before that.
        for end in (0..10).map(|tenth| bytes.len() * tenth / 10) {
            let result = open_bytes(&bytes[..end]);
            let error = result.err().unwrap_or_else(|| panic!("{name} cut at {end} of {} was accepted", bytes.len()));
            match end {
                0 => assert!(matches!(error, PhotoError::Empty { .. }), "{name}: {error}"),
                1..24 => {}
                _ => assert!(matches!(error, PhotoError::Truncated { .. }), "{name} at {end}: {error:?}"),
            }
        }
        open_bytes(&bytes).unwrap();
    }
}

#[test]
fn scaling_agrees_with_pillow() {
    let picture = Photo::open(&fixture("resize_in.png")).unwrap().pixels;
    let expected = image::open(fixture("resize_out.png")).unwrap().into_rgb8();
    let got = crop_and_resize(&picture, CropRect::centre_square(60, 40), 16, 16).unwrap();
    let worst = got.iter().zip(expected.iter()).map(|(got, expected)| got.abs_diff(*expected)).max().unwrap();
    assert!(worst <= 2, "differs by {worst} grey levels");
}

/// Small files of every decoder, whole.
const WHOLE_FILES: [&str; 27] = [
    "progressive.jpg",
    "rgb.jpg",
    "oriented.png",
    "palette.png",
    "lossy.webp",
    "oriented.webp",
    "animated.webp",
    "inks.jpg",
    "inks_plain.jpg",
    "inks_ycck.jpg",
    "plain.heic",
    "grid.heic",
    "turned.heic",
    "alpha.heic",
    "deep.heic",
    "plain.tif",
    "lzw.tif",
    "jpeg.tif",
    "pages.tif",
    "deep.tif",
    "oriented.tif",
    "rgb.bmp",
    "palette.bmp",
    "alpha.bmp",
    "still.gif",
    "animated.gif",
    "transparent.gif",
];

#[test]
fn a_file_cut_at_any_byte_does_not_panic() {
    for name in WHOLE_FILES {
        let bytes = fs::read(fixture(name)).unwrap();
        for end in (0..bytes.len()).step_by(bytes.len().div_ceil(400)) {
            // Cut behind its last pixel, a file may still be read.
            let _ = open_bytes(&bytes[..end]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_never_panic(
        file in 0..WHOLE_FILES.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = fs::read(fixture(WHOLE_FILES[file])).unwrap();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(photo) = open_bytes(&bytes) {
            prop_assert!(photo.pixels.width() >= 32 && photo.pixels.height() >= 32);
        }
    }
}
