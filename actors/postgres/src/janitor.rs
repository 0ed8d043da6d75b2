//! Closes what a lane does not need: for its own good, and for lanes that wait.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{runtime::Handle, time::sleep};

use crate::{lane::Lane, shared::Core};

/// How often idle connections are looked at.
const ROUND: Duration = Duration::from_secs(1);

/// Looks after a lane until it is gone.
pub(crate) fn start(core: &Arc<Core>, lane: &Arc<Lane>) {
    let (core, lane) = (Arc::clone(core), Arc::downgrade(lane));
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(look_after(core, lane));
    }
}

async fn look_after(core: Arc<Core>, lane: Weak<Lane>) {
    loop {
        let is_wanted = tokio::select! {
            () = core.wanted.notified() => true,
            () = sleep(ROUND) => false,
        };
        let Some(lane) = lane.upgrade() else { return };
        if is_wanted { lane.feed_others() } else { lane.reap() }
    }
}
