//! Which of several faces is meant, and whether it will do.
