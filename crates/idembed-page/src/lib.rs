//! One self-contained HTML page: settings, timings, charts and pictures in a single file.
//!
//! No script and nothing from outside: pictures are inlined, and the page's own security policy forbids the rest. It
//! never decodes or encodes a picture: it is given the bytes of a picture file.
//!
//! ```
//! use idembed_page::{Chart, Page};
//!
//! let losses = [(1.0, 0.5), (2.0, 0.3), (3.0, 0.4)];
//! let chart = Chart::new("Losses", "step", "loss").series("noise", losses);
//! let page = Page::new("A run", "of three steps").facts(&[("steps", "3")]).chart(&chart).render();
//! assert!(page.contains("<svg"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chart;
mod figure;
mod scatter;
mod table;

use maud::{DOCTYPE, Markup, PreEscaped, Render, html};

pub use chart::{Chart, Measured};
pub use figure::{Figure, Inlined};
pub use scatter::{Scatter, Uncertain};
pub use table::{Cell, Table};

const STYLE: &str = include_str!("style.css");
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// A page under construction; every method adds below what is there. All texts are plain and are escaped here.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    body: Vec<Markup>,
}

impl Page {
    /// A page with a title and a line below it, which may be empty.
    pub fn new(title: &str, subtitle: &str) -> Page {
        let head = html! {
            h1 { (title) }
            @if !subtitle.is_empty() { p.subtitle { (subtitle) } }
        };
        Page { title: title.to_owned(), body: vec![head] }
    }

    fn with(mut self, part: Markup) -> Page {
        self.body.push(part);
        self
    }

    /// A heading.
    pub fn section(self, heading: &str) -> Page {
        self.with(html! { h2 { (heading) } })
    }

    /// A heading within a section.
    pub fn heading(self, heading: &str) -> Page {
        self.with(html! { h3 { (heading) } })
    }

    /// A paragraph; line breaks are kept.
    pub fn text(self, text: &str) -> Page {
        self.with(html! { p { (text) } })
    }

    /// Commands or file content, in letters of equal width.
    pub fn code(self, text: &str) -> Page {
        self.with(html! { pre { (text) } })
    }

    /// A few numbers to see at once: what, and how much.
    pub fn facts<K: AsRef<str>, V: AsRef<str>>(self, facts: &[(K, V)]) -> Page {
        self.with(html! {
            dl.facts {
                @for (name, value) in facts {
                    div { dt { (name.as_ref()) } dd { (value.as_ref()) } }
                }
            }
        })
    }

    /// Settings and their values.
    pub fn settings<K: AsRef<str>, V: AsRef<str>>(self, settings: &[(K, V)]) -> Page {
        self.with(html! {
            div.scroll { table { tbody {
                @for (name, value) in settings {
                    tr { th scope="row" { (name.as_ref()) } td { (value.as_ref()) } }
                }
            } } }
        })
    }

    /// Figures in rows and columns.
    pub fn table(self, table: &Table) -> Page {
        self.with(table.render())
    }

    /// Drawings beside each other, as many in a row as the window has room for; for [small](Chart::small) charts and for
    /// [points in a plane](Scatter).
    pub fn drawings<D: Render>(self, drawings: &[D]) -> Page {
        self.with(html! {
            div.charts { @for drawing in drawings { (drawing) } }
        })
    }

    /// A line chart.
    pub fn chart(self, chart: &Chart) -> Page {
        self.with(chart.render())
    }

    /// Pictures beside each other, as many in a row as the window has room for.
    pub fn pictures(self, figures: &[Figure]) -> Page {
        self.with(html! {
            div.pictures { @for figure in figures { (figure) } }
        })
    }

    /// Pictures to compare: a label for each row and each column.
    pub fn compared<H: AsRef<str>, R: AsRef<str>>(self, columns: &[H], rows: &[(R, Vec<Figure>)]) -> Page {
        self.with(html! {
            div.scroll { table.compared {
                thead { tr {
                    th scope="col" {}
                    @for column in columns { th scope="col" { (column.as_ref()) } }
                } }
                tbody {
                    @for (label, figures) in rows {
                        tr {
                            th scope="row" { (label.as_ref()) }
                            @for figure in figures { td { (figure) } }
                        }
                    }
                }
            } }
        })
    }

    /// The whole page.
    pub fn render(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(POLICY);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) }
                }
                body { main { @for part in &self.body { (part) "\n" } } }
            }
        };
        page.into_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page that uses everything, with `text` wherever a text can stand.
    fn full_page(text: &str) -> String {
        let figure = Figure::new(Inlined::png(b"\x89PNG"), text).value(text).note(text);
        let chart = Chart::new(text, text, text).series(text, (1..50).map(|x| (f64::from(x), 1.0 / f64::from(x))));
        let sure = Uncertain { value: 1.0, interval: Some((0.5, 1.5)) };
        Page::new(text, text)
            .facts(&[(text, text)])
            .section(text)
            .heading(text)
            .text(text)
            .code(text)
            .settings(&[(text, text)])
            .chart(&chart.clone().smoothed(5))
            .drawings(&[chart.small().ticks([text.to_owned()])])
            .table(&Table::new(&[text]).row(text, [Cell::new(text).note(text)]).aside(text, [Cell::new(text).strong()]))
            .drawings(&[Scatter::new(text, text, text).point(text, sure, sure)])
            .pictures(&[figure.clone(), Figure::absent(text, text)])
            .compared(&[text], &[(text, vec![figure])])
            .render()
    }

    #[test]
    fn every_text_is_escaped() {
        let page = full_page("\"><script>alert(1)</script><img src=x onerror=alert(1)>&");
        assert!(!page.contains("<script") && !page.contains("<img src"), "{page}");
        let escaped = "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&amp;";
        // Title twice, subtitle, two facts, two headings, text, code, two settings; title, label, legend and axes of the
        // chart; the same of a small one and the name of a place; head, two rows and three cells of a table; title, label,
        // axes and name of a point in a plane; alternative text, value, caption and note of two pictures; why a third is absent, its caption; two
        // labels.
        assert_eq!(page.matches(escaped).count(), 11 + 5 + 6 + 6 + 5 + 8 + 2 + 2);
    }

    #[test]
    fn every_tag_is_closed() {
        let page = full_page("text");
        for tag in [
            "html",
            "head",
            "body",
            "main",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "figure",
            "figcaption",
            "div",
            "dl",
            "svg",
            "ul",
            "li",
            "h2",
            "h3",
            "p",
            "pre",
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
}
