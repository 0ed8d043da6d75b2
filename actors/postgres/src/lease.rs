//! A connection that is lent to one call, and what is to be done when the call is over.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use backstop_core::{
    call::CallContext,
    error::{Executed, Failure, FailureKind, Phase},
};
use deadpool::managed::Object;
use parking_lot::Mutex;
use tokio::{task::JoinHandle, time::sleep_until};
use tokio_postgres::{Client, Error, error::SqlState};

use crate::{
    cancel,
    connection::Connection,
    error::{During, failure, too_long},
    holder::Place,
    lane::Lane,
    manager::Manager,
    quarantine::{self, Suspect},
    stats::Reason,
};

/// Lends one connection; dropped, it goes back as clean as it came, or is cleaned first, or is closed.
///
/// | state at the drop | what happens |
/// |---|---|
/// | at rest | back to the lane at once |
/// | a statement is under way | cancelled at the server, proven idle by a round trip, then back |
/// | a transaction is open | rolled back, then back |
/// | the session was changed | reset, then back |
/// | broken, or not clean in time | closed |
pub(crate) struct Lease {
    object: Option<Object<Manager>>,
    lane: Arc<Lane>,
    place: Place,
    state: State,
    /// A cancel request under way; until it has arrived, the session must not be used for anything else.
    cancelling: Mutex<Option<JoinHandle<bool>>>,
}

/// What the connection is in the middle of.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) in_flight: AtomicBool,
    /// A prepare that nobody waits for any more leaves its statement behind at the server.
    pub(crate) preparing: AtomicBool,
    pub(crate) committing: AtomicBool,
    /// The session is being turned between reading and writing, or that failed.
    pub(crate) turning: AtomicBool,
    pub(crate) in_transaction: AtomicBool,
    pub(crate) changed_session: AtomicBool,
    pub(crate) broken: AtomicBool,
}

impl State {
    fn is_at_rest(&self) -> bool {
        !self.in_flight.load(Relaxed)
            && !self.in_transaction.load(Relaxed)
            && !self.changed_session.load(Relaxed)
            && !self.preparing.load(Relaxed)
    }
}

impl Lease {
    pub(crate) fn new(object: Object<Manager>, lane: Arc<Lane>, place: Place) -> Self {
        Self { object: Some(object), lane, place, state: State::default(), cancelling: Mutex::new(None) }
    }

    /// Returns the connection.
    ///
    /// # Errors
    /// None while the lease lives; the type has no other way to say so without a panic.
    pub(crate) fn connection(&self) -> Result<&Connection, Failure> {
        self.object.as_deref().map(Box::as_ref).ok_or_else(|| Failure::unavailable("the lease has ended"))
    }

    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.state.broken.load(Relaxed)
    }

    /// Notes that the connection must not be used again.
    pub(crate) fn break_up(&self) {
        self.state.broken.store(true, Relaxed);
    }

    /// Waits for the server; at the call's deadline it is asked to stop, and its verdict is waited for.
    ///
    /// The guard drops the call when the verdict takes too long. `sent` says whether `work` can take effect by
    /// itself, so that its lost answer leaves its fate open.
    ///
    /// # Errors
    /// What the server said, or the connection's end.
    ///
    /// # Cancel safety
    /// Dropped, it leaves a lease in flight, which cancels at the server.
    pub(crate) async fn run<T>(
        &self,
        call: &CallContext,
        during: During,
        sent: bool,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        let mut work = pin!(work);
        self.state.in_flight.store(true, Relaxed);
        self.state.committing.store(matches!(during, During::Commit), Relaxed);
        self.state.preparing.store(matches!(during, During::Prepare), Relaxed);
        let (result, is_late) = tokio::select! {
            biased;
            result = &mut work => (result, false),
            () = sleep_until(call.deadline().instant()) => {
                // a commit that is stopped has no better known fate than one that goes on
                if !matches!(during, During::Commit) && !self.state.turning.load(Relaxed) {
                    self.cancel();
                }
                (work.await, true)
            }
        };
        self.state.in_flight.store(false, Relaxed);
        self.state.committing.store(false, Relaxed);
        self.state.preparing.store(false, Relaxed);
        result.map_err(|error| {
            if is_late { self.late(error, during, sent) } else { self.failed(error, during, sent) }
        })
    }

    /// Lends the client to work that may open a transaction and runs several statements by itself.
    ///
    /// # Cancel safety
    /// Dropped, it leaves a lease in flight with a transaction, which is cancelled and rolled back.
    pub(crate) async fn borrowed<'l, T, F>(&'l self, work: impl FnOnce(&'l Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>> + 'l,
    {
        let connection = self.connection()?;
        // read-only is how its last reader may have left the session
        if self.lane.core.naming().is_on() && connection.is_read_only() {
            let turned = connection.batch_execute("SET default_transaction_read_only = off").await;
            turned.map_err(|error| self.failed(error, During::Statement, false))?;
            connection.note_read_only(false);
        }
        self.state.in_flight.store(true, Relaxed);
        self.state.in_transaction.store(true, Relaxed);
        let result = work(connection).await;
        self.state.in_flight.store(false, Relaxed);
        self.state.in_transaction.store(result.is_err(), Relaxed);
        if connection.is_closed() {
            self.lane.core.connection_lost();
        }
        result.inspect_err(|failure| self.lane.core.naming().note(failure))
    }

    fn late(&self, error: Error, during: During, sent: bool) -> Failure {
        if error.code() != Some(&SqlState::QUERY_CANCELED) {
            return self.failed(error, during, sent);
        }
        Failure::new(FailureKind::Timeout, "the deadline passed, and the server stopped the statement")
            .in_phase(Phase::Execute)
            .executed_is(Executed::No)
            .with_code(SqlState::QUERY_CANCELED.code().to_owned())
    }

    /// Turns an error of the driver into a failure, and notes what it means for the connection.
    pub(crate) fn failed(&self, error: Error, during: During, sent: bool) -> Failure {
        if error.as_db_error().is_none()
            && self.object.as_deref().is_some_and(|connection| connection.was_too_long())
        {
            // the server is well, and so are our other connections
            self.break_up();
            return too_long(during, sent);
        }
        if is_fatal(&error) || self.object.as_deref().is_none_or(|connection| connection.is_closed()) {
            self.break_up();
            self.lane.core.connection_lost();
        }
        let failure = failure(error, during, sent);
        self.lane.core.naming().note(&failure);
        failure
    }

    /// Asks the server to stop what the session is doing; once a lease.
    fn cancel(&self) {
        let Some(connection) = self.object.as_deref() else { return };
        let mut cancelling = self.cancelling.lock();
        if cancelling.is_none() {
            self.lane.core.counts.cancels.fetch_add(1, Relaxed);
            let (core, token, peer) =
                (Arc::clone(&self.lane.core), connection.cancel_token(), connection.peer.clone());
            *cancelling =
                Some(tokio::spawn(async move { cancel::send(&core.connector, token, &peer).await }));
        }
    }
}

/// Says whether the connection is of no further use.
fn is_fatal(error: &Error) -> bool {
    use tokio_postgres::error::Severity;
    match error.as_db_error() {
        Some(said) => matches!(said.parsed_severity(), Some(Severity::Fatal | Severity::Panic)),
        // the driver hides the kinds of its errors; what a parameter does not fit never left
        None => {
            let text = error.to_string();
            !text.starts_with("error serializing parameter")
                && !text.starts_with("error deserializing column")
                && !text.contains("parameters but got")
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.lane.core.holders.leave(self.place);
        let Some(object) = self.object.take() else { return };
        let cancelling = self.cancelling.get_mut().take();
        if self.state.broken.load(Relaxed) || object.is_closed() {
            self.lane.discard(object, Reason::Broken);
        } else if cancelling.is_none() && self.state.is_at_rest() {
            self.lane.give_back(object);
        } else {
            let state = std::mem::take(&mut self.state);
            quarantine::start(Suspect { object, lane: Arc::clone(&self.lane), state, cancelling });
        }
    }
}
