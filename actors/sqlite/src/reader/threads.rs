//! The threads that serve long reads. Each drains its share of the queue inside one read transaction; in WAL
//! mode the writer never waits for them, nor they for it.

use std::sync::Arc;

use backstop_core::{clock, error::Failure};
use backstop_sql::{Request, Rows, Statement};
use rusqlite::Connection;

use crate::{
    connection::{self, Role},
    error::{self, During},
    job::{Job, Reply, Ticket, Work},
    lock,
    run::{self, Limits},
    shared::Core,
    unwind::caught,
    watch::Watch,
};

/// A thread takes more than one read at a time only when so many wait for each thread; otherwise a read
/// could stand behind a long one while another thread has nothing to do.
const CROWD: usize = 4;
const SHARE_MAX: usize = 16;

/// Serves reads until the queue is closed.
pub(crate) fn run(core: &Arc<Core>) {
    let mut reader = Reader { core, connection: None, watch: Arc::default() };
    let mut batch = Vec::new();
    while core.reads.drain(share(core), &mut batch) {
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
    connection: Option<(u64, Connection)>,
    watch: Arc<Watch>,
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
        // one snapshot for all of them: it is taken after each of them was asked for
        let shared = batch.len() > 1 && connection.execute_batch("BEGIN").is_ok();
        for job in batch.drain(..) {
            self.serve_one(connection, job);
        }
        if shared {
            let _ = connection.execute_batch("COMMIT");
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
        statement: &Statement,
        request: &Request,
        ticket: &Arc<Ticket>,
    ) -> Result<Rows, Failure> {
        let longest = clock::now() + self.core.options.busy_timeout;
        lock::wait_until(longest.min(ticket.deadline().instant()));
        let _watching = self.watch.job(ticket);
        let limits = Limits::of(request, &self.core.options);
        run::read(connection, statement, request, limits, &mut None).map_err(|fault| {
            if fault.is_busy() {
                return error::busy();
            }
            crate::writer::verdict(fault.into_failure(During::Statement), ticket)
        })
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
        self.connection = Some((epoch, connection));
        Ok(())
    }
}
