//! The one thread that writes to a database.
//!
//! It drains everything that waits into one transaction and answers after its COMMIT. Work that cannot share
//! a transaction (closures, lists with options, VACUUM, PRAGMA, large inserts) has one of its own, in its turn.

mod alone;
mod group;
mod log;
mod member;
mod transaction;

pub(crate) use self::member::{Bench, verdict};

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::{
    connection::{self, Role},
    error::{self, During},
    file::{FileId, LogId},
    job::{Job, Reply, Work},
    lock,
    options::Place,
    pool::Kept,
    shared::Core,
    unwind::caught,
    watch::Watch,
};
use backstop_core::{clock, error::Failure};
use backstop_sql::{Statement, Verb, memo::Memo, seen::Watched};

/// While another process holds the lock, the writer looks at its own queue this often.
const SLICE: Duration = Duration::from_millis(20);

/// A call that waits for a lock hears of it this long before its deadline.
const MARGIN: Duration = Duration::from_millis(3);

/// The most rows of a batch insert that may share a commit with others.
const INSERT_MAX: usize = 500;

/// Serves writes until the queue is closed.
pub(crate) fn run(core: &Arc<Core>) {
    let mut writer = Writer::new(core);
    let mut batch = Vec::new();
    while core.writes.drain(core.options.group_max, &mut batch) {
        let _working = core.pool.work();
        writer.backlog.extend(batch.drain(..));
        core.changes(true);
        while !writer.backlog.is_empty() {
            // a panic here is a defect of ours or of the driver: the jobs that it drops tell their callers,
            // and the connection, with whatever transaction it has open, is not used again
            if caught(|| writer.turn()).is_none() {
                writer.group.clear();
                writer.discard();
            }
        }
        core.changes(false);
        writer.tend_log();
    }
    writer.close();
}

struct Writer<'a> {
    core: &'a Arc<Core>,
    connection: Option<Kept>,
    file: Option<FileId>,
    log: LogId,
    care: log::LogCare,
    watch: Arc<Watch>,
    /// Statements of closures.
    memo: Memo<Arc<Watched>>,
    backlog: VecDeque<Job>,
    group: Vec<Job>,
    /// How many callers may come next.
    crowd: usize,
}

impl<'a> Writer<'a> {
    fn new(core: &'a Arc<Core>) -> Self {
        let memo = Memo::new(core.options.statement_cache);
        let (backlog, group) = (VecDeque::new(), Vec::new());
        Self {
            core,
            connection: None,
            file: None,
            log: LogId::default(),
            care: log::LogCare::default(),
            watch: Arc::default(),
            memo,
            backlog,
            group,
            crowd: 0,
        }
    }

    /// Serves the head of the backlog: one job of its own kind, or all that may share a commit.
    fn turn(&mut self) {
        if matches!(self.backlog.front(), Some(Job { work: Work::Close, .. })) {
            if let Some(job) = self.backlog.pop_front() {
                self.close();
                job.answer(Ok(Reply::Nothing));
            }
            return;
        }
        if let Err(failure) = self.open() {
            for job in self.backlog.drain(..) {
                job.answer(Err(failure.clone()));
            }
            return;
        }
        while self.group.len() < self.group_max() {
            match self.backlog.pop_front_if(|job| joins_group(&job.work)) {
                Some(job) => self.group.push(job),
                None => break,
            }
        }
        if !self.group.is_empty() {
            self.serve_group();
        } else if let Some(job) = self.backlog.pop_front() {
            self.serve_alone(job);
        }
    }

    /// Opens the database where it is closed or where its path leads to another file.
    fn open(&mut self) -> Result<(), Failure> {
        if self.connection.is_some() && self.is_in_place() {
            self.core.still_open();
            return Ok(());
        }
        // a file that vanishes while it is open is an incident, and an empty new one would hide it
        let create = self.core.options.create && self.file.is_none();
        self.discard();
        if self.has_foreign_log() {
            return Err(error::replaced());
        }
        self.wait_for_lock();
        let opened = connection::open(&self.core.options, Role::Writer { create }, &self.watch);
        let connection = opened.map_err(|error| error::failure(error, During::Open))?;
        self.connection = Some(self.core.pool.keep(connection));
        if let Place::File(path) = &self.core.options.place {
            (self.file, self.log) = (FileId::of(path), LogId::of(path));
        }
        self.core.stats.opened();
        self.core.opened();
        Ok(())
    }

    fn is_in_place(&self) -> bool {
        match &self.core.options.place {
            Place::Memory => true,
            Place::File(path) => self.file.is_some() && FileId::of(path) == self.file,
        }
    }

    /// Says whether the file was replaced and the log of the old one is still beside it.
    fn has_foreign_log(&self) -> bool {
        let Place::File(path) = &self.core.options.place else { return false };
        let now = FileId::of(path);
        now.is_some() && self.file.is_some() && now != self.file && self.log.is_left(path)
    }

    /// Waits while opening as long as the most urgent caller may.
    fn wait_for_lock(&self) {
        let longest = clock::now() + self.core.options.busy_timeout;
        let urgent = self.backlog.iter().map(|job| job.ticket.deadline().instant()).min();
        lock::wait_until(urgent.map_or(longest, |urgent| urgent.min(longest)));
    }

    /// Gives the connection up without another word to the database.
    fn discard(&mut self) {
        self.core.closed();
        self.connection = None;
    }

    /// Writes the log back into the database and closes it.
    fn close(&mut self) {
        self.core.closed();
        if let Some(connection) = self.connection.take() {
            lock::wait_until(clock::now());
            // readers of other processes may hold the log; then it stays, and nothing is lost
            let _ = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
            drop(connection);
            if let Place::File(path) = &self.core.options.place
                && !self.log.is_left(path)
            {
                // the numbers of removed files are given out again
                self.log = LogId::default();
            }
        }
    }
}

/// Says whether work may share a transaction with others.
fn joins_group(work: &Work) -> bool {
    match work {
        Work::One(statement, _) => !stands_alone(statement),
        Work::List(_, _, options) => !options.read_only && options.lock_timeout.is_none(),
        // an interrupt of a large insert would make its neighbours wait for a second run
        Work::Insert(chunks, _) => {
            chunks.iter().map(|(_, chunk)| chunk.rows.len()).sum::<usize>() <= INSERT_MAX
        }
        Work::Body(..) | Work::Held(..) | Work::Read(..) | Work::Stream(..) | Work::Open | Work::Close => {
            false
        }
    }
}

fn stands_alone(statement: &Statement) -> bool {
    // a write that only its text calls EXPLAIN changes nothing, and may join
    matches!(statement.verb(), Verb::Vacuum | Verb::Pragma)
}
