//! All networks in one folder, with people to learn: the miniature as it is given out.

use std::path::{Path, PathBuf};

use idembed_face::recognise::Scale;
use idembed_metrics::judge::Factors;
use idembed_world::factors::{Attributes, Framing, Place, Style};
use idembed_world::{Drawn, SIDE, Sample, Subject, Who};
use serde_json::json;

use crate::outputs::{DIFFUSERS_WEIGHTS, WEIGHTS, copy_of, take_over, write, write_png};
use crate::{Result, controlnet, seeds};

/// What the stages beside the U-Net leave in folders of their own, and what of it is given out.
const PARTS: [(&str, &[&str]); 4] = [
    ("recogniser", &[WEIGHTS, Scale::FILE]),
    ("judge", &[WEIGHTS, Factors::FILE]),
    ("clip", &CLIP),
    (controlnet::NAME, &[controlnet::CONFIG, DIFFUSERS_WEIGHTS]),
];
/// As `ClipScorer` loads it.
const CLIP: [&str; 7] = [
    "config.json",
    WEIGHTS,
    "preprocessor_config.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
];
/// People to learn, two pictures of each.
const PEOPLE: u64 = 8;
/// Both are photos of the plain face; the second one shows it elsewhere.
const PICTURES: [&str; 2] = ["a", "b"];

/// What the noise predictor drew to look at.
const SAMPLES: &str = "samples.png";

/// Puts the recogniser, the judge, CLIP, the ControlNet, a sheet of samples and portraits of people who were never trained on into the model's folder.
///
/// # Errors
/// A stage is missing, or a file cannot be read or written.
pub fn gather(out: &Path) -> Result<PathBuf> {
    let model = out.join("model");
    for (stage, names) in PARTS {
        names.iter().try_for_each(|name| take_over(out, stage, name, &model.join(stage)))?;
    }
    copy_of("unet", &out.join("unet.png"), &model.join(SAMPLES))?;
    let mut truth = serde_json::Map::new();
    for person in 0..PEOPLE {
        for (index, letter) in PICTURES.iter().enumerate() {
            let drawn = idembed_world::draw(&portrait(person, index as u64), SIDE)?;
            let stem = format!("person{}_{letter}", person + 1);
            let Drawn { picture, masks, truth: known } = drawn;
            let scene = known.sample.scene.phrase();
            let bounds = known.faces.first().map(|face| face.bounds);
            truth.insert(format!("{stem}.png"), json!({ "face_box": bounds, "scene": scene }));
            let folder = model.join("portraits");
            write_png(&folder.join(format!("{stem}.png")), picture)?;
            if let Some(mask) = masks.faces.into_iter().next() {
                write_png(&folder.join(format!("{stem}_mask.png")), mask)?;
            }
        }
    }
    write(&model.join("portraits").join("truth.json"), &serde_json::to_vec_pretty(&truth)?)?;
    Ok(model)
}

/// A held-out person in the middle of a photo, the face free.
fn portrait(person: u64, picture: u64) -> Sample {
    // Beyond all pictures that figures are measured on.
    let seed = seeds::held_out((1 << 32) + person * PICTURES.len() as u64 + picture);
    let mut sample = Sample::portrait(Who::HeldOut(person), seed);
    (sample.style, sample.framing, sample.place) = (Style::Photo, Framing::CloseUp, Place::Centre);
    if let Subject::Person(one) = &mut sample.subject {
        (one.attributes, one.object) = (Attributes::default(), None);
    }
    sample
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use std::fs;

    use super::*;
    use crate::PretrainError;

    #[test]
    fn everything_comes_together_or_the_missing_stage_is_named() {
        let out = tempfile::tempdir().unwrap();
        for (stage, names) in PARTS {
            let missing = gather(out.path()).unwrap_err();
            assert!(matches!(missing, PretrainError::Earlier { stage: named, .. } if named == stage), "{missing:?}");
            names.iter().for_each(|name| write(&out.path().join(stage).join(name), name.as_bytes()).unwrap());
        }
        let missing = gather(out.path()).unwrap_err();
        assert!(matches!(missing, PretrainError::Earlier { stage: "unet", .. }), "{missing:?}");
        write(&out.path().join("unet.png"), b"sheet").unwrap();
        let model = gather(out.path()).unwrap();
        assert_eq!(fs::read(model.join(SAMPLES)).unwrap(), b"sheet");
        for (stage, names) in PARTS {
            assert!(names.iter().all(|name| fs::read(model.join(stage).join(name)).unwrap() == name.as_bytes()));
        }
        let open = |name: &str| image::open(model.join("portraits").join(name)).unwrap();
        for person in 1..=PEOPLE {
            let [first, second] = PICTURES.map(|letter| {
                let mask = open(&format!("person{person}_{letter}_mask.png")).into_luma8();
                let covered = mask.pixels().filter(|pixel| pixel.0[0] > 127).count();
                assert!((800..8000).contains(&covered), "{person}{letter}: {covered} pixels of face");
                open(&format!("person{person}_{letter}.png")).into_rgb8()
            });
            assert!(first != second);
        }
        let truth = fs::read(model.join("portraits/truth.json")).unwrap();
        let truth: serde_json::Value = serde_json::from_slice(&truth).unwrap();
        assert_eq!(truth["person8_b.png"]["face_box"].as_array().unwrap().len(), 4);
    }
}
