//! Measures what the view shows, from the snapshots that everyone else reads.

use std::collections::VecDeque;

use backstop_core::{
    clock::{self, Instant},
    guard::Admission,
    stats::LatencySnapshot,
};
use backstop_supervisor::BackendSnapshot;

use super::{Row, Scene, words::grouped};
use crate::demo::{Episode, Role, fate::Fates, report::latency, stage::Stage};

/// Samples over which rates and percentiles are taken: two seconds at four a second.
const SAMPLES: usize = 8;

/// Events that a scene carries, all of a quarter of a second; a terminal shows fewer.
const EVENTS: usize = 64;

/// Remembers the last samples of each backend.
#[derive(Debug, Default)]
pub(in crate::demo) struct Sampler {
    past: [VecDeque<Sample>; Role::ALL.len()],
}

#[derive(Debug)]
struct Sample {
    at: Instant,
    ended: u64,
    latency: LatencySnapshot,
}

impl Sampler {
    pub(in crate::demo) fn new() -> Self {
        Self::default()
    }

    /// Measures the present state.
    pub(in crate::demo) fn sample(&mut self, stage: &Stage) -> Scene {
        let rows = stage.cast().filter_map(|role| self.row(stage, role)).collect();
        let newest = stage.chronicle.lines_since(0);
        let older = newest.len().saturating_sub(EVENTS);
        let at_work = stage.episodes();
        let at_work = at_work.iter().filter(|episode| episode.ended_ms.is_none());
        let in_words = |episode: &Episode| format!("{}: {}", episode.backend.name(), episode.kind.summary());
        Scene {
            elapsed: stage.elapsed(),
            duration: stage.options.duration,
            seed: stage.options.seed,
            rows,
            faults: at_work.map(in_words).collect(),
            totals: totals(stage),
            events: newest.into_iter().skip(older).collect(),
        }
    }

    fn row(&mut self, stage: &Stage, role: Role) -> Option<Row> {
        let snapshot = stage.snapshot(role)?;
        let now = Sample {
            at: clock::now(),
            ended: snapshot.operations.values().map(|operation| operation.total()).sum::<u64>()
                + snapshot.guard.refused_total,
            latency: latency(&snapshot),
        };
        let past = &mut self.past[role.index()];
        let (rate, recent) = match past.front() {
            Some(then) => {
                let seconds = now.at.saturating_duration_since(then.at).as_secs_f64().max(1e-3);
                (now.ended.saturating_sub(then.ended) as f64 / seconds, now.latency.since(&then.latency))
            }
            None => (0.0, now.latency.clone()),
        };
        past.push_back(now);
        if past.len() > SAMPLES {
            past.pop_front();
        }
        let fates = stage.books.account(role).fates;
        Some(Row {
            name: role.name(),
            kind: role.kind(),
            state: state(&snapshot, stage.chronicle.is_rebuilding(role)),
            breaker: breaker(&snapshot),
            rate,
            p50: recent.percentile(50.0),
            p99: recent.percentile(99.0),
            in_flight: snapshot.guard.in_flight,
            restarts: stage.chronicle.restarts(role),
            retries: snapshot.guard.retries_total,
            rejected: fates.rejected_total(),
            failed: fates.failed.total(),
        })
    }
}

fn state(snapshot: &BackendSnapshot, is_rebuilding: bool) -> &'static str {
    match snapshot.guard.admission {
        Admission::Open if is_rebuilding => "restarting",
        Admission::Open => "up",
        Admission::Draining => "draining",
        Admission::Stopped => "stopped",
    }
}

fn breaker(snapshot: &BackendSnapshot) -> String {
    let breaker = &snapshot.guard.breaker;
    match (breaker.state.as_str(), breaker.ramp_percent) {
        ("closed", ramp) if ramp < 100 => format!("closed {ramp}%"),
        (state, _) => state.to_owned(),
    }
}

fn totals(stage: &Stage) -> String {
    let (mut fates, mut asked) = (Fates::default(), 0);
    for role in Role::ALL {
        let account = stage.books.account(role);
        asked += account.asked;
        fates.merge(&account.fates);
    }
    let failed = fates.failed;
    format!(
        "{} asked: {} ok, {} refused, {} failed (not executed {}, unknown {}), {} cancelled",
        grouped(asked),
        grouped(fates.ok),
        grouped(fates.rejected_total()),
        grouped(failed.total()),
        grouped(failed.executed_no),
        grouped(failed.executed_unknown),
        grouped(fates.cancelled),
    )
}
