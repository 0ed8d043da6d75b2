//! Why a value cannot be bound or a cell cannot be read.

use backstop_sql::Value;
use tokio_postgres::types::{Kind, Type};

/// A parameter that does not fit its type; shows the value only as far as it helps.
#[derive(Debug, thiserror::Error)]
#[error("{shown} ({from}) is no value of type `{to}`: {why}")]
pub(crate) struct ParamError {
    shown: String,
    from: &'static str,
    to: String,
    why: &'static str,
}

impl ParamError {
    pub(super) fn new(value: &Value, ty: &Type, why: &'static str) -> Self {
        Self { shown: shown(value), from: value.type_name(), to: name(ty), why }
    }

    pub(super) fn range(value: &Value, ty: &Type) -> Self {
        Self::new(value, ty, "it is out of range")
    }

    pub(super) fn form(value: &Value, ty: &Type) -> Self {
        Self::new(value, ty, "it is not written like one")
    }

    pub(super) fn kind(value: &Value, ty: &Type) -> Self {
        Self::new(value, ty, "nothing turns the one into the other without a loss or a guess")
    }
}

/// Numbers and times are shown; text, bytes and documents may be secrets or long.
fn shown(value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Decimal(text) if text.len() <= 60 => text.clone(),
        Value::Date(day) => day.to_string(),
        Value::Time(time) => time.to_string(),
        Value::DateTime(time) => time.to_string(),
        Value::Timestamp(time) => time.to_string(),
        _ => "the value".to_owned(),
    }
}

/// The name as users write it: `int4[]` and not `_int4`.
fn name(ty: &Type) -> String {
    match ty.kind() {
        Kind::Array(member) => format!("{}[]", member.name()),
        _ => ty.name().to_owned(),
    }
}

/// A cell that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CellError {
    /// The type has no exact form here.
    #[error("type `{0}` cannot be read as it is: {1}; cast it to text (`column::text`)")]
    Unknown(String, &'static str),
    /// The bytes are no value of the type: the server or the way to it is broken.
    #[error("the server sent bytes that are no value of type `{0}`: {1}")]
    Malformed(String, &'static str),
}

impl CellError {
    pub(super) fn unknown(ty: &Type) -> Self {
        Self::Unknown(name(ty), "its binary form is not known")
    }
}

/// What is wrong with bytes, before the type is named.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// The bytes are malformed.
    Bytes(&'static str),
    /// The type inside is not known.
    Type(&'static str),
}

impl Fault {
    pub(super) fn of(self, ty: &Type) -> CellError {
        match self {
            Self::Bytes(what) => CellError::Malformed(name(ty), what),
            Self::Type(what) => CellError::Unknown(name(ty), what),
        }
    }
}
