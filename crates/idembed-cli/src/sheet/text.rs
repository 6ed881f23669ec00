//! Text on pictures: measuring, breaking into lines, drawing.
//!
//! The letters are DejaVu Sans Condensed, which is built in, so that a sheet looks the same on every machine.

use ab_glyph::{Font, FontRef, Glyph, PxScale, ScaleFont, point};
use anyhow::Context;
use image::RgbImage;

/// Regular and bold letters.
pub(crate) struct Typeface {
    regular: FontRef<'static>,
    bold: FontRef<'static>,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextStyle {
    /// Height of a line in pixels, without the space between lines.
    pub(crate) size: f32,
    /// Whether the letters are bold.
    pub(crate) bold: bool,
    /// The colour of the letters.
    pub(crate) colour: [u8; 3],
}

impl TextStyle {
    /// Distance from one line to the next in pixels.
    pub(crate) fn line_height(&self) -> u32 {
        (self.size * 1.12).ceil() as u32
    }
}

impl Typeface {
    /// The built-in letters.
    pub(crate) fn load() -> anyhow::Result<Typeface> {
        let font = |bytes| FontRef::try_from_slice(bytes).context("the built-in font cannot be read");
        Ok(Typeface { regular: font(dejavu::sans_condensed::regular())?, bold: font(dejavu::sans_condensed::bold())? })
    }

    fn font(&self, style: &TextStyle) -> &FontRef<'static> {
        if style.bold { &self.bold } else { &self.regular }
    }

    /// The letters of one line, placed from the origin of its first one, and the width of the line.
    fn place(&self, style: &TextStyle, line: &str) -> (Vec<Glyph>, f32) {
        let font = self.font(style).as_scaled(PxScale::from(style.size));
        let mut glyphs: Vec<Glyph> = Vec::new();
        let mut x = 0.0;
        for letter in line.chars() {
            let mut glyph = font.scaled_glyph(letter);
            if let Some(before) = glyphs.last() {
                x += font.kern(before.id, glyph.id);
            }
            glyph.position = point(x, 0.0);
            x += font.h_advance(glyph.id);
            glyphs.push(glyph);
        }
        (glyphs, x)
    }

    /// The width of one line in pixels.
    pub(crate) fn width(&self, style: &TextStyle, line: &str) -> f32 {
        self.place(style, line).1
    }

    /// Breaks `text` into at most `max_lines` lines that fit into `max_width` pixels.
    ///
    /// Lines break at white space; a word that is too long breaks anywhere. What does not fit ends with an ellipsis.
    pub(crate) fn wrap(&self, style: &TextStyle, text: &str, max_width: u32, max_lines: usize) -> Vec<String> {
        let fits = |line: &str| self.width(style, line) <= max_width as f32;
        let mut lines: Vec<String> = Vec::new();
        for paragraph in text.lines() {
            let mut line = String::new();
            for word in paragraph.split_whitespace() {
                let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
                if fits(&longer) {
                    line = longer;
                    continue;
                }
                if !line.is_empty() {
                    lines.push(std::mem::take(&mut line));
                }
                for letter in word.chars() {
                    if !line.is_empty() && !fits(&format!("{line}{letter}")) {
                        lines.push(std::mem::take(&mut line));
                    }
                    line.push(letter);
                }
            }
            lines.push(line);
        }
        if lines.len() > max_lines {
            lines.truncate(max_lines);
            if let Some(last) = lines.last_mut() {
                while !last.is_empty() && !fits(&format!("{last}…")) {
                    last.pop();
                }
                *last = format!("{}…", last.trim_end());
            }
        }
        lines
    }

    /// Draws one line with its upper left corner at `(x, y)`; what lies outside the picture is left out.
    pub(crate) fn draw(&self, picture: &mut RgbImage, style: &TextStyle, line: &str, x: f32, y: f32) {
        let font = self.font(style);
        let baseline = y + font.as_scaled(PxScale::from(style.size)).ascent();
        for mut glyph in self.place(style, line).0 {
            glyph.position += point(x, baseline);
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let bounds = outline.px_bounds();
            outline.draw(|dx, dy, coverage| {
                let (px, py) = (bounds.min.x + dx as f32, bounds.min.y + dy as f32);
                if px < 0.0 || py < 0.0 {
                    return;
                }
                if let Some(pixel) = picture.get_pixel_mut_checked(px as u32, py as u32) {
                    for (channel, ink) in pixel.0.iter_mut().zip(style.colour) {
                        let mixed = f32::from(*channel) + (f32::from(ink) - f32::from(*channel)) * coverage.min(1.0);
                        *channel = mixed.round() as u8;
                    }
                }
            });
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use image::Rgb;

    use super::*;

    const STYLE: TextStyle = TextStyle { size: 16.0, bold: false, colour: [0, 0, 0] };

    #[test]
    fn lines_fit_and_keep_every_word() {
        let typeface = Typeface::load().unwrap();
        let text = "a photo of <me> in front of the Eiffel Tower, holding a basketball, with eyes closed";
        for width in [90, 100, 170, 1000] {
            let lines = typeface.wrap(&STYLE, text, width, 99);
            assert_eq!(lines.join(" "), text);
            assert!(lines.iter().all(|line| typeface.width(&STYLE, line) <= width as f32), "{lines:?}");
        }
        assert_eq!(typeface.wrap(&STYLE, "one\ntwo", 500, 9), ["one", "two"]);
        assert!(typeface.wrap(&STYLE, "", 500, 9).is_empty());
    }

    #[test]
    fn long_words_break_and_long_texts_end() {
        let typeface = Typeface::load().unwrap();
        let word = "W".repeat(80);
        let lines = typeface.wrap(&STYLE, &word, 100, 99);
        assert_eq!(lines.concat(), word);
        assert!(lines.len() > 5);

        let cut = typeface.wrap(&STYLE, "word ".repeat(100).trim(), 100, 3);
        assert_eq!(cut.len(), 3);
        assert!(cut[2].ends_with('…') && typeface.width(&STYLE, &cut[2]) <= 100.0, "{cut:?}");
        // Not even one letter fits: each stands alone, and nothing loops for ever.
        assert_eq!(typeface.wrap(&STYLE, "abc", 1, 99), ["a", "b", "c"]);
    }

    #[test]
    fn ink_lands_inside_the_line_and_never_outside_the_picture() {
        let typeface = Typeface::load().unwrap();
        let mut picture = RgbImage::from_pixel(80, 40, Rgb([255; 3]));
        typeface.draw(&mut picture, &STYLE, "Egg", 10.0, 10.0);
        let inked: Vec<(u32, u32)> =
            picture.enumerate_pixels().filter(|(_, _, pixel)| pixel[0] < 128).map(|(x, y, _)| (x, y)).collect();
        assert!(inked.len() > 20);
        assert!(inked.iter().all(|(x, y)| (9..50).contains(x) && (10..28).contains(y)), "{inked:?}");

        for at in [-5.0, 75.0, 1e6, -1e6] {
            typeface.draw(&mut picture, &STYLE, "edge \u{732b}\u{1f600}", at, at);
        }
    }
}
