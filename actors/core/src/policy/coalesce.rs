//! One flight for equal calls: the first asks the backend, the others wait for its answer.

mod role;
#[cfg(test)]
mod tests;

use std::{
    any::TypeId,
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use dashmap::{DashMap, Entry};
use serde::Serialize;
use tokio::sync::oneshot;

pub use self::role::{Followed, Follower, Leader, Role};
use crate::message::CallKey;

/// The calls under way that equal ones may share.
///
/// Each flight has one leader. A leader that ends without an answer, because its caller went away or its
/// code panicked, hands over: exactly one follower becomes the leader, the others wait on. Nobody's wait is
/// timed here: a follower keeps its own deadline and may be dropped at any point. The number of flights is
/// bounded by the intake, that of followers by [`Flights::new`].
///
/// ```
/// use backstop_core::{message::CallKey, policy::coalesce::{Followed, Flights, Role}};
/// use std::{any::TypeId, sync::Arc};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let (flights, key) = (Flights::new(8), CallKey::new("equal"));
/// let Role::Leader(leader) = flights.join(TypeId::of::<u8>(), &key) else { panic!() };
/// let Role::Follower(follower) = flights.join(TypeId::of::<u8>(), &key) else { panic!() };
/// leader.complete(Ok(Arc::new(7_u8)));
/// let Followed::Answer(Ok(answer)) = follower.await else { panic!() };
/// assert_eq!(answer.downcast_ref(), Some(&7_u8));
/// # });
/// ```
pub struct Flights(Arc<Inner>);

/// A view of [`Flights`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FlightsSnapshot {
    /// Flights under way.
    pub flights: usize,
    /// Calls that led a flight from its start.
    pub led_total: u64,
    /// Calls that followed one.
    pub followed_total: u64,
    /// Followers that became the leader.
    pub promoted_total: u64,
    /// Calls that found too many followers and ran by themselves.
    pub alone_total: u64,
}

type FlightKey = (TypeId, CallKey);

/// A flight is in the map exactly as long as its leader lives.
struct Inner {
    flights: DashMap<FlightKey, Flight>,
    max_followers: usize,
    next_follower: AtomicU64,
    counts: Counts,
}

/// Those that wait, in the order of their numbers.
#[derive(Default)]
struct Flight {
    followers: VecDeque<(u64, oneshot::Sender<Followed>)>,
}

#[derive(Default)]
struct Counts {
    led: AtomicU64,
    followed: AtomicU64,
    promoted: AtomicU64,
    alone: AtomicU64,
}

impl Flights {
    /// Starts with none; at most `max_followers` calls wait for the same answer.
    #[must_use]
    pub fn new(max_followers: usize) -> Self {
        Self(Arc::new(Inner {
            flights: DashMap::new(),
            max_followers,
            next_follower: AtomicU64::new(0),
            counts: Counts::default(),
        }))
    }

    /// Joins the flight of equal calls; `type_id` is that of the message. Never waits.
    pub fn join(&self, type_id: TypeId, key: &CallKey) -> Role {
        let inner = &self.0;
        let key = (type_id, key.clone());
        let (number, receiver) = match inner.flights.entry(key.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Flight::default());
                inner.counts.led.fetch_add(1, Relaxed);
                return Role::Leader(Leader::of(Arc::clone(inner), key));
            }
            Entry::Occupied(mut occupied) => {
                let followers = &mut occupied.get_mut().followers;
                if followers.len() >= inner.max_followers {
                    inner.counts.alone.fetch_add(1, Relaxed);
                    return Role::Alone;
                }
                // numbered under the shard's lock, so the followers of a flight are in order
                let number = inner.next_follower.fetch_add(1, Relaxed);
                let (sender, receiver) = oneshot::channel();
                followers.push_back((number, sender));
                (number, receiver)
            }
        };
        inner.counts.followed.fetch_add(1, Relaxed);
        Role::Follower(Follower::of(Arc::clone(inner), key, number, receiver))
    }

    /// Shows the flights.
    #[must_use]
    pub fn snapshot(&self) -> FlightsSnapshot {
        let counts = &self.0.counts;
        FlightsSnapshot {
            flights: self.0.flights.len(),
            led_total: counts.led.load(Relaxed),
            followed_total: counts.followed.load(Relaxed),
            promoted_total: counts.promoted.load(Relaxed),
            alone_total: counts.alone.load(Relaxed),
        }
    }
}

impl Inner {
    /// Ends a flight; those that waited for it are returned, the next equal call starts a new one.
    fn land(&self, key: &FlightKey) -> VecDeque<(u64, oneshot::Sender<Followed>)> {
        self.flights.remove(key).map(|(_, flight)| flight.followers).unwrap_or_default()
    }

    /// Takes out the follower that is to lead, or ends the flight when there is none.
    fn next_leader(&self, key: &FlightKey) -> Option<oneshot::Sender<Followed>> {
        let Entry::Occupied(mut occupied) = self.flights.entry(key.clone()) else { return None };
        match occupied.get_mut().followers.pop_front() {
            Some((_, sender)) => Some(sender),
            None => {
                occupied.remove();
                None
            }
        }
    }

    /// Takes out a follower that no longer waits; it is dropped by the caller, outside of the lock.
    fn leave(&self, key: &FlightKey, number: u64) -> Option<(u64, oneshot::Sender<Followed>)> {
        let mut flight = self.flights.get_mut(key)?;
        let index = flight.followers.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        flight.followers.remove(index)
    }
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").field("flights", &self.0.flights.len()).finish_non_exhaustive()
    }
}
