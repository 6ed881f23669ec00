//! Pictures on the way of learning, on the bundled miniature.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

use idembed_studio::{
    BestPreview, Draw, Event, Frame, LearnWishes, Learned, Lesson, Model, Photo, Preview, PreviewWish, Studio, Subject,
    SubjectChoice,
};
use idembed_tokens::Method;

fn mini() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mini").to_owned()
}

fn lesson(studio: &Studio, steps: usize, preview: Option<PreviewWish>) -> Lesson {
    let photo = Photo::open(&Path::new(&mini()).join("portraits/person3_a.png")).unwrap();
    let choice = SubjectChoice { frame: Frame::Centre, mask: None };
    let subject = Subject::find(photo, &choice, studio.compute()).unwrap();
    let wishes = LearnWishes { steps: Some(steps), batch: Some(1), ..LearnWishes::default() };
    let config = Model::find(&mini()).unwrap().learn_config("me", Method::Sefi).with(&wishes);
    let subjects = vec![subject.at("64x64".parse().unwrap()).unwrap()];
    Lesson { preview, ..Lesson::new(subjects, config) }
}

fn wish(every: usize) -> PreviewWish {
    let draw = Draw { steps: Some(2), size: Some("64x64".parse().unwrap()), seeds: vec![3, 4], ..Draw::default() };
    let prompts = ["a photo of {}", "{} at the beach"].map(str::to_owned).to_vec();
    PreviewWish { every, prompts, draw }
}

fn learn(studio: &Studio, lesson: Lesson, mut each: impl FnMut(Preview)) -> Learned {
    let job = studio.start_learning(lesson);
    for event in job.events() {
        if let Event::Preview(preview) = event {
            each(*preview);
        }
    }
    job.wait().unwrap()
}

#[test]
fn a_preview_is_what_drawing_gives_at_any_time_and_changes_nothing() {
    let studio = Studio::open(&mini()).unwrap();
    let mut previews = Vec::new();
    let learned = learn(&studio, lesson(&studio, 3, Some(wish(2))), |preview| previews.push(preview));
    assert_eq!(previews.iter().map(|preview| preview.step).collect::<Vec<_>>(), [0, 2, 3]);
    for preview in &previews {
        assert_eq!(preview.identity.steps, preview.step);
        for (prompt, pictures) in wish(2).prompts.iter().zip(&preview.pictures) {
            let prompt = prompt.replace("{}", "<me>");
            let drawn = studio.draw(&prompt, [("me", &preview.identity)], wish(2).draw).unwrap();
            assert!(drawn.iter().zip(pictures).all(|(drawn, preview)| drawn.picture == preview.picture), "{prompt}");
            assert_eq!(drawn.len(), pictures.len());
            assert_eq!(drawn[0].record.identities, pictures[0].record.identities);
        }
    }
    assert!(previews[0].pictures[0][0].picture != previews[2].pictures[0][0].picture);
    let quiet = learn(&studio, lesson(&studio, 3, None), |_| panic!("nothing was to be drawn"));
    assert_eq!(quiet.identity.sha256().unwrap(), learned.identity.sha256().unwrap());
    assert_eq!(previews[2].identity.sha256().unwrap(), learned.identity.sha256().unwrap());
}

#[test]
fn enough_ends_a_run_as_if_it_were_over() {
    let studio = Studio::open(&mini()).unwrap();
    let lesson = lesson(&studio, 1000, Some(wish(1)));
    let enough = lesson.enough.clone();
    let learned = learn(&studio, lesson, |preview| {
        if preview.step == 2 {
            enough.say();
        }
    });
    assert!((2..1000).contains(&learned.steps_here), "{}", learned.steps_here);
    assert_eq!(learned.identity.steps, learned.steps_here);
}

#[test]
fn the_best_preview_is_kept_and_patience_ends() {
    let studio = Studio::open(&mini()).unwrap();
    let mut best = BestPreview::new(2);
    let mut values = [0.1, 0.4, 0.4, 0.3].into_iter();
    learn(&studio, lesson(&studio, 3, Some(wish(1))), |preview| {
        assert!(!best.has_passed());
        best.add(values.next().unwrap(), preview.step, preview.identity);
    });
    assert!(best.has_passed());
    let (value, step, identity) = best.into_best().unwrap();
    // Of equal ones, the one that was learned for less.
    assert_eq!((value, step, identity.steps), (0.4, 1, 1));
}
