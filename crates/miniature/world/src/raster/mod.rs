//! Pixels: shapes, coverage, colours, noise and the canvas that takes them.

mod canvas;
mod colour;
mod coverage;
mod frame;
pub(crate) mod noise;
mod shape;
pub(crate) mod turn;

pub(crate) use canvas::{Canvas, Region};
pub(crate) use colour::{Paint, Rgb};
pub(crate) use coverage::Coverage;
pub(crate) use frame::Frame;
pub(crate) use shape::Shape;
