//! What can be asked of an HTTP API: one [`Request`], made by a builder per method.
//!
//! | Method | Class, unless set |
//! |---|---|
//! | GET, HEAD | read |
//! | PUT, DELETE | idempotent |
//! | POST, PATCH | unsafe; keyed with an idempotency key |
//!
//! A response with 2xx or 3xx is the reply; redirects are not followed. A 4xx is a failure unless it is
//! named by [`RequestBuilder::expect_status`]; a 5xx always is one. The table is in [`crate::error`].

mod builder;
mod response;

use std::{fmt, marker::PhantomData};

use backstop_core::message::{Class, Message};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(crate) use self::builder::Parts;
pub use self::{
    builder::{CarriesBody, Delete, Get, Head, Patch, Post, Put, RequestBuilder, Verb, verb},
    response::Response,
};
use crate::error::RequestError;

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Reads the headers alone.
    Head,
    /// Puts a whole thing in its place.
    Put,
    /// Removes.
    Delete,
    /// Does something, once more each time.
    Post,
    /// Changes a part.
    Patch,
}

impl Method {
    /// Returns the method as it stands on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Post => "POST",
            Self::Patch => "PATCH",
        }
    }

    /// Reads a method, in any case.
    ///
    /// # Errors
    /// [`RequestError::Method`] for any other.
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        let all = [Self::Get, Self::Head, Self::Put, Self::Delete, Self::Post, Self::Patch];
        let known = all.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(text));
        known.ok_or_else(|| RequestError::Method(text.chars().take(32).collect()))
    }

    /// Says whether requests of this method change nothing.
    #[must_use]
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }

    pub(crate) fn carries_body(self) -> bool {
        matches!(self, Self::Put | Self::Post | Self::Patch)
    }

    pub(crate) fn class(self) -> Class {
        match self {
            Self::Get | Self::Head => Class::Read,
            Self::Put | Self::Delete => Class::Idempotent,
            Self::Post | Self::Patch => Class::Unsafe,
        }
    }
}

/// A request below the base address of the backend; built by [`Get`], [`Post`] and their kin.
#[derive(Clone)]
pub struct Request {
    pub(crate) method: Method,
    /// Checked and encoded, without a leading slash.
    pub(crate) path: String,
    /// Encoded, without the question mark.
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Bytes>,
    pub(crate) expect: Vec<u16>,
    pub(crate) class: Class,
}

impl Request {
    /// Returns the method.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// Returns the path below the base address, encoded, without a leading slash.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Asks for the body of the response as JSON of type `T` in place of the response itself.
    #[must_use]
    pub fn into_json<T>(self) -> Json<T> {
        Json { request: self, reply: PhantomData }
    }
}

impl Message for Request {
    type Reply = Response;
    const NAME: &'static str = "request";

    fn class(&self) -> Class {
        self.class
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // neither query nor header values: both may hold secrets
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &names)
            .field("body", &self.body.as_ref().map(Bytes::len))
            .field("class", &self.class)
            .finish_non_exhaustive()
    }
}

/// A request whose reply is the body of the response, read as JSON of type `T`.
///
/// A body that is no such JSON is a failure of kind `decode`; after a write that was answered with 2xx it
/// says `executed: yes`.
pub struct Json<T> {
    pub(crate) request: Request,
    reply: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + Send + 'static> Message for Json<T> {
    type Reply = T;
    const NAME: &'static str = "request_json";

    fn class(&self) -> Class {
        self.request.class
    }
}

impl<T> Clone for Json<T> {
    fn clone(&self) -> Self {
        self.request.clone().into_json()
    }
}

impl<T> fmt::Debug for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Json").field(&self.request).finish()
    }
}
