//! What a run comes to: for people as text, for programs as JSON.

mod text;

use std::fmt;

use backstop_core::stats::LatencySnapshot;
use backstop_supervisor::{BackendSnapshot, ShutdownReport};
use serde::Serialize;

use super::{
    Role,
    checks::{Check, RuntimeCounts},
    chronicle::{TransitionSeen, millis},
    director::Episode,
    fate::Fates,
    servers::LeftOut,
    stage::Stage,
};

/// The account of one run; as JSON it is the document of `backstop demo --json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether every check holds.
    pub ok: bool,
    /// The version of the program.
    pub version: &'static str,
    /// The seed of the run.
    pub seed: u64,
    /// How long it was meant to last.
    pub duration_ms: u64,
    /// How long messages were sent.
    pub elapsed_ms: u64,
    /// Whether it was ended early from outside.
    pub interrupted: bool,
    /// The bug that was planted, if any.
    pub planted: Option<&'static str>,
    /// Messages asked, over all backends.
    pub messages: u64,
    /// How they ended, over all backends.
    pub fates: Fates,
    /// Each backend.
    pub backends: Vec<BackendReport>,
    /// Each backend that took no part, with the reason.
    pub left_out: Vec<LeftOut>,
    /// Every fault that began.
    pub faults: Vec<Episode>,
    /// Every change of a breaker's state.
    pub transitions: Vec<TransitionSeen>,
    /// How the runtime stopped.
    pub shutdown: ShutdownReport,
    /// What was checked, and what was found.
    pub checks: Vec<Check>,
}

/// The account of one backend.
#[derive(Clone, Debug, Serialize)]
pub struct BackendReport {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Where it was.
    pub place: &'static str,
    /// Messages asked.
    pub asked: u64,
    /// How they ended, as their callers saw it.
    pub fates: Fates,
    /// What the runtime counted.
    pub runtime: RuntimeCounts,
    /// New instances after a panic.
    pub restarts: u64,
    /// Times its breaker opened.
    pub breaker_opened: u64,
    /// The duration that half of the messages did not exceed, from lane to reply.
    pub p50_ms: f64,
    /// The duration that 99 of 100 messages did not exceed.
    pub p99_ms: f64,
}

/// What is read from the runtime before it stops.
#[derive(Debug)]
pub(super) struct Totals {
    pub(super) counts: [RuntimeCounts; Role::ALL.len()],
    latencies: [LatencySnapshot; Role::ALL.len()],
    elapsed_ms: u64,
    interrupted: bool,
}

impl Totals {
    pub(super) fn of(stage: &Stage, interrupted: bool) -> Self {
        Self {
            counts: stage.counts(),
            latencies: Role::ALL
                .map(|role| stage.snapshot(role).map(|seen| latency(&seen)).unwrap_or_default()),
            elapsed_ms: millis(stage.elapsed()),
            interrupted,
        }
    }
}

/// How long the messages of one backend took, of all kinds together.
pub(super) fn latency(snapshot: &BackendSnapshot) -> LatencySnapshot {
    let mut merged = LatencySnapshot::default();
    snapshot.operations.values().for_each(|operation| merged.merge(&operation.latency));
    merged
}

impl Report {
    pub(super) fn new(stage: &Stage, totals: Totals, shutdown: ShutdownReport, checks: Vec<Check>) -> Self {
        let backends: Vec<_> = stage.cast().map(|role| backend(stage, &totals, role)).collect();
        let mut fates = Fates::default();
        backends.iter().for_each(|backend| fates.merge(&backend.fates));
        Self {
            ok: checks.iter().all(|check| check.ok),
            version: env!("CARGO_PKG_VERSION"),
            seed: stage.options.seed,
            duration_ms: millis(stage.options.duration),
            elapsed_ms: totals.elapsed_ms,
            interrupted: totals.interrupted,
            planted: stage.options.bug.map(super::Bug::name),
            messages: backends.iter().map(|backend| backend.asked).sum(),
            fates,
            backends,
            left_out: stage.servers.left_out.clone(),
            faults: stage.episodes().clone(),
            transitions: stage.chronicle.transitions(),
            shutdown,
            checks,
        }
    }

    /// The checks that do not hold.
    pub fn failed_checks(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.ok)
    }
}

fn backend(stage: &Stage, totals: &Totals, role: Role) -> BackendReport {
    let account = stage.books.account(role);
    let latency = &totals.latencies[role.index()];
    let percentile = |percent| latency.percentile(percent).as_secs_f64() * 1e3;
    BackendReport {
        name: role.name(),
        kind: role.kind(),
        place: role.place(),
        asked: account.asked,
        fates: account.fates,
        runtime: totals.counts[role.index()],
        restarts: stage.chronicle.restarts(role),
        breaker_opened: stage.chronicle.openings(role),
        p50_ms: percentile(50.0),
        p99_ms: percentile(99.0),
    }
}

/// The summary for people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(self, f)
    }
}
