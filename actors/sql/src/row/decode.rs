//! Rows to Rust types, through serde; an error names the column.

use std::fmt;

use serde::{
    Deserializer,
    de::{self, DeserializeOwned, IntoDeserializer, value::SeqDeserializer},
    forward_to_deserialize_any,
};

use super::Columns;
use crate::Value;

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

impl<'de> Deserializer<'de> for CellDecoder {
    type Error = DecodeError;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
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

    /// SQLite and MySQL have 0 and 1 for booleans.
    fn deserialize_bool<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Value::Int(value @ (0 | 1)) => visitor.visit_bool(value == 1),
            other => Self(other).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    /// `Vec<u8>` asks for a sequence.
    fn deserialize_seq<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0 {
            Value::Bytes(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.into_iter())),
            other => Self(other).deserialize_any(visitor),
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
            Value::Json(json) => json.deserialize_enum(name, variants, visitor).map_err(de::Error::custom),
            other => Err(de::Error::custom(format!(
                "a value of type {} is no variant of {name}",
                other.type_name()
            ))),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        tuple tuple_struct map struct identifier ignored_any
    }
}

impl IntoDeserializer<'_, DecodeError> for CellDecoder {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use crate::{Column, Rows, Value};

    fn rows(names: &[&str], cells: impl IntoIterator<Item = Value>) -> Rows {
        let columns = names.iter().map(|name| Column { name: (*name).into(), db_type: None });
        let mut rows = Rows::new(columns.collect());
        cells.into_iter().for_each(|cell| rows.push_cell(cell));
        rows
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Everything {
        flag: bool,
        small: u8,
        big: u64,
        real: f64,
        whole_real: f32,
        text: String,
        bytes: Vec<u8>,
        none: Option<i64>,
        colour: Colour,
    }

    #[test]
    fn a_struct_is_read_by_column_name_in_any_order() {
        let names =
            ["colour", "none", "bytes", "text", "whole_real", "real", "big", "small", "flag", "extra"];
        let cells: [Value; 10] = [
            "red".into(),
            Value::Null,
            vec![1, 2].into(),
            "t".into(),
            2.into(),
            0.5.into(),
            i64::MAX.into(),
            255.into(),
            1.into(),
            "ignored".into(),
        ];
        let typed = rows(&names, cells).into_typed::<Everything>().unwrap();
        assert_eq!(typed[0].big, i64::MAX.unsigned_abs());
        assert_eq!((typed[0].flag, typed[0].small, typed[0].none), (true, 255, None));
        assert_eq!((&typed[0].bytes[..], &typed[0].colour), (&[1, 2][..], &Colour::Red));
    }

    #[test]
    fn tuples_go_by_position_and_a_single_column_is_a_value() {
        let pairs = rows(&["a", "b"], [1.into(), "x".into(), 2.into(), Value::Null]);
        assert_eq!(pairs.into_typed::<(i64, Option<String>)>().unwrap(), [(1, Some("x".into())), (2, None)]);
        assert_eq!(rows(&["a"], [1.into(), 2.into()]).into_typed::<u32>().unwrap(), [1, 2]);
        assert_eq!(rows(&["a"], [Value::Null]).into_typed::<Option<String>>().unwrap(), [None]);
        let error = rows(&["a", "b"], [1.into(), 2.into()]).into_typed::<i64>().unwrap_err();
        assert!(error.to_string().contains("one column"), "{error}");
    }

    #[test]
    fn a_wrong_type_names_row_and_column() {
        #[derive(Debug, Deserialize)]
        struct One {
            #[allow(dead_code, reason = "read by serde alone")]
            id: u8,
        }
        let error = rows(&["id"], [1.into(), 300.into()]).into_typed::<One>().unwrap_err();
        assert_eq!((error.row(), error.column()), (1, Some("id")));
        let error = rows(&["id"], [Value::Null]).into_typed::<One>().unwrap_err();
        assert_eq!(error.column(), Some("id"));
        let error = rows(&["other"], [1.into()]).into_typed::<One>().unwrap_err();
        assert!(error.to_string().contains("missing field `id`"), "{error}");
    }

    #[test]
    fn unread_columns_do_not_shift_the_next_row() {
        let unread = rows(&["a", "b"], [1.into(), 2.into(), 3.into(), 4.into()]);
        assert_eq!(unread.into_typed::<()>().unwrap().len(), 2);
    }

    #[test]
    fn the_envelope_has_the_same_fields_for_every_reply() {
        let json = serde_json::to_value(rows(&["a"], [1.into()])).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"columns": [{"name": "a", "db_type": null}], "rows": [["1"]], "affected": 0,
                "last_insert_id": null, "truncated": false})
        );
    }
}
