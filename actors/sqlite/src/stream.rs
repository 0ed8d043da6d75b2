//! Reads of any length: chunk by chunk, no faster than they are read.

use std::time::Duration;

use backstop_core::{
    clock,
    error::{Executed, Failure, FailureKind, Phase},
};
use backstop_sql::{
    Columns, Request, RowSink, Rows, Statement,
    seen::{Run, StatementStats},
};
use rusqlite::Connection;

use crate::{
    error::{During, Fault},
    job::{Job, Reply, Work},
    options::SqliteOptions,
    run::{self, Past},
    wait,
    watch::{Watch, Watching},
    writer::verdict,
};

/// How many chunks may wait for their reader.
pub(crate) const CHUNKS: usize = 2;

/// A chunk ends after so many bytes, whatever its rows.
const CHUNK_BYTES: usize = 256 << 10;

/// Serves one stream to its end. The call is answered with the first chunk, and `idle` limits each later one.
///
/// The first chunk comes even where there is no row: it has the columns.
pub(crate) fn serve(
    connection: &Connection,
    watch: &Watch,
    options: &SqliteOptions,
    idle: Duration,
    job: Job,
) {
    let Work::Stream(statement, request, chunk_rows, sink) = &job.work else { return };
    let (statement, request, sink, chunk_rows) =
        (statement.clone(), request.clone(), sink.clone(), *chunk_rows);
    let limits = Limits { chunk_rows, rows: request.rows_max, bytes: options.bytes_max };
    let watching = Some(watch.job(&job.ticket));
    let ticket = job.ticket.clone();
    let noted = Some(statement.stats.begin("query_stream"));
    let mut pump = Pump { watch, watching, sink, idle, first: Some(job), stats: &statement.stats, noted };
    let result = pump.run(connection, &statement, &request, limits);
    drop(pump.watching.take());
    match (pump.first.take(), result) {
        (None, Ok(())) => {
            let until = clock::now() + idle;
            let end = wait::until(pump.sink.clone().finish(Ok(())), until);
            if end.is_none() {
                pump.sink.give_up(unread(idle));
            }
        }
        (None, Err(fault)) => {
            let failure = late(fault, idle);
            pump.stats.add_error(&failure);
            pump.sink.give_up(failure);
        }
        (Some(job), Err(fault)) => {
            let result = Err(verdict(fault.into_failure(During::Statement), &ticket));
            if let Some(noted) = pump.noted.take() {
                noted.end(&result, |_| 0);
            }
            job.answer(result);
        }
        // the first chunk answers the call, and there always is one
        (Some(job), Ok(())) => drop(job),
    }
}

#[derive(Clone, Copy)]
struct Limits {
    chunk_rows: usize,
    rows: Option<usize>,
    bytes: usize,
}

struct Pump<'a> {
    watch: &'a Watch,
    watching: Option<Watching<'a>>,
    sink: RowSink,
    idle: Duration,
    /// The call, until its first chunk.
    first: Option<Job>,
    stats: &'a StatementStats,
    /// The run, until its first chunk.
    noted: Option<Run<'a>>,
}

impl Pump<'_> {
    fn run(
        &mut self,
        connection: &Connection,
        statement: &Statement,
        request: &Request,
        limits: Limits,
    ) -> Result<(), Fault> {
        let mut prepared = run::prepare_read(connection, statement, request)?;
        let mut columns: Option<Columns> = None;
        let mut chunk: Option<Rows> = None;
        let (mut total, mut bytes) = (0_usize, 0_usize);
        let mut rows = prepared.raw_query();
        while let Some(row) = rows.next()? {
            let part =
                chunk.get_or_insert_with(|| start(run::columns_of(row.as_ref(), &mut columns), request));
            if limits.rows == Some(total) {
                part.truncate();
                break;
            }
            let width = part.columns().len();
            let weight = run::weight(row, width)?;
            if weight > limits.bytes {
                return Err(too_large(total, limits.bytes).into());
            }
            for at in 0..width {
                let value = run::cell(row.get_ref(at)?);
                part.push_cell(value.ok_or_else(|| run::not_text(part.columns(), at, Past::Stop))?);
            }
            (total, bytes) = (total + 1, bytes + weight);
            if part.len() >= limits.chunk_rows || bytes >= CHUNK_BYTES {
                bytes = 0;
                if let Some(full) = chunk.take() {
                    self.hand_over(full)?;
                }
            }
        }
        drop(rows);
        match chunk {
            Some(last) => self.hand_over(last)?,
            None if total == 0 => {
                let columns = run::columns_of(&prepared, &mut columns);
                self.hand_over(start(columns, request))?;
            }
            None => {}
        }
        Ok(())
    }

    fn hand_over(&mut self, rows: Rows) -> Result<(), Failure> {
        drop(self.watching.take());
        match self.noted.take() {
            Some(noted) => drop(noted.end(&Ok(rows.len()), |rows| *rows as u64)),
            None => self.stats.add_rows(rows.len()),
        }
        let until = clock::now() + self.idle;
        match wait::until(self.sink.send(rows), until) {
            Some(true) => {}
            Some(false) => return Err(gone()),
            None => return Err(unread(self.idle)),
        }
        if let Some(job) = self.first.take() {
            job.answer(Ok(Reply::Nothing));
        }
        self.watching = Some(self.watch.stream(&self.sink, clock::now() + self.idle));
        Ok(())
    }
}

fn start(columns: Columns, request: &Request) -> Rows {
    Rows::new(columns).with_numbers(request.numbers)
}

fn gone() -> Failure {
    Failure::new(FailureKind::Cancelled, "the reader of the stream has gone").executed_is(Executed::No)
}

fn unread(idle: Duration) -> Failure {
    Failure::new(FailureKind::Cancelled, format!("nobody read the stream for {idle:?}"))
        .executed_is(Executed::No)
        .with_code("stream_idle")
}

fn too_large(row: usize, bytes: usize) -> Failure {
    Failure::new(FailureKind::TooLarge, format!("row {row} alone exceeds the limit of {bytes} bytes"))
        .in_phase(Phase::Decode)
        .executed_is(Executed::No)
}

/// What ended a stream after its first chunk.
fn late(fault: Fault, idle: Duration) -> Failure {
    if fault.is_interrupt() {
        return Failure::new(
            FailureKind::Timeout,
            format!("the statement found no further row for {idle:?}"),
        )
        .executed_is(Executed::No)
        .with_code("stream_idle");
    }
    fault.into_failure(During::Statement)
}
