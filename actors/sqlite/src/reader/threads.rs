//! The threads that serve long reads. Each drains its share of the queue inside one read transaction; in WAL
//! mode the writer never waits for them, nor they for it. What may last as long as its caller likes (streams,
//! read-only transactions) has threads of its own, so that no read stands behind it.

use std::sync::Arc;

use backstop_core::{
    clock,
    error::{Executed, Failure},
};
use backstop_sql::{Request, Rows, memo::Memo, seen::Watched};
use rusqlite::Connection;

use crate::{
    connection::{self, Role},
    error::{self, During},
    job::{self, Job, Reply, Ticket, Work},
    lock,
    pool::Kept,
    run::{self, Limits},
    session,
    shared::Core,
    stream,
    unwind::caught,
    watch::Watch,
    writer::Bench,
};

/// A thread takes more than one read at a time only when so many wait for each thread; otherwise a read
/// could stand behind a long one while another thread has nothing to do.
const CROWD: usize = 4;
const SHARE_MAX: usize = 16;

/// Serves reads until the queue is closed.
pub(crate) fn run(core: &Arc<Core>) {
    serve(core, |batch| core.reads.drain(share(core), batch));
}

/// Serves streams and read-only transactions, one at a time, until the queue is closed.
pub(crate) fn run_long(core: &Arc<Core>) {
    serve(core, |batch| core.long_reads.drain(1, batch));
}

fn serve(core: &Arc<Core>, drain: impl Fn(&mut Vec<Job>) -> bool) {
    // nothing that runs here writes
    job::nothing_is_durable();
    let memo = Memo::new(core.options.statement_cache);
    let mut reader = Reader { core, connection: None, watch: Arc::default(), memo };
    let mut batch = Vec::new();
    while drain(&mut batch) {
        let _working = core.pool.work();
        if caught(|| reader.serve(&mut batch)).is_none() {
            batch.clear();
            reader.connection = None;
        }
    }
}

fn share(core: &Core) -> usize {
    let each = core.reads.waiting() / core.options.readers;
    if each < CROWD { 1 } else { each.min(SHARE_MAX) }
}

struct Reader<'a> {
    core: &'a Arc<Core>,
    connection: Option<(u64, Kept)>,
    watch: Arc<Watch>,
    /// Statements of closures.
    memo: Memo<Arc<Watched>>,
}

impl Reader<'_> {
    fn serve(&mut self, batch: &mut Vec<Job>) {
        lock::wait_until(clock::now());
        if let Err(failure) = self.open() {
            for job in batch.drain(..) {
                job.answer(Err(failure.clone()));
            }
            return;
        }
        let Some((_, connection)) = &self.connection else { return };
        if batch.len() == 1
            && let Some(job) = batch.pop_if(|job| !matches!(job.work, Work::Read(..)))
        {
            self.core.gate.pass(job.ticket.deadline().instant());
            return serve_long(self.core, connection, &self.watch, &mut self.memo, job);
        }
        while !batch.is_empty() {
            self.serve_in_one(connection, batch);
        }
    }

    /// Serves with one snapshot, which is taken after each of them was asked for; all of them, unless the log is to
    /// be emptied meanwhile.
    fn serve_in_one(&self, connection: &Connection, batch: &mut Vec<Job>) {
        self.pass_gate(batch);
        let shared = batch.len() > 1 && connection.execute_batch("BEGIN").is_ok();
        while !batch.is_empty() {
            self.serve_one(connection, batch.remove(0));
            if shared && self.core.gate.is_closed() {
                break;
            }
        }
        if shared {
            let _ = connection.execute_batch("COMMIT");
        }
    }

    /// Waits while the log is being emptied, no longer than the most urgent of them may.
    fn pass_gate(&self, batch: &[Job]) {
        if let Some(urgent) = batch.iter().map(|job| job.ticket.deadline().instant()).min() {
            self.core.gate.pass(urgent);
        }
    }

    fn serve_one(&self, connection: &Connection, job: Job) {
        let Work::Read(statement, request) = &job.work else { return };
        if job.ticket.is_over(clock::now()) {
            return job.answer(Err(error::expired()));
        }
        if job.ticket.start() {
            let result = self.read(connection, statement, request, &job.ticket);
            self.core.stats.thread_read();
            job.answer(result.map(Reply::Rows));
        }
    }

    fn read(
        &self,
        connection: &Connection,
        statement: &Watched,
        request: &Request,
        ticket: &Arc<Ticket>,
    ) -> Result<Rows, Failure> {
        let now = clock::now();
        let noted = statement.stats.begin_at("query", now);
        let longest = now + self.core.options.busy_timeout;
        lock::wait_until(longest.min(ticket.deadline().instant()));
        let _watching = self.watch.job(ticket);
        let limits = Limits::of(request, &self.core.options);
        let result = run::read(connection, statement, request, limits, &mut None).map_err(|fault| {
            if fault.is_busy() {
                return error::busy();
            }
            crate::writer::verdict(fault.into_failure(During::Statement), ticket)
        });
        noted.end(&result, |rows| rows.len() as u64);
        result
    }

    fn open(&mut self) -> Result<(), Failure> {
        let epoch = self.core.epoch().ok_or_else(|| Failure::unavailable("the database is closed"))?;
        if self.connection.as_ref().is_some_and(|(opened, _)| *opened == epoch) {
            return Ok(());
        }
        self.connection = None;
        let opened =
            connection::open(&self.core.options, Role::Reader, &self.watch).and_then(|mut connection| {
                lock::install(&mut connection)?;
                Ok(connection)
            });
        let connection = opened.map_err(|error| error::failure(error, During::Open))?;
        self.core.stats.opened();
        self.connection = Some((epoch, self.core.pool.keep(connection)));
        Ok(())
    }
}

/// Serves a stream or a transaction that writes nothing.
fn serve_long(core: &Core, connection: &Connection, watch: &Watch, memo: &mut Memo<Arc<Watched>>, job: Job) {
    if job.ticket.is_over(clock::now()) {
        return job.answer(Err(error::expired()));
    }
    if !job.ticket.start() {
        return;
    }
    let wait =
        core.options.busy_timeout.min(job.work.options().lock_timeout.unwrap_or(core.options.busy_timeout));
    lock::wait_until((clock::now() + wait).min(job.ticket.deadline().instant()));
    core.stats.thread_read();
    let _lent = core.seen.lent().lend(job.work.holds(), clock::now());
    if matches!(job.work, Work::Stream(..)) {
        return stream::serve(connection, watch, &core.options, core.options.stream_idle, job);
    }
    let result = match connection.execute_batch("BEGIN") {
        Ok(()) => {
            let bench = Bench::new(connection, watch, core).read_only(true);
            session::serve(&bench, memo, &job.work, &job.ticket)
        }
        Err(error) => Err(error::failure(error, During::Statement)),
    };
    // nothing was written, so its end cannot fail in a way that matters
    let _ = connection.execute_batch("COMMIT");
    job.answer(result.map_err(|failure| failure.executed_is(Executed::No)));
}
