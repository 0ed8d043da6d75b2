//! The thread of the service: it listens, dies and comes back by order.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    App, HttpServer,
    dev::ServerHandle,
    rt::{self, System, net::TcpStream},
};
use tokio::sync::{mpsc::UnboundedReceiver, oneshot};

use super::{
    connections::Connections,
    service::{Service, routes},
};

/// How often it is tried to listen again, when the system is slow to give the port back.
const BIND_TRIES: u32 = 40;

/// The pause between two tries.
const BIND_PAUSE: Duration = Duration::from_millis(25);

/// What can be ordered of the service.
#[derive(Debug)]
pub(super) enum Command {
    /// Close the listener and reset all connections.
    Die(oneshot::Sender<()>),
    /// Listen again, on the same port.
    Revive(oneshot::Sender<io::Result<()>>),
    /// End.
    Stop,
}

/// Runs the service until it is told to stop or nobody can tell it any more.
pub(super) fn run(
    service: &Arc<Service>,
    orders: UnboundedReceiver<Command>,
    ready: oneshot::Sender<io::Result<SocketAddr>>,
) {
    System::new().block_on(async {
        let opened = Stage::open(service).await;
        match opened {
            Ok(mut stage) => {
                let _ = ready.send(Ok(stage.address));
                stage.obey(orders).await;
            }
            Err(error) => drop(ready.send(Err(error))),
        }
    });
}

/// The listener, up or down.
struct Stage {
    service: Arc<Service>,
    connections: Arc<Connections>,
    address: SocketAddr,
    server: Option<ServerHandle>,
}

impl Stage {
    async fn open(service: &Arc<Service>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let mut stage =
            Self { service: Arc::clone(service), connections: Arc::default(), address, server: None };
        stage.serve(listener)?;
        Ok(stage)
    }

    async fn obey(&mut self, mut orders: UnboundedReceiver<Command>) {
        while let Some(order) = orders.recv().await {
            match order {
                Command::Die(done) => {
                    self.die().await;
                    let _ = done.send(());
                }
                Command::Revive(done) => {
                    let revived = self.revive().await;
                    let _ = done.send(revived);
                }
                Command::Stop => break,
            }
        }
        self.die().await;
    }

    async fn die(&mut self) {
        if let Some(server) = self.server.take() {
            self.connections.reset_on_close();
            server.stop(false).await;
        }
    }

    async fn revive(&mut self) -> io::Result<()> {
        if self.server.is_some() {
            return Ok(());
        }
        let mut tries = 0;
        let listener = loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                Err(error) if tries == BIND_TRIES => return Err(error),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(BIND_PAUSE).await;
        };
        self.serve(listener)
    }

    fn serve(&mut self, listener: TcpListener) -> io::Result<()> {
        let (service, connections) = (Arc::clone(&self.service), Arc::clone(&self.connections));
        let server = HttpServer::new(move || App::new().configure(|config| routes(&service, config)))
            .workers(1)
            .worker_max_blocking_threads(1)
            .disable_signals()
            .on_connect(move |connection, storage| {
                if let Some(stream) = connection.downcast_ref::<TcpStream>() {
                    connections.remember(stream, storage);
                }
            })
            .listen(listener)?
            .run();
        self.server = Some(server.handle());
        rt::spawn(server);
        Ok(())
    }
}
