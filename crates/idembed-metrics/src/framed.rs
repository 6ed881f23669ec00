//! Whether a picture looks like a photo in a border.
//!
//! What is learned with too little weight on the attention loss shows as the photo pasted back, often inside a black or
//! white frame (arXiv 2402.00631, the ablation of lambda).

use image::{GrayImage, Luma, Rgb, RgbImage, imageops};

/// Pixels belong to a border if no channel is further from its colour: flat areas of drawn pictures are a little noisy.
const TOLERANCE: u8 = 24;
/// The share of a line that must be of the border's colour.
const PLAIN: f64 = 0.98;
/// The least width of a border, as a share of the shorter side, and in pixels.
const LEAST: (f64, u32) = (0.02, 2);
/// Within this share of the shorter side behind the border the picture must have begun: an edge is blurred by some pixels.
const BLUR: f64 = 0.03;
/// The least width and height of what is inside, as a share of the picture's.
const INSIDE: f64 = 0.2;
/// Sides that must have a border.
const SIDES: usize = 3;
/// How much of the inner edge must differ from the border: up to the first none of it counts, from the second on all.
const EDGE: (f64, f64) = (0.4, 0.8);

/// How much a picture looks like one that lies in a border of one colour: 0 not at all, 1 quite.
///
/// On each side, the lines from the edge on that have one colour (within 24 of 255, 98 % of their pixels) are the border.
/// Its edge is as strong as the share of the span between the neighbouring borders that has another colour at once behind it:
/// about 1 for a pasted photo, and little for a plain wall behind a person, which ends at a round head. The third strongest
/// edge of those with borders of at least 2 % of the shorter side in the same colour counts, from 0.4 (0) to 0.8 (1); so a
/// border may be missing on one side. A photo of the border's own colour cannot be told from it.
pub fn framed(picture: &RgbImage) -> f64 {
    if picture.width().min(picture.height()) == 0 {
        return 0.0;
    }
    let mut colours = Vec::new();
    let mut turned = picture.clone();
    for _ in 0..4 {
        colours.push(first_line_colour(&turned));
        turned = imageops::rotate90(&turned);
    }
    colours.dedup();
    colours.into_iter().map(|colour| framed_in(picture, colour)).fold(0.0, f64::max)
}

/// The median of each channel of the uppermost line.
fn first_line_colour(picture: &RgbImage) -> [u8; 3] {
    [0, 1, 2].map(|channel| {
        let mut values: Vec<u8> = (0..picture.width()).map(|x| picture.get_pixel(x, 0)[channel]).collect();
        values.sort_unstable();
        values[values.len() / 2]
    })
}

/// The same for borders of one colour.
fn framed_in(picture: &RgbImage, colour: [u8; 3]) -> f64 {
    let close = |Rgb(pixel): &Rgb<u8>| pixel.iter().zip(colour).all(|(value, of)| value.abs_diff(of) <= TOLERANCE);
    let (width, height) = picture.dimensions();
    // 1 where the picture has the colour; then turned, so that each side is the upper one once.
    let mut masks = vec![GrayImage::from_fn(width, height, |x, y| Luma([u8::from(close(picture.get_pixel(x, y)))]))];
    for turns in 0..3 {
        masks.push(imageops::rotate90(&masks[turns]));
    }
    let borders: Vec<u32> = masks.iter().map(upper_border).collect();
    let shorter = f64::from(width.min(height));
    let (least, blur) = ((LEAST.0 * shorter).max(LEAST.1.into()), (BLUR * shorter).ceil() as u32);
    let mut edges: Vec<f64> = masks
        .iter()
        .enumerate()
        .map(|(side, mask)| {
            // The left side is turned up next, the right side was before.
            let (above, left, below, right) =
                (borders[side], borders[(side + 1) % 4], borders[(side + 2) % 4], borders[(side + 3) % 4]);
            let inside =
                |whole: u32, borders: u32| f64::from(whole) * INSIDE <= f64::from(whole.saturating_sub(borders));
            let holds = inside(mask.width(), left + right) && inside(mask.height(), above + below);
            let begins = above..mask.height().min(above + blur);
            let other = begins.map(|y| 1.0 - share(mask, y, left, mask.width().saturating_sub(right)));
            if holds && f64::from(above) >= least { other.fold(0.0, f64::max) } else { 0.0 }
        })
        .collect();
    edges.sort_by(|a, b| b.total_cmp(a));
    ((edges[SIDES - 1] - EDGE.0) / (EDGE.1 - EDGE.0)).clamp(0.0, 1.0)
}

/// The number of plain lines from above.
fn upper_border(mask: &GrayImage) -> u32 {
    (0..mask.height()).take_while(|y| share(mask, *y, 0, mask.width()) >= PLAIN).count() as u32
}

/// How much of a line is plain, from `start` to before `end`.
fn share(mask: &GrayImage, y: u32, start: u32, end: u32) -> f64 {
    let plain = (start..end).filter(|x| mask.get_pixel(*x, y)[0] > 0).count();
    plain as f64 / f64::from(end.saturating_sub(start).max(1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use std::path::Path;

    use image::GenericImageView;
    use image::imageops::FilterType;
    use proptest::prelude::*;

    use super::*;

    const MINI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mini");
    const BLACK: Rgb<u8> = Rgb([0; 3]);
    const WHITE: Rgb<u8> = Rgb([255; 3]);

    fn open(name: &str) -> RgbImage {
        image::open(Path::new(MINI).join(name)).unwrap().to_rgb8()
    }

    /// The bundled portraits, all drawn by the world.
    fn portraits() -> Vec<(String, RgbImage)> {
        let names = (1..=8).flat_map(|person| ["a", "b"].map(|letter| format!("person{person}_{letter}")));
        names.map(|name| (name.clone(), open(&format!("portraits/{name}.png")))).collect()
    }

    /// Pictures that the model drew.
    fn tiles() -> Vec<(String, RgbImage)> {
        let sheet = open("samples.png");
        let tile = |place: u32| sheet.view(place % 4 * 128, place / 4 * 128, 128, 128).to_image();
        (0..16).map(|place| (format!("tile {place}"), tile(place))).collect()
    }

    /// A photo in a border of these widths: above, on the right, below, on the left.
    fn bordered(photo: &RgbImage, (width, height): (u32, u32), widths: [u32; 4], colour: Rgb<u8>) -> RgbImage {
        let [above, right, below, left] = widths;
        let mut picture = RgbImage::from_pixel(width, height, colour);
        let inside = imageops::resize(photo, width - left - right, height - above - below, FilterType::Triangle);
        imageops::replace(&mut picture, &inside, left.into(), above.into());
        picture
    }

    /// Photos in front of a wall as white as a frame are one with it.
    fn is_white(name: &str) -> bool {
        ["person3_b", "tile 7"].contains(&name)
    }

    #[test]
    fn photos_and_drawn_pictures_are_not_framed() {
        for (name, picture) in portraits().into_iter().chain(tiles()) {
            assert_eq!(framed(&picture), 0.0, "{name}");
        }
    }

    #[test]
    fn a_photo_in_a_border_is() {
        let pink = Rgb([255, 0, 200]);
        for (name, photo) in portraits().into_iter().chain(tiles()) {
            for (size, widths, colour) in [
                ((128, 128), [12; 4], BLACK),
                ((128, 128), [3; 4], WHITE),
                ((127, 129), [9, 13, 20, 7], WHITE),
                ((97, 131), [30, 4, 30, 6], pink),
                ((512, 384), [60, 60, 110, 60], BLACK),
                ((33, 31), [4; 4], pink),
                // Open below, and on the left.
                ((128, 128), [12, 12, 0, 12], BLACK),
                ((130, 128), [12, 12, 12, 0], pink),
            ] {
                if colour == WHITE && is_white(&name) {
                    continue;
                }
                let measure = framed(&bordered(&photo, size, widths, colour));
                assert!(measure > 0.8, "{name} in {size:?} with {widths:?} of {colour:?}: {measure}");
            }
        }
    }

    #[test]
    fn a_soft_edge_and_a_noisy_border_count() {
        let framed_photo = bordered(&open("portraits/person1_a.png"), (64, 64), [6; 4], WHITE);
        let soft = imageops::resize(&framed_photo, 512, 512, FilterType::CatmullRom);
        assert!(framed(&soft) > 0.9, "{}", framed(&soft));
        let mut noisy = soft;
        for (x, y, pixel) in noisy.enumerate_pixels_mut() {
            pixel.0 = pixel.0.map(|value| value.saturating_sub(((x * 31 + y * 17) % 20) as u8));
        }
        assert!(framed(&noisy) > 0.9, "{}", framed(&noisy));
    }

    /// A head and shoulders, the latter from edge to edge or not.
    #[test]
    fn a_plain_wall_behind_a_person_is_no_border() {
        for (width, height, shoulders) in
            [(128, 128, 40.0), (128, 128, 64.0), (127, 190, 90.0), (300, 128, 50.0), (45, 44, 15.0)]
        {
            for wall in [BLACK, WHITE, Rgb([90, 120, 200])] {
                let (across, down) = (f64::from(width) / 2.0, f64::from(height));
                let inside = |x: f64, y: f64, wide: f64, high: f64| ((x - across) / wide).hypot(y / high) <= 1.0;
                let picture = RgbImage::from_fn(width, height, |x, y| {
                    let (x, y) = (f64::from(x), f64::from(y));
                    let head = inside(x, y - 0.45 * down, 0.2 * down, 0.3 * down);
                    let body = inside(x, y - 1.1 * down, shoulders, 0.35 * down);
                    if head {
                        Rgb([220, 170, 140])
                    } else if body {
                        Rgb([140, 30, 60])
                    } else {
                        wall
                    }
                });
                assert_eq!(framed(&picture), 0.0, "{width} x {height}, {shoulders}, {wall:?}");
            }
        }
    }

    #[test]
    fn bars_on_two_sides_and_borders_of_two_colours_are_none() {
        let photo = open("portraits/person1_a.png");
        assert_eq!(framed(&bordered(&photo, (128, 160), [16, 0, 16, 0], BLACK)), 0.0);
        assert_eq!(framed(&bordered(&photo, (160, 128), [0, 16, 0, 16], BLACK)), 0.0);
        let bars = bordered(&photo, (128, 160), [16, 0, 16, 0], BLACK);
        assert_eq!(framed(&bordered(&bars, (160, 160), [0, 16, 0, 16], WHITE)), 0.0);
        // Hardly anything inside.
        assert_eq!(framed(&bordered(&photo, (128, 128), [55; 4], BLACK)), 0.0);
        // One line alone may be anything.
        assert_eq!(framed(&bordered(&photo, (128, 128), [1; 4], BLACK)), 0.0);
    }

    #[test]
    fn plain_and_tiny_pictures_are_not_framed() {
        for (width, height) in [(0, 0), (0, 5), (1, 1), (2, 7), (5, 5), (128, 128)] {
            assert_eq!(framed(&RgbImage::from_pixel(width, height, WHITE)), 0.0, "{width} x {height}");
        }
        let chess = RgbImage::from_fn(3, 2, |x, y| if (x + y) % 2 == 0 { BLACK } else { WHITE });
        assert_eq!(framed(&chess), 0.0);
    }

    proptest! {
        #[test]
        fn any_picture_has_a_measure(width in 0..24_u32, height in 0..24_u32, seed: u32) {
            // Few colours, so that plain lines are not rare.
            let level = |x: u32, y: u32| if seed.rotate_left(x * y % 32) % 5 == 0 { 200 } else { 0 };
            let measure = framed(&RgbImage::from_fn(width, height, |x, y| Rgb([level(x, y); 3])));
            prop_assert!((0.0..=1.0).contains(&measure), "{}", measure);
        }
    }
}
