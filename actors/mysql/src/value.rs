//! Values both ways: parameters to the driver's, cells to ours, without a loss.

mod cell;

use backstop_sql::{StatementError, Value};
use jiff::{Timestamp, civil, tz::Offset};
use mysql_async::Value as Wire;

pub(crate) use self::cell::{cell, columns_of};

/// Turns a parameter into what the driver sends.
///
/// # Errors
/// [`StatementError::Value`] for what no column of MySQL can hold.
pub(crate) fn parameter(value: &Value, number: usize) -> Result<Wire, StatementError> {
    let wrong = |what: &str| StatementError::Value(format!("parameter ${number}: {what}"));
    Ok(match value {
        Value::Null => Wire::NULL,
        Value::Bool(value) => Wire::Int(i64::from(*value)),
        Value::Int(value) => Wire::Int(*value),
        Value::UInt(value) => Wire::UInt(*value),
        Value::Float(value) if value.is_finite() => Wire::Double(*value),
        Value::Float(_) => return Err(wrong("MySQL stores finite numbers alone")),
        Value::Decimal(text) | Value::Text(text) => Wire::Bytes(text.clone().into_bytes()),
        Value::Bytes(bytes) => Wire::Bytes(bytes.clone()),
        Value::Json(json) => Wire::Bytes(json.to_string().into_bytes()),
        Value::Uuid(uuid) => Wire::Bytes(uuid.to_string().into_bytes()),
        Value::Date(date) => moment(date.to_datetime(civil::Time::midnight())).ok_or_else(|| wrong(YEARS))?,
        Value::Time(time) => clock(*time),
        Value::DateTime(datetime) => moment(*datetime).ok_or_else(|| wrong(YEARS))?,
        Value::Timestamp(instant) => moment(utc(*instant)).ok_or_else(|| wrong(YEARS))?,
        Value::Raw(raw) => Wire::Bytes(raw.text.clone().into_bytes()),
        other => return Err(wrong(&format!("MySQL has no type for a {}", other.type_name()))),
    })
}

const YEARS: &str = "MySQL knows the years 0 to 9999";

fn utc(instant: Timestamp) -> civil::DateTime {
    Offset::UTC.to_datetime(instant)
}

/// Microseconds are what the server keeps; what is finer is cut off, as PostgreSQL's driver does.
fn moment(at: civil::DateTime) -> Option<Wire> {
    let micros = u32::try_from(at.subsec_nanosecond() / 1_000).ok()?;
    Some(Wire::Date(
        u16::try_from(at.year()).ok()?,
        u8::try_from(at.month()).ok()?,
        u8::try_from(at.day()).ok()?,
        u8::try_from(at.hour()).ok()?,
        u8::try_from(at.minute()).ok()?,
        u8::try_from(at.second()).ok()?,
        micros,
    ))
}

fn clock(at: civil::Time) -> Wire {
    let small = |part: i8| u8::try_from(part).unwrap_or(0);
    let micros = u32::try_from(at.subsec_nanosecond() / 1_000).unwrap_or(0);
    Wire::Time(false, 0, small(at.hour()), small(at.minute()), small(at.second()), micros)
}

/// Estimates the bytes of a parameter on the wire.
pub(crate) fn weight(value: &Wire) -> usize {
    // a length of up to nine bytes, or a number
    9 + match value {
        Wire::Bytes(bytes) => bytes.len(),
        Wire::Date(..) | Wire::Time(..) => 13,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_column_can_hold_is_refused_and_named() {
        for value in [Value::Float(f64::NAN), Value::Float(f64::INFINITY), Value::Array(Vec::new())] {
            let error = parameter(&value, 3).unwrap_err();
            assert!(error.to_string().starts_with("parameter $3: MySQL"), "{error}");
        }
        let ancient = Value::Date(civil::date(-1, 1, 1));
        assert!(parameter(&ancient, 1).unwrap_err().to_string().contains("years 0 to 9999"));
    }

    #[test]
    fn an_instant_is_sent_as_the_day_and_time_at_utc() {
        let instant: Timestamp = "2026-03-01T00:30:00.123456+01:00".parse().unwrap();
        let sent = parameter(&Value::Timestamp(instant), 1).unwrap();
        assert_eq!(sent, Wire::Date(2026, 2, 28, 23, 30, 0, 123_456));
    }
}
