//! Telling the parts of a face apart, pixel by pixel.
