//! The HTTP API of the demo: a small service of the same process that can be made to fail in four ways.
//!
//! It runs on a thread of its own, on a free port of the loopback, and keeps its own log of what it has
//! executed. That log is a ledger outside the runtime: the checks at the end compare it with what callers
//! were told.

mod connections;
mod log;
mod server;
mod service;

use std::{io, net::SocketAddr, sync::Arc, thread, time::Duration};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

pub(super) use self::{log::UpstreamLog, service::Mode};
use self::{server::Command, service::Service};

/// The API, as the demo holds it; dropping it ends the service.
#[derive(Debug)]
pub(super) struct Upstream {
    address: SocketAddr,
    service: Arc<Service>,
    commands: mpsc::UnboundedSender<Command>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

impl Upstream {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no free port or no thread.
    pub(super) async fn start() -> io::Result<Self> {
        let service = Arc::new(Service::default());
        let (commands, orders) = mpsc::unbounded_channel();
        let (ready, started) = oneshot::channel();
        let at_work = Arc::clone(&service);
        let thread = thread::Builder::new()
            .name("demo-upstream".into())
            .spawn(move || server::run(&at_work, orders, ready))?;
        let address = started.await.map_err(|_| gone())??;
        Ok(Self { address, service, commands, thread: Mutex::new(Some(thread)) })
    }

    /// Where it listens.
    #[must_use]
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes it answer in another way.
    pub(super) fn set_mode(&self, mode: Mode) {
        self.service.set_mode(mode);
    }

    /// Closes the listener and resets all connections.
    pub(super) async fn die(&self) {
        let (done, dead) = oneshot::channel();
        if self.commands.send(Command::Die(done)).is_ok() {
            // an error means that the service has ended altogether
            let _ = dead.await;
        }
    }

    /// Listens again, on the same port.
    ///
    /// # Errors
    /// When the port was taken by another process meanwhile.
    pub(super) async fn revive(&self) -> io::Result<()> {
        let (done, alive) = oneshot::channel();
        self.commands.send(Command::Revive(done)).map_err(|_| gone())?;
        alive.await.map_err(|_| gone())?
    }

    /// Plants a bug: some writes are executed twice.
    pub(super) fn plant_double_writes(&self) {
        self.service.log().plant_double_writes();
    }

    /// Ends it and returns what it has executed.
    ///
    /// # Errors
    /// When its thread does not end.
    pub(super) async fn stop(&self) -> io::Result<UpstreamLog> {
        // an error means that it has ended already
        let _ = self.commands.send(Command::Stop);
        let thread = self.thread.lock().take().ok_or_else(gone)?;
        let joined = tokio::task::spawn_blocking(move || thread.join());
        match tokio::time::timeout(Duration::from_secs(10), joined).await {
            Ok(Ok(Ok(()))) => Ok(self.service.log().clone()),
            Ok(_) => Err(gone()),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the embedded API did not end")),
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Stop);
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread of the embedded API has ended")
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    /// Sends one request on a connection of its own and returns the status line.
    async fn send(upstream: &Upstream, head: &str, body: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(upstream.address()).await?;
        let (length, kind) = (body.len(), "content-type: application/json");
        let request = format!(
            "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{kind}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer.lines().next().unwrap_or_default().to_owned())
    }

    async fn order(upstream: &Upstream, op: u64) -> String {
        send(upstream, "POST /orders", &format!("{{\"op\":{op}}}")).await.unwrap()
    }

    #[tokio::test]
    async fn a_failing_api_has_executed_every_second_write() {
        let upstream = Upstream::start().await.unwrap();
        assert_eq!(order(&upstream, 1).await, "HTTP/1.1 200 OK");
        upstream.set_mode(Mode::Failing);
        for op in [2, 3] {
            assert!(order(&upstream, op).await.contains("500"));
        }
        assert!(send(&upstream, "HEAD /health", "").await.unwrap().contains("500"));
        let counts = upstream.stop().await.unwrap().counts();
        assert_eq!(counts, [(1, 1), (2, 1)].into());
    }

    #[tokio::test]
    async fn a_hanging_api_answers_once_it_is_well_again() {
        let upstream = Upstream::start().await.unwrap();
        upstream.set_mode(Mode::Hanging);
        let hanging = order(&upstream, 1);
        tokio::pin!(hanging);
        assert!(tokio::time::timeout(Duration::from_millis(100), &mut hanging).await.is_err());
        upstream.set_mode(Mode::Well);
        assert_eq!(hanging.await, "HTTP/1.1 200 OK");
    }

    #[tokio::test]
    async fn a_dead_api_resets_its_connections_refuses_new_ones_and_comes_back_on_its_port() {
        let upstream = Upstream::start().await.unwrap();
        let mut open = TcpStream::connect(upstream.address()).await.unwrap();
        open.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(open.read(&mut [0; 512]).await.unwrap() > 0);
        upstream.die().await;
        assert_eq!(open.read(&mut [0; 512]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let refused = TcpStream::connect(upstream.address()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        upstream.revive().await.unwrap();
        assert_eq!(order(&upstream, 1).await, "HTTP/1.1 200 OK");
    }
}
