//! Every way a request can fail, and what each says.
//!
//! Before an answer (the code is in [`Failure::code`](backstop_core::error::Failure::code)):
//!
//! | What happened | Kind | Code | Phase | Executed | Transient | Breaker |
//! |---|---|---|---|---|---|---|
//! | path, header or size refused by us | refused | `invalid_request` | admission | no | no | not counted |
//! | name not resolved | unavailable | `dns` | connect | no | yes | failure |
//! | connection refused | unavailable | `connect` | connect | no | yes | failure |
//! | TLS handshake failed | unavailable | `tls` | connect | no | no | failure |
//! | connection not ready in time | timeout | `connect_timeout` | connect | no | yes | failure |
//! | ended before a byte of the request left | unavailable | `disconnected` | execute | no | yes | failure, not counted when reused |
//! | ended after that | lost | `disconnected` | execute | unknown | yes | failure, not counted when reused |
//! | no head in time | timeout | `first_byte_timeout` | execute | unknown | yes | failure |
//! | malformed head | protocol | `malformed` | execute | unknown | no | failure |
//! | head over 64 KiB or 96 headers | too large | `head_too_large` | execute | unknown | no | success |
//!
//! Between head and end of body, where `executed` is `yes` for a write that was answered with 2xx and
//! `unknown` otherwise (a read has nothing to have been done, so it may be repeated):
//!
//! | What happened | Kind | Code | Phase | Transient | Breaker |
//! |---|---|---|---|---|---|
//! | body cut, by length, chunks or gzip | lost | `truncated` | decode | yes | failure |
//! | malformed chunks, or a head that hides the body | protocol | `malformed` | decode | no | failure |
//! | nothing of the body for too long | timeout | `body_idle_timeout` | decode | yes | failure |
//! | body over the limit, before or after decoding | too large | `body_too_large` | decode | no | success |
//! | body inflates more than 100 times above 1 MiB | too large | `inflation` | decode | no | success |
//! | a coding that was not asked for, damaged gzip | protocol | `encoding` | decode | no | failure |
//! | no JSON of the wanted type | decode | `decode` | decode | no | success |
//!
//! By status, unless the status is expected (see [`crate::message`]); the code is the status:
//!
//! | Status | Kind | Executed | Transient | Breaker |
//! |---|---|---|---|---|
//! | 2xx, 3xx, and an expected 4xx | no failure: the response is returned | | | |
//! | 401 | auth | no | no | success |
//! | 408, 425 | overloaded | no | yes | overload |
//! | 409, 412 | conflict | no | no | success |
//! | 429 | overloaded, with the hint | no | yes | overload |
//! | other 4xx | refused | no | no | success |
//! | 501, 505 | server | no | no | failure |
//! | 503 with a valid `Retry-After` | overloaded, with the hint | no | yes | overload |
//! | other 5xx | server | unknown | yes | failure |
//!
//! `Retry-After` is read as seconds or as a date; what is negative, past, malformed or longer than a day is
//! ignored. A 401 counts as a success of the backend, because one caller's bad token must not shut out the
//! others.

pub(crate) use crate::status::refusal;

/// A request that cannot be sent; found when it is built, before anything runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The path could lead away from the base address, or is malformed.
    #[error("path {path:?} is refused: {why}")]
    Path {
        /// The start of the path.
        path: String,
        /// What is wrong, and what would be right.
        why: &'static str,
    },
    /// A header is malformed or not the caller's to set.
    #[error("header `{name}` is refused: {why}")]
    Header {
        /// The name of the header; its value may be secret.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The method is none of GET, HEAD, PUT, DELETE, POST, PATCH.
    #[error("method {0:?} is not known; there are GET, HEAD, PUT, DELETE, POST, PATCH")]
    Method(String),
    /// An expected status that cannot be expected.
    #[error(
        "status {0} cannot be expected: 2xx and 3xx always pass, 5xx and 1xx are failures; name 4xx ones"
    )]
    ExpectedStatus(u16),
    /// The body cannot be written as JSON.
    #[error("the body cannot be written as JSON: {0}")]
    Json(String),
    /// GET, HEAD and DELETE carry no body here.
    #[error("a {0} request carries no body")]
    Body(&'static str),
    /// The request is larger than a limit.
    #[error("the {what} of the request is larger than {limit} bytes")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// The header proves who is calling and would travel in plain text.
    #[error("header `{0}` would travel in plain text to another machine; use https")]
    PlainTextCredential(String),
    /// The header is set by the configuration and is a credential, so a request cannot replace it.
    #[error("header `{0}` is a credential of the configuration; a request cannot replace it")]
    ConfiguredCredential(String),
}
