//! The one source of time.
//!
//! Every timer, window and deadline of Backstop reads this clock. It is tokio's, so that it follows
//! `tokio::time::pause` in tests; outside tests it is the monotonic clock of the system.

/// A point in time on the runtime's clock.
pub type Instant = tokio::time::Instant;

/// Returns the present instant; about 17 ns outside tests, so a call reads it at most three times.
#[inline]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}
