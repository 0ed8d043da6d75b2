//! Reads of any length, in bounded memory.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use backstop_core::{
    error::Failure,
    message::{Class, Message},
};
use futures_util::Stream;
use tokio::sync::mpsc;

use super::{Request, Sql, request::request_setters};
use crate::Rows;

/// Reads rows as a stream of chunks, in bounded memory, however many there are.
///
/// The call ends when the statement has begun; its deadline holds for the first chunk, and the backend's idle
/// limit for the pauses after it. Dropping the stream cancels the statement.
#[derive(Clone, Debug)]
pub struct QueryStream {
    request: Arc<Request>,
    chunk_rows: usize,
}

impl QueryStream {
    /// Reads what `sql` selects, without a limit on rows unless one is set.
    pub fn new(sql: impl Into<Sql>) -> Self {
        Self { request: Arc::new(Request::new(sql)), chunk_rows: 256 }
    }

    /// Sets the most rows of a chunk (at least 1); 256 by default.
    #[must_use]
    pub fn chunk_rows(mut self, rows: usize) -> Self {
        self.chunk_rows = rows.max(1);
        self
    }

    /// Returns the most rows of a chunk.
    #[must_use]
    pub fn rows_per_chunk(&self) -> usize {
        self.chunk_rows
    }

    request_setters!();
}

impl Message for QueryStream {
    type Reply = RowStream;
    const NAME: &'static str = "query_stream";

    // a stream has one attempt: what was read cannot be taken back
    fn class(&self) -> Class {
        Class::Unsafe
    }
}

/// Chunks of rows; ends after the last one, or after an error.
///
/// An end without an error is the end of the result: a task that is lost ends the stream with an error.
#[derive(Debug)]
pub struct RowStream {
    parts: mpsc::Receiver<Part>,
    /// Why the source gave up while the stream was full.
    given_up: Arc<OnceLock<Failure>>,
    ended: bool,
}

/// The backend's end of a [`RowStream`]. The stream ends well only by [`RowSink::finish`], and is lost when
/// the last clone is dropped without.
#[derive(Clone, Debug)]
pub struct RowSink {
    parts: mpsc::Sender<Part>,
    given_up: Arc<OnceLock<Failure>>,
}

#[derive(Debug)]
enum Part {
    Rows(Rows),
    Failed(Failure),
    End,
}

impl RowStream {
    /// Makes a stream that holds at most `chunks` chunks (at least 1) that were not read yet.
    #[must_use]
    pub fn channel(chunks: usize) -> (RowSink, Self) {
        let (sender, receiver) = mpsc::channel(chunks.max(1));
        let given_up = Arc::new(OnceLock::new());
        let sink = RowSink { parts: sender, given_up: Arc::clone(&given_up) };
        (sink, Self { parts: receiver, given_up, ended: false })
    }

    /// Returns the next chunk; `None` at the end.
    ///
    /// # Errors
    /// What the statement failed with; nothing follows it.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next_chunk(&mut self) -> Option<Result<Rows, Failure>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for RowStream {
    type Item = Result<Rows, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let part = ready!(self.parts.poll_recv(context));
        self.ended = !matches!(part, Some(Part::Rows(_)));
        Poll::Ready(match part {
            Some(Part::Rows(rows)) => Some(Ok(rows)),
            Some(Part::Failed(failure)) => Some(Err(failure)),
            Some(Part::End) => None,
            None => Some(Err(self.given_up.get().cloned().unwrap_or_else(lost))),
        })
    }
}

impl RowSink {
    /// Hands a chunk over; `false` when nobody reads any more. Waits while the stream is full.
    pub async fn send(&self, rows: Rows) -> bool {
        self.parts.send(Part::Rows(rows)).await.is_ok()
    }

    /// Ends the stream: well, or with an error. Waits while the stream is full.
    pub async fn finish(self, result: Result<(), Failure>) {
        // a reader that has gone needs no reason
        let _ = self.parts.send(end(result)).await;
    }

    /// Ends the stream with an error that its reader gets after what it has not read yet; never waits.
    pub fn give_up(self, failure: Failure) {
        // the first reason stays
        let _ = self.given_up.set(failure);
    }

    /// Hands a chunk over from a thread that may block; `false` when nobody reads any more.
    #[must_use]
    pub fn blocking_send(&self, rows: Rows) -> bool {
        self.parts.blocking_send(Part::Rows(rows)).is_ok()
    }

    /// Ends the stream from a thread that may block.
    pub fn blocking_finish(self, result: Result<(), Failure>) {
        let _ = self.parts.blocking_send(end(result));
    }

    /// Waits until the reader has gone.
    pub async fn closed(&self) {
        self.parts.closed().await;
    }

    /// Says whether the reader has gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.parts.is_closed()
    }
}

fn lost() -> Failure {
    Failure::unavailable("the stream was lost before its last row")
}

fn end(result: Result<(), Failure>) -> Part {
    result.map_or_else(Part::Failed, |()| Part::End)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk() -> Rows {
        Rows::new([].into_iter().collect())
    }

    #[tokio::test]
    async fn a_stream_ends_well_only_where_its_source_says_so() {
        let (sink, mut stream) = RowStream::channel(1);
        let source = async {
            assert!(sink.send(chunk()).await);
            sink.finish(Ok(())).await;
        };
        let reader = async {
            assert!(stream.next_chunk().await.unwrap().is_ok());
            assert!(stream.next_chunk().await.is_none());
            assert!(stream.next_chunk().await.is_none());
        };
        tokio::join!(source, reader);
    }

    #[tokio::test]
    async fn a_source_that_is_lost_is_an_error_and_not_the_end() {
        let (sink, mut stream) = RowStream::channel(1);
        assert!(sink.send(chunk()).await);
        drop(sink);
        assert!(stream.next_chunk().await.unwrap().is_ok());
        assert!(stream.next_chunk().await.unwrap().is_err());
        assert!(stream.next_chunk().await.is_none());
    }

    #[tokio::test]
    async fn a_source_that_gives_a_full_stream_up_says_why_after_the_last_chunk() {
        let (sink, mut stream) = RowStream::channel(1);
        assert!(sink.send(chunk()).await);
        sink.give_up(Failure::refused("too slow"));
        assert!(stream.next_chunk().await.unwrap().is_ok());
        assert_eq!(stream.next_chunk().await.unwrap().unwrap_err().message(), "too slow");
        assert!(stream.next_chunk().await.is_none());
    }

    #[tokio::test]
    async fn a_source_learns_that_its_reader_has_gone() {
        let (sink, stream) = RowStream::channel(1);
        drop(stream);
        sink.closed().await;
        assert!(sink.is_closed() && !sink.send(chunk()).await);
    }
}
