//! How a call gets a connection, or is told why not.

use std::{pin::pin, sync::Arc, time::Duration};

use backstop_core::{
    call::CallContext,
    clock,
    error::{Executed, Failure, FailureKind, Phase},
};
use tokio::{
    select,
    time::{sleep, timeout_at},
};

use super::{Lease, Pool};
use crate::{
    error::{self, During},
    session::{Mode, Session, Slot},
};

/// A wait ends this long before the call's deadline, so that its error can say what was waited for.
const EARLY: Duration = Duration::from_millis(3);

/// How often a call that waits asks other lanes for what they do not use.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What can be done without waiting.
enum Next {
    /// An idle connection.
    Idle(Session),
    /// Opening another one.
    Open(Slot),
    /// Nothing.
    Wait,
}

impl Pool {
    /// Leases a connection of `mode` to `operation`; any when `None`.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        operation: &'static str,
        mode: Option<Mode>,
        call: &CallContext,
    ) -> Result<Lease, Failure> {
        call.enter(Phase::Acquire);
        let now = clock::now();
        let until = (call.deadline().instant() - EARLY).min(now + self.core.options.acquire_timeout);
        let session = match self.at_once(mode) {
            Some(session) => session,
            None => match timeout_at(until, self.find(mode, call)).await {
                Ok(session) => session?,
                Err(_) => return Err(self.too_late(call)),
            },
        };
        let place = self.core.seen.lent().enter(operation, clock::now());
        call.enter(Phase::Execute);
        Ok(Lease::new(session, Arc::clone(self), place))
    }

    /// Takes an idle connection that needs nothing; the path of a busy lane.
    fn at_once(&self, mode: Option<Mode>) -> Option<Session> {
        if self.book.lock().waiting > 0 {
            return None;
        }
        let session = self.take_idle(mode)?;
        let now = clock::now();
        if session.is_over(&self.core, now) || session.needs_check(&self.core, now) {
            self.book.lock().idle.push(session);
            return None;
        }
        Some(session)
    }

    async fn find(self: &Arc<Self>, mode: Option<Mode>, call: &CallContext) -> Result<Session, Failure> {
        loop {
            let found = match self.next(mode) {
                Next::Wait => self.wait().await?,
                found => found,
            };
            let ready = match found {
                Next::Idle(session) => {
                    call.enter(Phase::Connect);
                    self.checked(session, mode).await?
                }
                Next::Open(slot) => {
                    call.enter(Phase::Connect);
                    let opened = Session::open(&self.core, slot).await?;
                    self.checked(opened, mode).await?
                }
                Next::Wait => None,
            };
            if let Some(session) = ready {
                return Ok(session);
            }
            call.enter(Phase::Acquire);
        }
    }

    /// An idle connection of the mode, else a new one, else an idle one of the other mode: opening one is paid once,
    /// changing the mode each time.
    fn next(self: &Arc<Self>, mode: Option<Mode>) -> Next {
        // who came earlier is served earlier
        if self.book.lock().waiting > 0 {
            return Next::Wait;
        }
        if let Some(session) = self.take_idle(mode) {
            return Next::Idle(session);
        }
        let has_idle = !self.book.lock().idle.is_empty();
        if (!has_idle || self.core.open() < self.core.options.pool_size)
            && let Ok(permit) = Arc::clone(&self.core.permits).try_acquire_owned()
        {
            return Next::Open(Slot::new(self, permit));
        }
        self.take_idle(None).map_or(Next::Wait, Next::Idle)
    }

    /// Waits for a connection of this lane, or for the right to open one.
    async fn wait(self: &Arc<Self>) -> Result<Next, Failure> {
        let _waiting = Waiting::new(self);
        let place = self.core.wait(self.number);
        self.core.close_one_elsewhere(self.number);
        let mut permit = pin!(Arc::clone(&self.core.permits).acquire_owned());
        loop {
            let freed = self.freed.notified();
            select! {
                permit = &mut permit => {
                    drop(place);
                    let permit = permit.map_err(|_| Failure::unavailable("the pool is closed"))?;
                    return Ok(Next::Open(Slot::new(self, permit)));
                }
                () = freed => {}
                () = sleep(ASK_AGAIN) => self.core.close_one_elsewhere(self.number),
            }
            if let Some(session) = self.take_idle(None) {
                return Ok(Next::Idle(session));
            }
        }
    }

    /// Makes a connection fit for use; `None` where it was not, and is gone.
    async fn checked(&self, mut session: Session, mode: Option<Mode>) -> Result<Option<Session>, Failure> {
        let now = clock::now();
        if session.is_over(&self.core, now) {
            session.retire();
            return Ok(None);
        }
        if session.needs_check(&self.core, now) {
            match session.is_alive(&self.core).await {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(failure) => {
                    drop(session.cut());
                    return Err(failure);
                }
            }
        }
        match session.set_mode(mode.unwrap_or(session.mode)).await {
            Ok(()) => Ok(Some(session)),
            Err(mysql_async::Error::Server(error)) => {
                let error = mysql_async::Error::Server(error);
                Err(error::failure(&error, During::Connect).in_phase(Phase::Connect))
            }
            // it was lost; nothing was under way
            Err(_) => Ok(None),
        }
    }

    fn too_late(&self, call: &CallContext) -> Failure {
        let mut book = self.book.lock();
        book.timeouts += 1;
        if call.phase() == Phase::Connect {
            return Failure::unavailable("no connection could be opened before the call's deadline");
        }
        drop(book);
        let cap = self.core.options.cap();
        let mut text = format!("all {cap} connections were in use until it was too late");
        if let Some((operation, held)) = self.core.seen.lent().oldest() {
            text.push_str(&format!("; the oldest serves `{operation}` for {} ms", held.as_millis()));
        }
        Failure::new(FailureKind::Exhausted, text).in_phase(Phase::Acquire).executed_is(Executed::No)
    }
}

/// Counts a call that waits.
struct Waiting<'a>(&'a Pool);

impl<'a> Waiting<'a> {
    fn new(pool: &'a Pool) -> Self {
        pool.book.lock().waiting += 1;
        Self(pool)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.book.lock().waiting -= 1;
    }
}
