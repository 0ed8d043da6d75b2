//! The counters of all lanes by text, within a bound.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use backstop_core::stats::LatencySnapshot;
use serde::Serialize;

use super::{as_ms, epoch_ms, slow::Journal, statement::StatementStats};
use crate::Sql;

/// How many texts have counts of their own.
pub const TEXTS_MAX: usize = 1_000;

/// Under what the texts are counted that have no place of their own any more.
pub const OTHERS: &str = "(other statements)";

/// How many go at once when there is no room, so that looking for the oldest is paid once for all of them.
const ROUND: usize = TEXTS_MAX / 8;

/// The longest text that is kept, in bytes.
const TEXT_MAX: usize = 8 << 10;

/// What happened to one statement on all lanes.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct StatementSnapshot {
    /// Its text, or [`OTHERS`].
    pub sql: Sql,
    /// Runs that ended with an error, or were abandoned by their callers.
    pub errors: u64,
    /// Rows that it returned or changed.
    pub rows: u64,
    /// How long its runs took, from the start of each to the end of its answer; of a stream, until its first rows.
    pub latency: LatencySnapshot,
    /// The longest of them.
    #[serde(rename = "max_ms", serialize_with = "as_ms")]
    pub max: Duration,
    /// The code of its last error.
    pub last_error: Option<Arc<str>>,
    /// When it was run last, on the wall clock.
    #[serde(rename = "last_run_ms", serialize_with = "epoch_ms")]
    pub last_run: SystemTime,
}

impl StatementSnapshot {
    /// Counts its runs, whatever their ends.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.latency.count()
    }
}

#[derive(Default)]
pub(super) struct Book {
    texts: HashMap<Sql, Entry>,
    others: Entry,
}

/// One text: the counters of lanes that know it, and the sum of those that do not any more.
#[derive(Default)]
struct Entry {
    cells: Vec<Arc<StatementStats>>,
    folded: Option<Box<Counts>>,
}

#[derive(Default)]
struct Counts {
    latency: LatencySnapshot,
    rows: u64,
    errors: u64,
    max_ns: u64,
    last_ns: u64,
    last_error: Option<Arc<str>>,
}

impl Book {
    pub(super) fn enter(&mut self, sql: &Sql, journal: &Arc<Journal>) -> Arc<StatementStats> {
        let sql = kept(sql);
        if self.texts.len() >= TEXTS_MAX && !self.texts.contains_key(&sql) {
            self.make_room();
        }
        let cell = Arc::new(StatementStats::new(sql.clone(), journal));
        let entry = self.texts.entry(sql).or_default();
        entry.fold();
        entry.cells.push(Arc::clone(&cell));
        cell
    }

    /// Moves the texts that were not run for the longest time to the others; lanes that still know them go on
    /// counting there.
    fn make_room(&mut self) {
        let mut runs: Vec<_> = self.texts.iter().map(|(sql, entry)| (entry.last_ns(), sql.clone())).collect();
        let at = ROUND.min(runs.len()).saturating_sub(1);
        runs.select_nth_unstable_by_key(at, |(last, _)| *last);
        for (_, sql) in runs.iter().take(at + 1) {
            if let Some(gone) = self.texts.remove(sql) {
                self.others.take(gone);
            }
        }
        self.others.fold();
    }

    pub(super) fn read(&self, wall: impl Fn(u64) -> SystemTime) -> Vec<StatementSnapshot> {
        let others = Sql::from(OTHERS);
        let all = self.texts.iter().chain([(&others, &self.others)]);
        let all =
            all.map(|(sql, entry)| (sql, entry.counts())).filter(|(_, counts)| counts.latency.count() > 0);
        all.map(|(sql, counts)| StatementSnapshot {
            sql: sql.clone(),
            errors: counts.errors,
            rows: counts.rows,
            max: Duration::from_nanos(counts.max_ns),
            last_run: wall(counts.last_ns),
            latency: counts.latency,
            last_error: counts.last_error,
        })
        .collect()
    }
}

impl Entry {
    /// Sums up the counters that no lane writes to any more.
    fn fold(&mut self) {
        let mut cells = mem::take(&mut self.cells);
        cells.retain_mut(|cell| {
            // the last owner sees all that the others wrote
            let is_left = Arc::get_mut(cell).is_some();
            if is_left {
                self.folded.get_or_insert_default().add(cell);
            }
            !is_left
        });
        self.cells = cells;
    }

    fn take(&mut self, mut other: Self) {
        self.cells.append(&mut other.cells);
        if let Some(folded) = other.folded {
            self.folded.get_or_insert_default().merge(&folded);
        }
    }

    fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        if let Some(folded) = &self.folded {
            sum.merge(folded);
        }
        for cell in &self.cells {
            sum.add(cell);
        }
        sum
    }

    fn last_ns(&self) -> u64 {
        let folded = self.folded.as_ref().map_or(0, |folded| folded.last_ns);
        self.cells.iter().map(|cell| cell.last_ns.load(Relaxed)).fold(folded, u64::max)
    }
}

impl Counts {
    fn add(&mut self, cell: &StatementStats) {
        self.latency.add(&cell.latency);
        self.rows += cell.rows.load(Relaxed);
        self.errors += cell.errors.load(Relaxed);
        self.max_ns = self.max_ns.max(cell.max_ns.load(Relaxed));
        self.note_last(cell.last_ns.load(Relaxed), cell.last_error.lock().as_ref());
    }

    fn merge(&mut self, other: &Self) {
        self.latency.merge(&other.latency);
        self.rows += other.rows;
        self.errors += other.errors;
        self.max_ns = self.max_ns.max(other.max_ns);
        self.note_last(other.last_ns, other.last_error.as_ref());
    }

    fn note_last(&mut self, last_ns: u64, error: Option<&Arc<str>>) {
        if error.is_some() && (self.last_error.is_none() || last_ns >= self.last_ns) {
            self.last_error = error.cloned();
        }
        self.last_ns = self.last_ns.max(last_ns);
    }
}

/// The text as it is kept.
fn kept(sql: &Sql) -> Sql {
    let text = sql.as_str();
    if text.len() <= TEXT_MAX {
        return sql.clone();
    }
    let mut cut = text.get(..text.floor_char_boundary(TEXT_MAX)).unwrap_or_default().to_owned();
    cut.push('…');
    cut.into()
}
