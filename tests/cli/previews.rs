//! `idembed learn --preview-every` and `--stop auto`: pictures on the way, and an end once they do not get better.

use idembed_integration_tests::weights;

use crate::program::{Place, portrait, text};

fn learn<'a>(portrait: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["learn", portrait, "--no-face", "--name=me", "--batch=1", "--size=64x64"], more].concat()
}

#[test]
fn the_report_shows_pictures_on_the_way() {
    let (place, portrait) = (Place::new(), portrait());
    let flags = ["--steps=3", "--preview-every=2", "--report=me.html", "--report-pictures=0"];
    let value = place.json(&learn(text(&portrait), &flags));
    assert_eq!(value["steps"], 3);
    let page = std::fs::read_to_string(place.path("me.html")).unwrap();
    assert!(page.contains("On the way"), "{page}");
    for step in ["step 0", "step 2", "step 3"] {
        assert!(page.contains(&format!(">{step}<")), "{step}");
    }
    assert!(!page.contains(">step 1<"));
    // Pictures on the way change nothing.
    let quiet = Place::new();
    quiet.json(&learn(text(&portrait), &["--steps=3"]));
    let identity = |place: &Place| std::fs::read(place.path("me.identity.safetensors")).unwrap();
    assert!(identity(&place) == identity(&quiet));
}

#[test]
fn steps_and_previews_are_written_for_tensorboard() {
    let (place, portrait) = (Place::new(), portrait());
    let flags = ["--steps=3", "--preview-every=2", "--tensorboard=runs/me"];
    let value = place.json(&learn(text(&portrait), &flags));
    let file = std::fs::read(place.path(value["tensorboard"].as_str().unwrap())).unwrap();
    let times = |text: &str| file.windows(text.len()).filter(|bytes| *bytes == text.as_bytes()).count();
    assert_eq!(
        (times("loss/noise"), times("loss/attention"), times("learning rate"), times("loss/prior")),
        (3, 3, 3, 0)
    );
    // Four prompts after steps 0, 2 and 3.
    assert_eq!(
        (times("preview/"), times("preview/1 a close-up photo of <me> in a forest"), times("IHDR")),
        (12, 3, 12)
    );

    std::fs::write(place.path("file"), "").unwrap();
    let said = place.run(&learn(text(&portrait), &["--steps=3", "--force", "--tensorboard=file"]));
    assert_eq!(said.status, Some(1));
    assert!(said.stderr.contains("cannot write an event file in `file`"), "{}", said.stderr);
}

#[test]
fn learning_ends_when_pictures_do_not_get_better() {
    if weights("mtcnn").is_none() {
        return;
    }
    let (place, portrait) = (Place::new(), portrait());
    // A rate that makes everything worse, so that the first state is the best.
    let flags = ["--steps=500", "--preview-every=1", "--stop=auto", "--lr=30", "--mask=none", "--json"];
    let said = place.run(&learn(text(&portrait), &flags));
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    assert!(said.stderr.contains("learning ends once `mini` and `mini` see no better pictures"), "{}", said.stderr);
    assert!(said.stderr.contains("is the best, with"), "{}", said.stderr);
    let value: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let (steps, here) = (value["steps"].as_u64().unwrap(), value["steps_here"].as_u64().unwrap());
    assert!(steps <= here && here < 500, "{steps} of {here}");
    assert!(place.path("me.identity.safetensors").is_file() && !place.path("me.identity.safetensors.ckpt").exists());
}
