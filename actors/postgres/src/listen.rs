//! Notifications: a connection of its own that is opened again when it is lost, and says where it heard nothing.

mod ear;
mod serve;
mod stream;

use std::{future::Future, sync::Arc};

use backstop_core::{
    error::Failure,
    message::{Class, Message},
};
use backstop_sql::{Dialect, StatementError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{Client, Connection};

use self::ear::Ear;
pub use self::stream::{Notice, NoticeStream};

/// The server cuts longer names off, and would then notify by another name.
const NAME_MAX: usize = 63;

/// Listens to channels; the reply is a stream of what is notified there.
///
/// The call ends when the server has confirmed that it listens. From then on the stream holds every notification,
/// in order, or a [`Notice::Gap`] where some may be missing: after the connection was lost and opened again, and
/// where more came than were read. Dropping the stream closes the connection.
#[derive(Clone, Debug)]
pub struct Listen {
    channels: Arc<[Box<str>]>,
    buffer: usize,
}

impl Listen {
    /// Listens to channels by their exact names: they are quoted, so upper case counts.
    pub fn new<C: Into<Box<str>>>(channels: impl IntoIterator<Item = C>) -> Self {
        Self { channels: channels.into_iter().map(Into::into).collect(), buffer: 1_024 }
    }

    /// Sets how many notices wait to be read (at least 1); 1,024 by default, of at most 8 kB each.
    #[must_use]
    pub fn buffer(mut self, notices: usize) -> Self {
        self.buffer = notices.max(1);
        self
    }

    /// Returns the names of the channels.
    #[must_use]
    pub fn channels(&self) -> &[Box<str>] {
        &self.channels
    }

    /// The statement that subscribes to all of them.
    fn sql(&self) -> Result<String, StatementError> {
        if self.channels.is_empty() {
            return Err(StatementError::Message("`channels` must name at least one channel".to_owned()));
        }
        let mut sql = String::new();
        for channel in &*self.channels {
            if channel.is_empty() || channel.len() > NAME_MAX || channel.contains('\0') {
                let text = format!("the name of a channel must have 1 to {NAME_MAX} bytes and no zero byte");
                return Err(StatementError::Message(text));
            }
            sql.push_str("LISTEN ");
            Dialect::Postgres.push_identifier(&mut sql, channel);
            sql.push(';');
        }
        Ok(sql)
    }
}

impl Message for Listen {
    type Reply = NoticeStream;
    const NAME: &'static str = "listen";

    // a stream has one attempt once it has begun
    fn class(&self) -> Class {
        Class::Unsafe
    }
}

/// Opens a connection that listens. Returns the stream, and the future that keeps it going: it must be polled
/// beside the stream (by a task of the lane), ends when the stream is dropped, and ends the stream when it is
/// dropped itself.
///
/// # Errors
/// What the first connection fails with, and a name that the server would not take as it is; later failures are
/// tried again for as long as the stream is held.
///
/// # Cancel safety
/// A future that is dropped closes its connection.
pub(crate) async fn listen<C, S, T>(
    connect: C,
    message: &Listen,
) -> Result<(NoticeStream, impl Future<Output = ()> + use<C, S, T>), Failure>
where
    C: AsyncFn() -> Result<(Client, Connection<S, T>), Failure>,
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let sql = message.sql()?;
    let (sink, stream) = stream::channel(message.buffer);
    let ear = Ear::open(&connect, &sql).await?;
    Ok((stream, ear::hear(ear, connect, sql, sink)))
}

#[cfg(test)]
mod tests;
