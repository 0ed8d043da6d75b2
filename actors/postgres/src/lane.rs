//! The connections of one lane: who gets one next, and what happens to those that come back.

mod upkeep;

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use backstop_core::{
    call::{CallContext, Deadline},
    clock::{self, Instant},
    error::{ConfigError, Executed, Failure, FailureKind, Phase},
    snapshot::PoolSnapshot,
    stats::Histogram,
};
use deadpool::managed::{Object, Pool, PoolError, QueueMode};
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{sleep, timeout, timeout_at},
};

use crate::{lease::Lease, manager::Manager, shared::Core, stats::Reason};

/// How long an idle connection may take to give a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// How often a lane that waits asks the others for what they do not use.
pub(crate) const ASK_AGAIN: Duration = Duration::from_millis(50);
/// How long another lane must have waited before a connection in use is closed in its favour.
const HAND_OVER_AFTER: Duration = Duration::from_millis(50);

/// The code of a server that takes no more sessions.
const TOO_MANY: &str = "53300";
/// How long to wait before it is asked again.
const SERVER_FULL: Duration = Duration::from_millis(250);

pub(crate) struct Lane {
    pub(crate) core: Arc<Core>,
    id: usize,
    pool: Pool<Manager>,
    /// First come, first served: who holds it is the next to get a connection.
    turn: tokio::sync::Mutex<()>,
    /// Since when the one whose turn it is has waited.
    head_since: Mutex<Option<Instant>>,
    /// A connection came back.
    returned: Notify,
    is_closing: AtomicBool,
    active: AtomicUsize,
    waiting: AtomicUsize,
    waits: Histogram,
    closed: AtomicU64,
    timeouts: AtomicU64,
}

/// Counts one while it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Lane {
    pub(crate) fn new(core: &Arc<Core>, id: usize) -> Result<Self, ConfigError> {
        // The pool's own bound is never reached: the permits of the core come first.
        let pool = Pool::builder(Manager::new(Arc::clone(core), id))
            .max_size(core.cap())
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|error| ConfigError::new("pool_size", error.to_string()))?;
        Ok(Self {
            core: Arc::clone(core),
            id,
            pool,
            turn: tokio::sync::Mutex::new(()),
            head_since: Mutex::new(None),
            returned: Notify::new(),
            is_closing: AtomicBool::new(false),
            active: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            waits: Histogram::default(),
            closed: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
        })
    }

    /// Lends a connection to `operation`.
    ///
    /// # Errors
    /// `Exhausted` with the oldest holder, or what opening a connection failed with; nothing was sent.
    ///
    /// # Cancel safety
    /// The place in the queue is lost, and a connection that was being opened is closed.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        call: &CallContext,
        operation: &'static str,
    ) -> Result<Lease, Failure> {
        call.enter(Phase::Acquire);
        let asked = clock::now();
        let (object, now) = match self.at_once(asked) {
            Some(object) => {
                self.waits.record(Duration::ZERO);
                (object, asked)
            }
            // boxed, so that those who need not wait carry no room for it
            None => Box::pin(self.in_time(call, asked)).await?,
        };
        self.active.fetch_add(1, Relaxed);
        Ok(Lease::new(object, Arc::clone(self), self.core.holders.enter(operation, now)))
    }

    /// Takes what is idle and beyond doubt, where nobody waits for it.
    fn at_once(&self, now: Instant) -> Option<Object<Manager>> {
        let _turn = self.turn.try_lock().ok()?;
        if self.pool.manager().idle() == 0 || self.is_closing.load(Relaxed) {
            return None;
        }
        let object = self.pool.get().now_or_never()?.ok()?;
        if object.is_in_doubt(&self.core, now) {
            self.put_back(object);
            return None;
        }
        Some(object)
    }

    async fn in_time(
        &self,
        call: &CallContext,
        asked: Instant,
    ) -> Result<(Object<Manager>, Instant), Failure> {
        let until = Deadline::at(asked + self.core.options().acquire_timeout).earlier(call.deadline());
        let object = timeout_at(until.instant(), self.object(call, asked)).await;
        let now = clock::now();
        self.waits.record(now.saturating_duration_since(asked));
        let object = object.unwrap_or_else(|_| {
            self.timeouts.fetch_add(1, Relaxed);
            self.core.counts.timeouts.fetch_add(1, Relaxed);
            Err(self.too_late(call, now.saturating_duration_since(asked)))
        })?;
        Ok((object, now))
    }

    /// Waits for a connection; while the server takes no more of them, for one of those that we have.
    async fn object(&self, call: &CallContext, asked: Instant) -> Result<Object<Manager>, Failure> {
        loop {
            match self.one(call, asked).await {
                Ok(object) => {
                    if let Some(object) = self.proven(object).await {
                        return Ok(object);
                    }
                }
                Err(failure) if failure.code() == Some(TOO_MANY) && self.core.connections() > 0 => {
                    let _waiting = Counted::new(&self.waiting);
                    call.enter(Phase::Acquire);
                    tokio::select! {
                        () = self.returned.notified() => {}
                        () = sleep(SERVER_FULL) => {}
                    }
                }
                other => return other,
            }
        }
    }

    async fn one(&self, call: &CallContext, asked: Instant) -> Result<Object<Manager>, Failure> {
        let turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) => {
                let _waiting = Counted::new(&self.waiting);
                self.turn.lock().await
            }
        };
        if self.is_closing.load(Relaxed) {
            return Err(Failure::unavailable("the pool is closed"));
        }
        if self.pool.manager().idle() == 0 {
            self.right(asked).await?;
        }
        // The first poll takes what is idle, or the permit; from then on the next one may have its turn.
        let mut getting = pin!(self.pool.get());
        let first = poll_fn(|context| Poll::Ready(getting.as_mut().poll(context))).await;
        drop(turn);
        let got = match first {
            Poll::Ready(got) => got,
            Poll::Pending => {
                call.enter(Phase::Connect);
                getting.await
            }
        };
        got.map_err(|error| match error {
            PoolError::Backend(failure) => failure,
            _ => Failure::unavailable("the pool is closed"),
        })
    }

    /// Asks a connection in doubt for a sign of life; one that gives none is closed.
    async fn proven(&self, object: Object<Manager>) -> Option<Object<Manager>> {
        if !object.is_in_doubt(&self.core, clock::now()) {
            return Some(object);
        }
        let doubt = self.core.doubt();
        let mut unproven = Unproven { lane: self, object: Some(object) };
        if let Some(object) = &unproven.object
            && let Ok(Ok(())) = timeout(SIGN_OF_LIFE, object.check_connection()).await
        {
            object.note_alive(doubt);
            return unproven.object.take();
        }
        None
    }

    /// Gets the right to open a connection, unless one becomes idle here meanwhile.
    async fn right(&self, asked: Instant) -> Result<(), Failure> {
        if let Some(permit) = self.core.try_permit() {
            self.pool.manager().lend(permit);
            return Ok(());
        }
        Box::pin(self.wait_for_right(asked)).await
    }

    async fn wait_for_right(&self, asked: Instant) -> Result<(), Failure> {
        let _waiting = Counted::new(&self.waiting);
        let _hunger = self.core.hunger(self.id, asked);
        let _head = Head::new(&self.head_since, asked);
        let mut permit = pin!(Arc::clone(&self.core.permits).acquire_owned());
        loop {
            if self.pool.manager().idle() > 0 {
                return Ok(());
            }
            self.core.wanted.notify_waiters();
            tokio::select! {
                biased;
                () = self.returned.notified() => {}
                permit = &mut permit => {
                    let permit = permit.map_err(|_| Failure::unavailable("the pool is closed"))?;
                    self.pool.manager().lend(permit);
                    return Ok(());
                }
                () = sleep(ASK_AGAIN) => {}
            }
        }
    }

    /// Says which pool and why.
    fn too_late(&self, call: &CallContext, waited: Duration) -> Failure {
        let waited = Duration::from_millis(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
        if let Some(error) = self.core.connector.last_error() {
            return Failure::unavailable(format!(
                "no connection within {waited:?}; the last attempt: {error}"
            ));
        }
        if call.phase() == Phase::Connect {
            return Failure::unavailable(format!(
                "no connection within {waited:?}; the server does not answer"
            ));
        }
        let cap = self.core.cap();
        let holder = self.core.holders.oldest().map_or_else(String::new, |(operation, held)| {
            format!("; the oldest serves `{operation}` for {} ms", held.as_millis())
        });
        Failure::new(
            FailureKind::Exhausted,
            format!("no connection within {waited:?}: all {cap} are in use{holder}"),
        )
        .in_phase(Phase::Acquire)
        .executed_is(Executed::No)
    }

    /// Takes a connection back that is as clean as it was lent.
    pub(crate) fn give_back(&self, object: Object<Manager>) {
        let now = clock::now();
        self.active.fetch_sub(1, Relaxed);
        let reason = if self.is_closing.load(Relaxed) {
            Some(Reason::Shutdown)
        } else if object.is_rerouted(&self.core) {
            Some(Reason::Rerouted)
        } else if object.is_too_old(now) {
            Some(Reason::Lifetime)
        } else {
            self.belongs_to_another(now).then_some(Reason::HandedOver)
        };
        if let Some(reason) = reason {
            return self.end(object, reason);
        }
        object.note_idle(now);
        self.put_back(object);
        self.returned.notify_one();
    }

    fn put_back(&self, object: Object<Manager>) {
        self.pool.manager().put();
        drop(object);
    }

    /// Closes a connection that was lent.
    pub(crate) fn discard(&self, object: Object<Manager>, reason: Reason) {
        self.active.fetch_sub(1, Relaxed);
        self.end(object, reason);
    }

    fn end(&self, object: Object<Manager>, reason: Reason) {
        self.count_closed(reason, 1);
        drop(Object::take(object));
    }

    fn count_closed(&self, reason: Reason, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.closed.fetch_add(count, Relaxed);
        self.core.counts.closed(reason, count);
    }

    /// Says whether another lane is to have a connection that comes back here.
    ///
    /// A lane keeps its share while calls of its own wait, or two busy lanes would open and close connections for
    /// each other all the time. What it has beyond goes at once to one that has less.
    fn belongs_to_another(&self, now: Instant) -> bool {
        let Some(since) = self.core.other_waits_since(self.id) else { return false };
        let has_more = self.has_more_than_its_share();
        let waited_long = now.saturating_duration_since(since) >= HAND_OVER_AFTER;
        if has_more && self.core.one_below_its_share_waits(self.id) {
            return true;
        }
        match *self.head_since.lock() {
            None if self.waiting.load(Relaxed) == 0 => has_more || waited_long,
            ours => has_more && waited_long && ours.is_none_or(|ours| ours > since),
        }
    }

    fn has_more_than_its_share(&self) -> bool {
        self.size() > self.core.share()
    }

    /// Connections that are open or being opened.
    pub(crate) fn size(&self) -> usize {
        self.pool.status().size + self.pool.manager().ready()
    }

    /// Says whether a call waits for a connection, here or in another lane.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.waiting.load(Relaxed) > 0 || self.core.other_waits_since(self.id).is_some()
    }

    /// Says whether one more connection can be had without waiting for another call to end.
    pub(crate) fn has_room(&self) -> bool {
        self.pool.manager().idle() > 0
            || (self.core.permits.available_permits() > 0 && self.core.connector.last_error().is_none())
    }

    /// Closes what is idle now, and the rest as it comes back, until `deadline`.
    pub(crate) async fn close(&self, deadline: Deadline) {
        self.is_closing.store(true, Relaxed);
        self.close_idle(Reason::Shutdown, |_| true);
        while self.active.load(Relaxed) > 0 && !deadline.is_past(clock::now()) {
            sleep(Duration::from_millis(2)).await;
        }
        self.pool.close();
    }

    pub(crate) fn snapshot(&self) -> PoolSnapshot {
        PoolSnapshot {
            active: self.active.load(Relaxed),
            idle: self.pool.manager().idle(),
            waiting: self.waiting.load(Relaxed),
            max: self.core.cap(),
            created_total: self.pool.manager().created(),
            closed_total: self.closed.load(Relaxed) + self.pool.manager().refused(),
            timeouts_total: self.timeouts.load(Relaxed),
        }
    }

    pub(crate) fn id(&self) -> usize {
        self.id
    }

    pub(crate) fn pool(&self) -> &Pool<Manager> {
        &self.pool
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Relaxed)
    }

    /// Tells who waits that there is one more idle connection.
    pub(crate) fn came_back(&self) {
        self.returned.notify_one();
    }

    pub(crate) fn waits(&self) -> &Histogram {
        &self.waits
    }
}

/// A connection that owes a sign of life; dropped, it is closed.
struct Unproven<'a> {
    lane: &'a Lane,
    object: Option<Object<Manager>>,
}

impl Drop for Unproven<'_> {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            self.lane.end(object, Reason::Unverified);
        }
    }
}

/// Notes since when the one whose turn it is has waited.
struct Head<'a>(&'a Mutex<Option<Instant>>);

impl<'a> Head<'a> {
    fn new(slot: &'a Mutex<Option<Instant>>, since: Instant) -> Self {
        *slot.lock() = Some(since);
        Self(slot)
    }
}

impl Drop for Head<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}
