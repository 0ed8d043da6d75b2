//! Looks at the backend now and then, and tells an operator what is worth a look of his own.

use std::{sync::Arc, time::Duration};

use backstop_core::{
    backend::Backend,
    event::EventKind,
    policy::alert::{Alert, Alerts, Seen},
};

use crate::hub::Hub;

/// How often the settings are read while alerts are off.
const OFF_LOOK: Duration = Duration::from_secs(10);

/// How long a lane may take to show its pool; a thread that is blocked is left out.
const POOL_WITHIN: Duration = Duration::from_millis(180);

/// Judges the snapshots of the backend; never on the path of a call.
pub(super) async fn watch_alerts<B: Backend>(hub: Arc<Hub<B>>) {
    let mut alerts = Alerts::default();
    let mut alarms = Vec::new();
    loop {
        let interval = hub.guard.policy().alert.interval;
        tokio::time::sleep(interval.unwrap_or(OFF_LOOK)).await;
        // what the backend warns of has a switch of its own
        for message in hub.warnings() {
            hub.event(EventKind::Alert { message });
        }
        let before = std::mem::replace(&mut alarms, hub.alarms());
        let gone = before.iter().filter(|message| !alarms.contains(message)).cloned();
        gone.for_each(|message| hub.event(EventKind::AlertEnded { message }));
        let new = alarms.iter().filter(|message| !before.contains(message)).cloned();
        new.for_each(|message| hub.event(EventKind::Alert { message }));
        let policy = hub.guard.policy();
        if policy.alert.interval.is_none() {
            alerts = Alerts::default();
            continue;
        }
        let seen = look(&hub).await;
        for alert in alerts.judge(&policy.alert, seen) {
            hub.event(match alert {
                Alert::Raised(message) => EventKind::Alert { message },
                Alert::Ended(message) => EventKind::AlertEnded { message },
            });
        }
    }
}

async fn look<B: Backend>(hub: &Hub<B>) -> Seen {
    let pool = hub.inspect(POOL_WITHIN).await.0;
    let breaker = hub.guard.snapshot().breaker;
    Seen {
        pool_percent: (pool.max > 0).then(|| pool.utilization_percent()),
        calls: breaker.calls,
        failure_share: breaker.failure_share,
        slow_share: breaker.slow_share,
    }
}
