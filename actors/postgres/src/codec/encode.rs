//! Parameters in the binary form, by the type that the server described.

use backstop_sql::Value;
use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{Kind, Type};
use uuid::Uuid;

use super::{array, base, error::ParamError, literal, numeric, temporal};

/// Whole numbers up to this size are exact as `float8`.
const FLOAT8_EXACT: i64 = 1 << 53;
/// Whole numbers up to this size are exact as `float4`.
const FLOAT4_EXACT: i64 = 1 << 24;

/// Says whether the value travels in the binary form; otherwise it travels as text, where the server's parser is
/// the authority.
pub(crate) fn is_binary(value: &Value, ty: &Type) -> bool {
    let ty = base(ty);
    if matches!(value, Value::Raw(_)) {
        return false;
    }
    if let Kind::Array(member) = ty.kind() {
        return matches!(value, Value::Array(_)) && leaves(value, &mut |leaf| is_binary(leaf, member));
    }
    match *ty {
        _ if value.is_null() => true,
        Type::BOOL | Type::DATE | Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::BYTEA => {
            !matches!(value, Value::Text(_))
        }
        _ => is_exact(ty),
    }
}

/// The types whose values are all written here in the binary form.
fn is_exact(ty: &Type) -> bool {
    matches!(
        *ty,
        Type::INT2
            | Type::INT4
            | Type::INT8
            | Type::OID
            | Type::FLOAT4
            | Type::FLOAT8
            | Type::NUMERIC
            | Type::TEXT
            | Type::VARCHAR
            | Type::BPCHAR
            | Type::NAME
            | Type::UNKNOWN
            | Type::UUID
            | Type::JSON
            | Type::JSONB
    ) || matches!(ty.kind(), Kind::Enum(_))
        || ty.name() == "citext"
}

fn leaves(value: &Value, holds: &mut dyn FnMut(&Value) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().all(|item| leaves(item, holds)),
        leaf => holds(leaf),
    }
}

/// Writes an item with its length before it; null has the length −1.
pub(crate) fn item(value: &Value, ty: &Type, out: &mut BytesMut) -> Result<(), ParamError> {
    if value.is_null() {
        out.put_i32(-1);
        return Ok(());
    }
    let start = out.len();
    out.put_i32(0);
    binary(value, ty, out)?;
    let length = i32::try_from(out.len() - start - 4).map_err(|_| ParamError::range(value, ty))?;
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

/// Writes a value that is not null in the binary form.
///
/// # Errors
/// [`ParamError`] says why the value is none of the type, or that the type is written as text alone.
pub(crate) fn binary(value: &Value, ty: &Type, out: &mut BytesMut) -> Result<(), ParamError> {
    let ty = base(ty);
    if let Kind::Array(member) = ty.kind() {
        return array::write(value, ty, member, out);
    }
    match *ty {
        Type::BOOL => match value {
            Value::Bool(flag) => out.put_u8(u8::from(*flag)),
            _ => return Err(ParamError::kind(value, ty)),
        },
        Type::INT2 => out.put_i16(integer(value, ty)?),
        Type::INT4 => out.put_i32(integer(value, ty)?),
        Type::INT8 => out.put_i64(integer(value, ty)?),
        Type::OID => out.put_u32(integer(value, ty)?),
        Type::FLOAT4 => out.put_f32(float4(value, ty)?),
        Type::FLOAT8 => out.put_f64(float8(value, ty)?),
        Type::NUMERIC => number(value, ty, out)?,
        Type::UUID => out.put_slice(uuid(value, ty)?.as_bytes()),
        Type::BYTEA => match value {
            Value::Bytes(bytes) => out.put_slice(bytes),
            _ => return Err(ParamError::kind(value, ty)),
        },
        Type::DATE | Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ => moment(value, ty, out)?,
        Type::JSON => document(value, ty, out)?,
        Type::JSONB => {
            out.put_u8(1);
            document(value, ty, out)?;
        }
        _ if is_exact(ty) => text(value, ty, out)?,
        _ => return Err(ParamError::new(value, ty, "this type is written as text")),
    }
    Ok(())
}

/// A whole number of any width; never narrowed.
fn integer<T: TryFrom<i128>>(value: &Value, ty: &Type) -> Result<T, ParamError> {
    let wide = match value {
        Value::Int(number) => i128::from(*number),
        Value::UInt(number) => i128::from(*number),
        Value::Float(number) if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 => {
            // shown without a fraction or an exponent
            number.to_string().parse().map_err(|_| ParamError::form(value, ty))?
        }
        Value::Float(_) => return Err(ParamError::kind(value, ty)),
        Value::Decimal(text) | Value::Text(text) => numeric::whole(text)
            .ok_or_else(|| ParamError::new(value, ty, "it is no whole number in range"))?,
        _ => return Err(ParamError::kind(value, ty)),
    };
    T::try_from(wide).map_err(|_| ParamError::range(value, ty))
}

fn float8(value: &Value, ty: &Type) -> Result<f64, ParamError> {
    match value {
        Value::Float(number) => Ok(*number),
        Value::Decimal(text) | Value::Text(text) => {
            let parsed: f64 = text.trim().parse().map_err(|_| ParamError::form(value, ty))?;
            finite_stays(parsed.is_infinite(), text)
                .then_some(parsed)
                .ok_or_else(|| ParamError::range(value, ty))
        }
        _ => whole_float(value, ty, FLOAT8_EXACT),
    }
}

fn float4(value: &Value, ty: &Type) -> Result<f32, ParamError> {
    let wide = match value {
        Value::Float(_) | Value::Decimal(_) | Value::Text(_) => float8(value, ty)?,
        _ => whole_float(value, ty, FLOAT4_EXACT)?,
    };
    #[allow(clippy::cast_possible_truncation, reason = "the nearest float4 is what is asked for")]
    let narrow = wide as f32;
    let lost = (narrow.is_infinite() && wide.is_finite()) || (narrow == 0.0 && wide != 0.0);
    if lost { Err(ParamError::range(value, ty)) } else { Ok(narrow) }
}

/// A number that was written with digits must not turn into infinity.
fn finite_stays(infinite: bool, text: &str) -> bool {
    !infinite || !text.bytes().any(|byte| byte.is_ascii_digit())
}

#[allow(clippy::cast_precision_loss, reason = "checked to be exact")]
fn whole_float(value: &Value, ty: &Type, exact: i64) -> Result<f64, ParamError> {
    match value {
        Value::Int(number) if (-exact..=exact).contains(number) => Ok(*number as f64),
        Value::Int(_) | Value::UInt(_) => {
            Err(ParamError::new(value, ty, "a float of this size has not all of its digits"))
        }
        _ => Err(ParamError::kind(value, ty)),
    }
}

fn number(value: &Value, ty: &Type, out: &mut BytesMut) -> Result<(), ParamError> {
    let written = match value {
        Value::Decimal(text) | Value::Text(text) => numeric::write(text, out),
        Value::Int(number) => numeric::write(&number.to_string(), out),
        Value::UInt(number) => numeric::write(&number.to_string(), out),
        Value::Float(number) => numeric::write(&number.to_string(), out),
        _ => return Err(ParamError::kind(value, ty)),
    };
    written.ok_or_else(|| {
        ParamError::new(value, ty, "it is no number, or has more digits than the server holds")
    })
}

fn uuid(value: &Value, ty: &Type) -> Result<Uuid, ParamError> {
    match value {
        Value::Uuid(uuid) => Ok(*uuid),
        Value::Text(text) => Uuid::try_parse(text.trim()).map_err(|_| ParamError::form(value, ty)),
        _ => Err(ParamError::kind(value, ty)),
    }
}

/// Days and times; text of them is the server's to read, except where only the binary form will do (COPY).
fn moment(value: &Value, ty: &Type, out: &mut BytesMut) -> Result<(), ParamError> {
    match (ty, value) {
        (&Type::DATE, Value::Date(date)) => out.put_i32(temporal::days(*date)),
        (&Type::TIME, Value::Time(time)) => out.put_i64(temporal::micros_of_day(*time)),
        (&Type::TIMESTAMP, Value::DateTime(time)) => out.put_i64(temporal::micros_of_datetime(*time)),
        (&Type::TIMESTAMP, Value::Date(date)) => {
            out.put_i64(temporal::micros_of_datetime(date.to_datetime(jiff::civil::Time::midnight())));
        }
        (&Type::TIMESTAMPTZ, Value::Timestamp(time)) => out.put_i64(temporal::micros_of_instant(*time)),
        (&Type::TIMESTAMPTZ, Value::DateTime(_) | Value::Date(_)) => {
            return Err(ParamError::new(value, ty, "without an offset it is no instant; give a Timestamp"));
        }
        (&Type::TIMESTAMP, Value::Timestamp(_)) => {
            return Err(ParamError::new(value, ty, "the column has no time zone; give a DateTime"));
        }
        _ => return Err(ParamError::kind(value, ty)),
    }
    Ok(())
}

fn document(value: &Value, ty: &Type, out: &mut BytesMut) -> Result<(), ParamError> {
    match value {
        Value::Json(document) => {
            serde_json::to_writer(out.writer(), document).map_err(|_| ParamError::form(value, ty))?;
        }
        // a document that is text already; the server checks it
        Value::Text(text) => out.put_slice(text.as_bytes()),
        Value::Bool(_) | Value::Int(_) | Value::UInt(_) => out.put_slice(literal::display(value).as_bytes()),
        Value::Float(number) if number.is_finite() => out.put_slice(number.to_string().as_bytes()),
        _ => return Err(ParamError::kind(value, ty)),
    }
    Ok(())
}

/// Text columns take what has one text form.
fn text(value: &Value, ty: &Type, out: &mut BytesMut) -> Result<(), ParamError> {
    match value {
        Value::Text(text) | Value::Decimal(text) => out.put_slice(text.as_bytes()),
        Value::Bytes(_) | Value::Array(_) => return Err(ParamError::kind(value, ty)),
        other => out.put_slice(literal::display(other).as_bytes()),
    }
    Ok(())
}
