//! The part of a photo to learn from, and the mask of its face: found by the face, or named by the user.

use std::path::PathBuf;
use std::rc::Rc;

use idembed_diffusion::Compute;
use idembed_face::align::{Aligned, Outside, portrait, warp};
use idembed_face::mask::head_mask;
use idembed_face::parsing::{BiSeNet, Parts, parts_mask};
use idembed_face::{CropRect, Face, Photo, Transparency, Turn};
use image::{DynamicImage, GrayImage, RgbImage, imageops};
use tch::Kind;

use crate::error::{Result, StudioError};
use crate::faces::{self, Finder, Found};
use crate::models::{self, Part};
use crate::pixels;
use crate::size::Size;

/// The side that the parser computes at: a smaller portrait would only be enlarged.
const PARSED_SIDE: u32 = 512;

/// Which part of a photo is learned, and what of it is the face.
#[derive(Debug, Clone, Default)]
pub struct SubjectChoice {
    /// The part to learn.
    pub frame: Frame,
    /// Where the face is; `None` for what is opaque of a photo with transparent parts, or else an ellipse around a found face,
    /// and nothing where none is looked for.
    pub mask: Option<MaskChoice>,
}

/// The part of a photo to learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// A face with hair and shoulders: the one of this number, counted from 1, or the largest near the middle.
    Face(Option<usize>),
    /// A rectangle of the upright photo.
    Rect(CropRect),
    /// The centre square.
    Centre,
}

impl Default for Frame {
    fn default() -> Self {
        Frame::Face(None)
    }
}

/// How the pixels of the face are told from the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaskChoice {
    /// An ellipse around the found face.
    Ellipse,
    /// What the face parsing network takes for one of these parts.
    Parsing(Parts),
    /// What is opaque. The colours under transparent parts are learned as the file has them.
    Alpha,
    /// Not at all.
    None,
    /// A picture of the photo's size that is white there.
    File(PathBuf),
}

/// A photo with its part to learn from.
pub struct Subject {
    framing: Framing,
    mask: MaskSource,
}

/// How the part is framed.
enum Framing {
    /// A rectangle of this photo.
    Rect(RgbImage, CropRect),
    /// Around the face; with the face as it stands in reports.
    Face(Box<Found>),
}

impl Framing {
    fn photo(&self) -> &RgbImage {
        match self {
            Framing::Rect(photo, _) => photo,
            Framing::Face(found) => &found.photo,
        }
    }

    /// By how much the photo was turned for its face.
    fn turned(&self) -> Turn {
        match self {
            Framing::Rect(..) => Turn::None,
            Framing::Face(found) => found.view.turned,
        }
    }
}

/// Where the mask comes from.
enum MaskSource {
    None,
    /// Around the face.
    Ellipse,
    /// What the parser takes for one of the parts.
    Parts(Rc<BiSeNet>, Parts),
    /// Of the photo's size: what is opaque of it, or a file.
    Picture(RgbImage),
}

/// Finds subjects in photos; its networks are loaded once.
pub struct SubjectFinder {
    framer: Framer,
    masker: Masker,
}

/// What frames the part of any photo.
enum Framer {
    /// The face of this number, or the largest near the middle.
    Face(Box<Finder>, Option<usize>),
    Rect(CropRect),
    Centre,
}

/// What tells the face of any photo from the rest.
enum Masker {
    /// What is opaque, or else an ellipse around the face, if there is one.
    Usual,
    Ellipse,
    Parts(Rc<BiSeNet>, Parts),
    Alpha,
    File(PathBuf),
    None,
}

impl SubjectFinder {
    /// Makes ready what the choice needs.
    ///
    /// # Errors
    /// Networks whose weights are missing, or a mask around a face where none is looked for.
    pub fn open(choice: &SubjectChoice, compute: Compute) -> Result<SubjectFinder> {
        let framer = match choice.frame {
            Frame::Face(wanted) => Framer::Face(Box::new(Finder::open(compute)?), wanted),
            Frame::Rect(rect) => Framer::Rect(rect),
            Frame::Centre => Framer::Centre,
        };
        let masker = match &choice.mask {
            None => Masker::Usual,
            Some(MaskChoice::Ellipse) if matches!(framer, Framer::Face(..)) => Masker::Ellipse,
            Some(MaskChoice::Ellipse) => return Err(StudioError::MaskWithoutFace),
            Some(MaskChoice::Parsing(parts)) => Masker::Parts(Rc::new(open_parser(compute)?), parts.clone()),
            Some(MaskChoice::Alpha) => Masker::Alpha,
            Some(MaskChoice::File(file)) => Masker::File(file.clone()),
            Some(MaskChoice::None) => Masker::None,
        };
        Ok(SubjectFinder { framer, masker })
    }

    /// Finds the face in a photo, if one is meant, and makes the mask ready.
    ///
    /// # Errors
    /// No face, a rectangle outside the photo, or a mask that does not fit or is not there.
    pub fn find(&self, photo: Photo) -> Result<Subject> {
        let (photo, opacity) = match (&self.masker, photo.transparency) {
            (Masker::Usual | Masker::Alpha, Some(Transparency { stored, opacity })) => (stored, Some(opacity)),
            (Masker::Alpha, None) => return Err(StudioError::Opaque),
            _ => (photo.pixels, None),
        };
        let (width, height) = photo.dimensions();
        let framing = match &self.framer {
            Framer::Face(finder, wanted) => Framing::Face(Box::new(finder.find(photo, *wanted)?)),
            Framer::Rect(rect) => {
                rect.check(width, height)?;
                Framing::Rect(photo, *rect)
            }
            Framer::Centre => Framing::Rect(photo, CropRect::centre_square(width, height)),
        };
        let mask = match (&self.masker, &framing, opacity) {
            (_, framing, Some(opacity)) => MaskSource::Picture(framing.turned().of(&as_rgb(opacity))),
            (Masker::File(file), framing, _) => {
                // A photo in which the face was found is as it was turned for that.
                let (width, height) = framing.photo().dimensions();
                MaskSource::Picture(pixels::read_mask(file, width, height)?)
            }
            (Masker::Parts(parser, parts), ..) => MaskSource::Parts(Rc::clone(parser), parts.clone()),
            (Masker::Usual | Masker::Ellipse, Framing::Face(_), _) => MaskSource::Ellipse,
            _ => MaskSource::None,
        };
        Ok(Subject { framing, mask })
    }
}

impl Subject {
    /// Finds the subject of one photo; [`SubjectFinder`] finds those of several.
    ///
    /// # Errors
    /// As [`SubjectFinder::open`] and [`SubjectFinder::find`].
    pub fn find(photo: Photo, choice: &SubjectChoice, compute: Compute) -> Result<Subject> {
        SubjectFinder::open(choice, compute)?.find(photo)
    }

    /// The part to learn from at the size to learn at, and its mask.
    ///
    /// A part that is smaller is enlarged: [`Cut::enlarged_from`] says so.
    pub fn at(&self, size: Size) -> Result<Cut> {
        match &self.framing {
            Framing::Rect(photo, rect) => self.cut(photo, *rect, size),
            Framing::Face(found) => self.portrait(&found.photo, found.face(), size),
        }
    }

    /// The faces of the photo, if one was looked for.
    pub fn found(&self) -> Option<&Found> {
        match &self.framing {
            Framing::Rect(..) => None,
            Framing::Face(found) => Some(found),
        }
    }

    /// The part in words, for reports.
    pub fn part(&self) -> String {
        match &self.framing {
            Framing::Rect(_, rect) => rect.to_string(),
            Framing::Face(found) => format!("around the face at {}", faces::shown_box(&found.face().bounds)),
        }
    }

    fn cut(&self, photo: &RgbImage, rect: CropRect, size: Size) -> Result<Cut> {
        let part = rect.narrowed_to(size.width, size.height);
        let smaller = part.is_smaller_than(size.width, size.height);
        let enlarged_from = smaller.then_some((part.width, part.height));
        let picture = pixels::crop(photo, rect, size)?;
        let mask = match &self.mask {
            MaskSource::Picture(mask) => Some(pixels::crop(mask, rect, size)?),
            MaskSource::Parts(parser, parts) => {
                let CropRect { x, y, width, height } = part;
                let mask = parsed(parser, parts, &imageops::crop_imm(photo, x, y, width, height).to_image())?;
                Some(pixels::crop(&mask, CropRect { x: 0, y: 0, width, height }, size)?)
            }
            MaskSource::None | MaskSource::Ellipse => None,
        };
        Ok(Cut { picture, mask, enlarged_from, caption: None })
    }

    fn portrait(&self, photo: &RgbImage, face: &Face, size: Size) -> Result<Cut> {
        let side = size.width.max(size.height);
        let portrait = |side| {
            portrait(photo, face, side).ok_or_else(|| {
                let smaller = photo.width().min(photo.height());
                let fills = face.bounds.width().max(face.bounds.height()) > f64::from(smaller);
                if fills { StudioError::NoRoom } else { StudioError::NoPortrait }
            })
        };
        let Aligned { picture, transform } = portrait(side)?;
        let across = (f64::from(side) / transform.scale()).round() as u32;
        let enlarged_from = (transform.scale() > 1.0).then_some((across, across));
        // Another aspect ratio is cut out of the square's middle.
        let cut =
            |square: &RgbImage| pixels::crop(square, CropRect::centre_square(square.width(), square.height()), size);
        let mask = match &self.mask {
            MaskSource::None => None,
            MaskSource::Ellipse => Some(as_rgb(head_mask(face, side, side, &transform))),
            MaskSource::Picture(mask) => Some(warp(mask, &transform, side, side, Outside::Black)),
            MaskSource::Parts(parser, parts) => Some(parsed(parser, parts, &portrait(PARSED_SIDE)?.picture)?),
        };
        let mask = mask.as_ref().map(cut).transpose()?;
        Ok(Cut { picture: cut(&picture)?, mask, enlarged_from, caption: None })
    }
}

/// The part of a photo to learn from, at the size to learn at.
#[derive(Debug, Clone)]
pub struct Cut {
    /// The part.
    pub picture: RgbImage,
    /// White where the face is, of the same size.
    pub mask: Option<RgbImage>,
    /// Width and height of the part in the photo, if it had to be enlarged.
    pub enlarged_from: Option<(u32, u32)>,
    /// The prompt to learn it with, with one `{}` for the identity; that of the settings if `None`.
    pub caption: Option<String>,
}

impl Cut {
    /// The mask, in grey.
    pub fn grey_mask(&self) -> Option<GrayImage> {
        self.mask.clone().map(|mask| DynamicImage::ImageRgb8(mask).into_luma8())
    }
}

fn open_parser(compute: Compute) -> Result<BiSeNet> {
    let file = models::network_file(models::PARSER).ok_or(StudioError::Missing { part: Part::Parser })?;
    Ok(BiSeNet::load(&file, Compute { kind: Kind::Float, ..compute })?)
}

/// White where the parser sees one of the parts.
fn parsed(parser: &BiSeNet, parts: &Parts, picture: &RgbImage) -> Result<RgbImage> {
    let mask = parts_mask(&parser.parse(picture)?, parts);
    if mask.pixels().all(|pixel| pixel[0] == 0) {
        return Err(StudioError::NothingParsed);
    }
    Ok(as_rgb(mask))
}

fn as_rgb(mask: GrayImage) -> RgbImage {
    DynamicImage::ImageLuma8(mask).into_rgb8()
}
