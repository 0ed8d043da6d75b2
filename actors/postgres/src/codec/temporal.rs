//! Days, times and instants: counted from 2000-01-01 in days and microseconds, with infinities of their own.

use std::fmt::Write as _;

use backstop_sql::Value;
use jiff::{Timestamp, civil};
use tokio_postgres::types::Type;

use super::{error::Fault, nested::raw, reader::Reader};

const DAY: i64 = 86_400_000_000;
/// 2000-01-01 in days since 1970-01-01.
const EPOCH_DAYS: i64 = 10_957;
const EPOCH_SECONDS: i64 = EPOCH_DAYS * 86_400;

fn epoch() -> civil::Date {
    civil::Date::constant(2000, 1, 1)
}

/// Days from 2000-01-01.
pub(super) fn days(date: civil::Date) -> i32 {
    // civil dates span far fewer than 2³¹ days
    let span = date.duration_since(epoch());
    i32::try_from(span.as_secs() / 86_400).unwrap_or(i32::MAX)
}

/// Microseconds since midnight; finer digits are rounded, as the server does with text.
pub(super) fn micros_of_day(time: civil::Time) -> i64 {
    let seconds = i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    seconds * 1_000_000 + (i64::from(time.subsec_nanosecond()) + 500) / 1000
}

/// Microseconds from 2000-01-01 00:00.
pub(super) fn micros_of_datetime(value: civil::DateTime) -> i64 {
    i64::from(days(value.date())) * DAY + micros_of_day(value.time())
}

/// Microseconds from 2000-01-01 00:00 UTC; finer digits are rounded.
pub(super) fn micros_of_instant(value: Timestamp) -> i64 {
    let nanos = value.as_nanosecond() - i128::from(EPOCH_SECONDS) * 1_000_000_000;
    // an instant of jiff spans far less than 2⁶³ µs
    i64::try_from((nanos + 500).div_euclid(1000)).unwrap_or(i64::MAX - 1)
}

pub(super) fn read_date(ty: &Type, mut reader: Reader<'_>) -> Result<Value, Fault> {
    let days = reader.i32()?;
    reader.end()?;
    if let Some(word) = infinity(days, i32::MIN, i32::MAX) {
        return Ok(raw(ty, word.to_owned()));
    }
    Ok(match civil_date(i64::from(days)) {
        Some(date) => Value::Date(date),
        None => raw(ty, far(i64::from(days), None, "")),
    })
}

pub(super) fn read_time(ty: &Type, mut reader: Reader<'_>) -> Result<Value, Fault> {
    let micros = reader.i64()?;
    reader.end()?;
    Ok(match civil_time(micros)? {
        Some(time) => Value::Time(time),
        None => raw(ty, clock(micros)),
    })
}

/// `timetz`: a time of day with an offset, which has no variant of its own.
pub(super) fn read_timetz(ty: &Type, mut reader: Reader<'_>) -> Result<Value, Fault> {
    let (micros, west) = (reader.i64()?, i64::from(reader.i32()?));
    reader.end()?;
    civil_time(micros)?;
    if west.abs() >= 16 * 3600 {
        return Err(Fault::Bytes("the offset is none"));
    }
    let (sign, offset) = if west > 0 { ('-', west) } else { ('+', -west) };
    let mut text = format!("{}{sign}{:02}", clock(micros), offset / 3600);
    let (minutes, seconds) = (offset / 60 % 60, offset % 60);
    // writing to a string cannot fail
    let _ = match (minutes, seconds) {
        (0, 0) => Ok(()),
        (_, 0) => write!(text, ":{minutes:02}"),
        _ => write!(text, ":{minutes:02}:{seconds:02}"),
    };
    Ok(raw(ty, text))
}

pub(super) fn read_datetime(ty: &Type, mut reader: Reader<'_>) -> Result<Value, Fault> {
    let micros = reader.i64()?;
    reader.end()?;
    if let Some(word) = infinity(micros, i64::MIN, i64::MAX) {
        return Ok(raw(ty, word.to_owned()));
    }
    let (days, of_day) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    Ok(match (civil_date(days), civil_time(of_day)?) {
        (Some(date), Some(time)) => Value::DateTime(date.to_datetime(time)),
        _ => raw(ty, far(days, Some(of_day), "")),
    })
}

pub(super) fn read_instant(ty: &Type, mut reader: Reader<'_>) -> Result<Value, Fault> {
    let micros = reader.i64()?;
    reader.end()?;
    if let Some(word) = infinity(micros, i64::MIN, i64::MAX) {
        return Ok(raw(ty, word.to_owned()));
    }
    let since = micros.checked_add(EPOCH_SECONDS * 1_000_000);
    Ok(match since.and_then(|micros| Timestamp::from_microsecond(micros).ok()) {
        Some(instant) => Value::Timestamp(instant),
        None => raw(ty, far(micros.div_euclid(DAY), Some(micros.rem_euclid(DAY)), "+00")),
    })
}

/// An interval as ISO 8601, in the server's own way: every part has its sign.
pub(super) fn read_interval(ty: &Type, mut reader: Reader<'_>) -> Result<Value, Fault> {
    let (micros, days, months) = (reader.i64()?, reader.i32()?, reader.i32()?);
    reader.end()?;
    let word = match (micros, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => "infinity".to_owned(),
        (i64::MIN, i32::MIN, i32::MIN) => "-infinity".to_owned(),
        _ => iso_interval(micros, days, months),
    };
    Ok(raw(ty, word))
}

fn iso_interval(micros: i64, days: i32, months: i32) -> String {
    let mut text = String::from("P");
    push_part(&mut text, i64::from(months / 12), 'Y');
    push_part(&mut text, i64::from(months % 12), 'M');
    push_part(&mut text, i64::from(days), 'D');
    if micros != 0 {
        text.push('T');
        push_part(&mut text, micros / 3_600_000_000, 'H');
        push_part(&mut text, micros / 60_000_000 % 60, 'M');
        push_seconds(&mut text, micros % 60_000_000);
    }
    if text.len() == 1 { "PT0S".to_owned() } else { text }
}

fn push_part(text: &mut String, amount: i64, unit: char) {
    if amount != 0 {
        // writing to a string cannot fail
        let _ = write!(text, "{amount}{unit}");
    }
}

fn push_seconds(text: &mut String, micros: i64) {
    if micros == 0 {
        return;
    }
    let (whole, fraction) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    let sign = if micros < 0 { "-" } else { "" };
    let _ = write!(text, "{sign}{whole}{}S", fraction_text(fraction));
}

/// `.5` for half a second, nothing for none.
fn fraction_text(micros: u64) -> String {
    if micros == 0 {
        return String::new();
    }
    let digits = format!(".{micros:06}");
    digits.trim_end_matches('0').to_owned()
}

fn infinity<T: PartialEq>(value: T, least: T, most: T) -> Option<&'static str> {
    if value == most { Some("infinity") } else { (value == least).then_some("-infinity") }
}

fn civil_date(days: i64) -> Option<civil::Date> {
    let span = jiff::Span::new().try_days(days).ok()?;
    epoch().checked_add(span).ok()
}

/// The time of day; `None` for 24:00, which is one for the server alone.
fn civil_time(micros: i64) -> Result<Option<civil::Time>, Fault> {
    if !(0..=DAY).contains(&micros) {
        return Err(Fault::Bytes("the time of day is none"));
    }
    let seconds = micros / 1_000_000;
    let parts = (
        i8::try_from(seconds / 3600),
        i8::try_from(seconds / 60 % 60),
        i8::try_from(seconds % 60),
        i32::try_from(micros % 1_000_000 * 1000),
    );
    let (Ok(hour), Ok(minute), Ok(second), Ok(nanosecond)) = parts else { return Ok(None) };
    Ok(civil::Time::new(hour, minute, second, nanosecond).ok())
}

fn clock(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let fraction = fraction_text((micros % 1_000_000).unsigned_abs());
    format!("{:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The server's text of a day beyond the calendar of [`jiff`] (the year 9999).
fn far(days: i64, of_day: Option<i64>, offset: &str) -> String {
    let (year, month, day) = gregorian(days + EPOCH_DAYS);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    let time = of_day.map(|micros| format!(" {}", clock(micros))).unwrap_or_default();
    format!("{year:04}-{month:02}-{day:02}{time}{offset}{era}")
}

/// Year, month and day of a count of days since 1970-01-01 in the Gregorian calendar. Counted in eras of 400
/// years that begin in March, so that the leap day is the last of its year.
fn gregorian(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}
