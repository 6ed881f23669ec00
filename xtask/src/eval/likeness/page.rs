//! The page of an evaluation: one HTML file with all that it shows, no script, and nothing that differs between runs.

use std::path::Path;

use idembed_page::Page;

use super::compare::{Outcome, Picture, ranked};
use super::summary::{Summary, unreadable};
use crate::eval::bootstrap::Estimate;
use crate::eval::inline;
use crate::eval::parts::{figure, sentence};

/// Draws the page; the picture files are read again, and those that do not fit are named with the reason.
pub(crate) fn render(summary: &Summary, photo: &Path, pictures: &[Picture]) -> String {
    let title = format!("Likeness to {}", photo.file_name().unwrap_or_default().display());
    let compared = format!("Compared by {}, pictures: {}", summary.recogniser.name, summary.id.n);
    let photo = inline::inline(photo, inline::MAX_PHOTO).map(|(photo, _)| photo);
    let mut page = Page::new(&title, &compared)
        .pictures(&[figure(photo, "The photo")])
        .facts(&facts(summary))
        .text(&sentence(&summary.recogniser.reading()))
        .section("Pictures, the most similar first");

    let ranked = ranked(pictures);
    let paths: Vec<&Path> = ranked.iter().map(|(_, picture)| picture.path.as_path()).collect();
    let inlined = inline::from_both_ends(&paths, inline::MAX_PICTURES);
    let absent = inlined.iter().filter(|picture| picture.is_err()).count();
    if absent > 0 {
        page = page.text(&format!(
            "Only named, not shown: {absent} of {}. The page holds files of up to {} MiB, {} MiB together, beginning \
             with the most and the least similar ones.",
            inlined.len(),
            inline::MAX_PICTURE >> 20,
            inline::MAX_PICTURES >> 20
        ));
    }
    let figures = ranked.iter().zip(inlined).map(|((id, picture), inlined)| {
        figure(inlined, &picture.name()).value(&format!("{id:.3}")).note(&face_state(&picture.outcome))
    });
    page = page.pictures(&figures.collect::<Vec<_>>());
    if summary.unreadable > 0 {
        let rows: Vec<_> = unreadable(pictures).map(|(picture, why)| (picture.name(), why)).collect();
        page = page.section("Not counted: could not be read").settings(&rows);
    }
    let method = summary.method();
    let mut settings = vec![
        ("photo", summary.settings.photo.as_str()),
        ("pictures", &summary.settings.pictures),
        ("recognition network", &summary.recogniser.name),
        ("this network because", &summary.recogniser.because),
        ("similarity", "cosine of the face embeddings; a missing face counts 0"),
        ("intervals", &method),
    ];
    let followed = format!("similarity where the picture's Prompt is at least {}, else 0", summary.settings.tau);
    if summary.id_p.is_some() {
        settings.push(("ID(P)", &followed));
    }
    page.section("Settings").settings(&settings).render()
}

fn face_state(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Face { score, faces: 0 | 1, .. } => format!("detector's score {score:.2}"),
        Outcome::Face { score, faces, .. } => format!("one of {faces} faces, detector's score {score:.2}"),
        Outcome::NoFace => "no face found".to_owned(),
        Outcome::Unreadable(_) => "could not be read".to_owned(),
    }
}

fn facts(summary: &Summary) -> Vec<(String, String)> {
    let interval = |figure: &Estimate| format!("{:.3} ({:.3} to {:.3})", figure.mean, figure.low, figure.high);
    let figures =
        summary.figures().into_iter().map(|(name, what, figure)| (format!("{what} ({name})"), interval(&figure)));
    let counts = [
        ("without a face, counted 0".to_owned(), summary.faces_missing.to_string()),
        ("unreadable, not counted".to_owned(), summary.unreadable.to_string()),
    ];
    figures.chain(counts).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::eval::likeness::compare::{Comparison, Recogniser, Record};
    use crate::eval::likeness::summary::{Files, tests::settings};

    const ATTACK: &str = "\"><script>alert(1)<&";
    const ESCAPED: &str = "&quot;&gt;&lt;script&gt;alert(1)&lt;&amp;";

    fn page(folder: &Path, text: &str) -> String {
        let picture = |name: &str, outcome| {
            let path = folder.join(name);
            Picture { path, outcome, record: Record::default() }
        };
        let photo = format!("{text} photo");
        for name in ["low.png", "high.png", "none.png", &photo] {
            fs::write(folder.join(name), [b"\x89PNG", name.as_bytes()].concat()).unwrap();
        }
        let face = |id, faces| Outcome::Face { id, score: 0.987, faces };
        let pictures = vec![
            picture("low.png", face(-0.1, 3)),
            picture("high.png", face(0.75, 1)),
            picture("none.png", Outcome::NoFace),
            picture(text, face(0.5, 1)),
            picture("cut.png", Outcome::Unreadable(text.to_owned())),
        ];
        let recogniser = Recogniser { name: text.to_owned(), because: text.to_owned(), scale: None };
        let compared = Comparison { recogniser, pictures };
        let mut settings = settings();
        (settings.photo, settings.pictures) = (text.to_owned(), text.to_owned());
        let summary = Summary::new(&compared, settings, Files::within(Path::new("out"))).unwrap();
        render(&summary, &folder.join(photo), &compared.pictures)
    }

    #[test]
    fn every_text_is_escaped() {
        let folder = tempfile::tempdir().unwrap();
        let page = page(folder.path(), ATTACK);
        assert!(!page.contains("<script"), "{page}");
        // Title twice, subtitle, the scale, the caption of a picture that is not there, why another is unreadable, four
        // settings.
        assert_eq!(page.matches(ESCAPED).count(), 10, "{page}");
    }

    #[test]
    fn pictures_are_sorted_and_said_to_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        let page = page(folder.path(), "gone.png");
        let places: Vec<_> = [
            ">The photo<",
            "<strong>0.750</strong> high.png<br>detector's score 0.99<",
            "not shown: not a picture that a browser shows</div><figcaption><strong>0.500</strong> gone.png<",
            "<strong>0.000</strong> none.png<br>no face found<",
            "<strong>-0.100</strong> low.png<br>one of 3 faces, detector's score 0.99<",
            "<th scope=\"row\">cut.png</th><td>gone.png</td>",
        ]
        .map(|text| page.find(text).unwrap_or_else(|| panic!("no `{text}` in {page}")))
        .to_vec();
        assert!(places.is_sorted(), "{places:?}");
        assert!(page.contains("<p>Only named, not shown: 1 of 4. The page"), "{page}");
    }

    #[test]
    fn nothing_comes_from_outside_and_every_tag_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let page = page(folder.path(), "text");
        for word in ["http:", "https:", "url(", "@import", "<link", "<script", "javascript:", "file:"] {
            assert!(!page.contains(word), "{word}");
        }
        assert_eq!(page.matches("src=\"").count(), page.matches("src=\"data:image/png;base64,").count());
        assert_eq!(page.matches("src=\"").count(), 4, "three pictures and the photo");
        for tag in ["main", "figure", "figcaption", "div", "dl", "dt", "dd", "table", "tbody", "tr", "th", "td", "h2"] {
            let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert!(opened > 0 && opened == page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }
}
