//! Connections that a call left in doubt: they are proven idle and clean, or closed.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use deadpool::managed::Object;
use tokio::{runtime::Handle, task::JoinHandle, time::timeout};

use crate::{cancel, lane::Lane, lease::State, manager::Manager, stats::Reason};

/// DISCARD ALL without its DEALLOCATE: the driver keeps statements of its own, and does not see them go.
const RESET: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
     SELECT pg_advisory_unlock_all(); DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES";
/// So many statements that nobody can use any more may stay behind on a connection.
const LEFT_MAX: usize = 16;
/// How long a connection may take to be proven idle and clean.
const LIMIT: Duration = Duration::from_millis(250);

pub(crate) struct Suspect {
    pub(crate) object: Object<Manager>,
    pub(crate) lane: Arc<Lane>,
    pub(crate) state: State,
    pub(crate) cancelling: Option<JoinHandle<bool>>,
}

/// Cleans a connection in the background; it counts as active until then.
pub(crate) fn start(mut suspect: Suspect) {
    // without a runtime, at the end of a thread, nobody could wait for the server
    let Ok(runtime) = Handle::try_current() else {
        return suspect.lane.discard(suspect.object, Reason::InDoubt);
    };
    runtime.spawn(async move {
        let is_clean = timeout(LIMIT, suspect.clean()).await.is_ok_and(|clean| clean.is_some());
        let Suspect { object, lane, .. } = suspect;
        if is_clean && !object.is_closed() {
            lane.core.counts.cleaned.fetch_add(1, Relaxed);
            lane.give_back(object);
        } else {
            lane.discard(object, Reason::InDoubt);
        }
    });
}

impl Suspect {
    /// `None` where the connection is not proven clean.
    async fn clean(&mut self) -> Option<()> {
        self.stop().await?;
        let (connection, state) = (&*self.object, &self.state);
        // Replies come in order, so this round trip also proves that what was under way has ended.
        let first = if state.in_transaction.load(Relaxed) { "ROLLBACK" } else { "" };
        connection.batch_execute(first).await.ok()?;
        if state.changed_session.load(Relaxed) {
            connection.batch_execute(RESET).await.ok()?;
            connection.note_read_only(false);
        }
        // the statement that was being prepared has a name that only the dropped call knew
        if state.preparing.load(Relaxed) && connection.leave_statement() > LEFT_MAX {
            return None;
        }
        Some(())
    }

    /// Makes sure that a statement under way is stopped, and that no cancel request is still on its way.
    async fn stop(&mut self) -> Option<()> {
        if let Some(sent) = self.cancelling.as_mut() {
            return sent.await.is_ok_and(|arrived| arrived).then_some(());
        }
        // a commit has no better known fate when it is stopped, and a turn must not be stopped
        let is_left_alone = self.state.committing.load(Relaxed) || self.state.turning.load(Relaxed);
        if is_left_alone || !self.state.in_flight.load(Relaxed) {
            return Some(());
        }
        let core = &self.lane.core;
        core.counts.cancels.fetch_add(1, Relaxed);
        let token = self.object.cancel_token();
        cancel::send(&core.connector, token, &self.object.peer).await.then_some(())
    }
}
