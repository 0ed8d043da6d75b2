//! How long the server takes for a statement, as one lane has seen it.

use std::{cell::Cell, time::Duration};

/// So many times it must have been seen before its time counts.
const SEEN: u8 = 3;
/// Below it a statement may share a connection.
const SHORT: f32 = 5e-3;
/// Below it many of its kind may become one statement.
const QUICK: f32 = 1e-3;
/// From here on others must not stand behind it.
const LONG: Duration = Duration::from_millis(20);
/// So many shorter times are seen after a long one before it may share again.
const FORGIVEN: u8 = 16;
/// The weight of a time above the mean.
const UP: f32 = 0.125;
/// The weight of a time below it: what is seen from here holds the waits of a busy machine too.
const DOWN: f32 = 0.5;

/// A moving mean of the server's time.
///
/// It begins as unknown, and what is unknown has a connection to itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Service {
    mean: Cell<f32>,
    seen: Cell<u8>,
    unforgiven: Cell<u8>,
}

impl Service {
    pub(crate) fn note(&self, elapsed: Duration) {
        let (mean, seconds) = (self.mean.get(), elapsed.as_secs_f32());
        let seen = self.seen.get();
        let weight = if seen == 0 {
            1.0
        } else if seconds < mean {
            DOWN
        } else {
            UP
        };
        self.mean.set(mean + weight * (seconds - mean));
        self.seen.set(seen.saturating_add(1));
        // the first one may have waited for a plan or for pages
        let unforgiven =
            if elapsed >= LONG && seen > 0 { FORGIVEN } else { self.unforgiven.get().saturating_sub(1) };
        self.unforgiven.set(unforgiven);
    }

    /// Notes a statement whose end was not waited for.
    pub(crate) fn note_long(&self) {
        self.note(Duration::from_secs(1));
    }

    /// Says whether it may share a connection with others.
    pub(crate) fn is_short(&self) -> bool {
        self.is_below(SHORT)
    }

    /// Says whether many of its kind may be asked for at once.
    pub(crate) fn is_quick(&self) -> bool {
        self.is_below(QUICK)
    }

    fn is_below(&self, bound: f32) -> bool {
        self.seen.get() >= SEEN && self.mean.get() < bound && self.unforgiven.get() == 0
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
        assert!(after([19, 0, 0]).is_short(), "the first one counts little");
        assert!(!after([9, 9, 9]).is_short());
        assert!(after([2, 2, 2]).is_short());
        assert!(!after([2, 2, 2]).is_quick());
        assert!(after([0, 0, 0]).is_quick());
        let rarely_slow = after([0, 0, 0, 0, 0, 12]);
        assert!(rarely_slow.is_short(), "one of 12 ms stands for little");
    }

    #[test]
    fn one_long_time_is_remembered_for_a_while_and_forgiven() {
        let service = after([0, 0, 0, 200]);
        assert!(!service.is_short());
        let until_short =
            (0..100).take_while(|_| (service.note(Duration::ZERO), !service.is_short()).1).count();
        assert_eq!(until_short + 1, usize::from(FORGIVEN));
        service.note_long();
        assert!(!service.is_short());
    }
}
