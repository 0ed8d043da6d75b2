//! One call as its backend sees it: deadline, attempt, and the mark that divides `no` from `unknown`.

use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Serialize, Serializer};

use crate::{
    clock::{self, Instant},
    error::Phase,
};

/// The instant by which a call must have ended; a `timeout` is a duration, a deadline is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// Ends at `instant`.
    #[must_use]
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// Ends `timeout` from now.
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        Self(clock::now() + timeout)
    }

    /// Returns the instant.
    #[must_use]
    pub fn instant(self) -> Instant {
        self.0
    }

    /// Returns the time that is left at `now`; zero when it has passed.
    #[must_use]
    pub fn remaining(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// Says whether it has passed at `now`.
    #[must_use]
    pub fn is_past(self, now: Instant) -> bool {
        now >= self.0
    }

    /// Returns the earlier one of two deadlines.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }
}

/// Ids that a thread takes at once.
const ID_BLOCK: u64 = 1_024;

/// Identifies a call within this process; never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpId(u64);

impl OpId {
    /// Takes the next id.
    ///
    /// Threads take ids in blocks, so that they do not share a counter on the path of a call; ids of
    /// different threads are therefore in no order.
    #[inline]
    #[must_use]
    pub fn next() -> Self {
        static NEXT_BLOCK: AtomicU64 = AtomicU64::new(1);
        thread_local! {
            static NEXT: Cell<u64> = const { Cell::new(0) };
        }
        let mut next = NEXT.get();
        if next.is_multiple_of(ID_BLOCK) {
            next = NEXT_BLOCK.fetch_add(1, Ordering::Relaxed) * ID_BLOCK;
        }
        // The last id of a block leaves a multiple of its length behind, which asks for a new block.
        NEXT.set(next + 1);
        Self(next)
    }

    /// Returns the number of the id.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "op-{}", self.0)
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Serialize for OpId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

/// What a backend is told about the call that it serves.
///
/// A caller that goes away, a passed deadline and a lost race all reach a backend in one way: the future
/// of [`Serve::serve`](crate::backend::Serve::serve) is dropped. A backend whose work goes on elsewhere
/// (a thread, a server) cancels it in a drop guard.
pub struct CallContext {
    id: OpId,
    started: Instant,
    served: Cell<Instant>,
    deadline: Deadline,
    attempt: Cell<u32>,
    attempt_deadline: Cell<Deadline>,
    phase: Cell<Phase>,
    sent: Cell<bool>,
    ever_sent: Cell<bool>,
    ended: Cell<Option<Instant>>,
    client: Option<Arc<str>>,
}

impl CallContext {
    /// Describes a call that must end by `deadline`.
    #[must_use]
    pub fn new(id: OpId, deadline: Deadline) -> Self {
        Self::started_at(id, clock::now(), deadline)
    }

    /// Describes a call that was asked for at `started` and must end by `deadline`.
    #[must_use]
    pub fn started_at(id: OpId, started: Instant, deadline: Deadline) -> Self {
        Self {
            id,
            started,
            served: Cell::new(started),
            deadline,
            attempt: Cell::new(0),
            attempt_deadline: Cell::new(deadline),
            phase: Cell::new(Phase::Queue),
            sent: Cell::new(false),
            ever_sent: Cell::new(false),
            ended: Cell::new(None),
            client: None,
        }
    }

    /// Names the client on whose behalf the call is made, for per-client limits.
    #[must_use]
    pub fn for_client(mut self, client: Option<Arc<str>>) -> Self {
        self.client = client;
        self
    }

    /// Returns the id of the call.
    #[must_use]
    pub fn id(&self) -> OpId {
        self.id
    }

    /// Returns when the call was asked for.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Returns when this attempt was handed to the backend, so that one which answers at once need not read the
    /// clock again.
    #[must_use]
    pub fn served(&self) -> Instant {
        self.served.get()
    }

    /// Returns the deadline of this attempt: never later than that of the call.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        self.attempt_deadline.get()
    }

    /// Returns the deadline of the whole call, over all attempts.
    #[must_use]
    pub fn call_deadline(&self) -> Deadline {
        self.deadline
    }

    /// Counts the attempts so far, this one included.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt.get()
    }

    /// Returns the client on whose behalf the call is made, if it was named.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// Notes how far the call has come, for the error of a deadline that passes here.
    pub fn enter(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// Notes that the first byte is about to leave; a backend calls it before anything can take effect.
    ///
    /// Before it, every end is `executed: no`; after it `unknown`, until there is proof. A backend that
    /// hands its work to a thread calls it when the future is dropped and the work cannot be withdrawn.
    pub fn sending(&self) {
        self.sent.set(true);
        self.ever_sent.set(true);
        self.phase.set(Phase::Execute);
    }

    /// Says whether this attempt was sent.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        self.sent.get()
    }

    /// Says whether any attempt of this call was sent.
    #[must_use]
    pub fn was_ever_sent(&self) -> bool {
        self.ever_sent.get()
    }

    /// Returns how far the call has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Returns when the last attempt ended, so that the lane need not read the clock again.
    #[must_use]
    pub fn ended(&self) -> Option<Instant> {
        self.ended.get()
    }

    pub(crate) fn note_serve(&self, at: Instant) {
        self.served.set(at);
    }

    pub(crate) fn note_end(&self, at: Instant) {
        self.ended.set(Some(at));
    }

    /// Starts the next attempt, which ends at `deadline` or with the call, whichever is earlier.
    pub(crate) fn begin_attempt(&self, deadline: Option<Deadline>) {
        self.attempt.set(self.attempt.get() + 1);
        self.attempt_deadline.set(deadline.map_or(self.deadline, |attempt| attempt.earlier(self.deadline)));
        self.sent.set(false);
        self.phase.set(Phase::Queue);
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("id", &self.id)
            .field("attempt", &self.attempt.get())
            .field("phase", &self.phase.get())
            .field("sent", &self.sent.get())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_of_many_threads_and_blocks_are_all_different() {
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..5_000).map(|_| OpId::next()).collect::<Vec<_>>()))
            .collect();
        let ids: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 20_000);
    }
}
