//! A connection in the hands of one call, and what becomes of it when it is given back in any state.

use std::sync::Arc;

use backstop_core::error::Failure;
use backstop_sql::seen::Place;
use mysql_async::{Conn, prelude::Queryable as _};
use tokio::time::timeout;

use super::Pool;
use crate::{
    error::{self, After, During},
    session::{self, BRIEF, Mode, Session, Slot},
};

/// What is left to do before a connection can serve another call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing.
    Clean,
    /// Statements left something in the session: it is reset.
    Dirty,
    /// A transaction is open: it is rolled back.
    Open,
    /// A statement runs: the session is killed on the server, and the connection is not used again.
    Running,
    /// Nothing can be said of it: it is closed.
    Broken,
}

/// A connection in the hands of one call.
pub(crate) struct Lease {
    /// Taken on drop alone.
    session: Option<Session>,
    pool: Arc<Pool>,
    place: Place,
    state: State,
    /// Whether the session must be reset before anybody else uses it.
    dirty: bool,
    /// Whether an error ended the transaction, or left it in a state in which it must not commit.
    doomed: bool,
}

impl Lease {
    pub(super) fn new(session: Session, pool: Arc<Pool>, place: Place) -> Self {
        let dirty = pool.core().options.reset_always;
        Self { session: Some(session), pool, place, state: State::Clean, dirty, doomed: false }
    }

    /// Sets what is left to do if the call is given up now.
    pub(crate) fn set(&mut self, state: State) {
        self.state = state;
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Notes that a statement leaves something in the session.
    pub(crate) fn soil(&mut self) {
        self.dirty = true;
    }

    pub(crate) fn is_doomed(&self) -> bool {
        self.doomed
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The largest command that the server takes, in bytes.
    pub(crate) fn packet(&self) -> usize {
        self.session.as_ref().map_or(0, |session| session.packet)
    }

    /// Borrows the connection.
    ///
    /// # Errors
    /// Never, because the session is taken on drop alone.
    pub(crate) fn conn(&mut self) -> Result<&mut Conn, Failure> {
        match &mut self.session {
            Some(session) => Ok(&mut session.conn),
            None => Err(Failure::unavailable("the connection was given back")),
        }
    }

    /// Runs a statement of our own that changes nothing but the session or its transaction.
    pub(crate) async fn command(&mut self, sql: &str, during: During, then: State) -> Result<(), Failure> {
        self.state = State::Running;
        let result = self.conn()?.query_drop(sql).await;
        match result {
            Ok(()) => {
                self.state = then;
                Ok(())
            }
            Err(error) => Err(self.failed(&error, during, State::Broken)),
        }
    }

    /// Turns an error of the driver into a failure, and draws the consequences for this connection and the others.
    pub(crate) fn failed(&mut self, error: &mysql_async::Error, during: During, then: State) -> Failure {
        self.doomed |= error::dooms(error);
        match error::after(error) {
            After::Keep => self.state = then,
            After::Close => self.state = State::Broken,
            After::Lost => {
                self.state = State::Broken;
                self.pool.core().suspect_all();
            }
            After::Evict => {
                self.state = State::Broken;
                self.pool.core().evict_all();
            }
        }
        error::failure(error, during)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.core().seen.lent().leave(self.place);
        let Some(session) = self.session.take() else { return };
        let state = if self.dirty && self.state == State::Clean { State::Dirty } else { self.state };
        match state {
            State::Clean => self.pool.put_back(session),
            State::Broken => drop(session.cut()),
            State::Dirty | State::Open => {
                let tidied = tidy(session, Arc::clone(&self.pool), state, self.dirty);
                spawn(tidied);
            }
            State::Running => {
                let (id, mode) = (session.conn.id(), session.mode);
                let slot = session.cut();
                spawn(undertake(id, mode, slot, Arc::clone(&self.pool)));
            }
        }
    }
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    // without a runtime the connection is dropped here, and the server ends its session
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        drop(runtime.spawn(task));
    }
}

/// Rolls back and resets, within a short time; what does not answer is closed.
async fn tidy(mut session: Session, pool: Arc<Pool>, state: State, dirty: bool) {
    let cleaned = timeout(BRIEF, async {
        if state == State::Open {
            session.conn.query_drop("ROLLBACK").await?;
        }
        if dirty { session.reset(pool.core()).await } else { Ok::<_, mysql_async::Error>(true) }
    });
    match cleaned.await {
        Ok(Ok(true)) => pool.put_back(session),
        // a server without the command to reset, an error, or no answer in time
        _ => drop(session.cut()),
    }
}

/// Ends a session whose statement nobody waits for: closing the connection alone would let it run on.
///
/// The slot counts until then. Where no idle connection can carry the order, one is opened for it; it inherits the
/// slot and the mode, so that the next call finds one like the one that was lost.
async fn undertake(id: u32, mode: Mode, slot: Slot, pool: Arc<Pool>) {
    let core = Arc::clone(pool.core());
    let Ok(_one_of_few) = core.killers.acquire().await else { return };
    let work = async {
        if let Some(mut idle) = pool.take_idle(None)
            && session::kill(&mut idle.conn, id).await.is_ok()
        {
            return pool.put_back(idle);
        }
        pool.replaced();
        let mut opened = match Session::open(&core, slot).await {
            Ok(opened) => opened,
            Err(failure) => {
                return tracing::debug!(session = id, %failure, "a session could not be killed");
            }
        };
        let killed = session::kill(&mut opened.conn, id).await;
        let ready = match killed {
            Ok(()) => opened.set_mode(mode).await,
            Err(error) => Err(error),
        };
        match ready {
            Ok(()) => pool.put_back(opened),
            Err(error) => tracing::debug!(session = id, %error, "a session could not be killed"),
        }
    };
    if timeout(core.options.connect_timeout, work).await.is_err() {
        tracing::debug!(session = id, "a session could not be killed in time");
    }
}
