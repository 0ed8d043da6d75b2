//! Stand-in for LISTEN.
