//! The connection of a listener: opened, heard, watched and opened again.

use std::{collections::VecDeque, future::poll_fn, pin::pin, time::Duration};

use backstop_core::{
    clock,
    error::Failure,
    policy::backoff::{BackoffPolicy, Jitter},
};
use fastrand::Rng;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time,
};
use tokio_postgres::{AsyncMessage, Client, Connection, Error, Notification};

use super::stream::Sink;
use crate::error::{During, failure};

/// A connection that hears nothing for so long is asked whether it lives; a dead peer would stay unnoticed.
const PULSE: Duration = Duration::from_secs(30);
/// How long it may take to answer, and to be opened again.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pauses between attempts; never none, so that a server that drops us is not hammered.
const PAUSES: BackoffPolicy = BackoffPolicy {
    base: Duration::from_millis(100),
    max_delay: Duration::from_secs(5),
    jitter: Jitter::Equal,
};

/// An open connection that listens.
pub(super) struct Ear<S, T> {
    client: Client,
    wire: Connection<S, T>,
    /// What was heard while the subscription was being confirmed.
    early: VecDeque<Notification>,
}

impl<S, T> Ear<S, T>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    /// Connects and subscribes.
    pub(super) async fn open<C>(connect: &C, sql: &str) -> Result<Self, Failure>
    where
        C: AsyncFn() -> Result<(Client, Connection<S, T>), Failure>,
    {
        let (client, mut wire) = connect().await?;
        let mut early = VecDeque::new();
        let told = |error| failure(error, During::Prepare, true);
        {
            let mut subscribed = pin!(client.batch_execute(sql));
            loop {
                tokio::select! {
                    biased;
                    ended = &mut subscribed => break ended.map_err(told)?,
                    message = next(&mut wire) => match message {
                        Some(Ok(AsyncMessage::Notification(heard))) => early.push_back(heard),
                        Some(Ok(_)) => {}
                        Some(Err(error)) => return Err(told(error)),
                        None => return Err(Failure::unavailable("the connection was closed")),
                    },
                }
            }
        }
        Ok(Self { client, wire, early })
    }

    /// Hands over what is heard until the connection is lost (`true`) or the reader has gone (`false`).
    async fn hear(&mut self, sink: &mut Sink) -> bool {
        for heard in self.early.drain(..) {
            sink.hear(heard.channel(), heard.payload());
        }
        let mut dead = pin!(pulse(&self.client));
        loop {
            let heard = tokio::select! {
                message = next(&mut self.wire) => message,
                () = sink.settled() => return false,
                () = &mut dead => return true,
            };
            match heard {
                Some(Ok(AsyncMessage::Notification(heard))) => sink.hear(heard.channel(), heard.payload()),
                Some(Ok(_)) => {}
                // a gap tells the reader; the reason is of no use to it
                Some(Err(_)) | None => return true,
            }
        }
    }
}

/// Ends when the connection does not answer.
async fn pulse(client: &Client) {
    loop {
        time::sleep(PULSE).await;
        if !matches!(time::timeout(PATIENCE, client.batch_execute("")).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn next<S, T>(wire: &mut Connection<S, T>) -> Option<Result<AsyncMessage, Error>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    poll_fn(|context| wire.poll_message(context)).await
}

/// Keeps the stream going until its reader has gone.
pub(super) async fn hear<C, S, T>(first: Ear<S, T>, connect: C, sql: String, mut sink: Sink)
where
    C: AsyncFn() -> Result<(Client, Connection<S, T>), Failure>,
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (mut ear, mut failed, mut rng) = (first, 0, Rng::new());
    loop {
        let since = clock::now();
        if !ear.hear(&mut sink).await {
            return;
        }
        drop(ear);
        // a connection that did not last is one more failure in the row
        failed = if since.elapsed() >= PAUSES.max_delay { 0 } else { failed };
        ear = tokio::select! {
            () = sink.closed() => return,
            again = reopened(&connect, &sql, &mut failed, &mut rng) => again,
        };
        // only now: whoever reads again at a gap must miss nothing after it
        sink.gap();
    }
}

/// Tries until a connection listens.
async fn reopened<C, S, T>(connect: &C, sql: &str, failed: &mut u32, rng: &mut Rng) -> Ear<S, T>
where
    C: AsyncFn() -> Result<(Client, Connection<S, T>), Failure>,
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut hint = Duration::ZERO;
    loop {
        time::sleep(PAUSES.delay(*failed, rng).max(hint)).await;
        *failed = failed.saturating_add(1);
        hint = match time::timeout(PATIENCE, Ear::open(connect, sql)).await {
            Ok(Ok(ear)) => return ear,
            Ok(Err(refused)) => refused.retry_after().unwrap_or_default(),
            Err(_) => Duration::ZERO,
        };
    }
}
