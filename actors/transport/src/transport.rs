//! Sends requests to one target over the connections of one lane.

use std::{pin::pin, rc::Rc, sync::Arc, time::Duration};

use awc::{
    ClientRequest,
    http::{
        Method, Uri,
        header::{HeaderName, HeaderValue},
    },
};
use backstop_core::{call::CallContext, error::Phase, snapshot::PoolSnapshot};
use bytes::Bytes;

use crate::{
    body::Incoming,
    cap::{Cap, Slot, Usage},
    dial::Dialer,
    drive::drive,
    error::TransportError,
    exchange::{Exchange, Ongoing},
    registry::{Reaper, Registry},
    target::Target,
};

/// How long a connection lives, whatever its use; a name that moves is looked up again by then.
const LIFETIME: Duration = Duration::from_secs(75);

/// How long the steps of an exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For name, TCP and TLS together; 5 s by default.
    pub connect: Duration,
    /// From the first byte sent to the head of the answer, so the upload counts; 30 s by default.
    pub first_byte: Duration,
    /// How long an idle connection is kept; 15 s by default.
    pub keep_alive: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
        }
    }
}

/// A request that is ready to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// Path and query, percent-encoded, with a leading slash.
    pub path: &'a str,
    /// Names and values; Host, framing and `Accept-Encoding` are added here.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body; `None` sends no Content-Length either.
    pub body: Option<&'a Bytes>,
}

/// The client of one lane for one target: its connections are reused on this thread alone.
pub struct Transport {
    client: awc::Client,
    target: Rc<Target>,
    timeouts: Timeouts,
    cap: Arc<Cap>,
    usage: Rc<Usage>,
    registry: Rc<Registry>,
    _reaper: Reaper,
}

impl Transport {
    /// Builds the client; connections come on demand.
    ///
    /// # Panics
    /// Outside a `LocalSet`, because the task that closes idle connections starts here.
    #[must_use]
    pub fn new(target: Target, timeouts: Timeouts, cap: Arc<Cap>) -> Self {
        let target = Rc::new(target);
        let registry = Registry::new(timeouts.keep_alive, Arc::clone(&cap));
        let dialer =
            Dialer::new(Rc::clone(&target), timeouts.connect, Arc::clone(&cap), Rc::clone(&registry));
        let connector = awc::Connector::new()
            .connector(dialer)
            // the dialer has a limit of its own that names the step; this one must not come first
            .timeout(timeouts.connect.saturating_mul(2))
            // awc counts per scheme over all hosts; there is one of each here, and the cap comes first
            .limit(cap.max())
            .conn_keep_alive(timeouts.keep_alive)
            .conn_lifetime(LIFETIME);
        let client = awc::Client::builder()
            .connector(connector)
            .disable_redirects()
            .disable_timeout()
            .no_default_headers()
            .finish();
        let reaper = Reaper::start(Rc::clone(&registry));
        Self { client, target, timeouts, cap, usage: Rc::default(), registry, _reaper: reaper }
    }

    /// Sends a request and returns the head of its answer; whatever the status says is the caller's affair.
    ///
    /// [`CallContext::sending`] is called when a connection is ready and before the first byte leaves.
    ///
    /// # Errors
    /// [`TransportError`]; before anything was sent its [`executed`](TransportError::executed) is `No`.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection if anything was sent.
    pub async fn send(&self, outgoing: Outgoing<'_>, call: &CallContext) -> Result<Incoming, TransportError> {
        let request = self.prepare(&outgoing)?;
        let slot = Slot::take(&self.cap, &self.usage, call).await;
        let exchange = Exchange::new(outgoing.method == "HEAD");
        let request = exchange.scope(|| match outgoing.body {
            Some(body) => request.send_body(body.clone()),
            None => request.send_body(awc::body::None::new()),
        });
        let response = drive(pin!(request), &exchange, self.timeouts.first_byte, call).await?;
        call.enter(Phase::Decode);
        let headers = response.headers().iter();
        let headers = headers
            .map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())))
            .collect();
        let status = response.status().as_u16();
        Ok(Incoming { status, headers, stream: Box::pin(response), exchange: Ongoing(exchange), _slot: slot })
    }

    /// Shows the connections of this lane.
    #[must_use]
    pub fn pool(&self) -> PoolSnapshot {
        PoolSnapshot {
            active: self.usage.active.get(),
            idle: self.registry.idle(),
            waiting: self.usage.waiting.get(),
            max: self.cap.max(),
            created_total: self.registry.created(),
            closed_total: self.registry.closed(),
            timeouts_total: self.usage.gave_up.get(),
        }
    }

    /// Returns the target.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Closes the idle connections; those in use close when their calls end.
    pub fn close_idle(&self) {
        self.registry.close_idle();
    }

    fn prepare(&self, outgoing: &Outgoing<'_>) -> Result<ClientRequest, TransportError> {
        let unsendable = |what: &str, why: String| TransportError::Unsendable(format!("{what}: {why}"));
        let method = Method::from_bytes(outgoing.method.as_bytes())
            .map_err(|error| unsendable("method", error.to_string()))?;
        // always `http` for awc: TLS is the dialer's affair, and one pool is enough for one target
        let authority = self.target.authority();
        let uri = Uri::builder().scheme("http").authority(authority.as_str()).path_and_query(outgoing.path);
        let uri = uri.build().map_err(|error| unsendable("path", error.to_string()))?;
        let mut request = self
            .client
            .request(method, uri)
            .no_decompress()
            .insert_header(("host", authority))
            .insert_header(("accept-encoding", "gzip"));
        for (name, value) in outgoing.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_bytes(value);
            match (name, value) {
                (Ok(name), Ok(value)) => request.headers_mut().append(name, value),
                _ => return Err(TransportError::Unsendable("a header is malformed".into())),
            }
        }
        Ok(request)
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").field("target", &self.target).finish_non_exhaustive()
    }
}
