//! The picture that dlib's network looks at: a face turned upright and scaled, by dlib's own interpolation.

use image::{GenericImageView, Rgb, RgbImage};

use super::face_box::PixelBox;
use super::landmarks::Parts;
use crate::Point;
use crate::align::Similarity;

/// Width and height of the picture, in pixels.
pub const CHIP_SIDE: u32 = 150;

/// What is added to the face on each side, as a share of the face.
const PADDING: f64 = 0.25;

/// Where the landmarks lie in an upright face that fills a square of side 1.
///
/// # Source
/// `get_face_chip_details` of dlib.
const TEMPLATE: [Point; 5] = [
    Point::new(0.8595674595992, 0.2134981538014),
    Point::new(0.6460604764104, 0.2289674387677),
    Point::new(0.1205750620789, 0.2137274526848),
    Point::new(0.3340850613712, 0.2290642403242),
    Point::new(0.4901123135679, 0.6277975316475),
];

/// The face with these landmarks as dlib's network sees it, [`CHIP_SIDE`] pixels on each side, black outside the photo.
///
/// A face that is much larger is first halved as often as it needs. Landmarks that lie in one place, or belong to a face
/// far larger than the photo, give a black picture.
///
/// # Source
/// `get_face_chip` of dlib, to the grey level.
pub fn face_chip(picture: &RgbImage, parts: &Parts) -> RgbImage {
    let mut chip = RgbImage::new(CHIP_SIDE, CHIP_SIDE);
    let Some((region, angle)) = region(parts).filter(|(region, _)| fits(*region, picture)) else { return chip };
    let mut level = region;
    let mut halvings = 0;
    // As long as it leaves more pixels than the chip has, so that interpolation never skips more than every other one.
    while level.halved().area() > f64::from(CHIP_SIDE * CHIP_SIDE) {
        level = level.halved();
        halvings += 1;
    }
    let Some((part, x, y)) = part(picture, region, angle, halvings) else { return chip };
    let (mut part, mut region) = (part, region.moved(-f64::from(x), -f64::from(y)));
    for _ in 0..halvings {
        part = halved(&part);
        region = region.halved();
    }
    let [corner, right, below] = region.corners(angle);
    let step = |to: Point| {
        let steps = f64::from(CHIP_SIDE - 1);
        Point::new((to.x - corner.x) / steps, (to.y - corner.y) / steps)
    };
    let (across, down) = (step(right), step(below));
    for (x, y, pixel) in chip.enumerate_pixels_mut() {
        let (x, y) = (f64::from(x), f64::from(y));
        let place = Point::new(corner.x + x * across.x + y * down.x, corner.y + x * across.y + y * down.y);
        *pixel = interpolate(&part, place).unwrap_or(Rgb([0; 3]));
    }
    chip
}

/// The square of the photo that the landmarks mean, and by how much it is turned; `None` if they lie in one place.
fn region(parts: &Parts) -> Option<(PixelBox, f64)> {
    let side = f64::from(CHIP_SIDE);
    let place = |share: f64| (PADDING + share) / (2.0 * PADDING + 1.0) * side;
    let template = TEMPLATE.map(|point| Point::new(place(point.x), place(point.y)));
    let transform = Similarity::estimate(&template, parts)?;
    let centre = transform.apply(Point::new(side / 2.0, side / 2.0));
    Some((PixelBox::square(centre, side * transform.scale()), transform.rotation()))
}

/// Whether a region is not so large that it can only be a mistake. Bounds the work that landmarks can cause.
fn fits(region: PixelBox, picture: &RgbImage) -> bool {
    region.right - region.left <= 4.0 * f64::from(picture.width().max(picture.height()))
}

/// The part of the photo that the turned region and the halvings need, and where in the photo it begins.
fn part(picture: &RgbImage, region: PixelBox, angle: f64, halvings: u32) -> Option<(RgbImage, u32, u32)> {
    // A border of two pixels before each halving.
    let border = (0..halvings).fold(2.0, |border, _| border * 2.0 + 2.0);
    let [corner, right, below] = region.corners(angle);
    let last = Point::new(right.x + below.x - corner.x, right.y + below.y - corner.y);
    let range = |of: fn(&Point) -> f64, length: u32| {
        let values = [corner, right, below, last].map(|point| of(&point));
        let first = values.iter().copied().fold(f64::INFINITY, f64::min) - border;
        let end = values.iter().copied().fold(f64::NEG_INFINITY, f64::max) + border;
        let end = (end.min(f64::from(length) - 1.0) + 0.5).floor();
        // Such a cast turns what lies before the picture into 0.
        let first = (first.max(0.0) + 0.5).floor() as u32;
        (end >= f64::from(first)).then(|| (first, end as u32 - first + 1))
    };
    let (x, width) = range(|point| point.x, picture.width())?;
    let (y, height) = range(|point| point.y, picture.height())?;
    Some((picture.view(x, y, width, height).to_image(), x, y))
}

/// A picture of about half the size: every second pixel of every second row, blurred by 1, 4, 6, 4, 1 in each direction.
///
/// # Source
/// `pyramid_down<2>` of dlib.
fn halved(picture: &RgbImage) -> RgbImage {
    const FILTER: [u32; 5] = [1, 4, 6, 4, 1];
    let length = |pixels: u32| pixels.saturating_sub(3) / 2;
    let (width, height) = (length(picture.width()), length(picture.height()));
    let blurred = |places: [[u32; 3]; 5]| -> [u32; 3] {
        std::array::from_fn(|colour| FILTER.iter().zip(places).map(|(weight, place)| weight * place[colour]).sum())
    };
    let row = |x: u32, y: u32| blurred(std::array::from_fn(|step| picture[(2 * x + step as u32, y)].0.map(u32::from)));
    RgbImage::from_fn(width, height, |x, y| {
        let sums = blurred(std::array::from_fn(|step| row(x, 2 * y + step as u32)));
        Rgb(sums.map(|sum| (sum / 256) as u8))
    })
}

/// The colour between four pixels, rounded down; `None` if one of them lies outside.
fn interpolate(picture: &RgbImage, place: Point) -> Option<Rgb<u8>> {
    let (left, top) = (place.x.floor(), place.y.floor());
    let inside = |first: f64, length: u32| first >= 0.0 && first + 1.0 < f64::from(length);
    if !inside(left, picture.width()) || !inside(top, picture.height()) {
        return None;
    }
    let (to_right, down) = (place.x - left, place.y - top);
    let (x, y) = (left as u32, top as u32);
    let [upper_left, upper_right] = [picture[(x, y)], picture[(x + 1, y)]];
    let [lower_left, lower_right] = [picture[(x, y + 1)], picture[(x + 1, y + 1)]];
    let between = |a: u8, b: u8| (1.0 - to_right) * f64::from(a) + to_right * f64::from(b);
    Some(Rgb(std::array::from_fn(|colour| {
        let upper = between(upper_left[colour], upper_right[colour]);
        let lower = between(lower_left[colour], lower_right[colour]);
        ((1.0 - down) * upper + down * lower) as u8
    })))
}
