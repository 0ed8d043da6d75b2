//! A connection to the server before anything is said on it: TCP or a Unix socket.

use std::{
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

use crate::framing::Framing;

/// How often a silent peer is asked for a sign of life before it counts as gone. Linux looks at the user timeout
/// instead, at each of these moments.
const KEEPALIVE_PROBES: u32 = 3;
/// The pause between two such questions; with the default of the first one, a peer is gone after 6 + 3 × 2 s.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// Where a server was found; a cancel request goes to the very same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// When a peer that is silent counts as gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) keepalive: Duration,
    pub(crate) user_timeout: Duration,
}

/// A connected stream.
pub(crate) struct Socket {
    stream: Stream,
    /// Where it carries the protocol as it is.
    framing: Option<Framing>,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(crate) async fn connect(address: &Address, patience: Patience) -> io::Result<Self> {
        match address {
            Address::Unix(path) => Ok(UnixStream::connect(path).await.map(Stream::Unix)?.into()),
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let socket = SockRef::from(&stream);
                let keepalive = TcpKeepalive::new()
                    .with_time(patience.keepalive)
                    .with_interval(KEEPALIVE_INTERVAL)
                    .with_retries(KEEPALIVE_PROBES);
                socket.set_tcp_keepalive(&keepalive)?;
                #[cfg(target_os = "linux")]
                socket.set_tcp_user_timeout(Some(patience.user_timeout))?;
                Ok(Stream::Tcp(stream).into())
            }
        }
    }

    /// Ends the stream at a message that is too long; without TLS, which hides the messages from here.
    pub(crate) fn with_framing(self, framing: Option<Framing>) -> Self {
        Self { framing, ..self }
    }
}

impl From<Stream> for Socket {
    fn from(stream: Stream) -> Self {
        Self { stream, framing: None }
    }
}

/// Reads, and looks at what was read.
pub(crate) fn read_framed(
    stream: Pin<&mut impl AsyncRead>,
    framing: Option<&mut Framing>,
    context: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let before = buffer.filled().len();
    let read = ready!(stream.poll_read(context, buffer));
    Poll::Ready(match framing {
        Some(framing) => {
            read.and_then(|()| framing.follow(buffer.filled().get(before..).unwrap_or_default()))
        }
        None => read,
    })
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, framing } = self.get_mut();
        match stream {
            Stream::Tcp(stream) => read_framed(Pin::new(stream), framing.as_mut(), context, buffer),
            Stream::Unix(stream) => read_framed(Pin::new(stream), framing.as_mut(), context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
