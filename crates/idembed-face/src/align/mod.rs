//! Bringing a face into a fixed frame, and back.
