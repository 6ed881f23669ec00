//! From the plan of a picture to its pixels.

mod body;
mod cut;
mod eyes;
mod face;
mod hair;
mod head;
mod mouth;
mod objects;
mod relief;
mod scene;
mod things;
pub(crate) mod tones;
mod wear;

use crate::chance::Chance;
use crate::factors::{Framing, Place};
use crate::filter;
use crate::raster::{Canvas, Frame};
use crate::sample::{Person, Sample, Subject, own_seed};
use crate::truth::FaceTruth;
use head::Head;

/// Draws a sample on a canvas of this side; returns where the faces are.
pub(crate) fn sample(sample: &Sample, side: u32) -> (Canvas, Vec<FaceTruth>) {
    let mut canvas = Canvas::new(side);
    let picture = Frame::picture(side);
    let mut chance = Chance::new(sample.seed, "layout");
    let half = 0.5 * sample.framing.head_height(&mut chance);
    scene::draw(&mut canvas, sample.scene, sample.seed);
    // The lens is focused on the subject.
    let softness = match sample.framing {
        Framing::CloseUp => 0.014,
        Framing::Middle => 0.008,
        Framing::Distant => 0.0,
    };
    filter::blur(&mut canvas, (softness * side as f32).round() as usize);
    let x = centre(sample, half, &mut chance);
    let y = eye_height(sample.framing) + chance.around(0.0, 0.025);
    let mut faces = Vec::new();
    match &sample.subject {
        Subject::Person(one) => faces.push(person(&mut canvas, sample, one, 0, (x, y, half))),
        Subject::Pair(two) => {
            // Two heads side by side need room for hair and hats.
            let half = half.min(0.2) * 0.94;
            let gap = chance.around(0.5, 0.03);
            let lower = chance.around(0.0, 0.05);
            for (index, one) in two.iter().enumerate() {
                let sign = index as f32 - 0.5;
                let at = (0.5 + sign * gap, y + 0.06 + sign * lower, half);
                faces.push(person(&mut canvas, sample, one, index, at));
            }
        }
        Subject::Animal(animal) => {
            let frame = picture.at(x, y + 0.04, 0.92 * half, chance.around(0.0, 0.02));
            things::animal(&mut canvas, &frame, animal);
        }
        Subject::Car(car) => {
            let frame = picture.at(x, 0.72, (1.25 * half).min(0.47), 0.0);
            things::car(&mut canvas, &frame, car);
        }
    }
    filter::apply(&mut canvas, sample.style, sample.light);
    (canvas, faces)
}

/// Where between the left and the right edge the subject stands.
fn centre(sample: &Sample, half: f32, chance: &mut Chance) -> f32 {
    // Near subjects leave less room to step aside.
    let aside = (0.5 - 0.82 * half).clamp(0.1, 0.24);
    let middle = match sample.place {
        Place::Left => 0.5 - aside,
        Place::Centre => 0.5,
        Place::Right => 0.5 + aside,
    };
    middle + chance.around(0.0, 0.025)
}

/// How far below the upper edge the eyes are.
fn eye_height(framing: Framing) -> f32 {
    match framing {
        Framing::CloseUp => 0.47,
        Framing::Middle => 0.43,
        Framing::Distant => 0.36,
    }
}

/// Draws a person whose eyes are at `x`, `y` and whose head is twice `half` high.
fn person(canvas: &mut Canvas, sample: &Sample, person: &Person, index: usize, at: (f32, f32, f32)) -> FaceTruth {
    let (x, y, half) = at;
    let picture = Frame::picture(canvas.side());
    let frame = picture.at(x, y, half, person.pose.roll);
    let head = Head::new(person, index, frame, sample.light);
    let mut chance = Chance::new(own_seed(sample.seed, index as u64), "clothes");
    let (cloth, wear, kind) = (chance.bits() as u32, chance.bits() as u32, chance.bits() as u32);
    hair::behind(canvas, &head);
    body::draw(canvas, &head, cloth);
    face::draw(canvas, &head);
    hair::before(canvas, &head);
    wear::draw(canvas, &head, wear);
    if let Some(object) = person.object {
        // In the hand away from the nearer edge.
        let side = if sample.place == Place::Right { -1.0 } else { 1.0 };
        let frame = objects::place(picture, object, at, side);
        objects::draw(canvas, &head, object, &frame, side, kind);
    }
    truth(&head)
}

/// Where the face ended up.
fn truth(head: &Head) -> FaceTruth {
    let mut bounds = [f32::MAX, f32::MAX, f32::MIN, f32::MIN];
    for (x, y) in head.outline(head.hairline) {
        let (x, y) = head.frame.to_pixels(x, y);
        bounds = [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x), bounds[3].max(y)];
    }
    let (eye, corner) = (head.eye, head.mouth_corner());
    let points = [(-eye.0, eye.1), eye, (0.0, head.nose - 0.05), (-corner.0, corner.1), corner];
    let landmarks = points.map(|(x, y)| {
        let (x, y) = head.part(x, y);
        let (x, y) = head.frame.to_pixels(x, y);
        [x, y]
    });
    FaceTruth { bounds, landmarks }
}
