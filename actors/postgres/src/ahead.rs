//! Opens connections before anybody asks for them.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use backstop_core::{clock, local};
use tokio::time::sleep;

use crate::{lane::Lane, shared::Core};

/// How often a lane counts its idle connections.
const ROUND: Duration = Duration::from_millis(500);
/// The pause after the first attempt that failed; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Keeps a lane's share of `min_idle` open until the lane is gone.
pub(crate) fn start(core: &Arc<Core>, lane: &Arc<Lane>) {
    if core.options().min_idle == 0 {
        return;
    }
    local::spawn(keep(Arc::downgrade(lane)));
}

async fn keep(lane: Weak<Lane>) {
    let mut pause = PAUSE;
    loop {
        let Some(lane) = lane.upgrade() else { return };
        let wait = match lane.open_ahead().await {
            Some(true) => {
                pause = PAUSE;
                Duration::ZERO
            }
            Some(false) => {
                // jittered, so that lanes and processes do not come back together
                let wait = pause.mul_f64(1.0 - fastrand::f64() / 2.0);
                pause = (pause * 2).min(PAUSE_MAX);
                wait
            }
            None => ROUND,
        };
        drop(lane);
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }
}

impl Lane {
    /// Opens one connection if idle ones are missing and there is room; says whether that went well.
    async fn open_ahead(&self) -> Option<bool> {
        let core = &self.core;
        let is_due = !self.is_closing()
            && self.pool().manager().idle() < core.idle_share(self.id())
            && core.connections() < core.options().pool_size
            // who waits has the first right to what can be opened
            && !self.is_waited_for();
        if !is_due {
            return None;
        }
        let permit = core.try_permit()?;
        let opened = self.pool().manager().open(permit).await;
        let is_open = opened.is_ok();
        if let Ok(connection) = opened
            && !self.is_closing()
        {
            connection.note_idle(clock::now());
            self.pool().manager().keep_ready(connection);
            self.came_back();
        }
        Some(is_open)
    }
}
