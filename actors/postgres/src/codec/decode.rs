//! Cells: the server's binary form as a [`Value`], by type.

use backstop_sql::Value;
use tokio_postgres::types::{Kind, Type};
use uuid::Uuid;

use super::{
    array, base,
    error::{CellError, Fault},
    literal, nested,
    nested::raw,
    network, numeric,
    reader::Reader,
    temporal,
};

/// How deep types may lie in one another (records in arrays in records); real ones are far below.
const DEPTH_MAX: u8 = 16;

/// Reads one cell.
///
/// # Errors
/// [`CellError::Malformed`] for bytes that are no value of the type, [`CellError::Unknown`] for a type without an
/// exact form.
pub(super) fn value(ty: &Type, bytes: &[u8]) -> Result<Value, CellError> {
    at_depth(ty, bytes, 0)
}

/// Reads a value inside another one.
pub(super) fn inner(ty: &Type, bytes: &[u8], depth: u8) -> Result<Value, CellError> {
    if depth >= DEPTH_MAX {
        return Err(CellError::Unknown(ty.name().to_owned(), "it is nested too deep"));
    }
    at_depth(ty, bytes, depth + 1)
}

fn at_depth(ty: &Type, bytes: &[u8], depth: u8) -> Result<Value, CellError> {
    let ty = base(ty);
    match ty.kind() {
        Kind::Simple => simple(ty, bytes),
        Kind::Enum(_) => text(bytes).map(Value::Text).map_err(|fault| fault.of(ty)),
        Kind::Array(member) => array::read(ty, member, bytes, depth),
        Kind::Range(member) => nested::range(ty, member, bytes, depth),
        Kind::Multirange(range) => nested::multirange(ty, range, bytes, depth),
        Kind::Composite(fields) => nested::composite(ty, fields, bytes, depth),
        Kind::Pseudo if *ty == Type::RECORD => nested::composite(ty, &[], bytes, depth),
        Kind::Pseudo if *ty == Type::VOID && bytes.is_empty() => Ok(Value::Text(String::new())),
        Kind::Pseudo if *ty == Type::CSTRING || *ty == Type::UNKNOWN => {
            text(bytes).map(Value::Text).map_err(|fault| fault.of(ty))
        }
        _ => Err(CellError::unknown(ty)),
    }
}

fn simple(ty: &Type, bytes: &[u8]) -> Result<Value, CellError> {
    match scalar(ty, bytes) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => other(ty, bytes),
        Err(fault) => Err(fault.of(ty)),
    }
}

/// The types that have a variant of [`Value`].
fn scalar(ty: &Type, bytes: &[u8]) -> Result<Option<Value>, Fault> {
    let mut reader = Reader::new(bytes);
    let value = match *ty {
        Type::BOOL => match reader.u8()? {
            flag @ (0 | 1) => Value::Bool(flag == 1),
            _ => return Err(Fault::Bytes("it is neither true nor false")),
        },
        Type::INT2 => Value::from(reader.i16()?),
        Type::INT4 => Value::from(reader.i32()?),
        Type::INT8 => Value::Int(reader.i64()?),
        Type::OID | Type::XID | Type::CID => Value::from(reader.u32()?),
        Type::XID8 => Value::from(reader.u64()?),
        Type::FLOAT4 => float4(reader.f32()?),
        Type::FLOAT8 => Value::Float(reader.f64()?),
        Type::NUMERIC => Value::Decimal(numeric::read(reader.rest())?),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
            Value::Text(text(reader.rest())?)
        }
        Type::BYTEA => Value::Bytes(reader.rest().to_vec()),
        Type::UUID => {
            Value::Uuid(Uuid::from_slice(reader.rest()).map_err(|_| Fault::Bytes("it has not 16 bytes"))?)
        }
        Type::JSON => json(ty, text(reader.rest())?),
        Type::JSONB => match reader.u8()? {
            1 => json(ty, text(reader.rest())?),
            _ => return Err(Fault::Type("its binary form has a version that is not known")),
        },
        Type::DATE => return temporal::read_date(ty, reader).map(Some),
        Type::TIME => return temporal::read_time(ty, reader).map(Some),
        Type::TIMETZ => return temporal::read_timetz(ty, reader).map(Some),
        Type::TIMESTAMP => return temporal::read_datetime(ty, reader).map(Some),
        Type::TIMESTAMPTZ => return temporal::read_instant(ty, reader).map(Some),
        Type::INTERVAL => return temporal::read_interval(ty, reader).map(Some),
        _ => return Ok(None),
    };
    reader.end()?;
    Ok(Some(value))
}

/// The types that are text with a name, and those of extensions.
fn other(ty: &Type, bytes: &[u8]) -> Result<Value, CellError> {
    let reader = Reader::new(bytes);
    let read = match *ty {
        Type::INET | Type::CIDR => network::address(reader),
        Type::MACADDR => network::hardware(reader, 6),
        Type::MACADDR8 => network::hardware(reader, 8),
        Type::BIT | Type::VARBIT => network::bits(reader),
        Type::PG_LSN => network::lsn(reader),
        Type::TID => network::tid(reader),
        Type::CHAR => network::one_byte(reader),
        Type::XML => text(bytes),
        Type::JSONPATH => versioned(reader),
        Type::MONEY => Err(Fault::Type("its decimals depend on the server's lc_monetary")),
        Type::REGPROC
        | Type::REGPROCEDURE
        | Type::REGOPER
        | Type::REGOPERATOR
        | Type::REGCLASS
        | Type::REGTYPE
        | Type::REGCONFIG
        | Type::REGDICTIONARY
        | Type::REGNAMESPACE
        | Type::REGROLE
        | Type::REGCOLLATION => Err(Fault::Type("its binary form is a number in place of the name")),
        _ => match ty.name() {
            "citext" => return text(bytes).map(Value::Text).map_err(|fault| fault.of(ty)),
            "ltree" | "lquery" | "ltxtquery" => versioned(reader),
            "hstore" => nested::hstore(reader),
            _ => return Err(CellError::unknown(ty)),
        },
    };
    read.map(|text| raw(ty, text)).map_err(|fault| fault.of(ty))
}

pub(super) fn text(bytes: &[u8]) -> Result<String, Fault> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Fault::Bytes("it is not UTF-8"))
}

fn versioned(mut reader: Reader<'_>) -> Result<String, Fault> {
    match reader.u8()? {
        1 => text(reader.rest()),
        _ => Err(Fault::Type("its binary form has a version that is not known")),
    }
}

/// The shortest decimal that is this `float4`: 0.1, and not 0.10000000149.
fn float4(value: f32) -> Value {
    Value::Float(literal::widened(value))
}

/// A document; as text where a number or the depth is beyond what the tree can hold exactly.
fn json(ty: &Type, text: String) -> Value {
    if !has_wide_number(&text)
        && let Ok(document) = serde_json::from_str(&text)
    {
        return Value::Json(Box::new(document));
    }
    raw(ty, text)
}

/// Says whether a number has more digits than 64 bits or a float hold for certain.
fn has_wide_number(text: &str) -> bool {
    let mut bytes = text.as_bytes();
    while let Some((first, rest)) = bytes.split_first() {
        bytes = match first {
            b'"' => skip_string(rest),
            b'0'..=b'9' => {
                let end = rest.iter().position(|byte| !b"0123456789.eE+-".contains(byte));
                let (number, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
                if is_wide(number) {
                    return true;
                }
                rest
            }
            _ => rest,
        };
    }
    false
}

fn skip_string(mut bytes: &[u8]) -> &[u8] {
    loop {
        match bytes {
            [b'\\', _, rest @ ..] | [_, rest @ ..] if bytes[0] != b'"' => bytes = rest,
            [_, rest @ ..] => return rest,
            [] => return bytes,
        }
    }
}

/// A float keeps any 15 digits of a moderate size; a whole number without a point keeps 18 in 64 bits.
fn is_wide(number: &[u8]) -> bool {
    let plain = number.iter().all(u8::is_ascii_digit);
    let mut parts = number.splitn(2, |byte| matches!(byte, b'e' | b'E'));
    let mantissa = parts.next().unwrap_or_default();
    let leading = mantissa.iter().take_while(|byte| matches!(byte, b'0' | b'.')).count();
    let digits = mantissa.iter().skip(leading).filter(|byte| byte.is_ascii_digit()).count();
    let exponent = parts.next().map_or(0, |digits| digits.len());
    digits > if plain { 18 } else { 15 } || mantissa.len() > 300 || exponent > 3
}
