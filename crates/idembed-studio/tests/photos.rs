//! Learning from several photos, on the bundled miniature.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};

use idembed_studio::{
    Cut, Frame, Learn, LearnWishes, Lesson, Model, Photo, Studio, StudioError, SubjectChoice, SubjectFinder,
};
use idembed_tokens::Method;
use image::imageops::FilterType;

fn mini() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mini")
}

fn portrait(name: &str) -> Photo {
    Photo::open(&mini().join("portraits").join(name)).unwrap()
}

#[test]
fn photos_of_different_sizes_are_cut_to_one() {
    let studio = Studio::open(mini().to_str().unwrap()).unwrap();
    let mut second = portrait("person3_b.png");
    second.pixels = image::imageops::resize(&second.pixels, 150, 90, FilterType::Triangle);
    let photos = [portrait("person3_a.png"), second];
    let subject = SubjectChoice { frame: Frame::Centre, mask: None };
    let wishes = LearnWishes { steps: Some(3), batch: Some(2), ..LearnWishes::default() };
    let size = "64x64".parse().unwrap();
    let how =
        || Learn { subject: subject.clone(), wishes: wishes.clone(), size: Some(size), method: Some(Method::Sefi) };
    let learned = |photos: &[Photo]| studio.learn_photos("me", photos, how()).unwrap().identity.sha256().unwrap();
    let both = learned(&photos);
    assert!(both != learned(&photos[..1]) && both != learned(&photos[1..]));
    let one = studio.learn("me", &photos[0], how()).unwrap();
    assert_eq!(one.identity.sha256().unwrap(), learned(&photos[..1]));
    assert!(matches!(studio.learn_photos("me", &[], how()), Err(StudioError::Tokens(_))));

    // The same by hand, and with a prompt for one of them.
    let finder = SubjectFinder::open(&subject, studio.compute()).unwrap();
    let cuts: Vec<Cut> = photos.iter().map(|photo| finder.find(photo.clone()).unwrap().at(size).unwrap()).collect();
    let config = Model::at(&mini()).unwrap().learn_config("me", Method::Sefi).with(&wishes);
    let of = |cuts: Vec<Cut>| {
        studio.start_learning(Lesson::new(cuts, config.clone())).wait().unwrap().identity.sha256().unwrap()
    };
    assert_eq!(of(cuts.clone()), both);
    let mut captioned = cuts;
    captioned[1].caption = Some("{} at the beach".to_owned());
    assert_ne!(of(captioned), both);
}
