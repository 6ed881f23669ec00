//! Which part of each photo is learned: the flags of `idembed learn` that become a [`SubjectChoice`].

use std::path::{Path, PathBuf};

use idembed_face::CropRect;
use idembed_face::parsing::Parts;
use idembed_studio::{Frame, MaskChoice, Photo, Size, SubjectChoice};

use crate::failure::wrong_usage;

/// Which part of each photo is learned.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The photos")]
pub(super) struct SubjectArgs {
    /// The face to learn of one photo, counted from 1 as `idembed face` lists them [default: the largest near the middle]
    #[arg(long, value_name = "N", value_parser = crate::args::positive, conflicts_with_all = ["crop", "no_face"])]
    face: Option<usize>,
    /// The part to learn of one photo, in pixels of the upright photo [default: the face with hair and shoulders]
    #[arg(long, value_name = "X,Y,W,H")]
    crop: Option<CropRect>,
    /// Look for no face: learn the centre square of each photo
    #[arg(long)]
    no_face: bool,
    /// The size to learn at [default: the model's]
    #[arg(long, value_name = "WxH")]
    pub(super) size: Option<Size>,
    /// Where the face is, for --attention-target mask, --masked-noise and the leakage: ellipse, parsing (needs the
    /// weights `bisenet`), alpha (what is opaque of the photo), none, or, for one photo, a picture of its size that is
    /// white there [default: alpha where a photo has transparent parts, else ellipse where a face was found]
    #[arg(long, value_name = "HOW|FILE")]
    mask: Option<MaskFlag>,
    /// What counts as face with --mask parsing [default: skin,brows,eyes,glasses,nose,mouth,lips]
    #[arg(long, value_name = "LIST")]
    mask_parts: Option<Parts>,
    /// Show the photos mirrored half of the time
    #[arg(long)]
    pub(super) mirror: bool,
    /// Learn all photos with the same prompt, whatever texts lie beside them
    #[arg(long)]
    pub(super) no_captions: bool,
}

/// What `--mask` says.
#[derive(Clone, Debug, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
enum MaskFlag {
    Ellipse,
    Parsing,
    Alpha,
    None,
    /// Any other word.
    #[strum(default)]
    File(PathBuf),
}

impl SubjectArgs {
    /// What the flags say.
    pub(super) fn choice(&self) -> SubjectChoice {
        let frame = match (self.crop, self.no_face) {
            (Some(rect), _) => Frame::Rect(rect),
            (None, true) => Frame::Centre,
            (None, false) => Frame::Face(self.face),
        };
        let mask = self.mask.as_ref().map(|flag| match flag {
            MaskFlag::Ellipse => MaskChoice::Ellipse,
            MaskFlag::Parsing => MaskChoice::Parsing(self.mask_parts.clone().unwrap_or_default()),
            MaskFlag::Alpha => MaskChoice::Alpha,
            MaskFlag::None => MaskChoice::None,
            MaskFlag::File(file) => MaskChoice::File(file.clone()),
        });
        SubjectChoice { frame, mask }
    }

    /// Whether the mask of a photo is what is opaque of it.
    pub(super) fn takes_opacity(&self, photo: &Photo) -> bool {
        photo.transparency.is_some() && matches!(self.mask, None | Some(MaskFlag::Alpha))
    }

    /// Whether there will be a mask of a photo.
    pub(super) fn has_mask(&self, photo: &Photo) -> bool {
        match &self.mask {
            Some(flag) => *flag != MaskFlag::None,
            None => photo.transparency.is_some() || self.crop.is_none() && !self.no_face,
        }
    }

    /// Fails if a flag means something in one photo, and there are several.
    pub(super) fn check_count(&self, photos: usize) -> anyhow::Result<()> {
        let flags = [
            ("--face", self.face.is_some()),
            ("--crop", self.crop.is_some()),
            ("a picture as --mask", self.mask_file().is_some()),
        ];
        match flags.into_iter().find(|(_, given)| *given && photos > 1) {
            Some((flag, _)) => Err(wrong_usage(format!(
                "{flag} belongs to one photo, and there are {photos}: cut or choose photos that need no such flag"
            ))),
            None => Ok(()),
        }
    }

    /// The picture that is the mask, if one was named.
    pub(super) fn mask_file(&self) -> Option<&Path> {
        match &self.mask {
            Some(MaskFlag::File(file)) => Some(file),
            _ => None,
        }
    }

    /// The flag that was given and changes nothing, with the reason.
    pub(super) fn without_effect(&self) -> Option<(&'static str, &'static str)> {
        let unused = self.mask_parts.is_some() && self.mask != Some(MaskFlag::Parsing);
        unused.then_some(("--mask-parts", "it belongs to --mask parsing"))
    }
}
