//! A seeded TCP fault proxy.
