//! Which pixels belong to the face.
