//! `Retry-After`: seconds or a date.

use std::time::{Duration, SystemTime};

/// Longer hints are taken for mistakes.
const MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads the header; `None` for what is malformed, negative, past, or longer than a day.
///
/// Source: RFC 9110 §10.2.3.
pub(crate) fn parse(value: &[u8], now: SystemTime) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let after = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(text.parse().ok()?)
    } else {
        httpdate::parse_http_date(text).ok()?.duration_since(now).ok()?
    };
    (after <= MAX).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_nonsense_is_not() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let table = [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("86400", Some(86_400)),
            ("86401", None),
            ("99999999999999999999999", None),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sunday, 06-Nov-94 08:49:47 GMT", Some(10)),
            ("Sun Nov  6 08:49:47 1994", Some(10)),
            ("Sun, 06 Nov 1994 08:49:27 GMT", None),
            ("Sun, 06 Nov 2094 08:49:37 GMT", None),
        ];
        for (text, seconds) in table {
            assert_eq!(parse(text.as_bytes(), now), seconds.map(Duration::from_secs), "{text:?}");
        }
        assert_eq!(parse(b"\xff", now), None);
    }
}
