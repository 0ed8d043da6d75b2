//! Empties a log that reads keep from being used anew.
//!
//! The engine begins the log anew only in a moment in which nobody reads from it. Where reads overlap for ever there is
//! none, so the writer makes one: it writes nothing for a little while, and those who begin to read meanwhile find all
//! they need in the database itself. Where reads are too long for that, new ones on threads are held back until those
//! that run have ended.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use backstop_core::clock::{self, Instant};
use rusqlite::Connection;

use super::Writer;
use crate::lock;

/// How often the log is looked at, and emptied if it can be.
const EVERY: Duration = Duration::from_secs(1);
/// How long the writer pauses for reads to end by themselves: a twentieth of its time at most.
const PAUSE: Duration = Duration::from_millis(50);
/// After holding reads back in vain, it is not tried again for so long.
const IN_VAIN: Duration = Duration::from_secs(10);

/// What the writer remembers of its log.
#[derive(Debug)]
pub(super) struct LogCare {
    look_at: Instant,
    /// Whether reads were too long for a pause alone, since the log was emptied last.
    is_held_up: bool,
    /// When reads may be held back again.
    hold_at: Instant,
}

impl Default for LogCare {
    fn default() -> Self {
        let now = clock::now();
        Self { look_at: now + EVERY, is_held_up: false, hold_at: now }
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
        if bytes <= self.core.options.wal_limit as u64 {
            self.care.is_held_up = false;
            self.core.log_is_long.store(false, Relaxed);
            return;
        }
        let hold = self.core.options.wal_hold;
        let holds_back = self.care.is_held_up && !hold.is_zero() && self.care.hold_at <= now;
        let emptied = if holds_back { self.empty_held(connection, hold) } else { empty(connection, PAUSE) };
        match emptied {
            Ok(true) => {
                self.core.stats.log_emptied();
                self.care = LogCare { look_at: self.care.look_at, ..LogCare::default() };
                self.core.log_is_long.store(false, Relaxed);
                return;
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(target: "backstop::sqlite", %error, "the log cannot be emptied"),
        }
        if holds_back {
            self.care.hold_at = clock::now() + IN_VAIN;
        }
        if (holds_back || hold.is_zero()) && !self.core.log_is_long.swap(true, Relaxed) {
            tracing::warn!(
                target: "backstop::sqlite",
                "the write-ahead log has {bytes} bytes: reads that overlap keep it from being emptied"
            );
        }
        self.care.is_held_up = true;
    }

    /// Lets those who read end while nobody new begins, and empties the log then.
    fn empty_held(&self, connection: &Connection, hold: Duration) -> rusqlite::Result<bool> {
        let _closed = self.core.gate.close(hold);
        self.core.stats.log_held();
        // the copy may take what is left of the time, and what came in before it has to end as well
        lock::wait_until(clock::now() + hold);
        checkpoint(connection, "FULL")?;
        empty(connection, PAUSE)
    }
}

/// Empties the log if reads end within `pause`; says whether it did.
fn empty(connection: &Connection, pause: Duration) -> rusqlite::Result<bool> {
    lock::wait_until(clock::now() + pause);
    checkpoint(connection, "TRUNCATE")
}

/// Says whether nobody was in the way.
fn checkpoint(connection: &Connection, kind: &str) -> rusqlite::Result<bool> {
    let sql = format!("PRAGMA wal_checkpoint({kind})");
    connection.query_row(&sql, [], |row| row.get(0)).map(|is_busy: bool| !is_busy)
}
