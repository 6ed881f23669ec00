//! Where and in which number format to compute.
