//! Keeps the breaker's time and heals it by probes, so that no user call has to be the guinea pig.

use std::{sync::Arc, time::Duration};

use backstop_core::{
    backend::{Backend, Probe},
    clock,
    error::{CallError, RejectionReason},
    policy::circuit_breaker::BreakerState,
};
use tokio::sync::Notify;

use crate::{hub::Hub, lane::ProbeLane, reference::BackendRef};

/// How often a backend is looked at though nothing is due; catches a change of settings.
const IDLE_LOOK: Duration = Duration::from_secs(10);

/// Wakes those who wait for the breaker to change.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    time: Notify,
    health: Notify,
}

impl Wakes {
    /// Wakes them; one that is busy finds out as soon as it waits again.
    pub(super) fn wake(&self) {
        self.time.notify_one();
        self.health.notify_one();
    }
}

/// Lets the breaker's time pass, so that those it refuses need not look at the clock.
///
/// Apart from [`heal`], whose probes take their time.
pub(super) async fn keep_time<B: Backend>(hub: Arc<Hub<B>>, wakes: Arc<Wakes>) {
    loop {
        match hub.guard.tick() {
            Some(due) => drop(tokio::time::timeout_at(due, wakes.time.notified()).await),
            None => wakes.time.notified().await,
        }
    }
}

/// Asks for a sign of life when the breaker wants one, and as often as the settings say.
pub(super) async fn heal<B: Backend>(hub: Arc<Hub<B>>, wakes: Arc<Wakes>) {
    let mut routine_since = clock::now();
    loop {
        let settings = hub.guard.policy().probe.clone();
        let probe_at = hub.guard.next_probe_at().filter(|_| settings.enabled);
        let routine_at = settings.interval.map(|interval| routine_since + interval);
        let closed = hub.guard.breaker_state() == BreakerState::Closed;
        let look_at = clock::now() + IDLE_LOOK;
        let due = [probe_at, routine_at].into_iter().flatten().min().unwrap_or(look_at).min(look_at);
        if tokio::time::timeout_at(due, wakes.health.notified()).await.is_ok() {
            continue;
        }
        if let Some(pass) = settings.enabled.then(|| hub.guard.begin_probe()).flatten() {
            let result = probe(&hub).await;
            pass.finish(&result);
        } else if Some(due) == routine_at {
            routine_since = clock::now();
            if !closed {
                continue;
            }
            // A routine probe is a call like any other, so its result counts in the window.
            let ask = BackendRef::new(Arc::clone(&hub)).ask(Probe).within(settings.timeout);
            if let Err(error) = ask.await {
                tracing::debug!(backend = %hub.guard.name(), %error, "routine probe failed");
            }
        }
    }
}

/// Asks one lane for a sign of life; starts a lane where none lives.
pub(super) async fn probe<B: Backend>(hub: &Arc<Hub<B>>) -> Result<(), CallError> {
    let timeout = hub.guard.policy().probe.timeout;
    let reference = BackendRef::new(Arc::clone(hub));
    if hub.addresses().is_empty() {
        reference.start_lane()?;
    }
    let gone = || CallError::from(hub.guard.reject(RejectionReason::Stopped));
    let lane = hub.addresses().into_iter().next().ok_or_else(gone)?;
    match tokio::time::timeout(timeout * 2, lane.send(ProbeLane(timeout))).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(gone()),
        // The lane's thread is blocked: for a probe that is as bad as no answer.
        Err(_) => Err(hub.guard.reject(RejectionReason::Expired).into()),
    }
}
