//! Which part of a photo is learned: the flags of `idembed learn` that become a [`SubjectChoice`].

use std::path::{Path, PathBuf};

use idembed_face::CropRect;
use idembed_face::parsing::Parts;
use idembed_studio::{Frame, MaskChoice, Size, SubjectChoice};

/// Which part of the photo is learned.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The photo")]
pub(super) struct SubjectArgs {
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
    pub(super) size: Option<Size>,
    /// Where the face is, for --attention-target mask, --masked-noise and the leakage: ellipse, parsing (needs the
    /// weights `bisenet`), none, or a picture of the photo's size that is white there [default: ellipse where a face
    /// was found]
    #[arg(long, value_name = "HOW|FILE")]
    mask: Option<MaskFlag>,
    /// What counts as face with --mask parsing [default: skin,brows,eyes,glasses,nose,mouth,lips]
    #[arg(long, value_name = "LIST")]
    mask_parts: Option<Parts>,
    /// Show the photo mirrored half of the time
    #[arg(long)]
    pub(super) mirror: bool,
}

/// What `--mask` says.
#[derive(Clone, Debug, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
enum MaskFlag {
    Ellipse,
    Parsing,
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
            MaskFlag::None => MaskChoice::None,
            MaskFlag::File(file) => MaskChoice::File(file.clone()),
        });
        SubjectChoice { frame, mask }
    }

    /// Whether there will be a mask.
    pub(super) fn has_mask(&self) -> bool {
        match &self.mask {
            Some(flag) => *flag != MaskFlag::None,
            None => self.crop.is_none() && !self.no_face,
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
