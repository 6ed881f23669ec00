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
