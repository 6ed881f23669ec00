//! The messages of an event file, as far as they are written here.
//!
//! # Source
//! TensorBoard's `event.proto` and `summary.proto`: the numbers of fields, and their types.

/// Something that happened at a step.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub(crate) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(crate) step: i64,
    #[prost(oneof = "What", tags = "3, 5")]
    pub(crate) what: Option<What>,
}

/// What happened.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum What {
    /// The file begins.
    #[prost(string, tag = "3")]
    FileVersion(String),
    /// There are values.
    #[prost(message, tag = "5")]
    Summary(Summary),
}

/// Values of one step.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(crate) values: Vec<Value>,
}

/// A value with its name.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Value {
    #[prost(string, tag = "1")]
    pub(crate) tag: String,
    #[prost(oneof = "Content", tags = "2, 4")]
    pub(crate) content: Option<Content>,
}

/// The value.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Content {
    #[prost(float, tag = "2")]
    Simple(f32),
    #[prost(message, tag = "4")]
    Picture(Picture),
}

/// An encoded picture.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Picture {
    #[prost(int32, tag = "1")]
    pub(crate) height: i32,
    #[prost(int32, tag = "2")]
    pub(crate) width: i32,
    /// 3 for RGB.
    #[prost(int32, tag = "3")]
    pub(crate) channels: i32,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) encoded: Vec<u8>,
}
