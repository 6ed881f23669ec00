//! Where everything on a contact sheet goes.

use anyhow::bail;
use image::RgbImage;

use super::text::{TextStyle, Typeface};
use super::{Cell, Sheet};

const INK: [u8; 3] = [28, 28, 30];
const GREY: [u8; 3] = [96, 96, 102];
/// Small pictures are enlarged by the whole number that brings them nearest to this width without passing it.
const COMFORTABLE_WIDTH: u32 = 256;
/// A sheet of more pixels is refused; it would take gigabytes.
const MAX_PIXELS: u64 = 400_000_000;
const MAX_CAPTION_LINES: usize = 4;
const MAX_LABEL_LINES: usize = 8;

/// Where everything goes, in pixels, and every text broken into its lines.
pub(super) struct Layout {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) margin: u32,
    pub(super) gap: u32,
    pub(super) scale: u32,
    pub(super) cell_width: u32,
    pub(super) cell_height: u32,
    pub(super) first_column: u32,
    pub(super) column_label_height: u32,
    pub(super) title_style: TextStyle,
    pub(super) label_style: TextStyle,
    pub(super) caption_style: TextStyle,
    pub(super) title: Vec<String>,
    pub(super) subtitle: Vec<String>,
    pub(super) column_labels: Vec<Vec<String>>,
    pub(super) rows: Vec<RowLayout>,
}

/// One row of a sheet.
pub(super) struct RowLayout {
    pub(super) label: Vec<String>,
    pub(super) captions: Vec<Vec<String>>,
    pub(super) height: u32,
}

impl Layout {
    /// Lays the sheet out.
    ///
    /// # Errors
    /// A sheet without a picture, or one that would be too large.
    pub(super) fn of(sheet: &Sheet, typeface: &Typeface) -> anyhow::Result<Layout> {
        let pictures = || sheet.rows.iter().flat_map(|row| &row.cells).filter_map(|cell| cell.picture.as_ref());
        let largest_width = pictures().map(RgbImage::width).max().unwrap_or(0);
        let largest_height = pictures().map(RgbImage::height).max().unwrap_or(0);
        if pictures().next().is_none() || pictures().any(|picture| picture.width() == 0 || picture.height() == 0) {
            bail!("a contact sheet needs pictures, and none without a pixel");
        }
        let scale = (COMFORTABLE_WIDTH / largest_width.max(largest_height)).max(1);
        let (cell_width, cell_height) = (largest_width.saturating_mul(scale), largest_height.saturating_mul(scale));
        let columns = sheet.rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
        let cells = columns as u64 * sheet.rows.len() as u64;
        let pixels = (u64::from(cell_width) * u64::from(cell_height)).saturating_mul(cells);
        if pixels > MAX_PIXELS {
            bail!(
                "a contact sheet of {columns} x {} pictures of {cell_width} x {cell_height} pixels is too large",
                sheet.rows.len()
            );
        }

        let size = (cell_width as f32 / 14.0).clamp(13.0, 30.0);
        let title_style = TextStyle { size: size * 1.6, bold: true, colour: INK };
        let label_style = TextStyle { size: size * 1.05, bold: true, colour: INK };
        let caption_style = TextStyle { size, bold: false, colour: GREY };
        let gap = (size * 0.75) as u32;
        let margin = gap * 2;

        let widest_label = sheet.rows.iter().map(|row| typeface.width(&label_style, &row.label).ceil() as u32).max();
        // A row label takes what it needs, up to three quarters of a picture; then it wraps.
        let label_width = widest_label.unwrap_or(0).min(cell_width * 3 / 4);
        let label_space = if label_width > 0 { label_width + gap } else { 0 };
        let width = 2 * margin + label_space + columns as u32 * (cell_width + gap) - gap;

        let title = typeface.wrap(&title_style, &sheet.title, width - 2 * margin, 3);
        let subtitle = typeface.wrap(&caption_style, &sheet.subtitle, width - 2 * margin, 6);
        let column_labels: Vec<Vec<String>> =
            sheet.column_labels.iter().map(|label| typeface.wrap(&label_style, label, cell_width, 3)).collect();
        let column_lines = column_labels.iter().take(columns).map(Vec::len).max().unwrap_or(0) as u32;
        let column_label_height = if column_lines > 0 { column_lines * label_style.line_height() + gap / 2 } else { 0 };

        let rows: Vec<RowLayout> = sheet
            .rows
            .iter()
            .map(|row| {
                let label = typeface.wrap(&label_style, &row.label, label_width, MAX_LABEL_LINES);
                let wrap = |cell: &Cell| typeface.wrap(&caption_style, &cell.caption, cell_width, MAX_CAPTION_LINES);
                let captions: Vec<Vec<String>> = row.cells.iter().map(wrap).collect();
                let lines = captions.iter().map(Vec::len).max().unwrap_or(0) as u32;
                let caption_height = if lines > 0 { gap / 2 + lines * caption_style.line_height() } else { 0 };
                let label_height = label.len() as u32 * label_style.line_height();
                RowLayout { label, captions, height: (cell_height + caption_height).max(label_height) + gap }
            })
            .collect();

        let heading =
            title.len() as u32 * title_style.line_height() + subtitle.len() as u32 * caption_style.line_height();
        let heading = if heading > 0 { heading + gap } else { 0 };
        let body: u32 = rows.iter().map(|row| row.height).sum();
        let height = 2 * margin + heading + column_label_height + body - gap;
        let column_labels = column_labels.into_iter().take(columns).collect();
        Ok(Layout {
            width,
            height,
            margin,
            gap,
            scale,
            cell_width,
            cell_height,
            first_column: margin + label_space,
            column_label_height,
            title_style,
            label_style,
            caption_style,
            title,
            subtitle,
            column_labels,
            rows,
        })
    }

    /// The middle of a column, from the left edge of the sheet.
    pub(super) fn column_centre(&self, column: usize) -> f32 {
        let left = self.first_column + column as u32 * (self.cell_width + self.gap);
        left as f32 + self.cell_width as f32 / 2.0
    }
}
