//! Pictures with what is said about them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, Render, html};

/// The bytes of a picture file as text that can stand in a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inlined {
    uri: String,
}

impl Inlined {
    /// A PNG file.
    pub fn png(bytes: &[u8]) -> Inlined {
        Inlined::of_kind("png", bytes)
    }

    /// A file of any kind that browsers show, or none if it is not one.
    ///
    /// The kind is told by the first bytes, as browsers do.
    pub fn of_file(bytes: &[u8]) -> Option<Inlined> {
        let kind = match bytes {
            [0x89, b'P', b'N', b'G', ..] => "png",
            [0xff, 0xd8, 0xff, ..] => "jpeg",
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "webp",
            _ => return None,
        };
        Some(Inlined::of_kind(kind, bytes))
    }

    fn of_kind(kind: &str, bytes: &[u8]) -> Inlined {
        Inlined { uri: format!("data:image/{kind};base64,{}", STANDARD.encode(bytes)) }
    }
}

/// A picture with a caption, ready to stand in a page.
#[derive(Clone, Debug)]
pub struct Figure {
    shown: Result<Inlined, String>,
    caption: String,
    value: Option<String>,
    note: Option<String>,
}

impl Figure {
    /// A picture with a caption, which may be empty.
    pub fn new(picture: Inlined, caption: &str) -> Figure {
        Figure { shown: Ok(picture), caption: caption.to_owned(), value: None, note: None }
    }

    /// The place of a picture that is not on the page, and why it is not.
    pub fn absent(reason: &str, caption: &str) -> Figure {
        Figure { shown: Err(reason.to_owned()), caption: caption.to_owned(), value: None, note: None }
    }

    /// What was measured on the picture, in bold before the caption.
    pub fn value(self, value: &str) -> Figure {
        Figure { value: Some(value.to_owned()), ..self }
    }

    /// A second line below the caption.
    pub fn note(self, note: &str) -> Figure {
        Figure { note: Some(note.to_owned()), ..self }
    }
}

impl Render for Figure {
    fn render(&self) -> Markup {
        let Figure { shown, caption, value, note } = self;
        html! {
            figure {
                @match shown {
                    Ok(picture) => img alt=(caption) src=(picture.uri);,
                    Err(reason) => div.absent { (reason) },
                }
                @if value.is_some() || note.is_some() || !caption.is_empty() {
                    figcaption {
                        @if let Some(value) = value { strong { (value) } " " }
                        (caption)
                        @if let Some(note) = note { br; (note) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_told_by_the_first_bytes() {
        for (bytes, start) in [
            (&b"\x89PNG rest"[..], "data:image/png;base64,iVBORyByZXN0"),
            (b"\xff\xd8\xff\xe0", "data:image/jpeg;base64,/9j/4A=="),
            (b"RIFF1234WEBPVP8 ", "data:image/webp;base64,UklGRjEyMzRXRUJQVlA4IA=="),
        ] {
            assert_eq!(Inlined::of_file(bytes).unwrap().uri, start);
        }
        assert_eq!(Inlined::of_file(b"<svg>"), None);
    }

    #[test]
    fn a_figure_says_only_what_is_known() {
        let picture = Inlined::png(b"\x89PNG");
        let plain = Figure::new(picture.clone(), "").render().into_string();
        assert_eq!(plain, "<figure><img alt=\"\" src=\"data:image/png;base64,iVBORw==\"></figure>");
        let full = Figure::new(picture, "a").value("1").note("b").render().into_string();
        assert!(full.contains("<figcaption><strong>1</strong> a<br>b</figcaption>"), "{full}");
        let absent = Figure::absent("too large", "a").render().into_string();
        assert_eq!(absent, "<figure><div class=\"absent\">too large</div><figcaption>a</figcaption></figure>");
    }
}
