//! What a SQL backend sees of its own work: each statement's counts, the slow ones, who holds a connection.
//!
//! Parameters are never kept, because they may be secrets. The text of a statement is, so values belong into
//! parameters for this reason too.
//!
//! Nothing here is looked up on the path of a call: what a lane remembers of a text holds the counters of it, and
//! those of all lanes are summed when they are read.
//!
//! ```
//! use std::time::Duration;
//! use backstop_sql::{Sql, seen::Seen};
//!
//! let seen = Seen::new(Duration::from_secs(1), Duration::from_secs(60));
//! let stats = seen.statement(&Sql::from("SELECT 1"));
//! let run = stats.begin("query");
//! run.end(&Ok(1), |rows| *rows);
//! assert_eq!(seen.statements(10)[0].calls(), 1);
//! ```

mod book;
mod lease;
mod slow;
mod statement;
mod watched;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use backstop_core::clock;
use parking_lot::Mutex;

use self::{book::Book, slow::Journal};
pub use self::{
    book::{OTHERS, StatementSnapshot, TEXTS_MAX},
    lease::{LeaseSnapshot, Leases, Lent, Place},
    slow::{SLOW_KEPT, SlowQuery},
    statement::{Run, StatementStats},
    watched::Watched,
};
use crate::Sql;

/// Above how long a statement is slow unless the backend's options say otherwise: 1 s.
pub const SLOW_QUERY_THRESHOLD: Duration = Duration::from_secs(1);

/// After how long a lent connection is told of unless the backend's options say otherwise: 60 s, which is the
/// longest a call may last. What is lent for longer is a stream, or was forgotten.
pub const LEAK_AFTER: Duration = Duration::from_secs(60);

/// What all lanes of one backend have seen.
pub struct Seen {
    journal: Arc<Journal>,
    book: Mutex<Book>,
    leases: Leases,
    leak_after: Duration,
}

impl Seen {
    /// Begins with nothing; a threshold of 0 switches the slow queries or the warnings of leases off.
    #[must_use]
    pub fn new(slow_query_threshold: Duration, leak_after: Duration) -> Self {
        Self {
            journal: Arc::new(Journal::new(slow_query_threshold)),
            book: Mutex::default(),
            leases: Leases::default(),
            leak_after,
        }
    }

    /// Makes counters of a text; a lane keeps them for as long as it remembers the text.
    ///
    /// A text of more than 8 KiB is cut.
    #[must_use]
    pub fn statement(&self, sql: &Sql) -> Arc<StatementStats> {
        self.book.lock().enter(sql, &self.journal)
    }

    /// Sums what is known of each statement, those that took the most time first, at most `limit`.
    ///
    /// Beyond [`TEXTS_MAX`] texts those that were not run for the longest time are counted together, under
    /// [`OTHERS`].
    #[must_use]
    pub fn statements(&self, limit: usize) -> Vec<StatementSnapshot> {
        let mut all = self.book.lock().read(self.journal.wall());
        all.sort_by_key(|statement| std::cmp::Reverse(statement.latency.total()));
        all.truncate(limit);
        all
    }

    /// Lists the slow queries of late, newest first, at most `limit`; the last [`SLOW_KEPT`] are kept.
    #[must_use]
    pub fn slow_queries(&self, limit: usize) -> Vec<SlowQuery> {
        self.journal.list(limit)
    }

    /// Counts the slow queries so far.
    #[must_use]
    pub fn slow_queries_total(&self) -> u64 {
        self.journal.total()
    }

    /// The list of those who hold a connection.
    #[must_use]
    pub fn lent(&self) -> &Leases {
        &self.leases
    }

    /// Lists who holds a connection, the longest first.
    #[must_use]
    pub fn leases(&self) -> Vec<LeaseSnapshot> {
        self.leases.list(clock::now(), self.leak_after)
    }

    /// Takes the leases that have become too long and were not told of; each is also a warning of `tracing`.
    #[must_use]
    pub fn warnings(&self) -> Vec<Arc<str>> {
        let long = self.leases.take_long(clock::now(), self.leak_after);
        let told = long.into_iter().map(|(operation, held)| {
            let held_ms = u64::try_from(held.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(target: "backstop::lease", operation, held_ms, "a connection is lent for long");
            format!("`{operation}` holds a connection since {held_ms} ms, over {:?}", self.leak_after).into()
        });
        told.collect()
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").field("slow_queries", &self.slow_queries_total()).finish_non_exhaustive()
    }
}

fn epoch_ms<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    serializer.serialize_u64(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn as_ms<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests;
