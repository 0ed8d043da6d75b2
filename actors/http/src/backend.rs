//! The backend: one client per lane, one bound over all lanes, one send per call.
//!
//! Nothing is sent twice here; repeating is the guard's affair.
//!
//! Connections belong to a lane and are reused there. An idle one is closed by a task of the lane after
//! [`HttpOptions::keep_alive`], at once when bytes come that nobody asked for, and when another lane needs
//! its place under [`HttpOptions::max_connections`]; none is used again 75 s after it was opened.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use backstop_core::{
    backend::{Backend, Serve},
    call::{CallContext, Deadline},
    error::{Executed, Failure, FailureKind, Phase},
    message::Class,
    outcome::Outcome,
    snapshot::PoolSnapshot,
};
use backstop_transport::{BodyLimits, Incoming, Outgoing, Transport, TransportError};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{
    error::{RequestError, refusal},
    headers,
    message::{Json, Request, Response},
    options::{HttpOptions, HttpShared},
    path, retry_after, status,
};

/// How much of the body of a failure is read, only to be able to use the connection again.
const DISCARD_MAX: usize = 64 * 1024;

/// How long that may take.
const DISCARD_PATIENCE: Duration = Duration::from_millis(100);

/// The most bytes of path and query together.
const TARGET_MAX: usize = 32 * 1024;

/// An instance of an HTTP backend; made by [`HttpOptions`].
pub struct Http {
    transport: Transport,
    options: HttpOptions,
    /// The path of the base address, with a slash at both ends.
    base_path: String,
    /// The default headers, checked, names in lower case.
    defaults: Vec<(String, String)>,
    limits: BodyLimits,
}

impl Http {
    pub(crate) fn new(options: HttpOptions, shared: &HttpShared) -> Self {
        let transport = Transport::new(shared.target.clone(), options.timeouts(), Arc::clone(&shared.cap));
        let base_path = format!("{}/", options.base_url.path().trim_end_matches('/'));
        let defaults = options.default_headers.iter();
        let defaults = defaults.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        let limits = BodyLimits {
            max_bytes: options.max_response_bytes,
            idle: options.body_idle_timeout,
            ..BodyLimits::default()
        };
        Self { transport, options, base_path, defaults, limits }
    }

    /// Sends one request and reads the whole answer.
    async fn exchange(&self, request: &Request, call: &CallContext) -> Result<Response, Failure> {
        let incoming = self.send(request, call).await?;
        let (method, status) = (request.method, incoming.status());
        let hint = incoming.header("retry-after");
        let hint = hint.and_then(|value| retry_after::parse(value, SystemTime::now()));
        if let Some(failure) = refusal(method.as_str(), status, &request.expect, hint) {
            incoming.discard(DISCARD_MAX, DISCARD_PATIENCE).await;
            return Err(failure);
        }
        let proof = status::proof(request.class, status);
        let answer = incoming.read(self.limits).await.map_err(|error| error.into_failure(Some(proof)))?;
        Ok(Response::from_answer(answer))
    }

    async fn send(&self, request: &Request, call: &CallContext) -> Result<Incoming, Failure> {
        let target = self.admit(request).map_err(refused)?;
        let headers = self.merge(&request.headers);
        // a write without a body says so, because some servers wait for one otherwise (RFC 9110 §8.6)
        let nothing = Bytes::new();
        let body = request.body.as_ref().or(request.method.carries_body().then_some(&nothing));
        let outgoing = Outgoing { method: request.method.as_str(), path: &target, headers: &headers, body };
        self.transport.send(outgoing, call).await.map_err(|error: TransportError| error.into_failure(None))
    }

    /// Checks once more what the builder has checked, and what only this backend knows; returns path and
    /// query for the wire.
    fn admit(&self, request: &Request) -> Result<String, RequestError> {
        // the slash keeps a colon in the first segment from looking like a scheme
        let relative = path::normalize(&format!("/{}", request.path))?;
        // without a path the base address is meant as it stands, with or without a slash at its end
        let base = if relative.is_empty() { self.options.base_url.path() } else { &self.base_path };
        let mut target = format!("{base}{relative}");
        if !request.query.is_empty() {
            target.push('?');
            target.push_str(&request.query);
        }
        if target.len() > TARGET_MAX {
            return Err(RequestError::TooLarge { what: "path and query", limit: TARGET_MAX });
        }
        if request.body.as_ref().is_some_and(|body| body.len() > self.options.max_request_bytes) {
            return Err(RequestError::TooLarge { what: "body", limit: self.options.max_request_bytes });
        }
        for (name, value) in &request.headers {
            headers::check(name, value)?;
            self.admit_header(name)?;
        }
        self.stays_below_base(&target)?;
        Ok(target)
    }

    fn admit_header(&self, name: &str) -> Result<(), RequestError> {
        if headers::is_credential(name) {
            let target = self.transport.target();
            if !target.is_encrypted() && !target.is_loopback() {
                return Err(RequestError::PlainTextCredential(name.to_owned()));
            }
            if self.defaults.iter().any(|(known, _)| known == name) {
                return Err(RequestError::ConfiguredCredential(name.to_owned()));
            }
        }
        let ours = matches!(name, "content-type" | "idempotency-key");
        match &self.options.allowed_headers {
            Some(allowed) if !ours && !allowed.iter().any(|known| known.eq_ignore_ascii_case(name)) => {
                Err(RequestError::Header { name: name.to_owned(), why: "it is not among `allowed_headers`" })
            }
            _ => Ok(()),
        }
    }

    /// A second opinion, by another parser: joined to the base address, the target must stay below it.
    fn stays_below_base(&self, target: &str) -> Result<(), RequestError> {
        let base = &self.options.base_url;
        let joined = base.join(target).ok();
        let stays = joined.is_some_and(|url| {
            url.origin() == base.origin()
                && url.username().is_empty()
                && format!("{}/", url.path()).starts_with(&self.base_path)
        });
        if stays {
            return Ok(());
        }
        let path = target.chars().take(64).collect();
        Err(RequestError::Path { path, why: "it leaves the base address" })
    }

    /// The default headers that the request does not replace, then its own.
    fn merge<'a>(&'a self, own: &'a [(String, String)]) -> Vec<(&'a str, &'a [u8])> {
        let defaults = self.defaults.iter().filter(|(name, _)| !own.iter().any(|(other, _)| other == name));
        defaults.chain(own).map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // not the default headers: they may hold secrets
        f.debug_struct("Http").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A request that this backend will not send; it says nothing about the server.
fn refused(error: RequestError) -> Failure {
    Failure::refused(error.to_string())
        .in_phase(Phase::Admission)
        .executed_is(Executed::No)
        .counts_as(Outcome::NotCounted)
        .with_code("invalid_request")
        .caused_by(error)
}

impl Backend for Http {
    const KIND: &'static str = "http";
    // awc closes an idle TLS connection in a local task of its own
    const POLLS_AT_ONCE: bool = false;

    /// Sends HEAD to the probe path: any answer below 500 is a sign of life, a redirect and a 404 too.
    async fn probe(&self, call: &CallContext) -> Result<(), Failure> {
        let probe = crate::message::Head::new(self.options.probe_path.clone()).build().map_err(refused)?;
        let incoming = self.send(&probe, call).await?;
        let status = incoming.status();
        incoming.discard(DISCARD_MAX, DISCARD_PATIENCE).await;
        if status < 500 {
            return Ok(());
        }
        Err(refusal("HEAD", status, &[], None)
            .unwrap_or_else(|| Failure::new(FailureKind::Server, "the probe failed")))
    }

    async fn close(&self, _: Deadline) {
        self.transport.close_idle();
    }

    fn pool(&self) -> PoolSnapshot {
        self.transport.pool()
    }
}

impl Serve<Request> for Http {
    async fn serve(&self, message: &Request, call: &CallContext) -> Result<Response, Failure> {
        self.exchange(message, call).await
    }
}

impl<T: DeserializeOwned + Send + 'static> Serve<Json<T>> for Http {
    async fn serve(&self, message: &Json<T>, call: &CallContext) -> Result<T, Failure> {
        let response = self.exchange(&message.request, call).await?;
        response.json().map_err(|error| undecodable(message.request.class, &response, error))
    }
}

fn undecodable(class: Class, response: &Response, error: serde_json::Error) -> Failure {
    let status = response.status();
    let message = format!("the body of status {status} is not the JSON that was asked for");
    Failure::new(FailureKind::Decode, message)
        .in_phase(Phase::Decode)
        .executed_is(status::proof(class, status))
        .with_code("decode")
        .caused_by(error)
}
