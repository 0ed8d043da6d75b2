//! Rows to Rust types, through serde; an error names the column.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserializer,
    de::{self, DeserializeOwned, IntoDeserializer, value::SeqDeserializer},
    forward_to_deserialize_any,
};

use super::Columns;
use crate::{
    Value,
    value::{float_word, number},
};

/// A cell that does not fit its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    row: usize,
    column: Option<Box<str>>,
    message: Box<str>,
}

impl DecodeError {
    /// Returns the row, counted from 0.
    #[must_use]
    pub fn row(&self) -> usize {
        self.row
    }

    /// Names the column, where the error concerns one.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        self.column.as_deref()
    }

    fn in_column(mut self, column: &str) -> Self {
        self.column.get_or_insert_with(|| column.into());
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "column `{column}` of row {}: {}", self.row, self.message),
            None => write!(f, "row {}: {}", self.row, self.message),
        }
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { row: 0, column: None, message: message.to_string().into() }
    }
}

/// Turns cells into one `T` per row.
pub(super) fn rows<T: DeserializeOwned>(columns: &Columns, cells: Vec<Value>) -> Result<Vec<T>, DecodeError> {
    let width = columns.len().max(1);
    let count = cells.len() / width;
    let mut cells = cells.into_iter();
    let mut typed = Vec::with_capacity(count);
    for row in 0..count {
        let rest = cells.len();
        let decoded = T::deserialize(RowDecoder { columns, cells: &mut cells, next: 0 });
        typed.push(decoded.map_err(|error| DecodeError { row, ..error })?);
        // a type may leave columns unread
        for _ in (rest - cells.len())..width {
            cells.next();
        }
    }
    Ok(typed)
}

struct RowDecoder<'a> {
    columns: &'a Columns,
    cells: &'a mut std::vec::IntoIter<Value>,
    next: usize,
}

impl RowDecoder<'_> {
    fn take(&mut self) -> Result<(usize, Value), DecodeError> {
        let at = self.next;
        self.next += 1;
        let value = self.cells.next().ok_or_else(|| <DecodeError as de::Error>::custom("no more columns"))?;
        Ok((at, value))
    }

    fn cell<'de, S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DecodeError> {
        let (at, value) = self.take()?;
        seed.deserialize(CellDecoder(value)).map_err(|error| error.in_column(&self.columns[at].name))
    }

    /// The value of the only column.
    fn only(mut self) -> Result<(CellDecoder, Box<str>), DecodeError> {
        if self.columns.len() != 1 {
            let count = self.columns.len();
            return Err(de::Error::custom(format!("a single value needs one column, there are {count}")));
        }
        let (at, value) = self.take()?;
        Ok((CellDecoder(value), self.columns[at].name.clone()))
    }
}

macro_rules! only_column {
    ($($method:ident)+) => {$(
        fn $method<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            let (cell, name) = self.only()?;
            cell.$method(visitor).map_err(|error| error.in_column(&name))
        }
    )+};
}

impl<'de> Deserializer<'de> for RowDecoder<'_> {
    type Error = DecodeError;

    only_column! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_option
    }

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_map(self)
    }

    fn deserialize_unit<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    fn deserialize_seq<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(self)
    }

    fn deserialize_tuple<V: de::Visitor<'de>>(
        self,
        width: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if width != self.columns.len() {
            let count = self.columns.len();
            return Err(de::Error::custom(format!("a tuple of {width} does not fit {count} columns")));
        }
        visitor.visit_seq(self)
    }

    fn deserialize_tuple_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        width: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(width, visitor)
    }

    fn deserialize_newtype_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let (cell, column) = self.only()?;
        cell.deserialize_enum(name, variants, visitor).map_err(|error| error.in_column(&column))
    }

    forward_to_deserialize_any! { map struct unit_struct identifier ignored_any }
}

impl<'de> de::SeqAccess<'de> for RowDecoder<'_> {
    type Error = DecodeError;

    fn next_element_seed<S: de::DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        if self.next >= self.columns.len() { Ok(None) } else { self.cell(seed).map(Some) }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.columns.len() - self.next)
    }
}

impl<'de> de::MapAccess<'de> for RowDecoder<'_> {
    type Error = DecodeError;

    fn next_key_seed<S: de::DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        let Some(column) = self.columns.get(self.next) else { return Ok(None) };
        seed.deserialize((&*column.name).into_deserializer()).map(Some)
    }

    fn next_value_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DecodeError> {
        self.cell(seed)
    }
}

/// One cell; what the engine has no type for is converted where nothing can be lost.
struct CellDecoder(Value);

impl CellDecoder {
    /// Hands the value over as it is.
    fn natural<'de, V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Int(value) => visitor.visit_i64(value),
            Value::Float(value) => visitor.visit_f64(value),
            Value::Decimal(text) | Value::Text(text) => visitor.visit_string(text),
            Value::Bytes(bytes) => visitor.visit_byte_buf(bytes),
            Value::Json(json) => json.deserialize_any(visitor).map_err(de::Error::custom),
            Value::UInt(value) => visitor.visit_u64(value),
            Value::Uuid(value) => visitor.visit_string(value.to_string()),
            Value::Date(value) => visitor.visit_string(value.to_string()),
            Value::Time(value) => visitor.visit_string(value.to_string()),
            Value::DateTime(value) => visitor.visit_string(value.to_string()),
            Value::Timestamp(value) => visitor.visit_string(value.to_string()),
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Self))),
            Value::Raw(raw) => visitor.visit_string(raw.text),
        }
    }

    /// A decimal is a whole number where it has no fraction: sums of whole numbers are decimals on PostgreSQL.
    fn integer<'de, V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let Value::Decimal(text) = &self.0 else { return self.natural(visitor) };
        let Some(whole) = number::whole(text) else { return self.natural(visitor) };
        match (i64::try_from(whole), u64::try_from(whole)) {
            (Ok(value), _) => visitor.visit_i64(value),
            (_, Ok(value)) => visitor.visit_u64(value),
            _ => visitor.visit_i128(whole),
        }
    }

    /// A decimal is a float where no digit is lost.
    fn float<'de, V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let exact = match &self.0 {
            Value::Decimal(text) => number::exact_float(text),
            _ => None,
        };
        match exact {
            Some(value) => visitor.visit_f64(value),
            None => self.natural(visitor),
        }
    }
}

macro_rules! by {
    ($how:ident: $($method:ident)+) => {$(
        fn $method<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            self.$how(visitor)
        }
    )+};
}

impl<'de> Deserializer<'de> for CellDecoder {
    type Error = DecodeError;

    /// What takes any type (`serde_json::Value`, for one) gets what JSON has no words for as text.
    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Value::Bytes(bytes) => visitor.visit_string(STANDARD.encode(bytes)),
            Value::Float(value) if !value.is_finite() => visitor.visit_str(float_word(value)),
            Value::Uuid(_) | Value::Date(_) | Value::Time(_) | Value::DateTime(_) | Value::Timestamp(_) => {
                visitor.visit_string(self.0.iso().unwrap_or_default())
            }
            _ => self.natural(visitor),
        }
    }

    by! { integer: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
    deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 }
    by! { float: deserialize_f32 deserialize_f64 }
    by! { natural: deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
    deserialize_unit deserialize_map deserialize_identifier deserialize_ignored_any }

    fn deserialize_unit_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.natural(visitor)
    }

    fn deserialize_tuple<V: de::Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.natural(visitor)
    }

    /// SQLite and MySQL have 0 and 1 for booleans.
    fn deserialize_bool<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Value::Int(value @ (0 | 1)) => visitor.visit_bool(value == 1),
            Value::UInt(value @ (0 | 1)) => visitor.visit_bool(value == 1),
            other => Self(other).natural(visitor),
        }
    }

    fn deserialize_option<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    /// `Vec<u8>` asks for a sequence.
    fn deserialize_seq<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Value::Bytes(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.into_iter())),
            other => Self(other).natural(visitor),
        }
    }

    fn deserialize_newtype_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.0 {
            Value::Text(text) => visitor.visit_enum(text.into_deserializer()),
            Value::Raw(raw) => visitor.visit_enum(raw.text.into_deserializer()),
            Value::Json(json) => json.deserialize_enum(name, variants, visitor).map_err(de::Error::custom),
            other => Err(de::Error::custom(format!(
                "a value of type {} is no variant of {name}",
                other.type_name()
            ))),
        }
    }
}

impl IntoDeserializer<'_, DecodeError> for CellDecoder {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests;
