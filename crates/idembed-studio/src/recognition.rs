//! Which face recognition network compares pictures, and how its numbers are to be read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use idembed_face::recognise::Scale;

use crate::error::{Result, StudioError};
use crate::model::Model;
use crate::models::{self, Part};
use crate::picture_file;

/// A network that `models/manifest.json` knows.
pub struct Published {
    /// Its name in `models/`.
    pub name: &'static str,
    /// The cosine above which the same person is assumed, and who says so.
    threshold: Option<(f64, &'static str)>,
}

/// The networks that are looked for if nothing speaks for another one: the one that everyone may use, then those for
/// research, the best first.
///
/// For FaceNet's weights of 2018 nobody who made or ported them names a threshold.
pub const RECOGNISERS: [Published; 4] = [
    Published { name: "dlib-face", threshold: Some(DLIB) },
    Published { name: "adaface-ir101", threshold: Some(CVLFACE) },
    Published { name: "arcface-ir101", threshold: Some(CVLFACE) },
    Published { name: "facenet-vggface2", threshold: None },
];

/// The network's own threshold is one for distances. Embeddings of 110 pictures of five portraits are 1.40 long, with a
/// standard deviation of 0.03, so that its 0.6 lies between cosines of 0.904 and 0.917.
const DLIB: (f64, &str) = (0.91, "where distances are about 0.6, dlib's threshold");

/// `apps/verification/verify.py` of CVLFace, by the author of the weights.
const CVLFACE: (f64, &str) = (0.3, "the default of CVLFace's verify.py, not measured here");

/// A model's own network, below its folder.
const OWN: &str = "recogniser/model.safetensors";

/// The network that compares.
#[derive(Debug)]
pub struct Network {
    /// The name it was found under.
    pub name: String,
    /// Its weights.
    pub file: PathBuf,
    /// Why it is this one, in words.
    pub because: String,
    /// How its numbers are to be read, if that is known.
    pub scale: Option<Scale>,
}

impl Network {
    /// The network that was asked for; or the own one of the model that drew the pictures, if one did and has one; or the
    /// first of [`RECOGNISERS`] that is there.
    ///
    /// # Errors
    /// There is no such network, or none at all.
    pub fn choose(wanted: Option<&str>, photo: &Path, pictures: &[PathBuf]) -> Result<Network> {
        if let Some(wanted) = wanted {
            return Network::named(wanted);
        }
        let drawn_by = drawn_by(std::iter::once(photo).chain(pictures.iter().map(PathBuf::as_path)));
        let models: Vec<&str> = drawn_by.iter().map(String::as_str).collect();
        if let [model] = models[..]
            && let Some(folder) = models::weights(model, OWN)
        {
            let because = format!("`{model}` drew the pictures, and it is that model's own");
            return Network::new(model, folder.join(OWN), because);
        }
        let because = match models[..] {
            [] | [_] => "it is the first choice of those that are there".to_owned(),
            _ => {
                let models = models.join(", ");
                format!(
                    "the pictures are by several models ({models}), and it is the first choice of those that are there"
                )
            }
        };
        let found = RECOGNISERS.iter().find_map(|known| Some((known.name, models::network_file(known.name)?)));
        let (name, file) = found.ok_or(StudioError::Missing { part: Part::Recogniser })?;
        Network::new(name, file, because)
    }

    /// The own one of a model, if it has one.
    ///
    /// # Errors
    /// The scale beside it cannot be read.
    pub fn of_model(model: &Model) -> Result<Option<Network>> {
        let file = model.folder.join(OWN);
        let because = || format!("it is `{}`'s own", model.name);
        file.is_file().then(|| Network::new(&model.name, file, because())).transpose()
    }

    fn named(wanted: &str) -> Result<Network> {
        let own = || Some(models::weights(wanted, OWN)?.join(OWN));
        let missing = || StudioError::NoRecogniser { wanted: wanted.to_owned() };
        let file = models::network_file(wanted).or_else(own).ok_or_else(missing)?;
        Network::new(wanted, file, "it was asked for".to_owned())
    }

    fn new(name: &str, file: PathBuf, because: String) -> Result<Network> {
        let published = RECOGNISERS.iter().find(|known| known.name == name).and_then(|known| known.threshold);
        let published = published.map(|(cosine, source)| Scale {
            same_above: cosine,
            strangers_below: cosine,
            source: source.to_owned(),
        });
        let scale = Scale::beside(&file)?.or(published);
        Ok(Network { name: name.to_owned(), file, because, scale })
    }
}

/// The models that drew these pictures, as far as they say so.
pub(crate) fn drawn_by<'a>(pictures: impl Iterator<Item = &'a Path>) -> BTreeSet<String> {
    // What is no PNG, or not made here, says nothing; whether it can be compared shows later.
    pictures.filter_map(|path| picture_file::read(path).ok()?.record).map(|record| record.model).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use image::RgbImage;
    use tempfile::TempDir;

    use super::*;
    use crate::picture_file::PictureRecord;

    struct Place(TempDir);

    impl Place {
        /// A picture that says it was drawn by `model`, or nothing.
        fn picture(&self, name: &str, model: Option<&str>) -> PathBuf {
            let path = self.0.path().join(name);
            let record = model.map(|model| PictureRecord { model: model.to_owned(), ..PictureRecord::sample() });
            picture_file::write(&path, &RgbImage::new(8, 8), record.as_ref()).unwrap();
            path
        }
    }

    #[test]
    fn a_model_that_drew_all_that_speak_lends_its_network() {
        let place = Place(tempfile::tempdir().unwrap());
        let (mini, other) = (place.picture("1.png", Some("mini")), place.picture("2.png", Some("sd15")));
        let (silent, text) = (place.picture("3.png", None), place.0.path().join("4.png"));
        std::fs::write(&text, "no picture").unwrap();
        let expected = models::weights("mini", OWN).unwrap().join(OWN);
        let own = |photo: &PathBuf, pictures: &[&PathBuf]| {
            let pictures: Vec<PathBuf> = pictures.iter().map(|path| (*path).clone()).collect();
            Network::choose(None, photo, &pictures).is_ok_and(|network| network.file == expected)
        };
        assert!(own(&silent, &[&mini]));
        assert!(own(&mini, &[&silent]));
        assert!(own(&silent, &[&text, &mini, &silent, &mini]));
        assert!(!own(&silent, &[&mini, &other]));
        assert!(!own(&other, &[&mini]));
        assert!(!own(&silent, &[&silent, &text]));
        assert!(!own(&silent, &[&other]));
        assert!(!own(&silent, &[&place.picture("5.png", Some("../mini"))]));
    }

    #[test]
    fn the_one_of_a_model_can_be_named_and_has_a_scale() {
        let network = Network::choose(Some("mini"), Path::new(""), &[]).unwrap();
        assert_eq!(network.file, models::weights("mini", OWN).unwrap().join(OWN));
        let Scale { same_above, strangers_below, .. } = network.scale.unwrap();
        assert!(-1.0 < strangers_below && strangers_below < same_above && same_above < 1.0);
        let error = Network::choose(Some("nobody"), Path::new(""), &[]).unwrap_err();
        assert!(matches!(error, StudioError::NoRecogniser { wanted } if wanted == "nobody"));
    }

    #[test]
    fn what_is_published_is_known_by_name() {
        let scale = |name| Network::new(name, PathBuf::from("nowhere/model.safetensors"), String::new()).unwrap().scale;
        let adaface = scale("adaface-ir101").unwrap();
        assert_eq!((adaface.same_above, adaface.strangers_below), (0.3, 0.3));
        assert_eq!((scale("facenet-vggface2"), scale("other.safetensors")), (None, None));
    }
}
