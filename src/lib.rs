//! Backstop.
