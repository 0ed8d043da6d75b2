//! Reads the head of a response before awc does, to learn how its body ends.
//!
//! awc 3.11 takes an interim response (103) for the final one, leaves out a body that ends with the
//! connection when the server speaks HTTP/1.1, and waits for a body after 204 and 304 that announce one.
//! So the framing is decided here, by RFC 9112 §6.3, and awc is shown a head that it reads the same way.

/// The most bytes the head of a response may have, interim responses included.
pub(crate) const HEAD_MAX: usize = 64 * 1024;

/// The most headers of a response; awc's own bound is the same.
const HEADERS_MAX: usize = 96;

/// How the body of a response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none: HEAD, 204, 304.
    Empty,
    /// After this many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection; whether it is whole cannot be known.
    Close,
}

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// Not yet a whole head.
    Partial,
    /// An interim response of this many bytes, to be left out.
    Interim(usize),
    /// The head of the answer.
    Final {
        /// Its length in bytes.
        len: usize,
        /// How the body ends.
        framing: Framing,
        /// Whether the server keeps the connection; HTTP/1.0 does so only when it says so.
        persists: bool,
        /// Where to write `0` over the minor version, so that awc reads the body up to the close.
        downgrade_at: Option<usize>,
    },
}

/// Why a head is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeadError {
    /// Too many bytes or headers.
    TooLarge,
    /// It breaks the protocol, or two readers could disagree about where it ends.
    Malformed(&'static str),
}

/// Reads as much of a head as there is; `to_head` says that the request was HEAD.
pub(crate) fn parse(bytes: &[u8], to_head: bool) -> Result<Head, HeadError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => {
            return if bytes.len() >= HEAD_MAX { Err(HeadError::TooLarge) } else { Ok(Head::Partial) };
        }
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
        Err(_) => return Err(HeadError::Malformed("not an HTTP/1 head")),
    };
    let status = response.code.unwrap_or(0);
    match status {
        101 => return Err(HeadError::Malformed("switches to a protocol that was not asked for")),
        100..=199 => return Ok(Head::Interim(len)),
        200..=599 => {}
        _ => return Err(HeadError::Malformed("a status outside 100 to 599")),
    }
    let is_http_11 = response.version == Some(1);
    let framing = framing(response.headers, is_http_11, to_head || matches!(status, 204 | 304))?;
    let downgrade_at = match framing {
        Framing::Close if is_http_11 => bytes.iter().position(|byte| *byte == b'H').map(|start| start + 7),
        _ => None,
    };
    let persists = is_http_11 || response.headers.iter().any(keeps_alive);
    Ok(Head::Final { len, framing, persists, downgrade_at })
}

fn framing(
    headers: &[httparse::Header<'_>],
    is_http_11: bool,
    never_a_body: bool,
) -> Result<Framing, HeadError> {
    let mut length = None;
    let mut chunked = false;
    for header in headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            if length.is_some() {
                return Err(HeadError::Malformed("more than one Content-Length"));
            }
            length = Some(content_length(header.value)?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if chunked || !is_http_11 || !header.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(HeadError::Malformed("a Transfer-Encoding other than one `chunked`"));
            }
            chunked = true;
        }
    }
    match (chunked, length) {
        _ if never_a_body => Ok(Framing::Empty),
        // RFC 9112 §6.1: such a message may be an attempt at smuggling
        (true, Some(_)) => Err(HeadError::Malformed("Content-Length together with Transfer-Encoding")),
        (true, None) => Ok(Framing::Chunked),
        (false, Some(length)) => Ok(Framing::Length(length)),
        (false, None) => Ok(Framing::Close),
    }
}

fn keeps_alive(header: &httparse::Header<'_>) -> bool {
    let mut options = header.value.split(|byte| *byte == b',');
    header.name.eq_ignore_ascii_case("connection")
        && options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"keep-alive"))
}

fn content_length(value: &[u8]) -> Result<u64, HeadError> {
    let digits = value.trim_ascii();
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    text.and_then(|text| text.parse().ok()).ok_or(HeadError::Malformed("a Content-Length that is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing_of(head: &str, to_head: bool) -> Result<Framing, HeadError> {
        match parse(head.as_bytes(), to_head)? {
            Head::Final { framing, .. } => Ok(framing),
            other => panic!("not final: {other:?}"),
        }
    }

    #[test]
    fn framing_follows_rfc_9112() {
        let table = [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Framing::Length(5)),
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Framing::Length(0)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", Framing::Chunked),
            ("HTTP/1.1 200 OK\r\n\r\n", Framing::Close),
            ("HTTP/1.0 200 OK\r\n\r\n", Framing::Close),
            ("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", Framing::Empty),
            ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", Framing::Empty),
        ];
        for (head, expected) in table {
            assert_eq!(framing_of(head, false), Ok(expected), "{head}");
            assert_eq!(framing_of(head, true), Ok(Framing::Empty), "HEAD {head}");
        }
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for headers in [
            "content-length: 5\r\ncontent-length: 5",
            "content-length: +5",
            "content-length: -1",
            "content-length: 5, 5",
            "content-length: 99999999999999999999",
            "content-length:",
            "transfer-encoding: gzip, chunked",
            "transfer-encoding: identity",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
            "transfer-encoding: chunked\r\ncontent-length: 5",
        ] {
            let head = format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n");
            assert!(matches!(framing_of(&head, false), Err(HeadError::Malformed(_))), "{headers}");
        }
        let old = "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(matches!(framing_of(old, false), Err(HeadError::Malformed(_))));
    }

    #[test]
    fn interim_responses_are_left_out_and_upgrades_refused() {
        assert_eq!(parse(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP", false), Ok(Head::Interim(28)));
        assert!(parse(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", false).is_err());
        assert!(parse(b"HTTP/1.1 999 Odd\r\n\r\n", false).is_err());
    }

    #[test]
    fn the_minor_version_is_found_behind_empty_lines() {
        let bytes = b"\r\nHTTP/1.1 200 OK\r\n\r\n";
        let Ok(Head::Final { downgrade_at: Some(at), .. }) = parse(bytes, false) else { panic!() };
        assert_eq!(&bytes[at - 2..at + 2], b"1.1 ");
    }
}
