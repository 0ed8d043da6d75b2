//! Random schedules on virtual time: slow, failing, hanging and panicking backends, several lanes, cancels,
//! deadlines, orders, drains. A seed decides all of it, so a failing one replays.
//!
//! `BACKSTOP_SIM_SCHEDULES=<n>` sets how many schedules run, `BACKSTOP_SIM_SEED=<n>` runs a single one.
#![allow(clippy::unwrap_used, missing_docs)]

mod check;
mod coverage;
mod plan;
mod planted;
mod run;
mod trace;

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{coverage::Coverage, run::schedule};

/// Schedules of an ordinary test run.
const SCHEDULES: u64 = 1_000;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// Runs the schedules of all seeds on two threads; returns the failed seeds and what was reached.
fn run_all(seeds: std::ops::Range<u64>) -> (Vec<String>, Coverage) {
    let (next, all) = (AtomicU64::new(seeds.start), Mutex::new((Vec::new(), Coverage::default())));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let seen = schedule(seed);
                    let mut all = all.lock().unwrap();
                    all.1.merge(&seen.coverage);
                    if !seen.breaches.is_empty() {
                        all.0.push(report(seed, &seen.breaches));
                    }
                }
            });
        }
    });
    all.into_inner().unwrap()
}

/// What to read about a failed seed, and how to run it again.
fn report(seed: u64, breaches: &[String]) -> String {
    let shown = breaches.iter().take(5).map(|breach| format!("\n  {breach}")).collect::<String>();
    let more = breaches.len().saturating_sub(5);
    format!(
        "seed {seed}:{shown}{}\n  replay: BACKSTOP_SIM_SEED={seed} cargo test -p backstop-testkit --test simulation \
         every_schedule",
        if more > 0 { format!("\n  and {more} more") } else { String::new() }
    )
}

#[test]
fn every_schedule_keeps_every_promise() {
    if let Some(seed) = from_environment("BACKSTOP_SIM_SEED") {
        let seen = schedule(seed);
        println!("seed {seed}: trace {:016x}\n{:#?}", seen.trace, seen.coverage);
        println!("{:#?}", plan::Plan::new(seed).policy);
        assert!(seen.breaches.is_empty(), "{}", report(seed, &seen.breaches));
        return;
    }
    let schedules = from_environment("BACKSTOP_SIM_SCHEDULES").unwrap_or(SCHEDULES);
    let (failed, coverage) = run_all(0..schedules);
    let first = failed.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(failed.is_empty(), "{} of {schedules} schedules failed\n{first}", failed.len());
    // A handful of schedules cannot reach everything.
    if schedules >= 200 {
        assert_eq!(
            coverage.missing(),
            Vec::<&str>::new(),
            "never reached in {schedules} schedules: {coverage:#?}"
        );
    }
}

#[test]
fn a_seed_replays_with_the_same_trace() {
    for seed in [1, 2, 3, 5, 8, 13, 21, 34, 55, 89] {
        let (once, again) = (schedule(seed).trace, schedule(seed).trace);
        assert_eq!(once, again, "seed {seed}");
    }
    assert_ne!(schedule(1).trace, schedule(2).trace);
}
