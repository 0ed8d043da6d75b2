//! The JSON form of requests: `request`, and one operation per method.
//!
//! ```json
//! {"method": "POST", "path": "orders", "query": {"dry_run": true}, "headers": {"x-tenant": "a"},
//!  "json": {"item": 7}, "expect": [409], "idempotency_key": "order-7"}
//! ```
//! A body is one of `json`, `text` and `body_base64`. The class cannot be set from outside: it follows from
//! the method and the key.

use std::collections::BTreeMap;

use backstop_core::operation::{Operation, OperationInfo, Wire, WireError};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    backend::Http,
    message::{Method, Parts, Request},
};

/// Names of the arguments that all operations have.
macro_rules! operation {
    ($name:literal, $summary:literal, read) => {
        OperationInfo {
            name: $name,
            summary: $summary,
            arguments: &["path", "query?", "headers?", "expect?"],
        }
    };
    ($name:literal, $summary:literal, write) => {
        OperationInfo {
            name: $name,
            summary: $summary,
            arguments: &[
                "path",
                "query?",
                "headers?",
                "json?",
                "text?",
                "body_base64?",
                "expect?",
                "idempotency_key?",
            ],
        }
    };
}

impl Wire for Http {
    const OPERATIONS: &'static [OperationInfo] = &[
        OperationInfo {
            name: "request",
            summary: "Sends a request with any method.",
            arguments: &[
                "method",
                "path",
                "query?",
                "headers?",
                "json?",
                "text?",
                "body_base64?",
                "expect?",
                "idempotency_key?",
            ],
        },
        operation!("get", "Reads.", read),
        operation!("head", "Reads the headers alone.", read),
        operation!("delete", "Removes.", read),
        operation!("post", "Does something, once more each time.", write),
        operation!("put", "Puts a whole thing in its place.", write),
        operation!("patch", "Changes a part.", write),
    ];

    fn decode(name: &str, arguments: Value) -> Result<Operation<Self>, WireError> {
        decode_request(name, arguments).map(Operation::new)
    }
}

/// The arguments of an operation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    method: Option<String>,
    path: String,
    #[serde(default)]
    query: BTreeMap<String, Value>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "present")]
    json: Option<Value>,
    text: Option<String>,
    body_base64: Option<String>,
    #[serde(default)]
    expect: Vec<u16>,
    idempotency_key: Option<String>,
}

/// Tells `"json": null`, which is a body, from no `json` at all.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn decode_request(name: &str, arguments: Value) -> Result<Request, WireError> {
    if !Http::OPERATIONS.iter().any(|operation| operation.name == name) {
        return Err(WireError::unknown_operation(name, Http::OPERATIONS));
    }
    let arguments: Arguments =
        serde_json::from_value(arguments).map_err(|error| WireError::new(format!("{name}: {error}")))?;
    let method = match (&arguments.method, name) {
        (Some(method), "request") => method.as_str(),
        (None, "request") => return Err(WireError::new("request: missing field `method`")),
        (Some(_), _) => {
            return Err(WireError::new(format!("{name}: has its own method; use `request` to name one")));
        }
        (None, name) => name,
    };
    let method = Method::parse(method).map_err(|error| WireError::new(format!("{name}: {error}")))?;
    let request = arguments
        .into_parts()
        .and_then(|parts| parts.build(method).map_err(|error| WireError::new(error.to_string())));
    request.map_err(|error| WireError::new(format!("{name}: {error}")))
}

impl Arguments {
    fn into_parts(self) -> Result<Parts, WireError> {
        let mut parts = Parts {
            path: self.path,
            headers: self.headers.into_iter().collect(),
            expect: self.expect,
            ..Parts::default()
        };
        for (name, value) in self.query {
            add_query(&mut parts.query, name, value)?;
        }
        // a media type that the caller names stays
        let named = parts.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let named = named.map(|(_, value)| value.clone());
        let media_type = |default: &str| named.clone().unwrap_or_else(|| default.to_owned());
        match (self.json, self.text, self.body_base64) {
            (None, None, None) => {}
            (Some(json), None, None) => {
                parts.set_body(&media_type("application/json"), json.to_string().into());
            }
            (None, Some(text), None) => {
                parts.set_body(&media_type("text/plain; charset=utf-8"), text.into());
            }
            (None, None, Some(base64)) => {
                let body = BASE64_STANDARD.decode(base64);
                let body = body.map_err(|error| WireError::new(format!("`body_base64`: {error}")))?;
                parts.set_body(&media_type("application/octet-stream"), body.into());
            }
            _ => return Err(WireError::new("give one of `json`, `text` and `body_base64`")),
        }
        if let Some(key) = self.idempotency_key {
            parts.set_key(key);
        }
        Ok(parts)
    }
}

/// A value is a string, a number, a boolean, or a list of these for a name that repeats; null is left out.
fn add_query(query: &mut Vec<(String, String)>, name: String, value: Value) -> Result<(), WireError> {
    match value {
        Value::Null => {}
        Value::String(text) => query.push((name, text)),
        Value::Bool(_) | Value::Number(_) => query.push((name, value.to_string())),
        Value::Array(values) if values.iter().all(|value| !value.is_array()) => {
            for value in values {
                add_query(query, name.clone(), value)?;
            }
        }
        Value::Array(_) | Value::Object(_) => {
            return Err(WireError::new(format!(
                "`query.{name}` must be a string, number, boolean or a list of these"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use backstop_core::message::Class;
    use serde_json::json;

    use super::*;

    #[test]
    fn shorthands_and_the_long_form_make_the_same_request() {
        let arguments =
            json!({"path": "/a", "query": {"n": 1, "l": ["x", true], "z": null}, "json": {"k": 1}});
        let short = decode_request("post", arguments.clone()).unwrap();
        let mut long = arguments;
        long["method"] = json!("post");
        let long = decode_request("request", long).unwrap();
        for request in [short, long] {
            assert_eq!(request.method, Method::Post);
            assert_eq!((request.path.as_str(), request.query.as_str()), ("a", "l=x&l=true&n=1"));
            assert_eq!(request.body.as_deref(), Some(&br#"{"k":1}"#[..]));
            assert_eq!(request.headers, [("content-type".to_owned(), "application/json".to_owned())]);
            assert_eq!(request.class, Class::Unsafe);
        }
    }

    #[test]
    fn bodies_keys_and_expectations_are_read() {
        let request = decode_request("put", json!({"path": "a", "body_base64": "AAE="})).unwrap();
        assert_eq!(request.body.as_deref(), Some(&[0, 1][..]));
        let request =
            decode_request("post", json!({"path": "a", "json": null, "idempotency_key": "k"})).unwrap();
        assert_eq!(request.body.as_deref(), Some(&b"null"[..]));
        assert_eq!(request.class, Class::Keyed);
        let request = decode_request("get", json!({"path": "a", "expect": [404]})).unwrap();
        assert_eq!(request.expect, [404]);
        let typed = json!({"path": "a", "text": "<a/>", "headers": {"Content-Type": "application/xml"}});
        let request = decode_request("post", typed).unwrap();
        assert_eq!(request.headers, [("content-type".to_owned(), "application/xml".to_owned())]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, arguments, says) in [
            ("fetch", json!({}), "there are: request, get"),
            ("get", json!({}), "path"),
            ("get", json!({"path": "a", "url": "http://x"}), "url"),
            ("get", json!({"path": "http://evil.example/"}), "URL"),
            ("get", json!({"path": "../a"}), ".."),
            ("get", json!({"path": "a", "json": 1}), "no body"),
            ("get", json!({"path": "a", "method": "POST"}), "request"),
            ("request", json!({"path": "a"}), "method"),
            ("request", json!({"path": "a", "method": "CONNECT"}), "CONNECT"),
            ("post", json!({"path": "a", "json": 1, "text": "x"}), "one of"),
            ("post", json!({"path": "a", "body_base64": "!"}), "body_base64"),
            ("get", json!({"path": "a", "headers": {"host": "x"}}), "host"),
            ("get", json!({"path": "a", "headers": {"x": "a\r\nb"}}), "control"),
            ("get", json!({"path": "a", "query": {"x": {}}}), "query.x"),
            ("get", json!({"path": "a", "expect": [500]}), "500"),
            ("get", json!({"path": "a", "class": "read"}), "class"),
        ] {
            let error = decode_request(name, arguments).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
