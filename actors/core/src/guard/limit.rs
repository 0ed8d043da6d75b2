//! The bound on calls that are with the backend at once, and the queue in front of it.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    call::Deadline,
    clock::{self, Instant},
    error::RejectionReason,
    planted::{self, Bug},
    policy::{
        bulkhead::{Bulkhead, BulkheadPolicy, Share},
        queue::{Discipline, Popped, QueuePolicy, Ticket, WaitQueue},
    },
};

/// A bulkhead whose refused callers wait.
#[derive(Clone)]
pub(super) struct Limit(Arc<Inner>);

struct Inner {
    enabled: AtomicBool,
    state: Mutex<State>,
}

struct State {
    bulkhead: Bulkhead,
    queue: WaitQueue<Waiter>,
    /// Looking through the queue on each arrival pays for CoDel alone; a first-in-first-out one needs none.
    sheds: bool,
}

/// Gets its place, or why there will be none.
type Waiter = oneshot::Sender<Result<Place, RejectionReason>>;

/// One place with the backend; dropping it lets the next one in.
pub(super) struct Place(Option<Arc<Inner>>);

impl Limit {
    pub(super) fn new(concurrency: Option<usize>, queue: &QueuePolicy) -> Self {
        let state = State {
            bulkhead: bulkhead(concurrency),
            queue: WaitQueue::new(queue.clone()),
            sheds: sheds(queue),
        };
        Self(Arc::new(Inner { enabled: AtomicBool::new(concurrency.is_some()), state: Mutex::new(state) }))
    }

    pub(super) fn set_limit(&self, concurrency: Option<usize>, queue: &QueuePolicy) {
        let mut state = self.0.state.lock();
        // Without a bound, the bulkhead still counts places that were taken before.
        state.bulkhead.set_limit(concurrency.unwrap_or(UNBOUNDED));
        state.queue.set_policy(queue.clone());
        state.sheds = sheds(queue);
        drop(state);
        self.0.enabled.store(concurrency.is_some(), Release);
        self.0.let_in();
    }

    /// Takes a place without waiting; `None` when the caller has to queue.
    #[inline]
    pub(super) fn try_acquire(&self) -> Option<Place> {
        if !self.0.enabled.load(Acquire) {
            return Some(Place(None));
        }
        let mut state = self.0.state.lock();
        let fits = state.queue.is_empty() && state.bulkhead.try_acquire(Share::default());
        if fits {
            state.queue.passed();
        }
        fits.then(|| Place(Some(Arc::clone(&self.0))))
    }

    /// Waits for a place, at the longest until `deadline`.
    pub(super) async fn acquire(&self, deadline: Deadline, now: Instant) -> Result<Place, RejectionReason> {
        let (tx, rx) = oneshot::channel();
        let (pushed, swept) = {
            let mut state = self.0.state.lock();
            // Whoever arrives looks after a queue that sheds, though nothing is taken from it.
            let swept = if state.sheds { state.queue.sweep(now) } else { Popped::empty() };
            (state.queue.push(tx, now, deadline.instant()), swept)
        };
        send_away(swept.shed, swept.expired);
        let ticket = pushed.map_err(|_| RejectionReason::Shed { waited: Duration::ZERO })?;
        // A place may have become free between the refusal and the push.
        self.0.let_in();
        let _leave = Leave { inner: &self.0, ticket };
        let until = if planted::is(Bug::QueueDeadlineIgnored) {
            now + Duration::from_secs(3_600)
        } else {
            deadline.instant()
        };
        match tokio::time::timeout_at(until, rx).await {
            Ok(Ok(verdict)) => verdict,
            _ => Err(RejectionReason::Expired),
        }
    }
}

fn sheds(queue: &QueuePolicy) -> bool {
    queue.discipline == Discipline::Codel
}

const UNBOUNDED: usize = 1_000_000;

fn bulkhead(concurrency: Option<usize>) -> Bulkhead {
    Bulkhead::new(&BulkheadPolicy { limit: concurrency.unwrap_or(UNBOUNDED), ..BulkheadPolicy::default() })
}

impl Inner {
    /// Hands free places to those who wait, and sends away those who waited too long.
    fn let_in(self: &Arc<Self>) {
        loop {
            let mut state = self.state.lock();
            if state.queue.is_empty() || !state.bulkhead.try_acquire(Share::default()) {
                return;
            }
            let popped = state.queue.pop(clock::now());
            if popped.next.is_none() {
                state.bulkhead.release(Share::default());
            }
            drop(state);
            send_away(popped.shed, popped.expired);
            let Some((waiter, _)) = popped.next else { continue };
            if let Err(Ok(mut unclaimed)) = waiter.send(Ok(Place(Some(Arc::clone(self))))) {
                // Its caller has gone away: give the place back here, without another round of `drop`.
                unclaimed.0 = None;
                self.state.lock().bulkhead.release(Share::default());
            }
        }
    }
}

/// Tells those who waited too long; one who has gone away needs no word.
fn send_away(shed: Vec<(Waiter, Duration)>, expired: Vec<(Waiter, Duration)>) {
    for (waiter, waited) in shed {
        let _ = waiter.send(Err(RejectionReason::Shed { waited }));
    }
    for (waiter, _) in expired {
        let _ = waiter.send(Err(RejectionReason::Expired));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(inner) = self.0.take() {
            if planted::is(Bug::PlaceLeaks) && fastrand::u8(..) < 64 {
                return;
            }
            inner.state.lock().bulkhead.release(Share::default());
            inner.let_in();
        }
    }
}

/// Takes a caller out of the queue when it stops waiting.
struct Leave<'a> {
    inner: &'a Arc<Inner>,
    ticket: Ticket,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        // The waiter is dropped after the lock is gone; a place inside of it is given back by its own drop.
        let waiter = self.inner.state.lock().queue.remove(self.ticket);
        drop(waiter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deadline(ms: u64) -> Deadline {
        Deadline::after(Duration::from_millis(ms))
    }

    #[tokio::test(start_paused = true)]
    async fn a_freed_place_goes_to_the_one_who_waited_longest() {
        let limit = Limit::new(Some(1), &QueuePolicy::default());
        let first = limit.try_acquire().unwrap();
        assert!(limit.try_acquire().is_none());
        let (a, b) = (limit.clone(), limit.clone());
        let a = tokio::spawn(async move { a.acquire(deadline(1_000), clock::now()).await.is_ok() });
        tokio::task::yield_now().await;
        let b = tokio::spawn(async move { b.acquire(deadline(100), clock::now()).await.is_ok() });
        tokio::task::yield_now().await;
        drop(first);
        assert!(a.await.unwrap());
        assert!(b.await.unwrap(), "the place of the first waiter came back when it was dropped");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_stops_waiting_loses_no_place() {
        let limit = Limit::new(Some(1), &QueuePolicy::default());
        let held = limit.try_acquire().unwrap();
        let waiting = limit.acquire(deadline(10_000), clock::now());
        assert!(tokio::time::timeout(Duration::from_millis(1), waiting).await.is_err());
        drop(held);
        assert!(limit.try_acquire().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_refused_at_the_deadline() {
        let limit = Limit::new(Some(1), &QueuePolicy::default());
        let _held = limit.try_acquire().unwrap();
        let refused = limit.acquire(deadline(5), clock::now()).await;
        assert!(matches!(refused, Err(RejectionReason::Expired)));
    }
}
