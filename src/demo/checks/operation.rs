//! Checks of the run as a whole: faults happened, backends recovered, the end was clean.

use super::{Check, Evidence, Rule, Wrong};
use crate::demo::schedule::FaultKind;

pub(super) fn file_sound(evidence: &Evidence<'_>) -> Check {
    let mut wrong = Wrong::default();
    if evidence.ledgers.integrity != "ok" {
        wrong.add(|| format!("SQLite says: {}", evidence.ledgers.integrity));
    }
    Check::of(Rule::FileSound, wrong, "SQLite's integrity check says ok".into())
}

pub(super) fn faults_bit(evidence: &Evidence<'_>) -> Check {
    let mut wrong = Wrong::default();
    for episode in evidence.episodes.iter().filter(|episode| episode.is_complete()) {
        let (kind, role) = (episode.kind, episode.backend);
        let name = role.name();
        if let Some(error) = &episode.error {
            wrong.add(|| format!("{name} {}: {error}", kind.name()));
        } else if kind.must_bite() && episode.messages_hit == 0 {
            wrong.add(|| format!("{name} {}: no message noticed", kind.name()));
        }
        let ended = episode.ended_ms.unwrap_or(u64::MAX);
        let refused = || evidence.chronicle.was_open_between(role, episode.began_ms, ended);
        if kind.must_trip() && !refused() {
            wrong.add(|| format!("{name} was gone and its breaker did not open"));
        }
        if kind == FaultKind::Panics && evidence.chronicle.restarts(role) == 0 {
            wrong.add(|| format!("{name} panicked and was not restarted"));
        }
    }
    Check::of(Rule::FaultsBit, wrong, format!("{} faults, noticed by messages", evidence.episodes.len()))
}

pub(super) fn recovered(evidence: &Evidence<'_>) -> Check {
    let (mut wrong, mut worst) = (Wrong::default(), 0);
    for episode in evidence.episodes.iter().filter(|episode| episode.is_complete()) {
        match episode.recovered_after_ms {
            Some(after) => worst = worst.max(after),
            None => wrong.add(|| {
                let (name, kind) = (episode.backend.name(), episode.kind.name());
                format!("{name} did not recover after `{kind}` at {} ms", episode.began_ms)
            }),
        }
    }
    Check::of(Rule::Recovered, wrong, format!("every backend recovered, the slowest in {worst} ms"))
}

pub(super) fn clean_stop(evidence: &Evidence<'_>) -> Check {
    let mut wrong = Wrong::default();
    for backend in &evidence.shutdown.backends {
        let (name, abandoned, stuck) = (&backend.name, backend.abandoned, backend.stuck_lanes);
        if abandoned > 0 || stuck > 0 {
            wrong.add(|| format!("{name}: {abandoned} calls given up, {stuck} lanes stuck"));
        }
    }
    let stopped = evidence.shutdown.backends.len();
    if stopped != evidence.backends {
        wrong.add(|| format!("{stopped} backends reported their end"));
    }
    Check::of(Rule::CleanStop, wrong, format!("{stopped} backends stopped, nothing was left"))
}
