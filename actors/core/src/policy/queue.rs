//! Where calls wait for a slot: bounded, first come first served, with CoDel shedding as an option.

mod codel;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use self::codel::Codel;
use super::duration;
use crate::{clock::Instant, error::ConfigError};

/// How calls wait for a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueuePolicy {
    /// Calls that may wait; 4096, the same as the intake, so that the intake decides.
    pub limit: usize,
    /// Who is served next and who is sent away; FIFO.
    pub discipline: Discipline,
    /// CoDel: the wait that is still good; 50 ms.
    #[serde(with = "duration")]
    pub target: Duration,
    /// CoDel: how long all waits must be above the target before calls are shed; 2 s.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// CoDel: serve the newest first while shedding, whose callers are the likeliest to still wait; false.
    pub newest_first: bool,
}

/// Who is served next and who is sent away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Discipline {
    /// First come, first served, until the deadline.
    #[default]
    Fifo,
    /// If the smallest wait of an interval was above the target, calls that wait longer than twice the
    /// target are shed, until the smallest wait of an interval is at or below it again.
    Codel,
}

impl Default for QueuePolicy {
    fn default() -> Self {
        Self {
            limit: 4096,
            discipline: Discipline::Fifo,
            target: Duration::from_millis(50),
            interval: Duration::from_secs(2),
            newest_first: false,
        }
    }
}

impl QueuePolicy {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names `limit` outside 1 to 1 000 000, `target` outside 1 ms to 1 min, `interval` under `target` or
    /// over an hour, and `newest_first` without CoDel.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=1_000_000).contains(&self.limit) {
            return Err(ConfigError::new("limit", format!("must be from 1 to 1000000, is {}", self.limit)));
        }
        duration::check("target", self.target, Duration::from_millis(1), Duration::from_secs(60))?;
        duration::check("interval", self.interval, self.target, Duration::from_secs(3600))?;
        if self.newest_first && self.discipline == Discipline::Fifo {
            return Err(ConfigError::new("newest_first", "needs `discipline = \"codel\"`"));
        }
        Ok(())
    }
}

/// A bounded queue of waiting calls.
///
/// Nothing is handed out after its deadline. Putting in and taking out are O(1) on average, leaving early
/// is O(log n). Memory is bounded by twice the limit, whoever leaves early.
#[derive(Debug)]
pub struct WaitQueue<T> {
    policy: QueuePolicy,
    /// In the order of their tickets; those that left early stay as empty places until they are swept.
    places: VecDeque<Place<T>>,
    waiting: usize,
    next_ticket: u64,
    codel: Codel,
    counts: Counts,
}

/// Names one waiting call; for [`WaitQueue::remove`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A call that found no place, given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full<T> {
    /// The call.
    pub item: T,
    /// The bound that was reached.
    pub limit: usize,
}

/// What came out of the queue; each item with the time it had waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Popped<T> {
    /// The call to serve.
    pub next: Option<(T, Duration)>,
    /// Calls that waited too long while the queue stood.
    pub shed: Vec<(T, Duration)>,
    /// Calls whose deadline passed while they waited.
    pub expired: Vec<(T, Duration)>,
}

/// A view of a [`WaitQueue`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueSnapshot {
    /// Calls that wait.
    pub waiting: usize,
    /// Calls that may wait.
    pub limit: usize,
    /// How long the oldest has waited, in milliseconds.
    pub oldest_ms: u64,
    /// Whether CoDel sheds at present.
    pub shedding: bool,
    /// Calls shed since the start.
    pub shed_total: u64,
    /// Calls whose deadline passed while they waited, since the start.
    pub expired_total: u64,
    /// Calls that found no place, since the start.
    pub full_total: u64,
}

#[derive(Debug)]
struct Place<T> {
    ticket: u64,
    since: Instant,
    deadline: Instant,
    item: Option<T>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    shed: u64,
    expired: u64,
    full: u64,
}

impl<T> Place<T> {
    fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

impl<T> WaitQueue<T> {
    /// Starts empty; no memory is taken before the first call waits.
    #[must_use]
    pub fn new(policy: QueuePolicy) -> Self {
        Self {
            policy,
            places: VecDeque::new(),
            waiting: 0,
            next_ticket: 0,
            codel: Codel::default(),
            counts: Counts::default(),
        }
    }

    /// Lets a call wait, until `deadline` at the latest.
    ///
    /// # Errors
    /// [`Full`] when as many wait as may; the call is in it.
    pub fn push(&mut self, item: T, now: Instant, deadline: Instant) -> Result<Ticket, Full<T>> {
        if self.waiting >= self.policy.limit {
            self.counts.full += 1;
            return Err(Full { item, limit: self.policy.limit });
        }
        if self.waiting == 0 {
            self.codel.begins_to_wait(&self.policy, now);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.places.push_back(Place { ticket, since: now, deadline, item: Some(item) });
        self.waiting += 1;
        Ok(Ticket(ticket))
    }

    /// Notes that a call found a slot without waiting: evidence for CoDel that the queue does not stand.
    pub fn passed(&mut self) {
        self.codel.observe(Duration::ZERO);
    }

    /// Takes out the call to serve next, and those to send away; call it whenever a slot is free.
    #[must_use]
    pub fn pop(&mut self, now: Instant) -> Popped<T> {
        let mut popped = Popped::empty();
        self.send_away(now, true, &mut popped);
        let newest_first = self.policy.newest_first && self.codel.is_shedding();
        while popped.next.is_none() {
            let place = if newest_first { self.places.pop_back() } else { self.places.pop_front() };
            let Some(mut place) = place else { break };
            let waited = place.waited(now);
            let Some(item) = place.item.take() else { continue };
            self.waiting -= 1;
            if place.deadline <= now {
                self.counts.expired += 1;
                popped.expired.push((item, waited));
            } else {
                popped.next = Some((item, waited));
            }
        }
        popped
    }

    /// Takes out the calls to send away although no slot is free; looks at every call that waits.
    ///
    /// To be called now and then, or a queue from which nothing is taken would never shed.
    #[must_use]
    pub fn sweep(&mut self, now: Instant) -> Popped<T> {
        let mut popped = Popped::empty();
        self.send_away(now, false, &mut popped);
        for place in &mut self.places {
            if place.deadline <= now
                && let Some(item) = place.item.take()
            {
                popped.expired.push((item, place.waited(now)));
                self.waiting -= 1;
                self.counts.expired += 1;
            }
        }
        self.compact();
        popped
    }

    /// Takes out a call that no longer waits; `None` when it is out already.
    pub fn remove(&mut self, ticket: Ticket) -> Option<T> {
        let index = self.places.binary_search_by_key(&ticket.0, |place| place.ticket).ok()?;
        let item = self.places[index].item.take()?;
        self.waiting -= 1;
        self.compact();
        Some(item)
    }

    /// Takes out everything, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = T> {
        self.waiting = 0;
        std::mem::take(&mut self.places).into_iter().filter_map(|place| place.item)
    }

    /// Changes the settings; who waits already keeps its place, even above a lower limit.
    pub fn set_policy(&mut self, policy: QueuePolicy) {
        self.policy = policy;
        self.codel = Codel::default();
    }

    /// Counts those that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Says whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Shows the queue at `now`.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> QueueSnapshot {
        let oldest = self.places.iter().find(|place| place.item.is_some());
        let oldest = oldest.map_or(Duration::ZERO, |place| place.waited(now));
        QueueSnapshot {
            waiting: self.waiting,
            limit: self.policy.limit,
            oldest_ms: u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX),
            shedding: self.codel.is_shedding(),
            shed_total: self.counts.shed,
            expired_total: self.counts.expired,
            full_total: self.counts.full,
        }
    }

    /// Takes expired calls from the front and, if the queue stands, those that waited too long.
    fn send_away(&mut self, now: Instant, serving: bool, popped: &mut Popped<T>) {
        let oldest = self.oldest_alive(now, popped);
        let Some(too_long) = self.codel.judge(&self.policy, now, oldest) else {
            self.observe(serving, oldest);
            return;
        };
        let mut oldest = oldest;
        while oldest.is_some_and(|waited| waited > too_long) {
            if let Some((item, waited)) = self.take_front(now) {
                self.counts.shed += 1;
                popped.shed.push((item, waited));
            }
            oldest = self.oldest_alive(now, popped);
        }
        self.observe(serving, oldest);
    }

    fn observe(&mut self, serving: bool, oldest: Option<Duration>) {
        if serving {
            self.codel.observe(oldest.unwrap_or(Duration::ZERO));
        }
    }

    /// Moves expired calls out of the front, and says how long the first of the others has waited.
    fn oldest_alive(&mut self, now: Instant, popped: &mut Popped<T>) -> Option<Duration> {
        loop {
            let front = self.places.front()?;
            if front.item.is_some() && front.deadline > now {
                return Some(front.waited(now));
            }
            if let Some(expired) = self.take_front(now) {
                self.counts.expired += 1;
                popped.expired.push(expired);
            }
        }
    }

    /// Takes the front place out, and its call if it has not left early.
    fn take_front(&mut self, now: Instant) -> Option<(T, Duration)> {
        let place = self.places.pop_front()?;
        let waited = place.waited(now);
        let item = place.item?;
        self.waiting -= 1;
        Some((item, waited))
    }

    /// Sweeps empty places once they outnumber the others, so that leaving early stays cheap on average.
    fn compact(&mut self) {
        if self.places.len() > 2 * self.waiting + 16 {
            self.places.retain(|place| place.item.is_some());
        }
    }
}

impl<T> Popped<T> {
    pub(crate) fn empty() -> Self {
        Self { next: None, shed: Vec::new(), expired: Vec::new() }
    }
}
