//! The pictures of the page.

use idembed_page::{Figure, Page};

use crate::eval::inline::Room;
use crate::eval::parts::figure;
use crate::eval::protocol::columns::Score;
use crate::eval::protocol::evaluation::Evaluation;
use crate::eval::protocol::gallery::{Gallery, RANKED, Ranked, Row};
use crate::eval::protocol::record::Line;

/// The scores that stand below a picture: of each group the first that it has.
const CAPTION: [&[&str]; 2] = [&["id_others", "id"], &["wishes", "prompt"]];

/// Side by side, where the word looked, the best and the worst.
pub(super) fn show(mut page: Page, evaluation: &Evaluation, gallery: &Gallery, room: &mut Room) -> Page {
    let methods = &evaluation.run.methods;
    let scored = |room: &mut Room, line: &Line| scored(evaluation, room, line);
    let rows = rows(&gallery.rows, |line| Some(scored(room, line)));
    if !rows.is_empty() {
        let text = format!("All with the same seed ({}), of {}.", gallery.seed, gallery.person);
        page = page.section("Pictures side by side").text(&text).compared(methods, &rows);
    }
    if let Some(by) = gallery.by {
        let numbered = |what: &str| (1..=RANKED).map(|place| format!("{what} {place}")).collect::<Vec<_>>();
        let mut heads = numbered("best");
        heads.extend(numbered("worst").into_iter().rev());
        let of_method = |(method, ranked): (&String, &Ranked)| {
            let gap = RANKED.saturating_sub(ranked.best.len()) + RANKED.saturating_sub(ranked.worst.len());
            let best = ranked.best.iter().map(|line| captioned(evaluation, room, line));
            let mut figures: Vec<Figure> = best.collect();
            figures.extend((0..gap).map(|_| Figure::absent("", "")));
            figures.extend(ranked.worst.iter().map(|line| captioned(evaluation, room, line)));
            (method.clone(), figures)
        };
        let rows: Vec<_> = methods.iter().zip(&gallery.ranked).map(of_method).collect();
        let text = format!("By {}, over all people, prompts and seeds.", Score::named(by).label());
        page = page.section("Best and worst pictures").text(&text).compared(&heads, &rows);
    }
    let rows = self::rows(&gallery.rows, |line| {
        let path = line.attention.as_ref()?;
        Some(figure(room.inline(&evaluation.out.join(path)), ""))
    });
    if !rows.is_empty() {
        let text = format!("Attention of the word of {}, in the pictures above.", gallery.person);
        page = page.section("Where the word looks").text(&text).compared(methods, &rows);
    }
    page
}

/// A row of figures for each prompt that has any.
fn rows(rows: &[Row], mut of: impl FnMut(&Line) -> Option<Figure>) -> Vec<(String, Vec<Figure>)> {
    let mut shown = Vec::new();
    for Row { prompt, pictures } in rows {
        let figures: Vec<Option<Figure>> = pictures.iter().map(|line| line.as_ref().and_then(&mut of)).collect();
        if figures.iter().any(Option::is_some) {
            let figures = figures.into_iter().map(|figure| figure.unwrap_or_else(|| Figure::absent("none", "")));
            shown.push((prompt.prompt.clone(), figures.collect()));
        }
    }
    shown
}

/// A picture with its scores.
fn scored(evaluation: &Evaluation, room: &mut Room, line: &Line) -> Figure {
    figure(room.inline(&evaluation.out.join(&line.path)), &caption(line))
}

/// A picture with its scores, and what and whom it shows.
fn captioned(evaluation: &Evaluation, room: &mut Room, line: &Line) -> Figure {
    let partner = line.partner.as_ref().map(|partner| format!(" and {partner}")).unwrap_or_default();
    let note = format!("{}{partner}, seed {}: {}", line.identity, line.seed, line.prompt);
    scored(evaluation, room, line).note(&note)
}

fn caption(line: &Line) -> String {
    let score = |names: &[&str]| {
        let (score, value) = names.iter().find_map(|name| Some((Score::named(name), line.scores.get(*name)?)))?;
        Some(format!("{} {value:.2}", score.label()))
    };
    CAPTION.into_iter().filter_map(score).collect::<Vec<_>>().join(", ")
}
