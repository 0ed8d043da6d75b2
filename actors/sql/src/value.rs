//! A value of a parameter or a cell, whatever the engine.

mod json;
pub(crate) mod number;
mod read;

use jiff::{Timestamp, civil};
use uuid::Uuid;

pub(crate) use self::{
    json::float_word,
    read::{Pairs, read},
};
pub use self::{
    json::{JsonValue, Numbers},
    number::check_numbers,
};

/// One value of a parameter or of a cell.
///
/// ```
/// use backstop_sql::Value;
///
/// assert_eq!(Value::from(7), Value::Int(7));
/// assert_eq!(Value::from(None::<&str>), Value::Null);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// True or false; engines without such a type store 1 or 0.
    Bool(bool),
    /// A whole number of up to 64 bits.
    Int(i64),
    /// A binary floating-point number.
    Float(f64),
    /// An exact decimal number as text, such as `99.90`; its scale is kept.
    Decimal(String),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A JSON document; boxed, because it is rare and larger than the rest.
    Json(Box<serde_json::Value>),
    /// A whole number beyond 63 bits: MySQL's `BIGINT UNSIGNED`.
    UInt(u64),
    /// A UUID.
    Uuid(Uuid),
    /// A day.
    Date(civil::Date),
    /// A time of day, to the microsecond.
    Time(civil::Time),
    /// A day and a time without an offset (`timestamp`, `DATETIME`), to the microsecond.
    DateTime(civil::DateTime),
    /// An instant (`timestamptz`), to the microsecond.
    Timestamp(Timestamp),
    /// A list; nested for more dimensions. Lower bounds are dropped.
    Array(Vec<Value>),
    /// A type that has no variant of its own, as text with its name: intervals, networks, infinite dates.
    Raw(Box<RawValue>),
}

/// A value in the engine's own text form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawValue {
    /// The type in the engine's words, such as `interval`.
    pub db_type: Box<str>,
    /// The text.
    pub text: String,
}

impl Value {
    /// Says whether there is no value.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Names the type in errors and in JSON tags.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int8",
            Self::Float(_) => "float8",
            Self::Decimal(_) => "decimal",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Json(_) => "json",
            Self::UInt(_) => "uint8",
            Self::Uuid(_) => "uuid",
            Self::Date(_) => "date",
            Self::Time(_) => "time",
            Self::DateTime(_) => "timestamp",
            Self::Timestamp(_) => "timestamptz",
            Self::Array(_) => "array",
            Self::Raw(_) => "raw",
        }
    }

    /// Returns the whole number, if it is one that fits.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::UInt(value) => i64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// Returns the text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(value) => Some(value),
            _ => None,
        }
    }

    /// Writes a UUID, a day or a time as ISO 8601 text; `None` for other types.
    ///
    /// Times have six digits behind the point, so that their texts sort as they do; what is finer is cut off.
    ///
    /// ```
    /// use backstop_sql::Value;
    ///
    /// let at: jiff::Timestamp = "2026-01-31T12:00:00.5+01:00".parse()?;
    /// assert_eq!(Value::from(at).iso().as_deref(), Some("2026-01-31T11:00:00.500000Z"));
    /// # Ok::<_, jiff::Error>(())
    /// ```
    #[must_use]
    pub fn iso(&self) -> Option<String> {
        match self {
            Self::Uuid(value) => Some(value.to_string()),
            Self::Date(value) => Some(value.to_string()),
            Self::Time(value) => Some(format!("{value:.6}")),
            Self::DateTime(value) => Some(format!("{value:.6}")),
            Self::Timestamp(value) => Some(format!("{value:.6}")),
            _ => None,
        }
    }

    /// Estimates the memory of the value in bytes, for limits on replies.
    #[must_use]
    pub fn weight(&self) -> usize {
        let heap = match self {
            Self::Decimal(text) | Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Array(items) => items.iter().map(Self::weight).sum(),
            Self::Raw(raw) => raw.text.len() + raw.db_type.len(),
            _ => 0,
        };
        size_of::<Self>() + heap
    }
}

macro_rules! value_from {
    ($($from:ty => $make:expr),+ $(,)?) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                let make: fn($from) -> Self = $make;
                make(value)
            }
        }
    )+};
}

value_from! {
    bool => Value::Bool,
    i8 => |value| Value::Int(value.into()),
    i16 => |value| Value::Int(value.into()),
    i32 => |value| Value::Int(value.into()),
    i64 => Value::Int,
    u8 => |value| Value::Int(value.into()),
    u16 => |value| Value::Int(value.into()),
    u32 => |value| Value::Int(value.into()),
    f32 => |value| Value::Float(value.into()),
    f64 => Value::Float,
    String => Value::Text,
    Vec<u8> => Value::Bytes,
    Uuid => Value::Uuid,
    civil::Date => Value::Date,
    civil::Time => Value::Time,
    civil::DateTime => Value::DateTime,
    Timestamp => Value::Timestamp,
    u64 => |value| i64::try_from(value).map_or(Value::UInt(value), Value::Int),
    serde_json::Value => |value| Value::Json(Box::new(value)),
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
