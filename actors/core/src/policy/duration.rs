//! Durations as people write them: `"500ms"`, `"1.5s"`, `"2m"`.
//!
//! For settings, as `#[serde(with = "duration")]` on a `Duration` and `#[serde(with = "duration::option")]`
//! on an `Option<Duration>`.

use std::{fmt, time::Duration};

use serde::{Deserializer, Serializer, de};

use crate::error::ConfigError;

/// The longest duration a setting may hold: ten years of 365 days; longer ones are typing errors.
pub const MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What every message about a bad duration offers instead.
const HINT: &str =
    "write a number and one of the units ns, us, ms, s, m, h, d, such as \"500ms\" or \"1.5s\"";

/// Units by the length of one in nanoseconds, the longest first.
const UNITS: [(&str, u128); 8] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

/// Reads a number and its unit, such as `"250us"` or `"1.5s"`; exact to the nanosecond.
///
/// # Errors
/// A sentence that quotes the text and names the accepted units, for text of another form, for a negative
/// value, for more decimals than nanoseconds can hold, and for more than [`MAX`].
///
/// ```
/// use backstop_core::policy::duration::parse;
/// use std::time::Duration;
///
/// assert_eq!(parse("1.5s"), Ok(Duration::from_millis(1500)));
/// assert!(parse("5").unwrap_err().contains("ms, s, m, h"));
/// ```
pub fn parse(text: &str) -> Result<Duration, String> {
    let trimmed = text.trim();
    if trimmed.starts_with('-') {
        return Err(format!("duration \"{text}\" is negative; {HINT}"));
    }
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let unit = unit.trim_start();
    if number.is_empty() {
        return Err(format!("duration \"{text}\" has no number; {HINT}"));
    }
    if unit.is_empty() {
        return Err(format!("duration \"{text}\" has no unit; {HINT}"));
    }
    let Some((_, unit_nanos)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("duration \"{text}\" has an unknown unit \"{unit}\"; {HINT}"));
    };
    let nanos = nanos(number, *unit_nanos).map_err(|why| format!("duration \"{text}\" {why}; {HINT}"))?;
    if nanos > MAX.as_nanos() {
        return Err(format!("duration \"{text}\" is longer than 10 years; {HINT}"));
    }
    u64::try_from(nanos)
        .map(Duration::from_nanos)
        .map_err(|_| format!("duration \"{text}\" is too long; {HINT}"))
}

/// Writes a duration in the largest unit that holds it exactly, so that [`parse`] returns the same value;
/// hours are the largest unit used.
#[must_use]
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let fits = UNITS.iter().find(|(name, unit)| *name != "d" && nanos.is_multiple_of(*unit));
    let (name, unit) = fits.copied().unwrap_or(("ns", 1));
    format!("{}{name}", nanos / unit)
}

/// Writes a setting as [`format()`] does.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// Reads a setting as [`parse`] does.
///
/// # Errors
/// Those of [`parse`], and another type than text.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_str(Text)
}

/// Checks that a setting lies in its range, both ends included.
///
/// # Errors
/// Names the setting, its range and its value.
pub fn check(setting: &str, value: Duration, least: Duration, most: Duration) -> Result<(), ConfigError> {
    if value >= least && value <= most {
        return Ok(());
    }
    let (least, most, value) = (format(least), format(most), format(value));
    Err(ConfigError::new(setting, format!("must be from {least} to {most}, is {value}")))
}

/// The same for settings that may be absent.
pub mod option {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the setting as text, or nothing.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the setting; absent and null are `None`.
    ///
    /// # Errors
    /// Those of [`parse`](super::parse), and another type than text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        #[derive(Deserialize)]
        struct Present(#[serde(with = "super")] Duration);

        Ok(Option::<Present>::deserialize(deserializer)?.map(|present| present.0))
    }
}

struct Text;

impl de::Visitor<'_> for Text {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a duration as text: {HINT}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(E::custom)
    }
}

/// Multiplies without floating point, so that every decimal is exact.
fn nanos(number: &str, unit: u128) -> Result<u128, &'static str> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return Err("has a malformed number");
    }
    // 20 digits bound the arithmetic: 10^20 days in nanoseconds still fit in 128 bits
    let fraction = fraction.trim_end_matches('0');
    if whole.len() > 20 {
        return Err("is longer than 10 years");
    }
    if fraction.len() > 20 {
        return Err("is finer than a nanosecond");
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let part = fraction.parse::<u128>().unwrap_or(0) * unit;
    if !part.is_multiple_of(scale) {
        return Err("is finer than a nanosecond");
    }
    Ok(whole.parse::<u128>().unwrap_or(0) * unit + part / scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Settings {
        #[serde(with = "super")]
        wait: Duration,
        #[serde(with = "super::option")]
        limit: Option<Duration>,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self { wait: Duration::from_secs(5), limit: None }
        }
    }

    #[test]
    fn reads_every_unit() {
        for (text, expected) in [
            ("7ns", Duration::from_nanos(7)),
            ("250us", Duration::from_micros(250)),
            ("250µs", Duration::from_micros(250)),
            ("500ms", Duration::from_millis(500)),
            ("5s", Duration::from_secs(5)),
            ("1.5s", Duration::from_millis(1500)),
            ("0.1s", Duration::from_millis(100)),
            ("2m", Duration::from_secs(120)),
            ("1h", Duration::from_secs(3600)),
            ("1d", Duration::from_secs(86_400)),
            (" 10 s ", Duration::from_secs(10)),
            ("0s", Duration::ZERO),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn every_refusal_says_what_is_wrong_and_names_the_units() {
        for (text, why) in [
            ("", "no number"),
            ("s", "no number"),
            ("5", "no unit"),
            ("-5s", "negative"),
            ("5 parsecs", "unknown unit \"parsecs\""),
            ("1m30s", "unknown unit"),
            ("5S", "unknown unit"),
            ("1.2.3s", "malformed"),
            (".5s", "malformed"),
            ("5.s", "malformed"),
            ("0.5ns", "finer than a nanosecond"),
            ("0.123456789012345678901234567890s", "finer than a nanosecond"),
            ("11000d", "longer than 10 years"),
            ("999999999999999999999999999999s", "longer than 10 years"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
            assert!(error.contains("ns, us, ms, s, m, h, d"), "{text}: {error}");
        }
    }

    #[test]
    fn writes_the_largest_exact_unit() {
        for (millis, expected) in
            [(0, "0s"), (500, "500ms"), (1500, "1500ms"), (90_000, "90s"), (86_400_000, "24h")]
        {
            assert_eq!(format(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn settings_hold_durations_as_text() {
        let settings: Settings = serde_json::from_str(r#"{"wait":"250ms","limit":"2m"}"#).unwrap();
        assert_eq!(
            settings,
            Settings { wait: Duration::from_millis(250), limit: Some(Duration::from_secs(120)) }
        );
        assert_eq!(serde_json::to_string(&settings).unwrap(), r#"{"wait":"250ms","limit":"2m"}"#);
    }

    #[test]
    fn absent_and_null_settings_keep_their_meaning() {
        assert_eq!(serde_json::from_str::<Settings>("{}").unwrap(), Settings::default());
        assert_eq!(serde_json::from_str::<Settings>(r#"{"limit":null}"#).unwrap().limit, None);
    }

    #[test]
    fn a_bare_number_is_refused_with_the_units() {
        let error = serde_json::from_str::<Settings>(r#"{"wait":5}"#).unwrap_err().to_string();
        assert!(error.contains("invalid type: integer `5`") && error.contains("\"500ms\""), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

        #[test]
        fn what_is_written_reads_back_the_same(nanos in 0..=315_360_000_000_000_000_u64, unit in 0..UNITS.len()) {
            let rounded = nanos - nanos % u64::try_from(UNITS[unit].1).unwrap();
            let duration = Duration::from_nanos(rounded);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-0-9.a-zµ ]{0,40}") {
            let _ = parse(&text);
        }
    }
}
