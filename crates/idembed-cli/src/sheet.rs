//! Contact sheets: pictures in rows and columns, with labels and captions.

mod layout;
mod text;

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use layout::Layout;
use text::{TextStyle, Typeface};

const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
const HAIRLINE: Rgb<u8> = Rgb([214, 214, 214]);

/// A sheet of pictures that is yet to be drawn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sheet {
    title: String,
    subtitle: String,
    column_labels: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    label: String,
    cells: Vec<Cell>,
}

/// A place on a sheet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    picture: Option<RgbImage>,
    caption: String,
}

impl Cell {
    /// A picture and what stands below it, which may be empty.
    pub(crate) fn new(picture: RgbImage, caption: impl Into<String>) -> Cell {
        Cell { picture: Some(picture), caption: caption.into() }
    }

    /// A place that stays free.
    pub(crate) fn empty() -> Cell {
        Cell::default()
    }
}

impl Sheet {
    /// A sheet with a heading and a smaller line below it; either may be empty.
    pub(crate) fn new(title: &str, subtitle: &str) -> Sheet {
        Sheet { title: title.to_owned(), subtitle: subtitle.to_owned(), ..Sheet::default() }
    }

    /// What stands above the columns.
    pub(crate) fn column_labels<S: Into<String>>(mut self, labels: impl IntoIterator<Item = S>) -> Sheet {
        self.column_labels = labels.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a row; `label` stands to its left and may be empty. Rows may differ in length.
    pub(crate) fn row(mut self, label: &str, cells: Vec<Cell>) -> Sheet {
        self.rows.push(Row { label: label.to_owned(), cells });
        self
    }

    /// Adds `cells` in as many rows of `columns` as they need.
    pub(crate) fn grid(mut self, columns: usize, cells: Vec<Cell>) -> Sheet {
        let mut cells = cells.into_iter().peekable();
        while cells.peek().is_some() {
            self.rows.push(Row { label: String::new(), cells: cells.by_ref().take(columns.max(1)).collect() });
        }
        self
    }

    /// Draws the sheet.
    ///
    /// # Errors
    /// A sheet without a picture, or one that would be too large.
    pub(crate) fn draw(&self) -> anyhow::Result<RgbImage> {
        let typeface = Typeface::load()?;
        let layout = Layout::of(self, &typeface)?;
        let mut sheet = RgbImage::from_pixel(layout.width, layout.height, PAPER);

        let left = layout.margin as f32;
        let mut y = layout.margin;
        for (lines, style) in [(&layout.title, layout.title_style), (&layout.subtitle, layout.caption_style)] {
            y = draw_lines(&mut sheet, &typeface, &style, lines, y, |_| left);
        }
        if y > layout.margin {
            y += layout.gap;
        }

        let column_bottom = y + layout.column_label_height;
        for (column, lines) in layout.column_labels.iter().enumerate() {
            let top = column_bottom - lines.len() as u32 * layout.label_style.line_height() - layout.gap / 2;
            let centre = layout.column_centre(column);
            draw_lines(&mut sheet, &typeface, &layout.label_style, lines, top, |width| centre - width / 2.0);
        }
        y = column_bottom;

        for (row, plan) in self.rows.iter().zip(&layout.rows) {
            let block = plan.label.len() as u32 * layout.label_style.line_height();
            let top = y + layout.cell_height.saturating_sub(block) / 2;
            draw_lines(&mut sheet, &typeface, &layout.label_style, &plan.label, top, |_| left);
            for (column, (cell, caption)) in row.cells.iter().zip(&plan.captions).enumerate() {
                let centre = layout.column_centre(column);
                if let Some(picture) = &cell.picture {
                    let picture = enlarge(picture, layout.scale);
                    let x = (centre - picture.width() as f32 / 2.0) as u32;
                    draw_framed(&mut sheet, &picture, x, y + (layout.cell_height - picture.height()) / 2);
                }
                let below = y + layout.cell_height + layout.gap / 2;
                draw_lines(&mut sheet, &typeface, &layout.caption_style, caption, below, |width| centre - width / 2.0);
            }
            y += plan.height;
        }
        Ok(sheet)
    }
}

/// Draws lines below each other from `top`; `left` says where a line of a given width begins. Returns the lower edge.
fn draw_lines(
    sheet: &mut RgbImage,
    typeface: &Typeface,
    style: &TextStyle,
    lines: &[String],
    top: u32,
    left: impl Fn(f32) -> f32,
) -> u32 {
    let mut y = top;
    for line in lines {
        typeface.draw(sheet, style, line, left(typeface.width(style, line)).round(), y as f32);
        y += style.line_height();
    }
    y
}

fn enlarge(picture: &RgbImage, factor: u32) -> RgbImage {
    if factor == 1 {
        return picture.clone();
    }
    imageops::resize(picture, picture.width() * factor, picture.height() * factor, FilterType::CatmullRom)
}

/// Draws a picture inside a hairline, so that one with a white edge still ends somewhere.
fn draw_framed(sheet: &mut RgbImage, picture: &RgbImage, x: u32, y: u32) {
    let frame = RgbImage::from_pixel(picture.width() + 2, picture.height() + 2, HAIRLINE);
    imageops::replace(sheet, &frame, i64::from(x) - 1, i64::from(y) - 1);
    imageops::replace(sheet, picture, i64::from(x), i64::from(y));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn cell(width: u32, height: u32, colour: [u8; 3], caption: &str) -> Cell {
        Cell::new(RgbImage::from_pixel(width, height, Rgb(colour)), caption)
    }

    fn count(sheet: &RgbImage, colour: [u8; 3]) -> usize {
        sheet.pixels().filter(|pixel| pixel.0 == colour).count()
    }

    #[test]
    fn every_picture_is_on_the_sheet_once() {
        let sheet = Sheet::new("A title", "and a line below")
            .column_labels(["one", "two", "three"])
            .row("first", vec![cell(300, 200, [255, 0, 0], "red"), cell(300, 200, [0, 255, 0], "")])
            .row("second row with a long label", vec![cell(200, 300, [0, 0, 255], &"long ".repeat(200))])
            .draw()
            .unwrap();
        assert_eq!(count(&sheet, [255, 0, 0]), 300 * 200);
        assert_eq!(count(&sheet, [0, 255, 0]), 300 * 200);
        assert_eq!(count(&sheet, [0, 0, 255]), 200 * 300);
        assert!(sheet.rows().next().unwrap().all(|pixel| *pixel == PAPER), "the margin is free");
        let last_column = sheet.width() - 1;
        assert!((0..sheet.height()).all(|y| sheet[(last_column, y)] == PAPER), "the margin is free");
    }

    #[test]
    fn small_pictures_are_enlarged_by_whole_numbers() {
        let red = |width, height| {
            let sheet = Sheet::new("", "").row("", vec![cell(width, height, [255, 0, 0], "")]);
            count(&sheet.draw().unwrap(), [255, 0, 0])
        };
        assert_eq!(red(100, 64), 200 * 128);
        assert_eq!(red(64, 64), 256 * 256);
        assert_eq!(red(300, 64), 300 * 64);
    }

    #[test]
    fn a_place_may_stay_free() {
        let red = || cell(256, 256, [255, 0, 0], "");
        let full = Sheet::new("", "").row("", vec![red(), red()]).draw().unwrap();
        let half = Sheet::new("", "").row("", vec![Cell::empty(), red()]).draw().unwrap();
        assert_eq!(half.dimensions(), full.dimensions());
        assert_eq!((count(&half, [255, 0, 0]), count(&full, [255, 0, 0])), (256 * 256, 2 * 256 * 256));
    }

    #[test]
    fn a_grid_wraps_its_cells() {
        let cells: Vec<Cell> = (0..7).map(|_| cell(256, 256, [255, 0, 0], "")).collect();
        let sheet = Sheet::new("", "").grid(3, cells).draw().unwrap();
        assert_eq!(count(&sheet, [255, 0, 0]), 7 * 256 * 256);
        assert_eq!(Sheet::new("", "").grid(0, vec![cell(9, 9, [0; 3], ""); 2]).rows.len(), 2);
    }

    #[test]
    fn an_empty_or_endless_sheet_is_refused() {
        assert!(Sheet::new("title", "").draw().is_err());
        assert!(Sheet::new("title", "").row("label", Vec::new()).draw().is_err());
        assert!(Sheet::new("title", "").row("label", vec![Cell::empty()]).draw().is_err());
        let with_none = vec![cell(9, 9, [0; 3], ""), cell(0, 5, [0; 3], "")];
        assert!(Sheet::new("", "").row("", with_none).draw().is_err());
        let endless = Sheet::new("", "").row("", vec![cell(1, 1, [0; 3], ""); 1_000_000]).draw().unwrap_err();
        assert!(endless.to_string().contains("too large"), "{endless}");
    }

    #[test]
    fn tiny_pictures_with_long_texts_are_drawn() {
        let long = "a very long text without an end ".repeat(20);
        Sheet::new(&long, &long).column_labels([&long]).row(&long, vec![cell(1, 1, [0; 3], &long)]).draw().unwrap();
    }
}
