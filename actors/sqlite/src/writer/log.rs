//! Empties a log that reads keep from being used anew.
//!
//! The engine begins the log anew only in a moment in which nobody reads from it. Where reads overlap for ever there is
//! none, so the writer makes one: it writes nothing for a little while, and those who begin to read meanwhile find all
//! they need in the database itself.

use std::time::Duration;

use backstop_core::clock::{self, Instant};

use super::Writer;
use crate::lock;

/// A log of this size should have been used anew; above what is kept of one that was (`WAL_KEPT_BYTES`).
const LONG: u64 = 96 << 20;
/// How often the log is looked at, and emptied if it can be.
const EVERY: Duration = Duration::from_secs(1);
/// How long the writer pauses for reads to end: a twentieth of its time at most.
const PAUSE: Duration = Duration::from_millis(50);

/// What the writer remembers of its log.
#[derive(Debug)]
pub(super) struct LogCare {
    look_at: Instant,
    /// The size that is worth a warning.
    warn_at: u64,
}

impl Default for LogCare {
    fn default() -> Self {
        Self { look_at: clock::now() + EVERY, warn_at: LONG }
    }
}

impl Writer<'_> {
    /// Looks after the log when it is time to; those who wrote have been answered.
    pub(super) fn tend_log(&mut self) {
        let now = clock::now();
        if now < self.care.look_at {
            return;
        }
        self.care.look_at = now + EVERY;
        let Some(connection) = self.connection.as_ref() else { return };
        let bytes = self.core.wal_bytes();
        if bytes < LONG {
            self.care.warn_at = LONG;
            return;
        }
        lock::wait_until(now + PAUSE);
        let is_busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        let why = match is_busy {
            Ok(false) => return self.core.stats.log_emptied(),
            Ok(true) => "reads that overlap keep it from being emptied".to_owned(),
            Err(error) => error.to_string(),
        };
        if bytes >= self.care.warn_at {
            self.care.warn_at = bytes.saturating_mul(2);
            tracing::warn!(target: "backstop::sqlite", "the write-ahead log has {bytes} bytes: {why}");
        }
    }
}
