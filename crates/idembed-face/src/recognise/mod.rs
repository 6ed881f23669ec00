//! From a face to an embedding that tells people apart.
