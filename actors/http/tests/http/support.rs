//! A server that sends exact bytes, and a caller that behaves as the guard does.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use backstop_core::{
    backend::{Connect, Serve},
    call::{CallContext, Deadline, OpId},
    error::{Executed, Failure, FailureKind, Phase},
    message::Message,
};
use backstop_http::{Http, HttpOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::LocalSet,
};

/// Long enough for anything that should happen, short enough for a test that fails.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// Runs a test on one thread, as a lane does; a test that hangs fails.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(30), test).await.expect("the test hangs");
    });
}

/// The server's side of a connection.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
    seen: Rc<RefCell<Vec<String>>>,
}

impl Peer {
    /// Reads a request with its body; `None` when the client has closed.
    pub(crate) async fn request(&mut self) -> Option<String> {
        loop {
            if let Some(end) = whole_request(&self.buffer) {
                let rest = self.buffer.split_off(end);
                let request = std::mem::replace(&mut self.buffer, rest);
                let request = String::from_utf8_lossy(&request).into_owned();
                self.seen.borrow_mut().push(request.clone());
                return Some(request);
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.buffer.extend_from_slice(&chunk[..read]),
            }
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // a client that has gone is part of some tests
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    /// Sends the end of the stream and waits for the client's.
    pub(crate) async fn close(mut self) {
        let _ = self.stream.shutdown().await;
        self.closed_by_client().await;
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// Waits until the client closes or resets.
    pub(crate) async fn closed_by_client(&mut self) {
        let mut chunk = [0; 4096];
        while !matches!(self.stream.read(&mut chunk).await, Ok(0) | Err(_)) {}
    }
}

fn whole_request(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.map_or(0, |length| length.trim().parse::<usize>().unwrap());
    (bytes.len() >= head + length).then_some(head + length)
}

/// A server on loopback whose connections run a script each.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Rc<RefCell<Vec<String>>>,
    pub(crate) connections: Rc<Cell<usize>>,
}

impl Server {
    /// Starts; the script gets each connection and its number, from 0.
    pub(crate) async fn start<F, S>(script: S) -> Self
    where
        S: Fn(Peer, usize) -> F + 'static,
        F: Future<Output = ()> + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Rc<RefCell<Vec<String>>> = Rc::default();
        let connections: Rc<Cell<usize>> = Rc::default();
        let (log, count) = (Rc::clone(&seen), Rc::clone(&connections));
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.replace(count.get() + 1);
                let peer = Peer { stream, buffer: Vec::new(), seen: Rc::clone(&log) };
                tokio::task::spawn_local(script(peer, number));
            }
        });
        Self { address, seen, connections }
    }

    /// Answers every request with the same bytes, and keeps the connection.
    pub(crate) async fn replying(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Rc<[u8]> = bytes.into().into();
        Self::start(move |mut peer, _| {
            let bytes = Rc::clone(&bytes);
            async move {
                while peer.request().await.is_some() {
                    peer.send(&bytes).await;
                }
            }
        })
        .await
    }

    /// Answers one request per connection with these bytes, then closes.
    pub(crate) async fn closing_after(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Rc<[u8]> = bytes.into().into();
        Self::start(move |mut peer, _| {
            let bytes = Rc::clone(&bytes);
            async move {
                peer.request().await;
                peer.send(&bytes).await;
                peer.close().await;
            }
        })
        .await
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.borrow().clone()
    }

    /// A backend for this server.
    pub(crate) async fn backend(&self) -> Http {
        self.backend_with(|_| {}).await
    }

    pub(crate) async fn backend_with(&self, change: impl FnOnce(&mut HttpOptions)) -> Http {
        backend_for(&format!("http://{}/", self.address), change).await
    }
}

pub(crate) async fn backend_for(base: &str, change: impl FnOnce(&mut HttpOptions)) -> Http {
    let mut options = HttpOptions::new(base).unwrap();
    change(&mut options);
    let shared = Arc::new(options.share().unwrap());
    options.connect(&shared).await.unwrap()
}

/// How a call ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Failed(Failure),
    /// The deadline passed and the future was dropped.
    Late {
        phase: Phase,
        sent: bool,
    },
}

impl Ended {
    pub(crate) fn failure(self) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::Late { phase, sent } => panic!("late in {phase}, sent: {sent}"),
        }
    }
}

/// Calls with a generous deadline.
pub(crate) async fn ask<M: Message>(backend: &Http, message: &M) -> Result<M::Reply, Ended>
where
    Http: Serve<M>,
{
    ask_within(SOON, backend, message).await
}

/// Calls, and drops the future at the deadline, as the guard does.
pub(crate) async fn ask_within<M: Message>(
    timeout: Duration,
    backend: &Http,
    message: &M,
) -> Result<M::Reply, Ended>
where
    Http: Serve<M>,
{
    let deadline = Deadline::after(timeout);
    let call = CallContext::new(OpId::next(), deadline);
    let answer = tokio::time::timeout_at(deadline.instant(), backend.serve(message, &call)).await;
    match answer {
        Ok(result) => {
            if let Err(failure) = &result {
                // what the guard relies on
                assert!(call.was_sent() || failure.executed() == Executed::No, "{failure}");
            }
            result.map_err(Ended::Failed)
        }
        Err(_) => Err(Ended::Late { phase: call.phase(), sent: call.was_sent() }),
    }
}

/// Asserts the four answers of a failure.
#[track_caller]
pub(crate) fn assert_failure(
    failure: &Failure,
    kind: FailureKind,
    code: &str,
    phase: Phase,
    executed: Executed,
) {
    let found = (failure.kind(), failure.code(), failure.phase(), failure.executed());
    assert_eq!(found, (kind, Some(code), phase, executed), "{failure}");
}

/// Fires once; waits from anywhere.
#[derive(Clone, Default)]
pub(crate) struct Signal(Rc<Notify>);

impl Signal {
    pub(crate) fn fire(&self) {
        self.0.notify_one();
    }

    pub(crate) async fn wait(&self) {
        self.0.notified().await;
    }
}

/// Compresses.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A response with a body and extra headers, each line ended by CR LF.
pub(crate) fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

pub(crate) fn ok(body: &str) -> Vec<u8> {
    response("200 OK", "", body.as_bytes())
}
