//! Reads of any length: a task reads ahead of its reader by a few chunks, and stops the server when nobody reads.

use std::{sync::Arc, time::Duration};

use backstop_core::{
    backend::Serve,
    call::CallContext,
    clock::Instant,
    error::{Executed, Failure, FailureKind, Phase},
};
use backstop_sql::{
    Numbers, QueryStream, RowStream, Rows, Value, message::RowSink, reply, seen::StatementStats,
};
use mysql_async::{Statement as Prepared, Value as Wire, prelude::Queryable as _};
use tokio::{
    select,
    time::{sleep_until, timeout, timeout_at},
};

use crate::{
    MySql,
    backend::as_not_a_read,
    error::During,
    pool::{Lease, State},
    run::{self, Purpose},
    session::{BRIEF, Mode},
    value,
};

/// Chunks that may wait for their reader.
const AHEAD: usize = 2;

/// The most bytes of a chunk, whatever its rows.
const CHUNK_BYTES: usize = 1 << 20;

/// What a stream's task needs beside its connection.
struct Plan {
    stats: Arc<StatementStats>,
    prepared: Prepared,
    values: Vec<Wire>,
    chunk_rows: usize,
    rows_max: usize,
    numbers: Numbers,
    idle: Duration,
    first_by: Instant,
}

impl Serve<QueryStream> for MySql {
    async fn serve(&self, message: &QueryStream, call: &CallContext) -> Result<RowStream, Failure> {
        let request = message.request();
        let known = self.checked(request)?;
        let values = run::bind(&known, request)?;
        let mut lease = self.pool.acquire("query_stream", Some(Mode::ReadOnly), call).await?;
        let prepared = run::prepare(&mut lease, known.statement.sql(), &values, State::Clean).await;
        let prepared = prepared.map_err(as_not_a_read)?;
        if !run::returns_rows(&known, &prepared) {
            return Err(reply::not_a_read());
        }
        if known.soils {
            lease.soil();
        }
        let plan = Plan {
            stats: Arc::clone(&known.stats),
            prepared,
            values,
            chunk_rows: message.rows_per_chunk(),
            rows_max: request.rows_max.unwrap_or(usize::MAX),
            numbers: request.numbers,
            idle: self.options().stream_idle,
            first_by: call.deadline().instant(),
        };
        let lifted = lift(&mut lease).await?;
        run::begin(&mut lease, Purpose::READ, call);
        let (sink, stream) = RowStream::channel(AHEAD);
        let pool = Arc::clone(lease.pool());
        let task = tokio::spawn(feed(lease, plan, lifted, sink));
        pool.add_stream(task.abort_handle());
        Ok(stream)
    }
}

/// Takes the server's ceiling of statements away from the session, where it has one: a stream has limits of its own.
async fn lift(lease: &mut Lease) -> Result<bool, Failure> {
    let core = Arc::clone(lease.pool().core());
    let Some((lift, _)) = core.ceilings.lift() else { return Ok(false) };
    // given up before the stream begins, the session must not serve anybody else
    lease.command(lift, During::Connect, State::Broken).await?;
    Ok(true)
}

/// Brings the ceiling back; a session that cannot have it, or not soon, is closed.
async fn restore(lease: &mut Lease) {
    let core = Arc::clone(lease.pool().core());
    let Some((_, restore)) = core.ceilings.lift().filter(|_| lease.state() == State::Clean) else { return };
    match timeout(BRIEF, lease.command(restore, During::Statement, State::Clean)).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => {
            tracing::debug!(%failure, "a session did not get its ceiling back, so it is closed")
        }
        Err(_) => tracing::debug!("a session did not get its ceiling back in time, so it is closed"),
    }
}

/// Reads to the end, to an error, or until nobody reads; a lease that is dropped on the way ends the statement.
async fn feed(mut lease: Lease, plan: Plan, lifted: bool, sink: RowSink) {
    let ended = match read(&mut lease, plan, &sink).await {
        Ok(Ended::Well) => {
            lease.set(State::Clean);
            Ok(())
        }
        Ok(Ended::Cut) => Ok(()),
        Err(failure) => Err(as_not_a_read(failure)),
    };
    if lifted {
        restore(&mut lease).await;
    }
    // the connection serves on while the reader reads
    drop(lease);
    sink.finish(ended).await;
}

enum Ended {
    /// The server has sent everything.
    Well,
    /// The limit was reached or the reader went away.
    Cut,
}

async fn read(lease: &mut Lease, plan: Plan, sink: &RowSink) -> Result<Ended, Failure> {
    let noted = plan.stats.begin("query_stream");
    let begun = begin(lease, &plan).await;
    noted.end(&begun, |()| 0);
    begun?;
    let ended = rows(lease, &plan, sink)
        .await
        .and_then(|ended| ended.map_err(|error| lease.failed(&error, During::Statement, State::Clean)));
    ended.inspect_err(|failure| plan.stats.add_error(failure))
}

/// Sends the statement, and waits for the head of its answer.
async fn begin(lease: &mut Lease, plan: &Plan) -> Result<(), Failure> {
    let begun = async {
        Ok::<_, Failure>(lease.conn()?.exec_iter(plan.prepared.clone(), plan.values.clone()).await.map(drop))
    };
    match timeout_at(plan.first_by, begun).await {
        Err(_) => Err(late("the statement did not begin before the call's deadline")),
        Ok(begun) => begun?.map_err(|error| lease.failed(&error, During::Statement, State::Clean)),
    }
}

/// Hands chunks over; the inner error is the driver's.
async fn rows(
    lease: &mut Lease,
    plan: &Plan,
    sink: &RowSink,
) -> Result<Result<Ended, mysql_async::Error>, Failure> {
    let mut result = mysql_async::QueryResult::<mysql_async::BinaryProtocol>::new(lease.conn()?);
    let described = result.columns().ok_or_else(reply::not_a_read)?;
    let columns = value::columns_of(&described);
    let empty = || Rows::new(columns.clone()).with_numbers(plan.numbers);
    let (mut chunk, mut bytes, mut count, mut wait_until) = (empty(), 0, 0_usize, plan.first_by);
    loop {
        let row = select! {
            row = result.next() => row,
            () = sink.closed() => return Ok(Ok(Ended::Cut)),
            () = sleep_until(wait_until) => return Err(late("the server sent no row in time")),
        };
        let row = match row {
            Ok(row) => row,
            Err(error) => return Ok(Err(error)),
        };
        let is_last = row.is_none();
        if let Some(row) = row {
            let cells = run::cells_of(&described, row.unwrap(), Purpose::READ)?;
            bytes += cells.iter().map(Value::weight).sum::<usize>();
            cells.into_iter().for_each(|cell| chunk.push_cell(cell));
            count += 1;
        }
        let is_full = chunk.len() >= plan.chunk_rows || bytes >= CHUNK_BYTES || count >= plan.rows_max;
        if (is_last && !chunk.is_empty()) || is_full {
            bytes = 0;
            plan.stats.add_rows(chunk.len());
            match timeout(plan.idle, sink.send(std::mem::replace(&mut chunk, empty()))).await {
                Ok(true) => {}
                Ok(false) => return Ok(Ok(Ended::Cut)),
                Err(_) => return Err(late("nobody read the stream in time")),
            }
        }
        if is_last {
            return Ok(Ok(Ended::Well));
        }
        if count >= plan.rows_max {
            return Ok(Ok(Ended::Cut));
        }
        wait_until = backstop_core::clock::now() + plan.idle;
    }
}

fn late(text: &'static str) -> Failure {
    Failure::new(FailureKind::Timeout, text).in_phase(Phase::Execute).executed_is(Executed::No)
}
