//! Where the parts of a face lie.
//!
//! The unit is half the height of the head: the crown is at `y = -1`, the eyes at 0, the chin at 1; `x = 0` is the
//! middle. All parts follow the pose through [`Head::part`].

use crate::factors::{Attributes, Expression, Eyes, Light, Pose};
use crate::identity::{Gender, Identity};
use crate::raster::noise::mix;
use crate::raster::{Frame, Region, Shape};
use crate::sample::Person;

use super::tones::Tones;

/// A head, ready to be drawn.
pub(super) struct Head {
    /// Head units to pixels.
    pub(super) frame: Frame,
    /// The first (0) or second (1) person.
    pub(super) index: usize,
    /// Whose head it is.
    pub(super) identity: Identity,
    /// What it does and wears.
    pub(super) attributes: Attributes,
    /// Its colours.
    pub(super) tones: Tones,
    /// How it is lit.
    pub(super) light: Light,
    /// How it is held.
    pub(super) pose: Pose,
    /// Half the width at the cheekbones.
    pub(super) width: f32,
    /// The chin, which falls when the mouth opens.
    pub(super) chin: f32,
    /// Where the hair begins in the middle of the forehead.
    pub(super) hairline: f32,
    /// The middle of an eye, on the right side.
    pub(super) eye: (f32, f32),
    /// Half the width of an eye.
    pub(super) eye_width: f32,
    /// The middle of a brow above the eyes.
    pub(super) brow: f32,
    /// The underside of the nose.
    pub(super) nose: f32,
    /// The line between the lips.
    pub(super) mouth: f32,
    /// What the expression does to the face.
    pub(super) mood: Mood,
}

/// What an expression does to a face.
#[derive(Clone, Copy)]
pub(super) struct Mood {
    /// How far the corners of the mouth rise (or fall, below 0).
    pub(super) lift: f32,
    /// How far the lips are apart.
    pub(super) gap: f32,
    /// Factor on the width of the mouth.
    pub(super) spread: f32,
    /// How far the cheeks rise, 0 to 1.
    pub(super) cheeks: f32,
    /// How far the inner ends of the brows rise.
    pub(super) worry: f32,
    /// Factor on the opening of the eyes.
    pub(super) squint: f32,
}

impl Mood {
    fn of(expression: Expression) -> Mood {
        let calm = Mood { lift: 0.0, gap: 0.0, spread: 1.0, cheeks: 0.0, worry: 0.0, squint: 1.0 };
        match expression {
            Expression::Neutral => calm,
            Expression::Smiling => Mood { lift: 0.08, gap: 0.075, spread: 1.2, cheeks: 0.8, squint: 0.9, ..calm },
            Expression::Laughing => Mood { lift: 0.07, gap: 0.2, spread: 1.2, cheeks: 1.0, squint: 0.78, ..calm },
            Expression::Sad => Mood { lift: -0.07, spread: 0.95, worry: 0.09, squint: 0.88, ..calm },
        }
    }
}

impl Head {
    /// Measures a person's head in a frame whose origin is between the eyes.
    pub(super) fn new(person: &Person, index: usize, frame: Frame, light: Light) -> Head {
        let identity = person.identity;
        let mood = Mood::of(person.attributes.expression);
        Head {
            frame,
            index,
            identity,
            attributes: person.attributes,
            tones: Tones::of(person),
            light,
            pose: person.pose,
            width: 0.73 * identity.face_width,
            chin: 1.0 + 0.35 * mood.gap,
            hairline: mix(-0.5, -0.68, identity.hairline),
            eye: (0.31 * identity.eye_spacing, 0.0),
            eye_width: 0.15 * identity.eye_size,
            brow: -0.215 - 0.03 * (identity.eye_openness - 0.7),
            nose: 0.43 * identity.nose_length,
            mouth: 0.5 + 0.36 * (0.43 * identity.nose_length) - 0.003,
            mood,
        }
    }

    /// The region of the face.
    pub(super) fn face(&self) -> Region {
        Region::Face(self.index)
    }

    /// The region of everything else of the person.
    pub(super) fn body(&self) -> Region {
        Region::Body(self.index)
    }

    /// Half the width of the head at a height.
    pub(super) fn half_width(&self, y: f32) -> f32 {
        if y < 0.0 {
            let square = (y * y).min(1.0);
            self.width * (1.0 - mix(square, square * square, 0.22)).max(0.0).sqrt()
        } else {
            let t = (y / self.chin).min(1.0);
            let cube = t * t * t;
            let rounding = mix(cube, cube * t * t, self.identity.jaw);
            let taper = mix(0.3, 0.12, self.identity.jaw);
            self.width * (1.0 - taper * t) * (1.0 - rounding).max(0.0).sqrt()
        }
    }

    /// Where a part of the front of the face goes when the head turns: the nose far, the cheeks little.
    pub(super) fn part(&self, x: f32, y: f32) -> (f32, f32) {
        let across = (x / self.width).clamp(-1.0, 1.0);
        let depth = 1.0 - across * across;
        (x + 0.1 * self.pose.turn * depth, y + 0.045 * self.pose.nod * depth)
    }

    /// Several parts, mirrored to the left with `side = -1`.
    pub(super) fn parts<const N: usize>(&self, side: f32, points: [(f32, f32); N]) -> [(f32, f32); N] {
        points.map(|(x, y)| self.part(side * x, y))
    }

    /// A brush stroke of `(x, y, width)` on a side.
    pub(super) fn stroke<const N: usize>(&self, side: f32, points: [(f32, f32, f32); N]) -> Shape {
        Shape::stroke(&points.map(|(x, y, width)| {
            let (x, y) = self.part(side * x, y);
            (x, y, width)
        }))
    }

    /// The outline of the head from a height down to the chin.
    pub(super) fn outline(&self, top: f32) -> Vec<(f32, f32)> {
        const STEPS: usize = 22;
        let height = |index: usize| {
            // Closer together at the chin, where the outline bends most.
            let t = index as f32 / STEPS as f32;
            top + (self.chin - top) * t * (2.0 - t)
        };
        let right = (0..=STEPS).map(|index| (self.half_width(height(index)), height(index)));
        let left = (0..STEPS).rev().map(|index| (-self.half_width(height(index)), height(index)));
        right.chain(left).collect()
    }

    /// How far the lids are open, 0 for closed eyes.
    pub(super) fn openness(&self) -> f32 {
        match self.attributes.eyes {
            Eyes::Closed => 0.0,
            Eyes::Open | Eyes::Sunglasses => self.identity.eye_openness * self.mood.squint,
        }
    }

    /// Half the width of the mouth.
    pub(super) fn mouth_width(&self) -> f32 {
        0.25 * self.identity.mouth_width * self.mood.spread
    }

    /// The right corner of the mouth.
    pub(super) fn mouth_corner(&self) -> (f32, f32) {
        (self.mouth_width(), self.mouth - self.mood.lift)
    }

    /// Whether this is a man.
    pub(super) fn is_man(&self) -> bool {
        self.identity.gender == Gender::Man
    }
}
