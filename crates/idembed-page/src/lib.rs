//! One self-contained HTML page: settings, timings, charts and pictures in a single file.
//!
//! No script and nothing from outside: pictures are inlined, and the page's own security policy forbids the rest.

mod chart;
mod ticks;

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ImageResult, RgbImage};

pub use chart::Chart;

const STYLE: &str = include_str!("style.css");
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// A page under construction; every method adds below what is there. All texts are plain and are escaped here.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    body: String,
}

/// A picture ready to stand in a page.
#[derive(Clone, Debug)]
pub struct Figure {
    html: String,
}

impl Figure {
    /// A picture with a caption, which may be empty.
    ///
    /// # Errors
    /// A picture without pixels.
    pub fn new(picture: &RgbImage, caption: &str) -> ImageResult<Figure> {
        let mut bytes = Vec::new();
        // Squeezing out the last tenth would take longer than drawing most pictures.
        picture.write_with_encoder(PngEncoder::new_with_quality(
            &mut bytes,
            CompressionType::Fast,
            FilterType::Adaptive,
        ))?;
        let data = STANDARD.encode(bytes);
        let (width, height, text) = (picture.width(), picture.height(), escape(caption));
        let mut html = format!(
            "<figure><img width=\"{width}\" height=\"{height}\" alt=\"{text}\" src=\"data:image/png;base64,{data}\">"
        );
        if !caption.is_empty() {
            let _ = write!(html, "<figcaption>{text}</figcaption>");
        }
        html.push_str("</figure>");
        Ok(Figure { html })
    }
}

impl Page {
    /// A page with a title and a line below it, which may be empty.
    pub fn new(title: &str, subtitle: &str) -> Page {
        let mut body = format!("<h1>{}</h1>\n", escape(title));
        if !subtitle.is_empty() {
            let _ = writeln!(body, "<p class=\"subtitle\">{}</p>", escape(subtitle));
        }
        Page { title: title.to_owned(), body }
    }

    /// A heading.
    pub fn section(mut self, heading: &str) -> Page {
        let _ = writeln!(self.body, "<h2>{}</h2>", escape(heading));
        self
    }

    /// A paragraph; line breaks are kept.
    pub fn text(mut self, text: &str) -> Page {
        let _ = writeln!(self.body, "<p>{}</p>", escape(text));
        self
    }

    /// Commands or file content, in letters of equal width.
    pub fn code(mut self, text: &str) -> Page {
        let _ = writeln!(self.body, "<pre>{}</pre>", escape(text));
        self
    }

    /// A few numbers to see at once: what, and how much.
    pub fn facts<K: AsRef<str>, V: AsRef<str>>(mut self, facts: &[(K, V)]) -> Page {
        self.body.push_str("<dl class=\"facts\">");
        for (name, value) in facts {
            let (name, value) = (escape(name.as_ref()), escape(value.as_ref()));
            let _ = write!(self.body, "<div><dt>{name}</dt><dd>{value}</dd></div>");
        }
        self.body.push_str("</dl>\n");
        self
    }

    /// Settings and their values.
    pub fn settings<K: AsRef<str>, V: AsRef<str>>(mut self, settings: &[(K, V)]) -> Page {
        self.body.push_str("<div class=\"scroll\"><table><tbody>\n");
        for (name, value) in settings {
            let (name, value) = (escape(name.as_ref()), escape(value.as_ref()));
            let _ = writeln!(self.body, "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>");
        }
        self.body.push_str("</tbody></table></div>\n");
        self
    }

    fn column_headings<H: AsRef<str>>(&mut self, headings: &[H]) {
        self.body.push_str("<thead><tr>");
        for heading in headings {
            let _ = write!(self.body, "<th scope=\"col\">{}</th>", escape(heading.as_ref()));
        }
        self.body.push_str("</tr></thead>");
    }

    /// A line chart.
    pub fn chart(mut self, chart: &Chart) -> Page {
        self.body.push_str(&chart.html());
        self
    }

    /// Pictures beside each other, as many in a row as the window has room for.
    pub fn pictures(mut self, figures: &[Figure]) -> Page {
        self.body.push_str("<div class=\"pictures\">\n");
        for figure in figures {
            let _ = writeln!(self.body, "{}", figure.html);
        }
        self.body.push_str("</div>\n");
        self
    }

    /// Pictures to compare: a label for each row and each column.
    pub fn compared<H: AsRef<str>, R: AsRef<str>>(mut self, columns: &[H], rows: &[(R, Vec<Figure>)]) -> Page {
        self.body.push_str("<div class=\"scroll\"><table class=\"compared\">");
        let headings: Vec<&str> = std::iter::once("").chain(columns.iter().map(AsRef::as_ref)).collect();
        self.column_headings(&headings);
        self.body.push_str("<tbody>\n");
        for (label, figures) in rows {
            let _ = write!(self.body, "<tr><th scope=\"row\">{}</th>", escape(label.as_ref()));
            for figure in figures {
                let _ = write!(self.body, "<td>{}</td>", figure.html);
            }
            self.body.push_str("</tr>\n");
        }
        self.body.push_str("</tbody></table></div>\n");
        self
    }

    /// The whole page.
    pub fn render(&self) -> String {
        let (title, body) = (escape(&self.title), &self.body);
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
        )
    }
}

/// Plain text as HTML, safe between tags and in quoted attributes.
fn escape(text: &str) -> Cow<'_, str> {
    let special = |letter: char| matches!(letter, '&' | '<' | '>' | '"' | '\'') || is_forbidden(letter);
    if !text.contains(special) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter if is_forbidden(letter) => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped.into()
}

/// Control characters that may not stand in an HTML document.
fn is_forbidden(letter: char) -> bool {
    letter.is_control() && !matches!(letter, '\n' | '\t' | '\r')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use image::Rgb;

    use super::*;

    fn picture() -> RgbImage {
        RgbImage::from_fn(12, 9, |x, y| Rgb([x as u8 * 20, y as u8 * 20, 7]))
    }

    /// A page that uses everything, with `text` wherever a text can stand.
    fn full_page(text: &str) -> String {
        let figure = Figure::new(&picture(), text).unwrap();
        let chart = Chart::new(text, text, text).series(text, (1..50).map(|x| (f64::from(x), 1.0 / f64::from(x))));
        Page::new(text, text)
            .facts(&[(text, text)])
            .section(text)
            .text(text)
            .code(text)
            .settings(&[(text, text)])
            .chart(&chart.smoothed(5))
            .pictures(std::slice::from_ref(&figure))
            .compared(&[text], &[(text, vec![figure.clone()])])
            .render()
    }

    #[test]
    fn every_text_is_escaped() {
        let attack = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&\0";
        let page = full_page(attack);
        assert!(!page.contains("<script") && !page.contains("<img src") && !page.contains("'><"), "{page}");
        assert!(!page.contains('\0'));
        let escaped =
            "&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&amp;\u{fffd}";
        // Title twice, subtitle, fact 2, heading, text, code, setting 2, chart: title twice, two axes, legend;
        // two pictures with text and alternative text; two labels.
        assert_eq!(page.matches(escaped).count(), 3 + 2 + 1 + 1 + 1 + 2 + 5 + 4 + 2);
    }

    #[test]
    fn every_tag_is_closed() {
        let page = full_page("text");
        for tag in [
            "html", "head", "body", "main", "table", "thead", "tbody", "tr", "th", "td", "figure", "div", "dl", "svg",
            "ul", "li", "h2", "h3", "p", "pre",
        ] {
            let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert!(opened > 0, "{tag} is not used");
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }

    #[test]
    fn nothing_comes_from_outside() {
        let page = full_page("text");
        for word in ["http:", "https:", "src=\"/", "url(", "@import", "<link", "<script", "javascript:", "file:"] {
            assert!(!page.contains(word), "{word}");
        }
        assert_eq!(page.matches("src=\"").count(), page.matches("src=\"data:image/png;base64,").count());
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn an_inlined_picture_comes_back() {
        let html = Figure::new(&picture(), "").unwrap().html;
        assert!(!html.contains("figcaption"));
        let data = html.split("base64,").nth(1).unwrap().split('"').next().unwrap();
        let bytes = STANDARD.decode(data).unwrap();
        assert_eq!(image::load_from_memory(&bytes).unwrap().into_rgb8(), picture());
    }
}
