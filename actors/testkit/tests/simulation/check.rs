//! What must hold at every step, and what must hold at the end.

use std::collections::{BTreeMap, BTreeSet};

use backstop_core::{clock::Instant, event::EventKind, policy::circuit_breaker::BreakerState};
use backstop_testkit::fake::{CloseEnd, Fact};

use crate::run::Stage;

/// Bounds and sums, after every act and every end of a call.
pub(crate) fn step(stage: &Stage) {
    let snapshot = stage.fake.snapshot();
    let guard = &snapshot.guard;
    let (intake, places) = {
        let notes = stage.notes.borrow();
        (notes.intake_bound, notes.places_bound)
    };
    if guard.in_flight > intake {
        stage.breach(format!("{} calls under way, the intake holds {intake}", guard.in_flight));
    }
    let active = stage.world.active();
    if places.is_some_and(|places| active > places) {
        stage.breach(format!("{active} calls with the backend, there are {places:?} places"));
    }
    let probes = stage.fake.guard().policy().breaker.probes as usize;
    if guard.breaker.probes_in_flight > probes {
        stage.breach(format!("{} probes under way, {probes} are allowed", guard.breaker.probes_in_flight));
    }
    let ended: u64 = snapshot.operations.values().map(|operation| operation.total()).sum();
    let sum = guard.refused_total + ended + guard.abandoned_total + guard.in_flight as u64;
    if guard.asked_total != sum {
        stage.breach(format!(
            "{} asked, but {} refused + {ended} ended + {} abandoned + {} under way",
            guard.asked_total, guard.refused_total, guard.abandoned_total, guard.in_flight
        ));
    }
}

/// The ledger, the crashes, the chain of transitions, the instances.
pub(crate) fn end(stage: &Stage) {
    let world = &stage.world;
    let mut breaches = stage.notes.borrow().ledger.breaches(|nonce| world.executions(nonce));
    breaches.extend(world.breaches());
    breaches.extend(crashes(stage));
    breaches.extend(chain(stage));
    breaches.extend(generations(stage));
    breaches.extend(old_instances(stage));
    breaches.extend(closes(stage));
    stage.notes.borrow_mut().breaches.extend(breaches);
}

/// An outage never charges the restart limit, and a panic does.
fn crashes(stage: &Stage) -> Vec<String> {
    let panics = stage.fake.events().since(0).events.into_iter().filter_map(|event| match &event.kind {
        EventKind::Panicked { message, .. } => Some(message.to_string()),
        _ => None,
    });
    let unplanned = panics.filter(|text| !text.contains("planned") || text.contains("outage"));
    unplanned.map(|text| format!("the restart limit was charged without a panic: {text}")).collect()
}

/// Each change of the breaker begins where the last one ended.
fn chain(stage: &Stage) -> Vec<String> {
    // An override that is lifted shows whatever the machine has come to.
    let overridden = stage.notes.borrow().overridden;
    let mut state = BreakerState::Closed;
    let mut breaches = Vec::new();
    for event in stage.fake.events().since(0).events {
        let EventKind::Transition { from, to, shadow: false, .. } = &event.kind else { continue };
        let skips = (*from, *to) == (BreakerState::Closed, BreakerState::HalfOpen) && !overridden;
        if *from != state || skips {
            breaches.push(format!("the breaker went {from} → {to} after {state}"));
        }
        state = *to;
    }
    breaches
}

/// What opens the breaker was admitted since it closed.
fn generations(stage: &Stage) -> Vec<String> {
    if stage.notes.borrow().overridden {
        return Vec::new();
    }
    // When each attempt began and ended; a probe of the prober ends when it begins, which counts it early.
    let mut attempts: Vec<(Instant, Instant)> = Vec::new();
    let mut begun: BTreeMap<(u64, u64), Vec<Instant>> = BTreeMap::new();
    for (at, fact) in stage.world.log() {
        match fact {
            Fact::Received { instance, nonce, .. } => begun.entry((instance, nonce)).or_default().push(at),
            Fact::Left { instance, nonce, .. } => {
                let began = begun.get_mut(&(instance, nonce)).and_then(Vec::pop);
                attempts.extend(began.map(|began| (began, at)));
            }
            Fact::Probed { .. } => attempts.push((at, at)),
            _ => {}
        }
    }
    let mut closed_at = None;
    let mut breaches = Vec::new();
    for event in stage.fake.events().since(0).events {
        let EventKind::Transition { to, cause, .. } = &event.kind else { continue };
        match to {
            BreakerState::Closed => closed_at = Some(event.at),
            BreakerState::Open => {
                let since = |began: &Instant| closed_at.is_none_or(|closed| *began >= closed);
                let admitted =
                    attempts.iter().filter(|(began, ended)| since(began) && *ended <= event.at).count();
                if counted(cause).is_some_and(|counted| counted > admitted) {
                    breaches.push(format!(
                        "it opened by `{cause}`, but only {admitted} were sent and ended since it closed"
                    ));
                }
            }
            BreakerState::HalfOpen => {}
        }
    }
    breaches
}

/// The number of results in a cause of opening.
fn counted(cause: &str) -> Option<usize> {
    let words: Vec<_> = cause.split(' ').collect();
    match words.as_slice() {
        [count, "consecutive", "failures"] => count.parse().ok(),
        [.., "of", count, "calls"] => count.parse().ok(),
        _ => None,
    }
}

/// An instance that panicked, or was ordered to go, gets no call that was asked for later.
fn old_instances(stage: &Stage) -> Vec<String> {
    let notes = stage.notes.borrow();
    let mut gone: BTreeMap<u64, Instant> = BTreeMap::new();
    let mut breaches = BTreeSet::new();
    for (at, fact) in stage.world.log() {
        match fact {
            Fact::Panicked { instance } => {
                gone.entry(instance).or_insert(at);
            }
            Fact::Received { instance, nonce, .. } => {
                let Some((asked, _)) = notes.asked.get(&nonce) else { continue };
                let ordered = notes.renewed.iter().find(|(_, newest)| instance <= *newest).map(|(at, _)| *at);
                let went = gone.get(&instance).copied().into_iter().chain(ordered).min();
                if went.is_some_and(|went| *asked > went) {
                    breaches.insert(format!("instance {instance} got message {nonce} after it was replaced"));
                }
            }
            _ => {}
        }
    }
    breaches.into_iter().collect()
}

/// Every instance is closed in the end, where closing works.
fn closes(stage: &Stage) -> Vec<String> {
    let closed = stage.world.count(|fact| matches!(fact, Fact::Closed { .. })) as u64;
    let built = stage.world.instances();
    let works = matches!(stage.world.planned_close(), CloseEnd::Quick);
    if works && closed != built {
        vec![format!("{built} instances were built, {closed} were closed")]
    } else {
        Vec::new()
    }
}
