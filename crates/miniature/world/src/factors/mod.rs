//! Everything in a picture that does not depend on who is in it.

mod attributes;
mod framing;
mod object;
mod scene;
mod shirt;
mod style;

pub use attributes::{Attributes, Dye, Expression, Eyes, Headwear};
pub use framing::{Framing, Light, Place, Pose};
pub use object::Object;
pub use scene::{Scene, Wall};
pub use shirt::Shirt;
pub use style::Style;
