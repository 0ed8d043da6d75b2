//! Opens connections: name, TCP, TLS, each step named when it fails.

use std::{
    cell::Cell,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use actix_service::Service;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection as Connected};
use awc::http::Uri;
use rustls::pki_types::ServerName;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    cap::{Cap, Place},
    connection::Watched,
    error::{ConnectStep, TransportError},
    exchange::{Exchange, Fault},
    registry::Registry,
    stream::Stream,
    target::Target,
};

/// The connector under awc's pool. It looks at no URL: there is one target.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    target: Rc<Target>,
    limit: Duration,
    cap: Arc<Cap>,
    registry: Rc<Registry>,
}

impl Dialer {
    /// Opens connections to `target`, each within `limit` for all steps together.
    pub(crate) fn new(target: Rc<Target>, limit: Duration, cap: Arc<Cap>, registry: Rc<Registry>) -> Self {
        Self { target, limit, cap, registry }
    }

    async fn open(&self) -> Result<Watched, TransportError> {
        let step = Cell::new(ConnectStep::Place);
        match timeout(self.limit, self.steps(&step)).await {
            Ok(opened) => {
                let (stream, place) = opened?;
                Ok(Watched::new(stream, place, Rc::clone(&self.registry)))
            }
            Err(_) => Err(TransportError::ConnectTimeout { step: step.get(), limit: self.limit }),
        }
    }

    async fn steps(&self, step: &Cell<ConnectStep>) -> Result<(Stream, Place), TransportError> {
        let place = self.cap.place().await;
        step.set(ConnectStep::Resolve);
        let addresses = self.resolve().await?;
        step.set(ConnectStep::Tcp);
        let tcp = self.connect(&addresses).await?;
        // small requests must not wait for the acknowledgement of earlier ones
        tcp.set_nodelay(true).map_err(|source| self.unreachable(source))?;
        let Some(tls) = &self.target.tls else { return Ok((Stream::Plain(tcp), place)) };
        step.set(ConnectStep::Tls);
        let failed = |source| TransportError::Tls { target: self.target.to_string(), source };
        let name = ServerName::try_from(self.target.host.clone())
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let tls = TlsConnector::from(tls.0.clone()).connect(name, tcp).await.map_err(failed)?;
        Ok((Stream::Tls(Box::new(tls)), place))
    }

    async fn resolve(&self) -> Result<Vec<SocketAddr>, TransportError> {
        let Target { host, port, .. } = &*self.target;
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, *port)]);
        }
        let failed = |source| TransportError::Resolve { host: host.clone(), source };
        let addresses: Vec<_> = lookup_host((host.as_str(), *port)).await.map_err(failed)?.collect();
        if addresses.is_empty() { Err(failed(io::ErrorKind::NotFound.into())) } else { Ok(addresses) }
    }

    /// Tries the addresses in order; a silent one gets a third of the time, so that the next has its turn.
    async fn connect(&self, addresses: &[SocketAddr]) -> Result<TcpStream, TransportError> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for (index, address) in addresses.iter().enumerate() {
            let patience = if index + 1 < addresses.len() { self.limit / 3 } else { self.limit };
            match timeout(patience, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(self.unreachable(last))
    }

    fn unreachable(&self, source: io::Error) -> TransportError {
        TransportError::Connect { target: self.target.to_string(), source }
    }
}

impl Service<ConnectInfo<Uri>> for Dialer {
    type Response = Connected<Uri, Watched>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>>>>;

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&self, info: ConnectInfo<Uri>) -> Self::Future {
        let dialer = self.clone();
        let exchange = Exchange::current();
        if let Some(exchange) = &exchange {
            exchange.set_dialing();
        }
        let uri = info.request().clone();
        Box::pin(async move {
            match dialer.open().await {
                Ok(stream) => Ok(Connected::new(uri, stream)),
                Err(error) => {
                    if let Some(exchange) = &exchange {
                        exchange.set_fault(Fault::Dial(error));
                    }
                    // what awc makes of it is not looked at
                    Err(ConnectError::Unresolved)
                }
            }
        })
    }
}
