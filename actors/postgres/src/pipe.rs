//! One connection that several short reads of a lane share: each is sent at once, and the answers come in order.
//!
//! A pipe is a lease that is kept as long as reads overlap. It begins with a read that found no other one, takes
//! those that come meanwhile, and ends with the last of them; so nobody has to close it when it is idle.

use std::{cell::Cell, rc::Rc, sync::atomic::Ordering::Relaxed, time::Duration};

use backstop_core::{
    call::CallContext,
    clock::{self, Instant},
    error::{Failure, FailureKind, Phase},
    outcome::Outcome,
    planted::{self, Bug},
};
use backstop_sql::{Request, Written};

use crate::{
    cache::Prepared,
    error::{During, refused_by_us},
    lane::Lane,
    lease::Lease,
    run::{Limits, Mode, Past, collect, params},
    statement::Known,
};

/// A pipe whose first statement has run for so long takes no more.
const HEAD_RUNS: Duration = Duration::from_millis(20);
/// How long a pipe goes on taking reads, so that its connection can be looked at.
const LIFE: Duration = Duration::from_secs(1);
/// The same while others wait for a connection of their own.
const LIFE_BESIDE_WAITERS: Duration = Duration::from_millis(20);

pub(crate) struct Pipe {
    lease: Lease,
    opened: Instant,
    /// Reads that wait for their answer, or prepare.
    members: Cell<usize>,
    /// Statements sent so far, and how many of them have ended at the server.
    sent: Cell<u64>,
    answered: Cell<u64>,
    /// Since when the server has been busy with the first one that has not ended.
    head_since: Cell<Instant>,
    /// It takes no more: something on it was left half done, or takes long.
    is_closed: Cell<bool>,
    /// A prepare was left, and its statement stays behind at the server.
    left_preparing: Cell<bool>,
}

impl Pipe {
    pub(crate) fn new(lease: Lease) -> Self {
        let now = clock::now();
        Self {
            lease,
            opened: now,
            members: Cell::new(0),
            sent: Cell::new(0),
            answered: Cell::new(0),
            head_since: Cell::new(now),
            is_closed: Cell::new(false),
            left_preparing: Cell::new(false),
        }
    }

    pub(crate) fn members(&self) -> usize {
        self.members.get()
    }

    /// Says whether another read may join.
    pub(crate) fn takes_more(&self, lane: &Lane, now: Instant) -> bool {
        let Ok(connection) = self.lease.connection() else { return false };
        let flows = self.sent.get() == self.answered.get()
            || now.saturating_duration_since(self.head_since.get()) < HEAD_RUNS;
        let age = now.saturating_duration_since(self.opened);
        let is_young = age < LIFE_BESIDE_WAITERS || (age < LIFE && !lane.is_waited_for());
        // until its session refuses to write, it is its first reader's alone
        !self.is_closed.get()
            && flows
            && is_young
            && connection.is_read_only()
            && connection.is_fresh(&lane.core, now)
    }

    /// Reads through the pipe; a session that may still write is turned on the way, see [`Lease::start`].
    ///
    /// # Errors
    /// What the server said; nothing is ever executed.
    ///
    /// # Cancel safety
    /// Dropped, it leaves its answer to be thrown away; the server is asked to stop when all readers have left.
    async fn read(&self, call: &CallContext, known: &Known, request: &Request) -> Result<Written, Failure> {
        let lease = &self.lease;
        let prepared = self.prepared(call, known).await?;
        let params = params(known, request, &prepared.statement)?;
        call.enter(Phase::Execute);
        let limits = Limits::of(request, lease.lane().core.options());
        let client = lease.connection()?;
        let began = clock::now();
        let seat = Seat::take(self, began);
        let noted = known.stats.begin_at(Mode::Read.operation(), began);
        let reply = async {
            let stream = lease.start(client, &prepared.statement, &params, Mode::Read).await?;
            collect(stream, &prepared.columns, limits, Past::Stop).await
        };
        // the driver's error decides what has ended, so it becomes a failure in its own arm
        match reply.await {
            Ok(collected) if collected.is_cut => {
                noted.end(&Ok(()), |()| collected.count());
                // the rest is on its way, and whoever is behind it waits for that
                self.is_closed.set(true);
                known.service.note_long();
                collected.reply(known, request, Mode::Read)
            }
            Ok(collected) => {
                seat.answered(known, noted.end(&Ok(()), |()| collected.count()));
                collected.reply(known, request, Mode::Read)
            }
            Err(error) => {
                let is_answer = error.as_db_error().is_some();
                let mut failure = lease.failed(error, During::Statement, false);
                if seat.number == self.answered.get() + 1 && failure.kind() == FailureKind::TooLarge {
                    known.service.note_long();
                } else {
                    failure = not_ours(failure);
                }
                if lease.is_broken() {
                    self.is_closed.set(true);
                } else if is_answer {
                    seat.answered(known, clock::now());
                } else {
                    seat.give_back();
                }
                let refused = Err(refused_by_us(failure));
                noted.end(&refused, |_: &Written| 0);
                refused
            }
        }
    }

    async fn prepared(&self, call: &CallContext, known: &Known) -> Result<Prepared, Failure> {
        let (lease, core) = (&self.lease, &self.lease.lane().core);
        let connection = lease.connection()?;
        if let Some(prepared) = connection.cache.lock().get(known.sql(), core.schema()) {
            return Ok(prepared);
        }
        // boxed, so that those whose statement is prepared carry no room for it
        Box::pin(self.prepare(call, known)).await
    }

    async fn prepare(&self, call: &CallContext, known: &Known) -> Result<Prepared, Failure> {
        let (lease, core) = (&self.lease, &self.lease.lane().core);
        let connection = lease.connection()?;
        call.enter(Phase::Execute);
        core.counts.prepared.fetch_add(1, Relaxed);
        let half_done = HalfDone(self);
        let described = connection.prepare(known.sql()).await;
        std::mem::forget(half_done);
        let prepared =
            Prepared::new(described.map_err(|error| not_ours(lease.failed(error, During::Prepare, false)))?);
        connection.cache.lock().put(known.sql(), prepared.clone());
        Ok(prepared)
    }
}

/// The reply that was too long was another's, and this one may be asked for again.
fn not_ours(failure: Failure) -> Failure {
    if failure.kind() != FailureKind::TooLarge {
        return failure;
    }
    let text = "the shared connection was closed, because the reply of another read was too long";
    Failure::unavailable(text).in_phase(Phase::Execute).counts_as(Outcome::NotCounted)
}

/// Notes a prepare that is dropped before its end.
struct HalfDone<'p>(&'p Pipe);

impl Drop for HalfDone<'_> {
    fn drop(&mut self) {
        self.0.is_closed.set(true);
        self.0.left_preparing.set(true);
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // what the last reader left behind is cancelled and proven to have ended by the lease
        let state = self.lease.state();
        let is_awaited = self.sent.get() != self.answered.get();
        state.in_flight.store(is_awaited && !planted::is(Bug::PipeGivenBackEarly), Relaxed);
        state.preparing.store(self.left_preparing.get(), Relaxed);
    }
}

/// The place of a statement among those that were sent.
struct Seat<'p> {
    pipe: &'p Pipe,
    number: u64,
}

impl<'p> Seat<'p> {
    /// Takes the next place; the statement must be sent before anything is awaited.
    fn take(pipe: &'p Pipe, now: Instant) -> Self {
        let number = pipe.sent.get() + 1;
        if pipe.sent.replace(number) == pipe.answered.get() {
            pipe.head_since.set(now);
        }
        Self { pipe, number }
    }

    /// Gives up a place whose statement was never sent, because a parameter did not fit.
    fn give_back(self) {
        if self.pipe.sent.get() == self.number {
            self.pipe.sent.set(self.number - 1);
        }
    }

    /// Notes the answer, and that all before it have ended too.
    fn answered(self, known: &Known, now: Instant) {
        let before = self.pipe.answered.get();
        if self.number <= before {
            return;
        }
        let head_since = self.pipe.head_since.replace(now);
        self.pipe.answered.set(self.number);
        if self.number == before + 1 {
            known.service.note(now.saturating_duration_since(head_since));
        }
    }
}

/// The pipes of a lane.
#[derive(Default)]
pub(crate) struct Pipes {
    open: std::cell::RefCell<Vec<Rc<Pipe>>>,
    opening: Cell<usize>,
}

/// The most pipes of a lane: with two lanes they are four, from where on more bring nothing (measured).
const PIPES: usize = 2;
/// So many reads on the emptier pipe are worth another one; below, one write for all of them is worth more
/// (measured).
const WORTH_ANOTHER: usize = 12;

impl Pipes {
    /// Finds a place on the emptiest pipe that takes more; none where another pipe is better.
    pub(crate) fn join(&self, lane: &Lane) -> Option<Member<'_>> {
        let open = self.open.borrow();
        if open.is_empty() {
            return None;
        }
        let now = clock::now();
        let best = open.iter().filter(|pipe| pipe.takes_more(lane, now)).min_by_key(|pipe| pipe.members())?;
        let is_crowded = best.members() >= WORTH_ANOTHER;
        if is_crowded && open.len() + self.opening.get() < PIPES && lane.has_room() {
            return None;
        }
        lane.core.counts.shared.fetch_add(1, Relaxed);
        Some(Member::new(self, Rc::clone(best)))
    }

    /// Counts a pipe that is about to be opened.
    pub(crate) fn opening(&self) -> Opening<'_> {
        self.opening.set(self.opening.get() + 1);
        Opening(&self.opening)
    }

    /// Makes a lease a pipe.
    pub(crate) fn open(&self, lease: Lease) -> Member<'_> {
        let pipe = Rc::new(Pipe::new(lease));
        // beyond the bound it serves its reader alone
        if self.open.borrow().len() < PIPES {
            self.open.borrow_mut().push(Rc::clone(&pipe));
        }
        Member::new(self, pipe)
    }
}

/// See [`Pipes::opening`].
pub(crate) struct Opening<'p>(&'p Cell<usize>);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// One read's share of a pipe; with the last one the pipe ends.
pub(crate) struct Member<'p> {
    pipes: &'p Pipes,
    pipe: Rc<Pipe>,
}

impl<'p> Member<'p> {
    fn new(pipes: &'p Pipes, pipe: Rc<Pipe>) -> Self {
        pipe.members.set(pipe.members.get() + 1);
        Self { pipes, pipe }
    }

    /// See [`Pipe::read`].
    pub(crate) async fn read(
        &self,
        call: &CallContext,
        known: &Known,
        request: &Request,
    ) -> Result<Written, Failure> {
        self.pipe.read(call, known, request).await
    }

    /// See [`Pipe::prepared`].
    pub(crate) async fn prepared(&self, call: &CallContext, known: &Known) -> Result<Prepared, Failure> {
        self.pipe.prepared(call, known).await
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        let left = self.pipe.members.get().saturating_sub(1);
        self.pipe.members.set(left);
        if left == 0 {
            self.pipes.open.borrow_mut().retain(|pipe| !Rc::ptr_eq(pipe, &self.pipe));
        }
    }
}
