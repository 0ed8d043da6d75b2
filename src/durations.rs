//! How long parts of the application took, told by the application.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use backstop_core::{
    clock::{self, Instant},
    stats::{Histogram, LatencySnapshot},
};
use serde::Serialize;

/// How many names have durations of their own; the others are counted together.
pub const NAMES_MAX: usize = 256;

/// Under what the durations are counted for whose names there was no room.
pub const OTHER_NAMES: &str = "(other names)";

/// The longest name, in characters; the rest of a longer one is cut off.
const NAME_MAX: usize = 128;

static OF_THE_PROCESS: LazyLock<Durations> = LazyLock::new(Durations::default);

/// Returns the durations of this process, which [`Statistics`](crate::orchestrator::Statistics) show.
///
/// ```
/// use std::time::Duration;
///
/// backstop::durations().record("checkout", Duration::from_millis(12));
/// {
///     let _timed = backstop::durations().time("checkout"); // until the end of the block
/// }
/// assert_eq!(backstop::durations().snapshot()["checkout"].latency.count(), 2);
/// ```
#[must_use]
pub fn durations() -> &'static Durations {
    &OF_THE_PROCESS
}

/// Durations by name; recording takes no lock, and may be done on any thread.
#[derive(Default)]
pub struct Durations {
    names: ArcSwap<HashMap<Arc<str>, Arc<Series>>>,
}

#[derive(Default)]
struct Series {
    latency: Histogram,
    failed: AtomicU64,
    abandoned: AtomicU64,
}

/// How something ended that took its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Ok,
    Failed,
    Abandoned,
}

/// What was recorded under one name.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct DurationSnapshot {
    /// How many there were, their mean and percentiles.
    #[serde(flatten)]
    pub latency: LatencySnapshot,
    /// Those that ended with an error.
    pub failed: u64,
    /// Those that were given up before they ended.
    pub abandoned: u64,
}

impl Durations {
    /// Records that something took `elapsed`.
    ///
    /// Names are for kinds of work, not for single pieces of it: beyond [`NAMES_MAX`] they are counted under
    /// [`OTHER_NAMES`].
    pub fn record(&self, name: &str, elapsed: Duration) {
        self.series(name).note(elapsed, Ended::Ok);
    }

    /// Begins to measure; the time is recorded when the returned guard is dropped.
    pub fn time(&self, name: &str) -> Timed {
        Timed { series: self.series(name), started: clock::now(), ended: Ended::Ok }
    }

    /// Shows what was recorded so far, by name.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<Arc<str>, DurationSnapshot> {
        let names = self.names.load();
        names.iter().map(|(name, series)| (Arc::clone(name), series.snapshot())).collect()
    }

    pub(crate) fn note(&self, name: &str, elapsed: Duration, ended: Ended) {
        self.series(name).note(elapsed, ended);
    }

    fn series(&self, name: &str) -> Arc<Series> {
        let name = name.char_indices().nth(NAME_MAX).map_or(name, |(end, _)| &name[..end]);
        if let Some(series) = self.names.load().get(name) {
            return Arc::clone(series);
        }
        let (name, series) = (Arc::<str>::from(name), Arc::<Series>::default());
        self.names.rcu(|names| {
            let is_room = names.len() < NAMES_MAX || names.contains_key(&*name);
            let name = if is_room { Arc::clone(&name) } else { OTHER_NAMES.into() };
            let mut names = HashMap::clone(names);
            names.entry(name).or_insert_with(|| Arc::clone(&series));
            names
        });
        let names = self.names.load();
        // nothing is ever taken out
        names.get(&name).or_else(|| names.get(OTHER_NAMES)).map_or(series, Arc::clone)
    }
}

impl Series {
    fn note(&self, elapsed: Duration, ended: Ended) {
        self.latency.record_shared(elapsed);
        match ended {
            Ended::Ok => {}
            Ended::Failed => drop(self.failed.fetch_add(1, Relaxed)),
            Ended::Abandoned => drop(self.abandoned.fetch_add(1, Relaxed)),
        }
    }

    fn snapshot(&self) -> DurationSnapshot {
        let mut latency = LatencySnapshot::default();
        latency.add(&self.latency);
        DurationSnapshot {
            latency,
            failed: self.failed.load(Relaxed),
            abandoned: self.abandoned.load(Relaxed),
        }
    }
}

impl fmt::Debug for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durations").field("names", &self.names.load().len()).finish_non_exhaustive()
    }
}

/// Measures until it is dropped.
#[must_use = "what is dropped at once has measured nothing"]
pub struct Timed {
    series: Arc<Series>,
    started: Instant,
    ended: Ended,
}

impl Timed {
    /// Ends the measurement, and counts it among those that failed.
    pub fn fail(mut self) {
        self.ended = Ended::Failed;
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        self.series.note(clock::now().saturating_duration_since(self.started), self.ended);
    }
}

impl fmt::Debug for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timed").field("started", &self.started).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_names_are_counted_together() {
        let durations = Durations::default();
        for at in 0..3 * NAMES_MAX {
            durations.record(&format!("name {at}"), Duration::from_millis(1));
        }
        let all = durations.snapshot();
        assert_eq!(all.len(), NAMES_MAX + 1);
        assert_eq!(all[OTHER_NAMES].latency.count(), 2 * NAMES_MAX as u64);
        durations.record("name 0", Duration::from_millis(1));
        assert_eq!(durations.snapshot()["name 0"].latency.count(), 2);
    }

    #[test]
    fn threads_lose_nothing_even_where_all_of_them_are_first() {
        let durations = Durations::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..500).for_each(|at| durations.record(&format!("{}", at % 50), Duration::ZERO))
                });
            }
        });
        let all = durations.snapshot();
        assert!(all.len() == 50 && all.values().all(|series| series.latency.count() == 40), "{all:?}");
    }

    #[test]
    fn a_long_name_is_cut() {
        let durations = Durations::default();
        durations.record(&"ü".repeat(1_000), Duration::ZERO);
        durations.record(&"ü".repeat(2_000), Duration::ZERO);
        let all = durations.snapshot();
        assert_eq!(all[&*"ü".repeat(NAME_MAX)].latency.count(), 2);
    }

    #[test]
    fn a_guard_measures_its_block_and_says_how_it_ended() {
        let durations = Durations::default();
        drop(durations.time("work"));
        durations.time("work").fail();
        let work = &durations.snapshot()["work"];
        assert_eq!((work.latency.count(), work.failed, work.abandoned), (2, 1, 0));
        assert_eq!(serde_json::to_value(work).unwrap()["count"], 2);
    }
}
