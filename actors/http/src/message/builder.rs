//! Builders, one per method: what a method cannot have, its builder does not offer.

use std::{fmt, marker::PhantomData};

use backstop_core::message::Class;
use bytes::Bytes;
use serde::Serialize;
use url::form_urlencoded;

use super::{Method, Request};
use crate::{error::RequestError, headers, path};

/// Builds a GET request.
pub type Get = RequestBuilder<verb::Get>;
/// Builds a HEAD request.
pub type Head = RequestBuilder<verb::Head>;
/// Builds a PUT request.
pub type Put = RequestBuilder<verb::Put>;
/// Builds a DELETE request.
pub type Delete = RequestBuilder<verb::Delete>;
/// Builds a POST request.
pub type Post = RequestBuilder<verb::Post>;
/// Builds a PATCH request.
pub type Patch = RequestBuilder<verb::Patch>;

/// The method of a builder.
pub trait Verb {
    /// Its value.
    const METHOD: Method;
}

/// The methods whose requests carry a body.
pub trait CarriesBody: Verb {}

/// One type per method, for [`RequestBuilder`].
pub mod verb {
    use super::{CarriesBody, Method, Verb};

    macro_rules! verbs {
        ($($(#[$body:ident])? $name:ident),*) => {$(
            #[doc = concat!("The method ", stringify!($name), ".")]
            #[derive(Clone, Copy, Debug)]
            pub enum $name {}
            impl Verb for $name {
                const METHOD: Method = Method::$name;
            }
            $(impl $body for $name {})?
        )*};
    }
    verbs!(
        Get,
        Head,
        #[CarriesBody]
        Put,
        Delete,
        #[CarriesBody]
        Post,
        #[CarriesBody]
        Patch
    );
}

/// A request in the making; an error is kept until [`Self::build`].
pub struct RequestBuilder<V> {
    parts: Parts,
    verb: PhantomData<V>,
}

/// What a request is made of, before it is checked.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Bytes>,
    pub(crate) expect: Vec<u16>,
    pub(crate) class: Option<Class>,
    pub(crate) keyed: bool,
    pub(crate) error: Option<RequestError>,
}

impl<V: Verb> RequestBuilder<V> {
    /// Names a path below the base address, with or without a leading slash; never a URL.
    ///
    /// `%41` stays as it is; other characters are encoded where needed. Text from outside belongs into
    /// [`Self::query`] or must be encoded first, because a slash in it is a slash of the path.
    pub fn new(path: impl Into<String>) -> Self {
        Self { parts: Parts { path: path.into(), ..Parts::default() }, verb: PhantomData }
    }

    /// Adds a query parameter, encoded; names may repeat.
    #[must_use]
    pub fn query(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.parts.query.push((name.into(), value.to_string()));
        self
    }

    /// Adds a header, in place of one of the same name in the options; names may repeat.
    ///
    /// Host, framing, hop-by-hop fields and `Accept-Encoding` are not the caller's.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parts.headers.push((name.into(), value.into()));
        self
    }

    /// Also takes these 4xx statuses for a reply.
    #[must_use]
    pub fn expect_status(mut self, statuses: &[u16]) -> Self {
        self.parts.expect.extend_from_slice(statuses);
        self
    }

    /// Says what may be repeated after a failure, in place of what follows from the method.
    #[must_use]
    pub fn class(mut self, class: Class) -> Self {
        self.parts.class = Some(class);
        self
    }

    /// Checks everything and makes the request.
    ///
    /// # Errors
    /// [`RequestError`] for the path, a header, an expected status, or a body that is no JSON.
    pub fn build(self) -> Result<Request, RequestError> {
        self.parts.build(V::METHOD)
    }
}

impl<V: CarriesBody> RequestBuilder<V> {
    /// Sets the body to `value` as JSON.
    #[must_use]
    pub fn json(mut self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.bytes("application/json", body),
            Err(error) => {
                self.parts.error.get_or_insert(RequestError::Json(error.to_string()));
                self
            }
        }
    }

    /// Sets the body to plain text.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.bytes("text/plain; charset=utf-8", text.into())
    }

    /// Sets the body and its media type.
    #[must_use]
    pub fn bytes(mut self, media_type: &str, body: impl Into<Bytes>) -> Self {
        self.parts.set_body(media_type, body.into());
        self
    }

    /// Sends an `Idempotency-Key`, by which the server recognises a repetition: the class is then keyed.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.parts.set_key(key.into());
        self
    }
}

impl Parts {
    pub(crate) fn set_body(&mut self, media_type: &str, body: Bytes) {
        self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
        self.headers.push(("content-type".into(), media_type.into()));
        self.body = Some(body);
    }

    pub(crate) fn set_key(&mut self, key: String) {
        if key.is_empty() {
            let error = RequestError::Header { name: "idempotency-key".into(), why: "the key is empty" };
            self.error.get_or_insert(error);
        }
        self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("idempotency-key"));
        self.headers.push(("idempotency-key".into(), key));
        self.keyed = true;
    }

    pub(crate) fn build(self, method: Method) -> Result<Request, RequestError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if self.body.is_some() && !method.carries_body() {
            return Err(RequestError::Body(method.as_str()));
        }
        if let Some(status) = self.expect.iter().find(|status| !(400..=499).contains(*status)) {
            return Err(RequestError::ExpectedStatus(*status));
        }
        let path = path::normalize(&self.path)?;
        let headers = check_headers(self.headers)?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.query);
        let by_method =
            if self.keyed && method.class() == Class::Unsafe { Class::Keyed } else { method.class() };
        Ok(Request {
            method,
            path,
            query: query.finish(),
            headers,
            body: self.body,
            expect: self.expect,
            class: self.class.unwrap_or(by_method),
        })
    }
}

fn check_headers(headers: Vec<(String, String)>) -> Result<Vec<(String, String)>, RequestError> {
    let size: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    if size > headers::HEADERS_MAX {
        return Err(RequestError::TooLarge { what: "headers", limit: headers::HEADERS_MAX });
    }
    headers.into_iter().map(|(name, value)| Ok((headers::check(&name, &value)?, value))).collect()
}

impl<V: Verb> fmt::Debug for RequestBuilder<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBuilder")
            .field("method", &V::METHOD)
            .field("path", &self.parts.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_follows_the_method_the_key_and_the_caller() {
        assert_eq!(Get::new("a").build().unwrap().class, Class::Read);
        assert_eq!(Head::new("a").build().unwrap().class, Class::Read);
        assert_eq!(Put::new("a").build().unwrap().class, Class::Idempotent);
        assert_eq!(Delete::new("a").build().unwrap().class, Class::Idempotent);
        assert_eq!(Post::new("a").build().unwrap().class, Class::Unsafe);
        assert_eq!(Patch::new("a").build().unwrap().class, Class::Unsafe);
        assert_eq!(Post::new("a").idempotency_key("k").build().unwrap().class, Class::Keyed);
        assert_eq!(Put::new("a").idempotency_key("k").build().unwrap().class, Class::Idempotent);
        assert_eq!(Post::new("search").class(Class::Read).build().unwrap().class, Class::Read);
    }

    #[test]
    fn what_cannot_be_sent_is_refused_when_it_is_built() {
        assert!(matches!(Get::new("../a").build(), Err(RequestError::Path { .. })));
        assert!(matches!(Get::new("a").header("Host", "b").build(), Err(RequestError::Header { .. })));
        assert!(matches!(Get::new("a").header("x", "1\r\ny: 2").build(), Err(RequestError::Header { .. })));
        for status in [99, 101, 200, 301, 399, 500, 503, 600] {
            let refused = Get::new("a").expect_status(&[status]).build();
            assert_eq!(refused.unwrap_err(), RequestError::ExpectedStatus(status));
        }
        let map: std::collections::HashMap<Vec<u8>, u8> = [(vec![1], 1)].into();
        assert!(matches!(Post::new("a").json(&map).build(), Err(RequestError::Json(_))));
        assert!(Post::new("a").idempotency_key("").build().is_err());
        assert!(Post::new("a").idempotency_key("k\r\nx: y").build().is_err());
    }

    #[test]
    fn the_query_cannot_leave_its_place() {
        let request = Get::new("a").query("q", "x&y=z#\r\n ü").query("n", 7).build().unwrap();
        assert_eq!(request.query, "q=x%26y%3Dz%23%0D%0A+%C3%BC&n=7");
    }

    #[test]
    fn debug_shows_no_value_that_may_be_secret() {
        let request =
            Post::new("a").header("authorization", "Bearer canary").query("key", "canary").text("canary");
        assert!(!format!("{:?} {:?}", request.build().unwrap(), Get::new("b")).contains("canary"));
    }
}
