//! The page of an evaluation: one HTML file with all that it shows, no script, and nothing that differs between runs.

use std::fmt::Write as _;
use std::path::Path;

use super::bootstrap::Figure;
use super::compare::{Outcome, Picture, ranked};
use super::inline::{self, Absent};
use super::summary::{Summary, unreadable};

/// The look of all pages of `idembed`.
const STYLE: &str = include_str!("../../../crates/idembed-page/src/style.css");
/// What only this page has.
const OWN_STYLE: &str = "\
.photo { max-width: 280px; margin: 24px 0 0; }
.absent { background: var(--panel); border-radius: 6px; padding: 24px 12px; font-size: 14px; color: var(--quiet); }
figcaption strong { color: var(--ink); font-variant-numeric: tabular-nums; }
";
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// Draws the page; the picture files are read again, and those that do not fit are named with the reason.
pub(crate) fn render(summary: &Summary, photo: &Path, pictures: &[Picture]) -> String {
    let ranked = ranked(pictures);
    let paths: Vec<&Path> = ranked.iter().map(|(_, picture)| picture.path.as_path()).collect();
    let uris = inline::from_both_ends(&paths, inline::MAX_PICTURES);
    let photo_uri = inline::data_uri(photo, inline::MAX_PHOTO).map(|(uri, _)| uri);

    let title = format!("Likeness to {}", photo.file_name().unwrap_or_default().display());
    let mut body = format!("<h1>{}</h1>\n", escape(&title));
    let compared = format!("Compared by {}, pictures: {}", summary.recogniser.name, summary.id.n);
    let _ = writeln!(body, "<p class=\"subtitle\">{}</p>", escape(&compared));
    let _ = writeln!(body, "<div class=\"photo\">\n{}</div>", figure(&photo_uri, "The photo", "The photo"));
    body.push_str(&facts(summary));
    let _ = writeln!(body, "<p>{}</p>", escape(&sentence(&summary.recogniser.reading())));
    body.push_str("<h2>Pictures, the most similar first</h2>\n");
    let absent = uris.iter().filter(|uri| uri.is_err()).count();
    if absent > 0 {
        let _ = writeln!(
            body,
            "<p>Only named, not shown: {absent} of {}. The page holds files of up to {} MiB, {} MiB together, beginning \
             with the most and the least similar ones.</p>",
            uris.len(),
            inline::MAX_PICTURE >> 20,
            inline::MAX_PICTURES >> 20
        );
    }
    body.push_str("<div class=\"pictures\">\n");
    for ((id, picture), uri) in ranked.iter().zip(&uris) {
        let name = escape(&picture.name());
        let caption = format!("<strong>{id:.3}</strong> {name}<br>{}", face_state(&picture.outcome));
        body.push_str(&figure(uri, &name, &caption));
    }
    body.push_str("</div>\n");
    if summary.unreadable > 0 {
        body.push_str("<h2>Not counted: could not be read</h2>\n");
        let rows = unreadable(pictures).map(|(picture, why)| (picture.name(), why.to_owned()));
        body.push_str(&table(rows));
    }
    body.push_str("<h2>Settings</h2>\n");
    let settings = [
        ("photo", summary.settings.photo.clone()),
        ("pictures", summary.settings.pictures.clone()),
        ("recognition network", summary.recogniser.name.clone()),
        ("this network because", summary.recogniser.because.clone()),
        ("similarity", "cosine of the face embeddings; a missing face counts 0".to_owned()),
        ("intervals", summary.method()),
    ];
    body.push_str(&table(settings.map(|(name, value)| (name.to_owned(), value))));
    document(&title, &body)
}

/// A picture, or why it is not there, with what is to say about it; the texts are HTML.
fn figure(uri: &Result<String, Absent>, alt: &str, caption: &str) -> String {
    let shown = match uri {
        Ok(uri) => format!("<img alt=\"{alt}\" src=\"{uri}\">"),
        Err(absent) => format!("<div class=\"absent\">{absent}</div>"),
    };
    format!("<figure>{shown}<figcaption>{caption}</figcaption></figure>\n")
}

/// Words as a sentence.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).chain(['.']).collect()
}

fn face_state(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Face { score, faces: 0 | 1, .. } => format!("detector's score {score:.2}"),
        Outcome::Face { score, faces, .. } => format!("one of {faces} faces, detector's score {score:.2}"),
        Outcome::NoFace => "no face found".to_owned(),
        Outcome::Unreadable(_) => "could not be read".to_owned(),
    }
}

fn facts(summary: &Summary) -> String {
    let interval = |figure: &Figure| format!("{:.3} ({:.3} to {:.3})", figure.mean, figure.low, figure.high);
    let facts = [
        ("similarity (id)", interval(&summary.id)),
        ("face found (detect)", interval(&summary.detect)),
        ("without a face, counted 0", summary.faces_missing.to_string()),
        ("unreadable, not counted", summary.unreadable.to_string()),
    ];
    let mut html = "<dl class=\"facts\">".to_owned();
    for (name, value) in facts {
        let _ = write!(html, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(&value));
    }
    html + "</dl>\n"
}

fn table(rows: impl IntoIterator<Item = (String, String)>) -> String {
    let mut html = "<div class=\"scroll\"><table><tbody>\n".to_owned();
    for (name, value) in rows {
        let _ = writeln!(html, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape(&name), escape(&value));
    }
    html + "</tbody></table></div>\n"
}

fn document(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}{OWN_STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// Plain text as HTML, safe between tags and in quoted attributes.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, letter| {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(' '),
            // An HTML document may not hold them.
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Map;

    use super::*;
    use crate::eval::compare::{Comparison, Recogniser};
    use crate::eval::summary::{Files, tests::settings};

    const ATTACK: &str = "\"'><script>alert(1)<&\u{1}";
    const ESCAPED: &str = "&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;&amp;\u{fffd}";

    fn page(folder: &Path, text: &str) -> String {
        let picture = |name: &str, outcome| {
            let path = folder.join(name);
            Picture { path, outcome, fields: Map::new() }
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
        assert!(!page.contains("<script") && !page.contains("'><") && !page.contains('\u{1}'), "{page}");
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
