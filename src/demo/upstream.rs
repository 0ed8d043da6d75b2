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
