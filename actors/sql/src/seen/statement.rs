//! The counters of one statement on one lane.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use backstop_core::{
    clock::{self, Instant},
    error::Failure,
    stats::Histogram,
};
use parking_lot::Mutex;

use super::slow::{Journal, SlowQuery};
use crate::Sql;

/// The end of a run whose future was dropped.
const ABANDONED: &str = "abandoned";

/// What happened to one statement, as one lane has seen it; noting a run takes a few nanoseconds.
///
/// Any thread may note, and the counters stay exact; they are cheap as long as one does.
pub struct StatementStats {
    pub(super) sql: Sql,
    journal: Arc<Journal>,
    pub(super) latency: Histogram,
    pub(super) rows: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) max_ns: AtomicU64,
    /// When it was run last, in nanoseconds of the journal's clock.
    pub(super) last_ns: AtomicU64,
    pub(super) last_error: Mutex<Option<Arc<str>>>,
}

impl StatementStats {
    pub(super) fn new(sql: Sql, journal: &Arc<Journal>) -> Self {
        Self {
            sql,
            journal: Arc::clone(journal),
            latency: Histogram::default(),
            rows: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            max_ns: AtomicU64::new(0),
            last_ns: AtomicU64::new(nanos(journal.since_epoch(clock::now()))),
            last_error: Mutex::new(None),
        }
    }

    /// Returns counters that nobody reads, for a statement of no backend.
    #[must_use]
    pub fn unread() -> Arc<Self> {
        static UNREAD: OnceLock<Arc<StatementStats>> = OnceLock::new();
        let make = || Arc::new(Self::new(Sql::Static(""), &Arc::new(Journal::new(Duration::ZERO))));
        Arc::clone(UNREAD.get_or_init(make))
    }

    /// Notes that the statement leaves now, on behalf of `operation`.
    pub fn begin(&self, operation: &'static str) -> Run<'_> {
        self.begin_at(operation, clock::now())
    }

    /// Notes that the statement left at `started`.
    pub fn begin_at(&self, operation: &'static str, started: Instant) -> Run<'_> {
        Run { stats: self, operation, started, is_noted: false }
    }

    /// Counts rows that came after the end of a run, as those of a stream do.
    pub fn add_rows(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Relaxed);
    }

    /// Counts an error that came after the end of a run, as one of a stream may.
    pub fn add_error(&self, failure: &Failure) {
        self.note_error(code_of(failure));
    }

    #[inline]
    fn note(&self, operation: &'static str, started: Instant, ended: Instant, end: Result<u64, &str>) {
        let took = ended.saturating_duration_since(started);
        let nanos = nanos(took);
        self.latency.record_shared(took);
        if nanos > self.max_ns.load(Relaxed) {
            self.max_ns.fetch_max(nanos, Relaxed);
        }
        self.last_ns.store(self::nanos(self.journal.since_epoch(ended)), Relaxed);
        match end {
            Ok(0) => {}
            Ok(rows) => drop(self.rows.fetch_add(rows, Relaxed)),
            Err(code) => self.note_error(code),
        }
        if self.journal.is_slow(took) {
            self.note_slow(operation, took, end);
        }
    }

    #[cold]
    fn note_error(&self, code: &str) {
        self.errors.fetch_add(1, Relaxed);
        let mut last = self.last_error.lock();
        if last.as_deref() != Some(code) {
            *last = Some(code.into());
        }
    }

    #[cold]
    fn note_slow(&self, operation: &'static str, took: Duration, end: Result<u64, &str>) {
        let (rows, error) = (end.unwrap_or(0), end.err());
        self.journal.push(SlowQuery::new(self.sql.clone(), operation, took, rows, error));
    }
}

impl fmt::Debug for StatementStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StatementStats").field(&self.sql).finish()
    }
}

fn code_of(failure: &Failure) -> &str {
    failure.code().unwrap_or_else(|| failure.kind().code())
}

#[inline]
pub(super) fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos().into())
}

/// One run of a statement; dropped before its end, it is noted as `abandoned`.
#[must_use = "what is dropped at once is noted as abandoned"]
pub struct Run<'a> {
    stats: &'a StatementStats,
    operation: &'static str,
    started: Instant,
    is_noted: bool,
}

impl Run<'_> {
    /// Notes how it ended, and with how many rows; returns when.
    #[inline]
    pub fn end<T>(mut self, result: &Result<T, Failure>, rows: impl FnOnce(&T) -> u64) -> Instant {
        self.is_noted = true;
        let end = match result {
            Ok(reply) => Ok(rows(reply)),
            Err(failure) => Err(code_of(failure)),
        };
        let ended = clock::now();
        self.stats.note(self.operation, self.started, ended, end);
        ended
    }

    /// Forgets it: the statement did not run here after all.
    pub fn forget(mut self) {
        self.is_noted = true;
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if !self.is_noted {
            self.stats.note(self.operation, self.started, clock::now(), Err(ABANDONED));
        }
    }
}

impl fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("operation", &self.operation).finish_non_exhaustive()
    }
}
