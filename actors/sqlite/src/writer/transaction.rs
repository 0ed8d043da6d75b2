//! BEGIN, COMMIT and ROLLBACK of the writer.

use backstop_core::clock;
use rusqlite::Connection;

use super::{MARGIN, SLICE, Writer};
use crate::{
    error::{self, During},
    job::{self, Job},
    lock,
};

/// Runs one of our own short statements; they are never interrupted, because no job is being watched.
pub(super) fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.raw_execute().map(drop)
}

impl Writer<'_> {
    /// Begins a transaction for `jobs`; `false` when none of them is left.
    ///
    /// While another process holds the lock, each job waits as long as its deadline and the busy timeout
    /// allow, and jobs that arrive meanwhile are looked at too.
    pub(super) fn begin(&mut self, jobs: &mut Vec<Job>) -> bool {
        let asked = jobs.iter().filter_map(|job| job.work.options().lock_timeout).min();
        let longest = self.core.options.busy_timeout;
        let give_up = clock::now() + asked.map_or(longest, |asked| asked.min(longest));
        loop {
            let Some(connection) = &self.connection else { return false };
            lock::wait_until((clock::now() + SLICE).min(give_up));
            match run(connection, "BEGIN IMMEDIATE") {
                Ok(()) => {
                    job::nothing_is_durable();
                    return true;
                }
                Err(error) if error::is_busy(&error) => {
                    self.core.stats.busy();
                    self.absorb();
                    let now = clock::now();
                    let all = give_up <= now;
                    for job in jobs.extract_if(.., |job| all || job.ticket.is_over(now + MARGIN)) {
                        job.answer(Err(error::busy()));
                    }
                    self.fail_urgent();
                    if jobs.is_empty() {
                        return false;
                    }
                }
                Err(error) => {
                    let failure = error::failure(error, During::Statement);
                    for job in jobs.drain(..) {
                        job.answer(Err(failure.clone()));
                    }
                    return false;
                }
            }
        }
    }

    /// Commits; after an error the transaction is rolled back.
    pub(super) fn commit(&self) -> rusqlite::Result<()> {
        let Some(connection) = &self.connection else { return Err(rusqlite::Error::InvalidQuery) };
        lock::wait_until(clock::now() + self.core.options.busy_timeout);
        job::may_be_durable();
        let committed = run(connection, "COMMIT");
        #[cfg(test)]
        self.core.options.planted.pass("COMMIT");
        if committed.is_err() {
            self.roll_back();
        }
        committed
    }

    /// Undoes the open transaction, where one is still open.
    pub(super) fn roll_back(&self) {
        let Some(connection) = &self.connection else { return };
        self.core.stats.rolled_back();
        if !connection.is_autocommit() {
            // it can only fail where the engine has rolled back by itself
            let _ = run(connection, "ROLLBACK");
        }
    }

    /// Takes what has arrived into the backlog, up to the size of a group.
    pub(super) fn absorb(&mut self) {
        let room = self.core.options.group_max.saturating_sub(self.backlog.len());
        if room > 0 && self.core.writes.waiting() > 0 {
            let mut arrived = Vec::new();
            self.core.writes.drain(room, &mut arrived);
            self.backlog.extend(arrived);
        }
    }

    /// Tells those in the backlog who cannot wait for the lock any longer.
    fn fail_urgent(&mut self) {
        let now = clock::now() + MARGIN;
        if self.backlog.iter().any(|job| job.ticket.is_over(now)) {
            for job in std::mem::take(&mut self.backlog) {
                if job.ticket.is_over(now) {
                    job.answer(Err(error::busy()));
                } else {
                    self.backlog.push_back(job);
                }
            }
        }
    }
}
