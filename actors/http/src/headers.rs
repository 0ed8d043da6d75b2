//! Header fields as a caller may set them.

use crate::error::RequestError;

/// The most bytes of all headers of a request together.
pub(crate) const HEADERS_MAX: usize = 32 * 1024;

/// Fields that describe the connection or the framing; they are the transport's alone.
const RESERVED: [&str; 15] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "accept-encoding",
    "http2-settings",
    "content-encoding",
];

/// Fields that prove who is calling: never in plain text over a network, never in a log.
const CREDENTIALS: [&str; 6] =
    ["authorization", "cookie", "x-api-key", "api-key", "x-auth-token", "x-access-token"];

/// Checks a header and returns its name in lower case.
///
/// # Errors
/// [`RequestError::Header`] for a name that is no token or belongs to the transport, and for a value with
/// CR, LF, NUL or another control character.
pub(crate) fn check(name: &str, value: &str) -> Result<String, RequestError> {
    let refuse = |why| Err(RequestError::Header { name: printable(name), why });
    if name.is_empty() || !name.bytes().all(is_token) {
        return refuse("the name is no token");
    }
    let name = name.to_ascii_lowercase();
    if RESERVED.contains(&name.as_str()) {
        return refuse("it belongs to the transport");
    }
    if value.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
        return refuse("the value holds a control character");
    }
    if value.len() > HEADERS_MAX {
        return refuse("the value is longer than 32 KiB");
    }
    Ok(name)
}

/// Says whether a header (in lower case) proves who is calling.
pub(crate) fn is_credential(name: &str) -> bool {
    CREDENTIALS.contains(&name)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn printable(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn injection_and_reserved_fields_are_refused() {
        for (name, value) in [
            ("x", "a\r\nHost: evil"),
            ("x", "a\nb"),
            ("x", "a\rb"),
            ("x", "a\0b"),
            ("x", "\u{7f}"),
            ("x\r\ny", "a"),
            ("x:", "a"),
            ("x y", "a"),
            ("", "a"),
            ("\u{e9}", "a"),
            ("Host", "evil"),
            ("CONTENT-LENGTH", "5"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "close"),
            ("Keep-Alive", "1"),
            ("TE", "trailers"),
            ("Trailer", "x"),
            ("Upgrade", "websocket"),
            ("Expect", "100-continue"),
            ("Proxy-Authorization", "x"),
            ("Accept-Encoding", "br"),
        ] {
            assert!(check(name, value).is_err(), "{name:?}: {value:?}");
        }
    }

    #[test]
    fn ordinary_fields_pass_in_lower_case() {
        assert_eq!(check("X-Request-Id", "a\tb \u{e9}").unwrap(), "x-request-id");
        assert_eq!(check("Authorization", "Bearer x").unwrap(), "authorization");
    }
}
