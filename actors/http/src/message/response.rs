//! An answer as callers see it: our own types, whatever client is underneath.

use std::fmt;

use backstop_transport::Answer;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::{Serialize, Serializer, de::DeserializeOwned, ser::SerializeMap};

/// A whole answer; the body is never a part of what the server sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(String, Bytes)>,
    body: Bytes,
    close_delimited: bool,
}

impl Response {
    pub(crate) fn from_answer(answer: Answer) -> Self {
        let Answer { status, headers, body, close_delimited } = answer;
        Self { status, headers, body, close_delimited }
    }

    /// Returns the status, 200 to 499.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the first value of a header as text; names in any case, `None` for what is no UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// Returns all headers, names in lower case; `Content-Length` and `Content-Encoding` describe the wire.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), &**value))
    }

    /// Returns the media type without its parameters, in lower case.
    #[must_use]
    pub fn media_type(&self) -> Option<String> {
        let value = self.header("content-type")?;
        let media_type = value.split(';').next().unwrap_or_default().trim();
        (!media_type.is_empty()).then(|| media_type.to_ascii_lowercase())
    }

    /// Returns the decoded body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns the body without copying it.
    #[must_use]
    pub fn into_body(self) -> Bytes {
        self.body
    }

    /// Reads the body as UTF-8.
    ///
    /// # Errors
    /// [`std::str::Utf8Error`] says where it is none.
    pub fn text(&self) -> Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(&self.body)
    }

    /// Reads the body as JSON, at most 128 levels deep.
    ///
    /// # Errors
    /// [`serde_json::Error`] when it is no JSON of this type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// Says whether the body ended with the connection alone, so that nobody can tell whether it is whole.
    #[must_use]
    pub fn is_close_delimited(&self) -> bool {
        self.close_delimited
    }

    fn is_json(&self) -> bool {
        self.media_type()
            .is_some_and(|media_type| media_type == "application/json" || media_type.ends_with("+json"))
    }

    fn is_text(&self) -> bool {
        self.media_type().is_none_or(|media_type| {
            media_type.starts_with("text/")
                || media_type.ends_with("+xml")
                || matches!(media_type.as_str(), "application/xml" | "application/x-www-form-urlencoded")
                || media_type.ends_with("json")
        })
    }
}

/// The wire form: `status`, `headers`, `media_type`, `close_delimited`, and the body as `body` (JSON passes
/// through, text is a string) or as `body_base64`. JSON numbers keep the precision of `serde_json`.
impl Serialize for Response {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry("status", &self.status)?;
        map.serialize_entry("headers", &HeaderMap(&self.headers))?;
        map.serialize_entry("media_type", &self.media_type())?;
        map.serialize_entry("close_delimited", &self.close_delimited)?;
        let json = if self.is_json() { self.json::<serde_json::Value>().ok() } else { None };
        match (json, self.text()) {
            (Some(value), _) => map.serialize_entry("body", &value)?,
            (None, Ok(text)) if self.is_text() => map.serialize_entry("body", text)?,
            _ => map.serialize_entry("body_base64", &BASE64_STANDARD.encode(&self.body))?,
        }
        map.end()
    }
}

/// Headers as an object; a name that occurs more than once has a list, a value that is no UTF-8 is lossy.
struct HeaderMap<'a>(&'a [(String, Bytes)]);

impl Serialize for HeaderMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (index, (name, _)) in self.0.iter().enumerate() {
            if self.0[..index].iter().any(|(earlier, _)| earlier == name) {
                continue;
            }
            let same = self.0.iter().filter(|(other, _)| other == name);
            let values: Vec<_> = same.map(|(_, value)| String::from_utf8_lossy(value)).collect();
            match values.as_slice() {
                [value] => map.serialize_entry(name, value)?,
                values => map.serialize_entry(name, values)?,
            }
        }
        map.end()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("media_type", &self.media_type())
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}
