//! Paths below the base address: checked so that no spelling of one leads anywhere else.

use crate::error::RequestError;

/// The most bytes of a path.
const PATH_MAX: usize = 8 * 1024;

/// How often a path is decoded to look for dots behind several layers of encoding.
const LAYERS: usize = 3;

/// Checks a path and writes it for the wire: without a leading slash, percent-encoded where needed.
///
/// What stands as `%41` is left as it is; a space, a quote or a letter outside ASCII is encoded.
///
/// # Errors
/// [`RequestError::Path`] for a URL or anything that could be read as one, for a step out of the base path
/// in any spelling, for a query or a fragment, a backslash, a control character, or damaged encoding.
pub(crate) fn normalize(path: &str) -> Result<String, RequestError> {
    let refuse = |why: &'static str| Err(RequestError::Path { path: shorten(path), why });
    if path.len() > PATH_MAX {
        return refuse("it is longer than 8 KiB");
    }
    if path.starts_with("//") {
        return refuse("it starts with `//`, which names a host");
    }
    let relative = path.strip_prefix('/').unwrap_or(path);
    if !path.starts_with('/') && first_segment(relative).contains(':') {
        return refuse("it looks like a URL; name a path below the base address");
    }
    if path.contains("://") {
        return refuse("it holds a URL; encode it, or put it into the query with `query`");
    }
    if path.contains(['?', '#']) {
        return refuse("it holds `?` or `#`; use `query` for parameters, or encode the character");
    }
    let mut layer = relative.as_bytes().to_vec();
    for _ in 0..LAYERS {
        if let Some(why) = danger(&layer) {
            return refuse(why);
        }
        let Some(decoded) = decode(&layer) else { return refuse("it holds a `%` that starts no escape") };
        if decoded == layer {
            return Ok(encode(relative));
        }
        layer = decoded;
        // one layer of `%` is all that is meant; what is left in deeper ones need not be well formed
        if decode(&layer).is_none() {
            return if let Some(why) = danger(&layer) { refuse(why) } else { Ok(encode(relative)) };
        }
    }
    refuse("it is encoded more than twice")
}

/// Names what is dangerous in one layer of decoding.
fn danger(layer: &[u8]) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(layer) else {
        return Some("it does not decode to UTF-8, which hides overlong dots");
    };
    if text.chars().any(char::is_control) {
        return Some("it holds a control character");
    }
    if text.contains(['\\', '\u{ff3c}', '\u{2216}']) {
        return Some("it holds a backslash, which some servers read as a slash");
    }
    if text.starts_with('/') {
        return Some("it starts with `//`, which names a host");
    }
    let slashes = ['/', '\u{ff0f}', '\u{2215}', '\u{2044}'];
    text.split(slashes).any(is_dots).then_some("it holds `.` or `..` as a segment")
}

/// Says whether some server could take the segment for `.` or `..`: with a parameter behind it, with
/// spaces around it, or written with another dot.
fn is_dots(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        // an empty name is `//` or `/;x/`, which leads nowhere
        return false;
    }
    let dots: usize = name
        .chars()
        .map(|c| match c {
            '.' | '\u{ff0e}' | '\u{2024}' | '\u{fe52}' => 1,
            '\u{2025}' => 2,
            _ => 3,
        })
        .sum();
    dots <= 2
}

fn first_segment(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

/// Decodes one layer; `None` when a `%` is not followed by two hexadecimal digits.
fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        if *byte == b'%' {
            let (high, low) = (hex(*rest.next()?)?, hex(*rest.next()?)?);
            decoded.push(high * 16 + low);
        } else {
            decoded.push(*byte);
        }
    }
    Some(decoded)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Encodes what RFC 3986 does not allow in a path; escapes stay.
fn encode(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn shorten(path: &str) -> String {
    path.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_of_a_path_escapes() {
        for path in [
            "http://evil.example/",
            "https://evil.example",
            "HTTP://evil.example/",
            "file:///etc/passwd",
            "ftp:evil",
            "javascript:alert(1)",
            "evil.example:80/x",
            "//evil.example/x",
            "///evil.example/x",
            "/%2fevil.example/x",
            "%2f%2fevil.example",
            "\\\\evil.example\\x",
            "/\\evil.example",
            "/http://evil.example",
            "..",
            "../admin",
            "/..",
            "/../admin",
            "a/../../admin",
            "a/..",
            ".",
            "./a",
            "a/./b",
            "%2e%2e/admin",
            "%2E%2E/admin",
            ".%2e/admin",
            "%2e./admin",
            "a/%2e%2e%2fadmin",
            "..%2fadmin",
            "..%5cadmin",
            "..\\admin",
            "%252e%252e/admin",
            "%25252e%25252e/admin",
            "a/%252e%252e%252fadmin",
            "..;/admin",
            "..;a=b/admin",
            "%2e%2e%3b/admin",
            ".. /admin",
            "..%20/admin",
            "%c0%ae%c0%ae/admin",
            "%e0%80%ae%e0%80%ae/admin",
            "%u002e%u002e/admin",
            "\u{ff0e}\u{ff0e}/admin",
            "%ef%bc%8e%ef%bc%8e/admin",
            "\u{2025}/admin",
            "..\u{ff0f}admin",
            "a\r\nHost: evil",
            "a%0d%0aHost:%20evil",
            "a%00b",
            "a\0b",
            "a\tb",
            "a?b=c",
            "a#b",
            "a%",
            "a%2",
            "a%zz",
            "%2525252525252525252e",
        ] {
            assert!(normalize(path).is_err(), "{path:?} passed as {:?}", normalize(path));
        }
    }

    #[test]
    fn ordinary_paths_pass_and_are_encoded() {
        for (path, written) in [
            ("", ""),
            ("/", ""),
            ("users/7", "users/7"),
            ("/users/7", "users/7"),
            ("users/7/", "users/7/"),
            ("a..b/...c/..d/e..", "a..b/...c/..d/e.."),
            ("a/.../b", "a/.../b"),
            (".well-known/x", ".well-known/x"),
            ("/projects:search", "projects:search"),
            ("/@scope/pkg", "@scope/pkg"),
            ("group%2Fproject", "group%2Fproject"),
            ("a b", "a%20b"),
            ("caf\u{e9}", "caf%C3%A9"),
            ("100%25", "100%25"),
            ("100%25 of", "100%25%20of"),
            ("a//b", "a//b"),
            ("a;v=1/b", "a;v=1/b"),
            ("x<y>\"z", "x%3Cy%3E%22z"),
        ] {
            assert_eq!(normalize(path).unwrap(), written, "{path:?}");
        }
    }
}
