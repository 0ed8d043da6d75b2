//! Values as the text that the server reads.

use backstop_sql::Value;
use bytes::{BufMut, BytesMut};
use jiff::civil;
use tokio_postgres::types::{Kind, Type};

use super::{array, base, error::ParamError};

/// Writes a parameter that travels as text.
///
/// # Errors
/// [`ParamError`] for a value that is no text of the type.
pub(super) fn parameter(value: &Value, ty: &Type, out: &mut BytesMut) -> Result<(), ParamError> {
    let ty = base(ty);
    match (value, ty.kind()) {
        (Value::Raw(raw), _) => out.put_slice(raw.text.as_bytes()),
        (Value::Array(_), Kind::Array(member)) => {
            array::shape(value, ty)?;
            let mut text = String::new();
            push_array(&mut text, value, member)?;
            out.put_slice(text.as_bytes());
        }
        (Value::Text(text), _) if *ty == Type::BYTEA && !text.starts_with("\\x") => {
            return Err(ParamError::new(value, ty, "give bytes, or hexadecimal digits after `\\x`"));
        }
        (Value::Text(text), _) => out.put_slice(text.as_bytes()),
        (Value::Decimal(_) | Value::Int(_) | Value::UInt(_), Kind::Simple) if is_numeric_text(ty) => {
            out.put_slice(display(value).as_bytes());
        }
        (_, Kind::Array(_)) => return Err(ParamError::new(value, ty, "give an array, or its text")),
        _ => return Err(ParamError::new(value, ty, "give its text, as the server writes it")),
    }
    Ok(())
}

/// Types that read a bare number without a guess.
fn is_numeric_text(ty: &Type) -> bool {
    matches!(*ty, Type::MONEY | Type::XID | Type::XID8 | Type::CID)
}

/// Writes the cells of one column as the text of an array.
pub(super) fn write_column<'a>(
    cells: impl Iterator<Item = &'a Value>,
    member: &Type,
    out: &mut BytesMut,
) -> Result<(), ParamError> {
    let mut text = String::from("{");
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            text.push(if *base(member) == Type::BOX { ';' } else { ',' });
        }
        push_leaf(&mut text, cell, member)?;
    }
    text.push('}');
    out.put_slice(text.as_bytes());
    Ok(())
}

fn push_array(out: &mut String, value: &Value, member: &Type) -> Result<(), ParamError> {
    let Value::Array(items) = value else { return push_leaf(out, value, member) };
    let separator = if *base(member) == Type::BOX { ';' } else { ',' };
    out.push('{');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(separator);
        }
        push_array(out, item, member)?;
    }
    out.push('}');
    Ok(())
}

fn push_leaf(out: &mut String, value: &Value, member: &Type) -> Result<(), ParamError> {
    let member = base(member);
    match value {
        Value::Null => out.push_str("NULL"),
        Value::Raw(_) | Value::Text(_) if *member != Type::BYTEA => push_string(out, &display(value)),
        // a neighbour made the whole array text: this one is written as the type would be
        _ if super::is_binary(value, member) => {
            super::binary(value, member, &mut BytesMut::new())?;
            push_string(out, &display(value));
        }
        _ => {
            let mut text = BytesMut::new();
            parameter(value, member, &mut text)?;
            push_string(out, &String::from_utf8_lossy(&text));
        }
    }
    Ok(())
}

/// Appends a quoted string; quotes and backslashes are escaped.
pub(super) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}

/// The text of a value as the server writes it.
pub(super) fn display(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "t".to_owned(),
        Value::Bool(false) => "f".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Float(number) => float(*number),
        Value::Decimal(text) | Value::Text(text) => text.clone(),
        Value::Bytes(bytes) => hexadecimal(bytes),
        Value::Json(document) => document.to_string(),
        Value::Uuid(uuid) => uuid.to_string(),
        Value::Date(date) => day(*date, ""),
        Value::Time(time) => time.to_string(),
        Value::DateTime(time) => day(time.date(), &format!(" {}", time.time())),
        Value::Timestamp(time) => {
            let time = jiff::tz::Offset::UTC.to_datetime(*time);
            day(time.date(), &format!(" {}+00", time.time()))
        }
        Value::Raw(raw) => raw.text.clone(),
        Value::Array(items) => {
            let parts: Vec<String> = items.iter().map(part).collect();
            format!("{{{}}}", parts.join(","))
        }
        _ => String::new(),
    }
}

/// An item of an array inside another value.
fn part(item: &Value) -> String {
    match item {
        Value::Null => "NULL".to_owned(),
        Value::Array(_) => display(item),
        _ => {
            let mut text = String::new();
            push_string(&mut text, &display(item));
            text
        }
    }
}

fn float(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    number.to_string()
}

/// The shortest decimal of a `float4`, as a `float8`.
pub(super) fn widened(value: f32) -> f64 {
    // the text of a float is always one
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0'));
    "\\x".chars().chain(digits).collect()
}

/// A day with a time after it; the server writes the years before 1 as BC.
fn day(date: civil::Date, time: &str) -> String {
    let (year, era) = match date.year() {
        year @ 1.. => (year, ""),
        year => (1 - year, " BC"),
    };
    format!("{year:04}-{:02}-{:02}{time}{era}", date.month(), date.day())
}
