//! Asks the server to stop what a session is doing.

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::timeout,
};
use tokio_postgres::CancelToken;

use crate::{
    connector::{Connector, Peer},
    socket::Socket,
};

/// Sends a cancel request and waits until the server has acted on it.
///
/// The request is addressed to a session and not to a statement, so whoever uses the session again must know
/// that it has arrived: the server signals the session, and only then closes the stream. `false` where that
/// was not seen; the session must not be used again then. Nobody may wait for the answer any more, so it has a limit
/// of its own: that for connecting.
pub(crate) async fn send(connector: &Connector, token: CancelToken, peer: &Peer) -> bool {
    let sent = async {
        let mut socket = Socket::connect(&peer.address, connector.patience()).await.ok()?;
        token.cancel_query_raw(Lasting(&mut socket), connector.tls(peer)).await.ok()?;
        // whatever still comes is of no interest, its end is
        let mut rest = [0; 64];
        loop {
            match socket.read(&mut rest).await {
                Ok(0) => return Some(()),
                Ok(_) => {}
                // an end all the same: with TLS the server leaves without reading our farewell
                Err(error) if is_end(error.kind()) => return Some(()),
                Err(_) => return None,
            }
        }
    };
    let limit = connector.settings().options.connect_timeout;
    timeout(limit, sent).await.is_ok_and(|sent| sent.is_some())
}

fn is_end(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof)
}

/// A socket that stays open when the driver has said its farewell: pgbouncer forgets the request of a client that it
/// sees leave before it could pass it on.
struct Lasting<'s>(&'s mut Socket);

impl AsyncRead for Lasting<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Lasting<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
