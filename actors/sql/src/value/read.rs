//! Values on their way in: bare JSON where nothing has to be guessed, tagged JSON for the rest.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{
    RoundMode, Timestamp, TimestampRound, Unit,
    civil::{Date, DateTime, DateTimeRound, Time, TimeRound},
};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Value as Json, value::RawValue as Source};

use super::{RawValue, Value, number};
use crate::error::StatementError;

/// Arrays nest no deeper; PostgreSQL's limit.
const DEPTH_MAX: usize = 6;

/// The tags, for the error that names them.
const TAGS: &str = "bool, int2, int4, int8, uint8, decimal, float4, float8, text, enum, uuid, bytes, date, time, \
                    timestamp, timestamptz, interval, inet, json, array, raw";

impl Value {
    /// Reads a parameter: a bare null, bool, number, string or array, or a tagged `{"type": …, "value": …}`.
    ///
    /// | `type` | `value` |
    /// |---|---|
    /// | `bool` | bool |
    /// | `int2`, `int4`, `int8`, `uint8` | a whole number, or its digits as a string |
    /// | `decimal` | digits as a string (the scale is kept), `"NaN"`, or a number |
    /// | `float4`, `float8` | a number, its digits, `"NaN"`, `"Infinity"`, `"-Infinity"` |
    /// | `text`, `enum` | a string |
    /// | `uuid` | a string |
    /// | `bytes` | a string in base64 |
    /// | `date`, `time`, `timestamp` | ISO 8601 without an offset; what is finer than a microsecond is cut off |
    /// | `timestamptz` | RFC 3339 with an offset; `"infinity"` and `"-infinity"` here, for `date` and `timestamp` too |
    /// | `interval`, `inet` | a string in the engine's form |
    /// | `json` | any JSON |
    /// | `array`, with `"of": type` | a list of values of that type, nested for more dimensions |
    /// | `raw`, with `"as": type` | a string in the engine's form of a type that has no tag |
    ///
    /// `null` is a value of every type. A bare object is refused, so that nothing is guessed. Numbers are exact
    /// or refused; but what is in `json` was read before, where a fraction became a float: to read numbers from
    /// their source text, deserialize a [`Value`] or [`Params`](crate::Params) from the text itself.
    ///
    /// ```
    /// use backstop_sql::Value;
    ///
    /// let day: Value = serde_json::from_str(r#"{"type": "date", "value": "2026-01-31"}"#)?;
    /// assert_eq!(day, Value::Date(jiff::civil::date(2026, 1, 31)));
    /// let lost = serde_json::from_str::<Value>("0.1000000000000000055511151231257827");
    /// assert!(lost.unwrap_err().to_string().contains("decimal"));
    /// # Ok::<_, serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`StatementError::Value`] says what is wrong and what would be right; it never shows the value.
    pub fn from_json(json: Json) -> Result<Self, StatementError> {
        match json {
            Json::Null => Ok(Self::Null),
            Json::Bool(value) => Ok(Self::Bool(value)),
            Json::String(text) => Ok(Self::Text(text)),
            Json::Number(number) => parsed(&number),
            Json::Array(_) | Json::Object(_) => {
                let source =
                    serde_json::value::to_raw_value(&json).map_err(|error| wrong(error.to_string()))?;
                read(&source)
            }
        }
    }
}

/// Reads the source text, so numbers are exact or refused; see [`Value::from_json`] for the form.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = Box::<Source>::deserialize(deserializer)?;
        read(&source).map_err(de::Error::custom)
    }
}

/// Reads a number that was parsed before; a whole one beyond 64 bits is a float by now, so it is refused.
fn parsed(number: &serde_json::Number) -> Result<Value, StatementError> {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() >= TWO_TO_63 => Err(wrong(
            "a bare number of this size may have lost digits; send it as type `decimal` or `float8`",
        )),
        _ => number::bare(&number.to_string()),
    }
}

/// Reads a parameter from its source text.
pub(crate) fn read(source: &Source) -> Result<Value, StatementError> {
    bare(source, 0)
}

fn bare(source: &Source, depth: usize) -> Result<Value, StatementError> {
    let text = source.get();
    match text.as_bytes().first() {
        Some(b'n') => Ok(Value::Null),
        Some(b't' | b'f') => Ok(Value::Bool(text == "true")),
        Some(b'"') => string(source).map(Value::Text).ok_or_else(|| wrong("a string that cannot be read")),
        Some(b'[') => items(source, depth, &bare),
        Some(b'{') => tagged(source, depth),
        _ => number::bare(text),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tagged<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    value: &'a Source,
    of: Option<String>,
    #[serde(rename = "as")]
    db_type: Option<String>,
}

fn tagged(source: &Source, depth: usize) -> Result<Value, StatementError> {
    if depth > 0 {
        return Err(wrong(
            "an object is no element of an array; send {\"type\":\"array\",\"of\":…,\"value\":[…]}",
        ));
    }
    let tagged: Tagged<'_> = serde_json::from_str(source.get()).map_err(|error| {
        wrong(format!(
            "an object is a parameter only as {{\"type\":…,\"value\":…}}, and a document as \
             {{\"type\":\"json\",\"value\":{{…}}}}: {error}"
        ))
    })?;
    let Tagged { kind, value, of, db_type } = &tagged;
    if of.is_some() != (kind == "array") || db_type.is_some() != (kind == "raw") {
        return Err(wrong("`of` belongs to type `array` and `as` to type `raw`, and neither can do without"));
    }
    match (of, db_type) {
        (Some(of), _) => array(value, of),
        (_, Some(db_type)) => raw(value, db_type),
        _ => scalar(kind, value),
    }
}

fn array(source: &Source, of: &str) -> Result<Value, StatementError> {
    if matches!(of, "array" | "raw") {
        return Err(wrong("an array nests by itself, and `of` names the type of its innermost elements"));
    }
    let is_null = is_null(source);
    if is_null || !source.get().starts_with('[') {
        // the name of the type is checked whatever the value
        scalar(of, serde_json::from_str("null").map_err(|error| wrong(error.to_string()))?)?;
        return if is_null { Ok(Value::Null) } else { Err(mismatch("array", "a list")) };
    }
    items(source, 0, &|item, depth| match item.get().as_bytes().first() {
        // a document may be a list itself
        Some(b'[') if of != "json" => items(item, depth, &|item, depth| element(of, item, depth)),
        _ => scalar(of, item),
    })
}

fn element(of: &str, source: &Source, depth: usize) -> Result<Value, StatementError> {
    if source.get().starts_with('[') {
        return items(source, depth, &|item, depth| element(of, item, depth));
    }
    scalar(of, source)
}

fn items(
    source: &Source,
    depth: usize,
    read: &dyn Fn(&Source, usize) -> Result<Value, StatementError>,
) -> Result<Value, StatementError> {
    if depth == DEPTH_MAX {
        return Err(wrong(format!("an array has at most {DEPTH_MAX} dimensions")));
    }
    let items: Vec<&Source> = serde_json::from_str(source.get()).map_err(|error| wrong(error.to_string()))?;
    items.into_iter().map(|item| read(item, depth + 1)).collect::<Result<_, _>>().map(Value::Array)
}

/// Reads a value of a type without parts.
fn scalar(kind: &str, source: &Source) -> Result<Value, StatementError> {
    let (value, expected) = match kind {
        "bool" => (serde_json::from_str(source.get()).ok().map(Value::Bool), "true or false"),
        "int2" => (int::<i16>(source).map(Value::from), "a whole number of 16 bits"),
        "int4" => (int::<i32>(source).map(Value::from), "a whole number of 32 bits"),
        "int8" => (int::<i64>(source).map(Value::from), "a whole number of 64 bits"),
        "uint8" => (int::<u64>(source).map(Value::from), "a whole number of 64 bits without a sign"),
        "decimal" => (decimal(source), "digits with at most a sign and a point"),
        "float4" => {
            (float(source).filter(|float| fits_float4(*float)).map(Value::Float), "a number of 32 bits")
        }
        "float8" => (float(source).map(Value::Float), "a number, \"NaN\", \"Infinity\" or \"-Infinity\""),
        "text" | "enum" => (string(source).map(Value::Text), "a string"),
        "uuid" => (string(source).and_then(|text| text.parse().ok()).map(Value::Uuid), "a UUID as a string"),
        "bytes" => (
            string(source).and_then(|text| STANDARD.decode(text).ok()).map(Value::Bytes),
            "base64 as a string",
        ),
        "date" | "time" | "timestamp" | "timestamptz" => (moment(kind, source), of_moment(kind)),
        "interval" | "inet" => (string(source).map(|text| raw_value(kind, text)), "a string"),
        "json" => (serde_json::from_str::<Json>(source.get()).ok().map(Value::from), "JSON"),
        _ => {
            return Err(wrong(format!("no type is named `{}`; there are: {TAGS}", clip(kind))));
        }
    };
    if is_null(source) && kind != "json" {
        return Ok(Value::Null);
    }
    value.ok_or_else(|| mismatch(kind, expected))
}

fn raw(source: &Source, db_type: &str) -> Result<Value, StatementError> {
    if is_null(source) {
        return Ok(Value::Null);
    }
    string(source).map(|text| raw_value(db_type, text)).ok_or_else(|| mismatch("raw", "a string"))
}

fn raw_value(db_type: &str, text: String) -> Value {
    Value::Raw(Box::new(RawValue { db_type: db_type.into(), text }))
}

fn is_null(source: &Source) -> bool {
    source.get() == "null"
}

fn string(source: &Source) -> Option<String> {
    serde_json::from_str(source.get()).ok()
}

/// The digits of a number, bare or in a string.
fn digits(source: &Source) -> Option<String> {
    if source.get().starts_with('"') { string(source) } else { Some(source.get().to_owned()) }
}

fn int<T: std::str::FromStr>(source: &Source) -> Option<T> {
    digits(source)?.parse().ok()
}

fn decimal(source: &Source) -> Option<Value> {
    digits(source).filter(|text| number::is_decimal(text)).map(Value::Decimal)
}

fn float(source: &Source) -> Option<f64> {
    match digits(source)?.as_str() {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        text => text.parse().ok().filter(|float: &f64| float.is_finite()),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "that is the question")]
fn fits_float4(float: f64) -> bool {
    !float.is_finite() || (float as f32).is_finite()
}

fn of_moment(kind: &str) -> &'static str {
    match kind {
        "date" => "a day such as \"2026-01-31\", or \"infinity\"",
        "time" => "a time of day such as \"12:00:00.5\"",
        "timestamp" => "a day and a time without an offset, such as \"2026-01-31T12:00:00\", or \"infinity\"",
        _ => "an instant with its offset, such as \"2026-01-31T12:00:00Z\", or \"infinity\"",
    }
}

/// Reads a day or a time; what its type does not have (an offset, a time) is refused and not dropped.
fn moment(kind: &str, source: &Source) -> Option<Value> {
    let text = string(source)?;
    if kind != "time" && matches!(text.as_str(), "infinity" | "-infinity") {
        return Some(raw_value(kind, text));
    }
    match kind {
        "date" => day(&text).map(Value::Date),
        "time" => time(&text).map(Value::Time),
        "timestamp" => {
            let (date, at) = text.split_once(['T', 't', ' '])?;
            day(date)?;
            time(at)?;
            let parsed: DateTime = text.parse().ok()?;
            let cut = DateTimeRound::new().smallest(Unit::Microsecond).mode(RoundMode::Trunc);
            parsed.round(cut).ok().map(Value::DateTime)
        }
        _ => {
            let parsed: Timestamp = text.parse().ok()?;
            let cut = TimestampRound::new().smallest(Unit::Microsecond).mode(RoundMode::Floor);
            parsed.round(cut).ok().map(Value::Timestamp)
        }
    }
}

fn day(text: &str) -> Option<Date> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+'))
        .then(|| text.parse().ok())?
}

fn time(text: &str) -> Option<Time> {
    let is_time = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
    let parsed: Time = is_time.then(|| text.parse().ok())??;
    parsed.round(TimeRound::new().smallest(Unit::Microsecond).mode(RoundMode::Trunc)).ok()
}

/// The names and the sources of an object's values, in their order.
pub(crate) struct Pairs<'a>(pub(crate) Vec<(String, &'a Source)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of parameters")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs: Vec<(String, &'de Source)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, _>()? {
                    if pairs.iter().any(|(known, _)| *known == name) {
                        return Err(de::Error::custom(format!("parameter :{} is given twice", clip(&name))));
                    }
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

/// Keeps errors short, whatever was sent.
pub(super) fn clip(text: &str) -> String {
    let mut clipped: String = text.chars().take(40).collect();
    if clipped.len() < text.len() {
        clipped.push('…');
    }
    clipped
}

/// A value may be a secret, so it is not shown.
fn mismatch(kind: &str, expected: &str) -> StatementError {
    wrong(format!("the value is not of type `{kind}`, which takes {expected}"))
}

fn wrong(message: impl Into<String>) -> StatementError {
    StatementError::Value(message.into())
}

#[cfg(test)]
mod tests;
