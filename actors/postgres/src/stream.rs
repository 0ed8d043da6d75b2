//! Reads of any length: rows go to the reader as it takes them, and the server waits meanwhile.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use backstop_core::{
    backend::Serve,
    call::CallContext,
    error::{Executed, Failure, FailureKind, Phase},
};
use backstop_sql::{QueryStream, RowStream, Rows, message::RowSink, seen::StatementStats};
use futures_util::TryStreamExt;
use tokio::time::timeout;
use tokio_postgres::Row;

use crate::{
    Postgres,
    error::During,
    lease::Lease,
    run::{Mode, bound, push},
};

/// Chunks that were not read yet; with the driver's own buffer that is all that is kept of a stream.
const CHUNKS: usize = 2;
/// A chunk is handed over when it weighs this much, however few its rows are.
const CHUNK_BYTES: usize = 1 << 20;

/// The session's ceiling is for statements that someone waits for; a stream is bounded by its pauses.
const BEGIN: &str = "BEGIN READ ONLY; SET LOCAL statement_timeout = 0";

impl Serve<QueryStream> for Postgres {
    async fn serve(&self, message: &QueryStream, call: &CallContext) -> Result<RowStream, Failure> {
        let request = message.request();
        let known = self.checked(request)?;
        let lease = self.lane().acquire(call, "query_stream").await?;
        lease.state().in_transaction.store(true, Relaxed);
        let client = lease.connection()?;
        lease.run(call, During::Statement, false, client.batch_execute(BEGIN)).await?;
        let ready = lease.ready(call, &known).await?;
        let params = bound(&known, request, ready.params())?;
        call.sending();
        let noted = known.stats.begin("query_stream");
        // the deadline holds for the first row, and an error in its place is the call's own
        let first = async {
            let mut rows = Box::pin(lease.send(client, &known, &ready, &params, Mode::Inside).await?);
            let first = rows.try_next().await?;
            Ok((rows, first))
        };
        let first = lease.run(call, During::Statement, false, first).await;
        noted.end(&first, |_| 0);
        let (rows, first) = first.map_err(|failure| self.judged(failure))?;
        lease.state().in_flight.store(true, Relaxed);
        let (sink, stream) = RowStream::channel(CHUNKS);
        let pump = Pump {
            empty: Rows::new(ready.columns_with(first.as_ref())).with_numbers(request.numbers),
            chunk_rows: message.rows_per_chunk(),
            rows_left: request.rows_max.unwrap_or(usize::MAX),
            idle: self.lane().core.options().stream_idle,
            first: Some(first),
            stats: Arc::clone(&known.stats),
            lease,
        };
        tokio::spawn(pump.run(rows, sink));
        Ok(stream)
    }
}

/// Moves rows from the server to the reader. Dropped early, its lease cancels the statement.
struct Pump {
    lease: Lease,
    /// What was read before the pump began; the inner `None` is the end.
    first: Option<Option<Row>>,
    stats: Arc<StatementStats>,
    empty: Rows,
    chunk_rows: usize,
    rows_left: usize,
    idle: Duration,
}

/// Rows that were not read yet.
type Rest = Pin<Box<tokio_postgres::RowStream>>;

/// Why a stream ended before its last row.
enum Stop {
    ReaderGone,
    Failed(Failure),
}

impl Pump {
    async fn run(mut self, rows: Rest, sink: RowSink) {
        let ended = tokio::select! {
            biased;
            () = sink.closed() => Err(Stop::ReaderGone),
            ended = self.chunks(rows, &sink) => ended,
        };
        let result = match ended {
            Ok(()) => self.finish().await,
            Err(Stop::ReaderGone) => return,
            Err(Stop::Failed(failure)) => {
                self.stats.add_error(&failure);
                Err(failure)
            }
        };
        // the connection is free before the reader takes the last chunk
        drop(self.lease);
        let _ = timeout(self.idle, sink.finish(result)).await;
    }

    /// Hands chunk after chunk over, until the last row or the limit.
    async fn chunks(&mut self, mut rows: Rest, sink: &RowSink) -> Result<(), Stop> {
        loop {
            let (mut chunk, is_last) = self.chunk(&mut rows).await?;
            let is_cut = !is_last && self.rows_left == 0;
            if is_cut {
                chunk.truncate();
            }
            self.stats.add_rows(chunk.len());
            if !chunk.is_empty() || is_cut {
                match timeout(self.idle, sink.send(chunk)).await {
                    Ok(true) => {}
                    Ok(false) => return Err(Stop::ReaderGone),
                    Err(_) => return Err(Stop::Failed(self.stalled("the reader took nothing"))),
                }
            }
            if is_last {
                self.lease.state().in_flight.store(false, Relaxed);
                return Ok(());
            }
            if is_cut {
                return Ok(());
            }
        }
    }

    /// Collects rows until the chunk is full, or until no more are there at once; says whether the last is in it.
    async fn chunk(&mut self, rows: &mut Rest) -> Result<(Rows, bool), Stop> {
        let (mut chunk, mut count, mut bytes) = (self.empty.clone(), 0, 0);
        while count < self.chunk_rows && bytes < CHUNK_BYTES && self.rows_left > 0 {
            let next = if let Some(first) = self.first.take() {
                Some(Ok(first))
            } else if count == 0 {
                let waited = timeout(self.idle, rows.try_next()).await;
                Some(waited.map_err(|_| Stop::Failed(self.stalled("the server sent nothing")))?)
            } else {
                at_once(rows.try_next()).await
            };
            let Some(next) = next else { break };
            let row: Option<Row> =
                next.map_err(|error| Stop::Failed(self.lease.failed(error, During::Statement, false)))?;
            let Some(row) = row else { return Ok((chunk, true)) };
            push(&mut chunk, &row).map_err(|failure| Stop::Failed(failure.executed_is(Executed::No)))?;
            (count, bytes, self.rows_left) = (count + 1, bytes + row.raw_size_bytes(), self.rows_left - 1);
        }
        Ok((chunk, false))
    }

    fn stalled(&self, what: &str) -> Failure {
        Failure::new(FailureKind::Timeout, format!("{what} for {:?}", self.idle))
            .in_phase(Phase::Execute)
            .executed_is(Executed::No)
    }

    /// Ends the transaction of a stream that came to its end; a stream that was cut leaves that to the lease.
    async fn finish(&self) -> Result<(), Failure> {
        if self.lease.state().in_flight.load(Relaxed) {
            return Ok(());
        }
        let connection = self.lease.connection()?;
        self.lease.state().in_flight.store(true, Relaxed);
        let ended = timeout(self.idle, connection.batch_execute("COMMIT")).await;
        // every row was read, so that nothing is lost with a read-only transaction that did not end well
        if matches!(ended, Ok(Ok(()))) {
            self.lease.state().in_flight.store(false, Relaxed);
            self.lease.state().in_transaction.store(false, Relaxed);
        } else {
            self.lease.break_up();
        }
        Ok(())
    }
}

/// Returns what is ready now.
async fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
