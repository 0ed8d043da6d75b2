//! How long the server takes for a statement, as one lane has seen it.

use std::{cell::Cell, time::Duration};

/// So many times it must have been seen before its time counts.
const SEEN: u8 = 3;
/// Below it a statement may share a connection.
const SHORT: f32 = 5e-3;
/// Below it many of its kind may become one statement.
const QUICK: f32 = 1e-3;
/// The weight of the newest time.
const WEIGHT: f32 = 0.125;

/// A moving mean of the server's time.
///
/// It begins as unknown, and what is unknown has a connection to itself. A single time of 200 ms lifts the mean over
/// the bound for about the next dozen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Service {
    mean: Cell<f32>,
    seen: Cell<u8>,
}

impl Service {
    pub(crate) fn note(&self, elapsed: Duration) {
        let (mean, seconds) = (self.mean.get(), elapsed.as_secs_f32());
        let seen = self.seen.get();
        // the first one may have waited for a plan or for pages
        self.mean.set(if seen <= 1 { seconds } else { mean + WEIGHT * (seconds - mean) });
        self.seen.set(seen.saturating_add(1));
    }

    /// Notes a statement whose end was not waited for.
    pub(crate) fn note_long(&self) {
        self.note(Duration::from_secs(1));
    }

    /// Says whether it may share a connection with others.
    pub(crate) fn is_short(&self) -> bool {
        self.seen.get() >= SEEN && self.mean.get() < SHORT
    }

    /// Says whether many of its kind may be asked for at once.
    pub(crate) fn is_quick(&self) -> bool {
        self.seen.get() >= SEEN && self.mean.get() < QUICK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(times: impl IntoIterator<Item = u64>) -> Service {
        let service = Service::default();
        times.into_iter().for_each(|ms| service.note(Duration::from_millis(ms)));
        service
    }

    #[test]
    fn what_is_unknown_or_slow_shares_nothing() {
        assert!(!after([]).is_short());
        assert!(!after([0, 0]).is_short());
        assert!(after([90, 0, 0]).is_short(), "the first one counts little");
        assert!(!after([0, 9, 9]).is_short());
        assert!(after([2, 2, 2]).is_short());
        assert!(!after([2, 2, 2]).is_quick());
        assert!(after([0, 0, 0]).is_quick());
    }

    #[test]
    fn one_slow_time_is_remembered_for_a_while_and_forgiven() {
        let service = after([0, 0, 0, 200]);
        assert!(!service.is_short());
        let until_short =
            (0..100).take_while(|_| (service.note(Duration::ZERO), !service.is_short()).1).count();
        assert!((8..40).contains(&until_short), "{until_short}");
        service.note_long();
        assert!(!service.is_short());
    }
}
