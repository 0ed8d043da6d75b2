//! Who holds a connection, and since when.

use std::time::Duration;

use backstop_core::clock::{self, Instant};
use parking_lot::Mutex;

/// The leases of all lanes; there are at most as many as the pool's cap.
#[derive(Debug, Default)]
pub(crate) struct Holders(Mutex<Vec<Option<Holder>>>);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub(crate) operation: &'static str,
    pub(crate) since: Instant,
}

/// The place of a lease in the list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(usize);

impl Holders {
    pub(crate) fn enter(&self, operation: &'static str, since: Instant) -> Place {
        let holder = Some(Holder { operation, since });
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

    pub(crate) fn leave(&self, place: Place) {
        if let Some(place) = self.0.lock().get_mut(place.0) {
            *place = None;
        }
    }

    /// Finds who has held a connection for the longest time.
    pub(crate) fn oldest(&self) -> Option<(&'static str, Duration)> {
        let holder = self.0.lock().iter().flatten().copied().min_by_key(|holder| holder.since)?;
        Some((holder.operation, clock::now().saturating_duration_since(holder.since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_holder_is_found_and_places_are_used_again() {
        let (holders, now) = (Holders::default(), clock::now());
        let first = holders.enter("first", now);
        let second = holders.enter("second", now + Duration::from_millis(1));
        assert_eq!(holders.oldest().unwrap().0, "first");
        holders.leave(first);
        assert_eq!(holders.oldest().unwrap().0, "second");
        holders.enter("third", now + Duration::from_millis(2));
        assert_eq!(holders.0.lock().len(), 2);
        holders.leave(second);
        assert_eq!(holders.oldest().unwrap().0, "third");
    }
}
