//! Where new reads on threads wait a moment while the writer empties the log.

use std::time::Duration;

use backstop_core::clock::{self, Instant};
use parking_lot::{Condvar, Mutex};

/// Closed for a bounded time. A read that would lose more than half of the time it has left opens it for all,
/// because others may stand before it in the queue.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed_until: Mutex<Option<Instant>>,
    opens: Condvar,
}

impl Gate {
    /// Holds back those who come, for `hold` at most and no longer than the guard lives.
    pub(crate) fn close(&self, hold: Duration) -> Closed<'_> {
        *self.closed_until.lock() = Some(clock::now() + hold);
        Closed(self)
    }

    /// Says whether those who come are held back.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed_until.lock().is_some_and(|until| clock::now() < until)
    }

    /// Notes that somebody waits who has time until `deadline`.
    pub(crate) fn hurry(&self, deadline: Instant) {
        let mut closed_until = self.closed_until.lock();
        let Some(until) = *closed_until else { return };
        let now = clock::now();
        let patient = now + deadline.saturating_duration_since(now) / 2;
        if patient < until {
            *closed_until = Some(patient);
            self.opens.notify_all();
        }
    }

    /// Waits until it is open.
    pub(crate) fn pass(&self, deadline: Instant) {
        self.hurry(deadline);
        let mut closed_until = self.closed_until.lock();
        while let Some(until) = closed_until.filter(|until| clock::now() < *until) {
            // woken it looks again, because it may open sooner now
            self.opens.wait_until(&mut closed_until, until.into_std());
        }
    }
}

/// A gate that is closed; dropped, it is open.
#[must_use = "the gate is open when this is dropped"]
pub(crate) struct Closed<'a>(&'a Gate);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        *self.0.closed_until.lock() = None;
        self.0.opens.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(40);

    #[test]
    fn a_closed_gate_opens_for_all_when_its_guard_goes() {
        let gate = Gate::default();
        let began = clock::now();
        let closed = gate.close(LONG);
        thread::scope(|scope| {
            let waiting: Vec<_> = (0..2).map(|_| scope.spawn(|| gate.pass(began + 10 * LONG))).collect();
            assert!(gate.is_closed() && waiting.iter().all(|thread| !thread.is_finished()));
            drop(closed);
        });
        assert!(!gate.is_closed() && clock::now() < began + LONG);
        gate.pass(began + 10 * LONG);
    }

    #[test]
    fn nobody_waits_longer_than_the_gate_says() {
        let gate = Gate::default();
        let began = clock::now();
        let closed = gate.close(SHORT);
        gate.pass(began + LONG);
        assert!(clock::now() >= began + SHORT && !gate.is_closed());
        drop(closed);
    }

    #[test]
    fn one_who_has_little_time_opens_it_for_all_when_half_of_it_is_over() {
        let gate = Gate::default();
        let began = clock::now();
        let _closed = gate.close(LONG);
        thread::scope(|scope| {
            let patient = scope.spawn(|| gate.pass(began + 10 * LONG));
            assert!(!patient.is_finished());
            gate.hurry(began + 2 * SHORT);
        });
        let waited = clock::now() - began;
        assert!(waited >= SHORT / 2 && waited < LONG, "{waited:?}");
        gate.pass(clock::now());
    }
}
