//! The part of a photo to learn from, and the mask of its face: found by the face, or named by the user.

use std::path::{Path, PathBuf};

use idembed_diffusion::device::Compute;
use idembed_face::align::{Aligned, Outside, portrait, warp};
use idembed_face::mask::head_mask;
use idembed_face::parsing::{BiSeNet, Parts, parts_mask};
use idembed_face::{CropRect, Face};
use image::{DynamicImage, GrayImage, RgbImage, imageops};
use tch::Kind;

use crate::faces::{self, ChosenFace, Finder};
use crate::failure::Hinted;
use crate::pixels;
use crate::size::Size;

/// The face parsing network's folder below `models`.
pub(crate) const PARSER: &str = "bisenet";

/// The side that the parser computes at: a smaller portrait would only be enlarged.
const PARSED_SIDE: u32 = 512;

/// Which part of the photo is learned.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The photo")]
pub(crate) struct SubjectArgs {
    /// The face to learn, counted from 1 as `idembed face` lists them [default: the largest near the middle]
    #[arg(long, value_name = "N", value_parser = crate::args::positive, conflicts_with_all = ["crop", "no_face"])]
    face: Option<usize>,
    /// The part to learn, in pixels of the upright photo [default: the face with hair and shoulders]
    #[arg(long, value_name = "X,Y,W,H")]
    crop: Option<CropRect>,
    /// Look for no face: learn the centre square
    #[arg(long)]
    no_face: bool,
    /// The size to learn at [default: the model's]
    #[arg(long, value_name = "WxH")]
    pub(crate) size: Option<Size>,
    /// Where the face is, for --attention-target mask, --masked-noise and the leakage: ellipse, parsing (needs the
    /// weights `bisenet`), none, or a picture of the photo's size that is white there [default: ellipse where a face
    /// was found]
    #[arg(long, value_name = "HOW|FILE")]
    mask: Option<MaskChoice>,
    /// What counts as face with --mask parsing [default: skin,brows,eyes,glasses,nose,mouth,lips]
    #[arg(long, value_name = "LIST")]
    mask_parts: Option<Parts>,
    /// Show the photo mirrored half of the time
    #[arg(long)]
    pub(crate) mirror: bool,
}

/// What `--mask` says.
#[derive(Clone, Debug, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
enum MaskChoice {
    Ellipse,
    Parsing,
    None,
    /// Any other word.
    #[strum(default)]
    File(PathBuf),
}

impl SubjectArgs {
    /// Whether there will be a mask.
    pub(crate) fn has_mask(&self) -> bool {
        match &self.mask {
            Some(choice) => *choice != MaskChoice::None,
            None => self.looks_for_face(),
        }
    }

    /// The picture that is the mask, if one was named.
    pub(crate) fn mask_file(&self) -> Option<&Path> {
        match &self.mask {
            Some(MaskChoice::File(file)) => Some(file),
            _ => None,
        }
    }

    /// The flag that was given and changes nothing, with the reason.
    pub(crate) fn without_effect(&self) -> Option<(&'static str, &'static str)> {
        let unused = self.mask_parts.is_some() && self.mask != Some(MaskChoice::Parsing);
        unused.then_some(("--mask-parts", "it belongs to --mask parsing"))
    }

    fn looks_for_face(&self) -> bool {
        self.crop.is_none() && !self.no_face
    }
}

/// A photo with its part to learn from.
pub(crate) struct Subject {
    photo: RgbImage,
    framing: Framing,
    mask: MaskSource,
}

/// How the part is framed.
enum Framing {
    /// As the user said, or the centre square.
    Rect(CropRect),
    /// Around the face; with the face as it stands in reports.
    Face(Box<Face>, ChosenFace),
}

/// Where the mask comes from.
enum MaskSource {
    None,
    /// Around the face.
    Ellipse,
    /// What the parser takes for one of the parts.
    Parts(Box<BiSeNet>, Parts),
    /// Of the photo's size.
    Picture(RgbImage),
}

impl Subject {
    /// Opens the photo, finds the face unless the flags say otherwise, and makes the mask ready.
    ///
    /// # Errors
    /// An unusable photo, no face, a rectangle outside the photo, a mask that does not fit.
    pub(crate) fn open(path: &Path, args: &SubjectArgs, compute: Compute) -> anyhow::Result<Subject> {
        let mut photo = pixels::open_photo(path)?;
        let framing = if args.looks_for_face() {
            let found = Finder::open(compute)?.find(photo, path, args.face)?;
            let framing = Framing::Face(Box::new(*found.face()), found.chosen());
            photo = found.photo;
            framing
        } else {
            let (width, height) = photo.dimensions();
            let rect = args.crop.unwrap_or_else(|| CropRect::centre_square(width, height));
            rect.check(width, height)?;
            Framing::Rect(rect)
        };
        let (width, height) = photo.dimensions();
        let mask = match (&args.mask, &framing) {
            (Some(MaskChoice::File(file)), _) => MaskSource::Picture(pixels::open_mask(file, width, height)?),
            (Some(MaskChoice::Parsing), _) => {
                MaskSource::Parts(Box::new(open_parser(compute)?), args.mask_parts.clone().unwrap_or_default())
            }
            (Some(MaskChoice::Ellipse), Framing::Rect(_)) => {
                let message = "--mask ellipse is drawn around a found face, but no face is looked for";
                return Err(Hinted::new(message, "leave out --crop and --no-face, or give a picture as --mask").into());
            }
            (Some(MaskChoice::None), _) | (None, Framing::Rect(_)) => MaskSource::None,
            (Some(MaskChoice::Ellipse) | None, Framing::Face(..)) => MaskSource::Ellipse,
        };
        Ok(Subject { photo, framing, mask })
    }

    /// The part to learn from at the size to learn at, and its mask.
    pub(crate) fn at(&self, size: Size) -> anyhow::Result<(RgbImage, Option<RgbImage>)> {
        match &self.framing {
            Framing::Rect(rect) => self.cut(*rect, size),
            Framing::Face(face, _) => self.portrait(face, size),
        }
    }

    fn cut(&self, rect: CropRect, size: Size) -> anyhow::Result<(RgbImage, Option<RgbImage>)> {
        let part = rect.narrowed_to(size.width, size.height);
        if part.is_smaller_than(size.width, size.height) {
            let (width, height) = (part.width, part.height);
            tracing::warn!("the part to learn is {width} x {height} pixels and is enlarged to {size}");
        }
        let picture = pixels::crop(&self.photo, rect, size)?;
        let mask = match &self.mask {
            MaskSource::Picture(mask) => Some(pixels::crop(mask, rect, size)?),
            MaskSource::Parts(parser, parts) => {
                let CropRect { x, y, width, height } = part;
                let mask = parsed(parser, parts, &imageops::crop_imm(&self.photo, x, y, width, height).to_image())?;
                Some(pixels::crop(&mask, CropRect { x: 0, y: 0, width, height }, size)?)
            }
            MaskSource::None | MaskSource::Ellipse => None,
        };
        Ok((picture, mask))
    }

    fn portrait(&self, face: &Face, size: Size) -> anyhow::Result<(RgbImage, Option<RgbImage>)> {
        let side = size.width.max(size.height);
        let portrait = |side| {
            portrait(&self.photo, face, side).ok_or_else(|| {
                let smaller = self.photo.width().min(self.photo.height());
                if face.bounds.width().max(face.bounds.height()) > f64::from(smaller) {
                    let hint = "--no-face learns the photo as it is; one that shows hair and shoulders teaches more";
                    return Hinted::new("the face is larger than the photo, which leaves no room for a portrait", hint);
                }
                Hinted::new("the landmarks of the face make no sense", "name the part with --crop X,Y,W,H")
            })
        };
        let Aligned { picture, transform } = portrait(side)?;
        let scale = transform.scale();
        if scale > 1.0 {
            let across = f64::from(side) / scale;
            tracing::warn!("the part to learn is {across:.0} x {across:.0} pixels and is enlarged to {size}");
        }
        // Another aspect ratio is cut out of the square's middle.
        let cut =
            |square: &RgbImage| pixels::crop(square, CropRect::centre_square(square.width(), square.height()), size);
        let mask = match &self.mask {
            MaskSource::None => None,
            MaskSource::Ellipse => Some(as_rgb(head_mask(face, side, side, &transform))),
            MaskSource::Picture(mask) => Some(warp(mask, &transform, side, side, Outside::Black)),
            MaskSource::Parts(parser, parts) => Some(parsed(parser, parts, &portrait(PARSED_SIDE)?.picture)?),
        };
        Ok((cut(&picture)?, mask.as_ref().map(cut).transpose()?))
    }

    /// The part in words, for reports.
    pub(crate) fn part(&self) -> String {
        match &self.framing {
            Framing::Rect(rect) => rect.to_string(),
            Framing::Face(face, _) => format!("around the face at {}", faces::shown_box(&face.bounds)),
        }
    }

    /// What reports say about the face, if one was looked for.
    pub(crate) fn face(&self) -> Option<&ChosenFace> {
        match &self.framing {
            Framing::Rect(_) => None,
            Framing::Face(_, report) => Some(report),
        }
    }
}

fn open_parser(compute: Compute) -> anyhow::Result<BiSeNet> {
    let file = faces::network_file(PARSER).ok_or_else(|| {
        let message = "the weights for --mask parsing are missing (models/bisenet)";
        Hinted::new(message, "`cargo xtask download bisenet` brings them; --mask ellipse needs none")
    })?;
    Ok(BiSeNet::load(&file, Compute { kind: Kind::Float, ..compute })?)
}

/// White where the parser sees one of the parts.
fn parsed(parser: &BiSeNet, parts: &Parts, picture: &RgbImage) -> anyhow::Result<RgbImage> {
    let mask = parts_mask(&parser.parse(picture)?, parts);
    if mask.pixels().all(|pixel| pixel[0] == 0) {
        let message = "face parsing finds no part of a face in the part to learn";
        return Err(Hinted::new(message, "use --mask ellipse, or give a picture as --mask").into());
    }
    Ok(as_rgb(mask))
}

fn as_rgb(mask: GrayImage) -> RgbImage {
    DynamicImage::ImageLuma8(mask).into_rgb8()
}
