//! The connections of one lane: who holds them, who waits for one, and what becomes of them afterwards.

mod acquire;
mod lease;

use std::sync::{Arc, Weak};

use backstop_core::{
    call::Deadline,
    clock::{self, Instant},
    snapshot::PoolSnapshot,
};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::AbortHandle};

pub(crate) use self::lease::{Lease, State};
use crate::{
    session::{Mode, Session},
    shared::Core,
};

/// How often idle connections are looked at.
const REAP: std::time::Duration = std::time::Duration::from_secs(30);

/// How long a call must have waited before a busy lane closes a connection beyond its share in its favour.
const HAND_OVER_AFTER: std::time::Duration = std::time::Duration::from_millis(50);
/// A connection that is idle for less is between two calls.
const BETWEEN_CALLS: std::time::Duration = std::time::Duration::from_millis(5);

/// The connections of one lane.
///
/// It is `Send`, because tasks that clean up and streams give connections back; the lock is held for a few
/// instructions and never across an await.
pub(crate) struct Pool {
    core: Arc<Core>,
    number: u64,
    book: Mutex<Book>,
    /// A connection became idle while calls of this lane wait.
    freed: Notify,
    /// A connection is gone.
    gone: Notify,
}

#[derive(Default)]
struct Book {
    idle: Vec<Session>,
    streams: Vec<AbortHandle>,
    open: usize,
    waiting: usize,
    created: u64,
    closed: u64,
    timeouts: u64,
    ended: bool,
    reaping: bool,
}

impl Pool {
    pub(crate) fn new(core: &Arc<Core>) -> Arc<Self> {
        let pool = Arc::new(Self {
            core: Arc::clone(core),
            number: core.number(),
            book: Mutex::default(),
            freed: Notify::new(),
            gone: Notify::new(),
        });
        core.add_lane(&pool);
        pool
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Identifies the lane among those of its backend.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Counts a connection that is being opened.
    pub(crate) fn opened(self: &Arc<Self>) {
        let mut book = self.book.lock();
        book.open += 1;
        book.created += 1;
        if !book.reaping
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            book.reaping = true;
            drop(runtime.spawn(reap(Arc::downgrade(self))));
        }
    }

    /// Counts a connection that takes the place of one that is gone.
    fn replaced(&self) {
        let mut book = self.book.lock();
        book.created += 1;
        book.closed += 1;
    }

    /// Counts a connection that is gone.
    pub(crate) fn closed(&self) {
        let mut book = self.book.lock();
        book.open -= 1;
        book.closed += 1;
        drop(book);
        self.gone.notify_waiters();
    }

    /// Takes an idle connection, the one of `mode` that was used last.
    fn take_idle(&self, mode: Option<Mode>) -> Option<Session> {
        let mut book = self.book.lock();
        let at = book.idle.iter().rposition(|session| mode.is_none_or(|mode| session.mode == mode))?;
        Some(book.idle.remove(at))
    }

    /// Takes back a connection that is clean.
    pub(crate) fn put_back(&self, mut session: Session) {
        let now = clock::now();
        let is_spare = self.core.overflows() && self.core.waiting() == 0;
        if is_spare || session.is_over(&self.core, now) {
            return session.retire();
        }
        session.idle_since = now;
        let mut book = self.book.lock();
        if book.ended {
            drop(book);
            return session.retire();
        }
        // First it is there to be found, then the queue is looked at: whoever waits does it the other way round, so
        // one of the two sees the other.
        book.idle.push(session);
        drop(book);
        match self.core.first_waiting() {
            None => {}
            Some(first) if first.lane == self.number => self.freed.notify_one(),
            Some(first) => {
                let waited_long = now.saturating_duration_since(first.since) >= HAND_OVER_AFTER;
                if self.is_anothers(first.lane, waited_long) {
                    self.take_idle(None).into_iter().for_each(Session::retire);
                } else {
                    self.freed.notify_one();
                }
            }
        }
    }

    /// Says whether another lane, whose call waits, is to have a connection of this one.
    ///
    /// A lane keeps its share while calls of its own wait, or two busy lanes would open and close connections for
    /// each other all the time. What it has beyond goes at once to one that has less.
    fn is_anothers(&self, other: u64, waited_long: bool) -> bool {
        let share = self.core.share();
        let lacks = self.core.open_in(other) < share;
        let book = self.book.lock();
        let has_more = book.open > share;
        if book.waiting == 0 { has_more || waited_long } else { has_more && (lacks || waited_long) }
    }

    /// Counts the connections that are open or being opened.
    pub(crate) fn open(&self) -> usize {
        self.book.lock().open
    }

    /// Closes an idle connection for another lane; `false` where none can be spared.
    pub(crate) fn give_one_up(&self) -> bool {
        let now = clock::now();
        let share = self.core.share();
        let mut book = self.book.lock();
        let has_more = book.open > share;
        let is_spare = |session: &Session| {
            has_more || now.saturating_duration_since(session.idle_since) >= BETWEEN_CALLS
        };
        let Some(at) = book.idle.iter().position(is_spare).filter(|_| book.waiting == 0) else {
            return false;
        };
        let session = book.idle.remove(at);
        drop(book);
        session.retire();
        true
    }

    /// Remembers the task of a stream, so that it ends with the lane.
    pub(crate) fn add_stream(&self, stream: AbortHandle) {
        let mut book = self.book.lock();
        book.streams.retain(|stream| !stream.is_finished());
        book.streams.push(stream);
    }

    /// Ends the lane: streams end, idle connections are closed, the others when they come back.
    pub(crate) fn end(&self) {
        let (idle, streams) = {
            let mut book = self.book.lock();
            book.ended = true;
            (std::mem::take(&mut book.idle), std::mem::take(&mut book.streams))
        };
        streams.iter().for_each(AbortHandle::abort);
        idle.into_iter().for_each(Session::retire);
    }

    /// Closes every connection, at the latest at `deadline`.
    pub(crate) async fn close(&self, deadline: Deadline) {
        self.end();
        let all_gone = async {
            loop {
                let gone = self.gone.notified();
                if self.book.lock().open == 0 {
                    return;
                }
                gone.await;
            }
        };
        // what is left at the deadline is dropped with the lane's runtime
        let _ = tokio::time::timeout_at(deadline.instant(), all_gone).await;
    }

    pub(crate) fn snapshot(&self) -> PoolSnapshot {
        let book = self.book.lock();
        PoolSnapshot {
            active: book.open - book.idle.len(),
            idle: book.idle.len(),
            waiting: book.waiting,
            max: self.core.options.cap(),
            created_total: book.created,
            closed_total: book.closed,
            timeouts_total: book.timeouts,
        }
    }

    /// Closes what idles for too long or is past its life; the last idle connection stays.
    fn reap_at(&self, now: Instant) {
        let idle_timeout = self.core.options.idle_timeout;
        let mut book = self.book.lock();
        let mut over = Vec::new();
        let mut at = 0;
        while at < book.idle.len() {
            let session = &book.idle[at];
            let idles = now.saturating_duration_since(session.idle_since) >= idle_timeout;
            if session.is_over(&self.core, now) || (idles && book.idle.len() > 1) {
                over.push(book.idle.remove(at));
            } else {
                at += 1;
            }
        }
        drop(book);
        over.into_iter().for_each(Session::retire);
    }
}

/// Looks after idle connections until the lane is gone.
async fn reap(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(REAP).await;
        let Some(pool) = pool.upgrade() else { return };
        pool.reap_at(clock::now());
    }
}
