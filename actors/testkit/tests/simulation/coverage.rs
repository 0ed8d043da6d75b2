//! What the schedules reached; a run that never reached one of these proves little.

use std::collections::BTreeMap;

use backstop_core::event::EventKind;
use backstop_supervisor::BackendSnapshot;

/// Counts by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coverage(BTreeMap<String, u64>);

/// What a run of many schedules must have reached.
const REQUIRED: &[&str] = &[
    // ends of calls
    "ok",
    "went away",
    "timeout",
    "expired",
    "panicked",
    "caller_panicked",
    "unavailable",
    "refused",
    "lost",
    "overloaded",
    "server_error",
    "too_large",
    "aborted",
    "full",
    "circuit_open",
    "rate_limited",
    "shed",
    "restarting",
    "draining",
    "cancelled",
    // changes of the breaker
    "closed → open",
    "open → half_open",
    "half_open → closed",
    "half_open → open",
    "open → closed",
    "opened by consecutive failures",
    "opened by failure share",
    "opened by slow share",
    "opened by probes",
    // what happened to instances
    "panic",
    "restart",
    "restart limit",
    "override",
    "reconfigured",
    "replaced",
    "probe failed",
    // the rest
    "retry",
    "abandoned",
    "drain with calls under way",
    "calls given up by a drain",
    "cancelled by an operator",
    "late results",
    "ramp or probe refusals",
];

impl Coverage {
    pub(crate) fn count(&mut self, what: &str, times: u64) {
        *self.0.entry(what.to_owned()).or_default() += times;
    }

    pub(crate) fn event(&mut self, kind: &EventKind) {
        match kind {
            EventKind::Transition { from, to, cause, .. } => {
                self.count(&format!("{from} → {to}"), 1);
                for (words, name) in [
                    ("consecutive failures", "opened by consecutive failures"),
                    ("failure share", "opened by failure share"),
                    ("slow share", "opened by slow share"),
                    ("probes failed", "opened by probes"),
                ] {
                    self.count(name, u64::from(cause.contains(words)));
                }
            }
            EventKind::Panicked { .. } => self.count("panic", 1),
            EventKind::Restarted { .. } => self.count("restart", 1),
            EventKind::RestartLimit { .. } => self.count("restart limit", 1),
            EventKind::Override { .. } => self.count("override", 1),
            EventKind::Reconfigured => self.count("reconfigured", 1),
            EventKind::Replaced => self.count("replaced", 1),
            EventKind::ProbeFailed { .. } => self.count("probe failed", 1),
            _ => {}
        }
    }

    pub(crate) fn counters(&mut self, snapshot: &BackendSnapshot) {
        self.count("retry", snapshot.guard.retries_total);
        self.count("abandoned", snapshot.guard.abandoned_total);
        self.count("late results", snapshot.guard.breaker.late_total);
        self.count("ramp or probe refusals", snapshot.guard.breaker.refused_total);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.count(what, *times);
        }
    }

    /// Lists what was never reached.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let reached = |what: &str| self.0.get(what).is_some_and(|times| *times > 0);
        REQUIRED.iter().copied().filter(|what| !reached(what)).collect()
    }
}
