//! Who holds a connection, and since when.

use std::{sync::Arc, time::Duration};

use backstop_core::clock::{self, Instant};
use parking_lot::Mutex;
use serde::Serialize;

use super::as_ms;

/// The leases of all lanes; there are at most as many as connections. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Leases(Arc<Mutex<Vec<Option<Holder>>>>);

#[derive(Clone, Copy, Debug)]
struct Holder {
    operation: &'static str,
    since: Instant,
    is_told: bool,
}

/// The place of a lease in the list.
#[derive(Clone, Copy, Debug)]
pub struct Place(usize);

/// Who holds a connection.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LeaseSnapshot {
    /// What it was lent for: `query`, `transaction`, `query_stream` …
    pub operation: &'static str,
    /// For how long it has been lent.
    #[serde(rename = "held_ms", serialize_with = "as_ms")]
    pub held: Duration,
    /// Whether that is longer than the backend's `leak_after`.
    pub is_long: bool,
}

impl Leases {
    /// Notes that a connection is lent; [`Self::leave`] ends it.
    pub fn enter(&self, operation: &'static str, since: Instant) -> Place {
        let holder = Some(Holder { operation, since, is_told: false });
        let mut places = self.0.lock();
        let free = places.iter().position(Option::is_none);
        match free.and_then(|at| places.get_mut(at).map(|place| (at, place))) {
            Some((at, place)) => {
                *place = holder;
                Place(at)
            }
            None => {
                places.push(holder);
                Place(places.len() - 1)
            }
        }
    }

    /// Notes that a connection came back.
    pub fn leave(&self, place: Place) {
        if let Some(place) = self.0.lock().get_mut(place.0) {
            *place = None;
        }
    }

    /// Notes that a connection is lent until the guard is dropped.
    pub fn lend(&self, operation: &'static str, since: Instant) -> Lent {
        Lent { leases: self.clone(), place: self.enter(operation, since) }
    }

    /// Finds who has held a connection for the longest time.
    #[must_use]
    pub fn oldest(&self) -> Option<(&'static str, Duration)> {
        let holder = self.0.lock().iter().flatten().copied().min_by_key(|holder| holder.since)?;
        Some((holder.operation, clock::now().saturating_duration_since(holder.since)))
    }

    /// Lists them all, the longest first; a `leak_after` of 0 calls none of them long.
    #[must_use]
    pub fn list(&self, now: Instant, leak_after: Duration) -> Vec<LeaseSnapshot> {
        let mut holders: Vec<_> = self.0.lock().iter().flatten().copied().collect();
        holders.sort_by_key(|holder| holder.since);
        let lease = |holder: Holder| {
            let held = now.saturating_duration_since(holder.since);
            LeaseSnapshot { operation: holder.operation, held, is_long: is_long(held, leak_after) }
        };
        holders.into_iter().map(lease).collect()
    }

    /// Takes those who hold one for `leak_after` and longer, each once; none where that is 0.
    #[must_use]
    pub fn take_long(&self, now: Instant, leak_after: Duration) -> Vec<(&'static str, Duration)> {
        let mut places = self.0.lock();
        let untold = places.iter_mut().flatten().filter(|holder| !holder.is_told);
        let long = untold.filter_map(|holder| {
            let held = now.saturating_duration_since(holder.since);
            holder.is_told = is_long(held, leak_after);
            holder.is_told.then_some((holder.operation, held))
        });
        long.collect()
    }
}

fn is_long(held: Duration, leak_after: Duration) -> bool {
    !leak_after.is_zero() && held >= leak_after
}

/// A connection that is lent until this is dropped.
#[derive(Debug)]
pub struct Lent {
    leases: Leases,
    place: Place,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.leases.leave(self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_oldest_holder_is_found_and_places_are_used_again() {
        let (leases, now) = (Leases::default(), clock::now());
        let first = leases.enter("first", now);
        let second = leases.enter("second", now + Duration::from_millis(1));
        assert_eq!(leases.oldest().unwrap().0, "first");
        leases.leave(first);
        assert_eq!(leases.oldest().unwrap().0, "second");
        let third = leases.lend("third", now + Duration::from_millis(2));
        assert_eq!(leases.0.lock().len(), 2);
        leases.leave(second);
        assert_eq!(leases.oldest().unwrap().0, "third");
        drop(third);
        assert!(leases.oldest().is_none());
    }

    #[test]
    fn a_lease_that_is_too_long_is_told_once_and_the_next_one_in_its_place_again() {
        let (leases, now) = (Leases::default(), clock::now());
        let place = leases.enter("stream", now);
        assert_eq!(leases.take_long(now + LONG - Duration::from_millis(1), LONG), []);
        assert_eq!(leases.take_long(now + LONG, LONG), [("stream", LONG)]);
        assert_eq!(leases.take_long(now + 2 * LONG, LONG), []);
        assert!(leases.list(now + 2 * LONG, LONG)[0].is_long);
        leases.leave(place);
        leases.enter("transaction", now);
        assert_eq!(leases.take_long(now + LONG, LONG).len(), 1);
    }

    #[test]
    fn a_limit_of_nothing_tells_of_none() {
        let (leases, now) = (Leases::default(), clock::now());
        leases.enter("stream", now);
        assert_eq!(leases.take_long(now + LONG, Duration::ZERO), []);
        assert!(!leases.list(now + LONG, Duration::ZERO)[0].is_long);
    }
}
