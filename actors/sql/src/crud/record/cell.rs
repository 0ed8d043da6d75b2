//! Structs to records, through serde; the opposite of [`Rows::into_typed`](crate::Rows::into_typed).

use std::fmt;

use serde::{
    Serialize, Serializer,
    ser::{self, Impossible, SerializeMap, SerializeStruct},
};

use super::Record;
use crate::Value;

/// A value that has no place in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    column: Option<Box<str>>,
    message: Box<str>,
}

impl RecordError {
    fn new(message: impl fmt::Display) -> Self {
        Self { column: None, message: message.to_string().into() }
    }

    fn at(mut self, column: &str) -> Self {
        self.column.get_or_insert_with(|| column.into());
        self
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "field `{column}`: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for RecordError {}

impl ser::Error for RecordError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message)
    }
}

pub(super) fn record<T: Serialize + ?Sized>(row: &T) -> Result<Record, RecordError> {
    row.serialize(RowSerializer)
}

fn cell<T: Serialize + ?Sized>(column: &str, value: &T) -> Result<Value, RecordError> {
    match value.serialize(CellSerializer) {
        Ok(Some(value)) => Ok(value),
        // not a scalar: a document
        Ok(None) | Err(_) => {
            serde_json::to_value(value).map(Value::from).map_err(|error| RecordError::new(error).at(column))
        }
    }
}

/// Takes structs and maps, and nothing else.
struct RowSerializer;

#[derive(Default)]
struct Fields {
    record: Record,
    key: Option<String>,
}

impl SerializeStruct for Fields {
    type Ok = Record;
    type Error = RecordError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), RecordError> {
        self.record.put(name.into(), cell(name, value)?);
        Ok(())
    }

    fn end(self) -> Result<Record, RecordError> {
        Ok(self.record)
    }
}

impl SerializeMap for Fields {
    type Ok = Record;
    type Error = RecordError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), RecordError> {
        match key.serialize(CellSerializer)? {
            Some(Value::Text(key)) => self.key = Some(key),
            _ => return Err(RecordError::new("the names of columns must be texts")),
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RecordError> {
        let key = self.key.take().ok_or_else(|| RecordError::new("a value without a key"))?;
        let value = cell(&key, value)?;
        self.record.put(key.into(), value);
        Ok(())
    }

    fn end(self) -> Result<Record, RecordError> {
        Ok(self.record)
    }
}

macro_rules! no_row {
    ($($method:ident($($type:ty),*);)+) => {$(
        fn $method(self, $(_: $type),*) -> Result<Record, RecordError> {
            Err(RecordError::new("a row must be a struct or a map"))
        }
    )+};
}

impl Serializer for RowSerializer {
    type Ok = Record;
    type Error = RecordError;
    type SerializeSeq = Impossible<Record, RecordError>;
    type SerializeTuple = Impossible<Record, RecordError>;
    type SerializeTupleStruct = Impossible<Record, RecordError>;
    type SerializeTupleVariant = Impossible<Record, RecordError>;
    type SerializeMap = Fields;
    type SerializeStruct = Fields;
    type SerializeStructVariant = Impossible<Record, RecordError>;

    no_row! {
        serialize_bool(bool); serialize_i8(i8); serialize_i16(i16); serialize_i32(i32); serialize_i64(i64);
        serialize_u8(u8); serialize_u16(u16); serialize_u32(u32); serialize_u64(u64); serialize_f32(f32);
        serialize_f64(f64); serialize_char(char); serialize_str(&str); serialize_bytes(&[u8]);
        serialize_none(); serialize_unit(); serialize_unit_struct(&'static str);
        serialize_unit_variant(&'static str, u32, &'static str);
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Record, RecordError> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Record, RecordError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Record, RecordError> {
        self.serialize_unit()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Fields, RecordError> {
        Ok(Fields::default())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields, RecordError> {
        Ok(Fields::default())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, RecordError> {
        Err(RecordError::new("a row must be a struct or a map; it is a list"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, RecordError> {
        Err(RecordError::new("a row must be a struct or a map; a tuple has no names"))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, RecordError> {
        Err(RecordError::new("a row must be a struct with names"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, RecordError> {
        Err(RecordError::new("a row must be a struct or a map; it is an enum"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, RecordError> {
        Err(RecordError::new("a row must be a struct or a map; it is an enum"))
    }
}

/// Takes scalars; `None` where the value is none.
struct CellSerializer;

type Cell = Result<Option<Value>, RecordError>;

macro_rules! scalars {
    ($($method:ident($type:ty);)+) => {$(
        fn $method(self, value: $type) -> Cell {
            Ok(Some(Value::from(value)))
        }
    )+};
}

macro_rules! documents {
    ($($method:ident($($type:ty),*) -> $out:ident;)+) => {$(
        fn $method(self, $(_: $type),*) -> Result<Self::$out, RecordError> {
            Err(RecordError::new("no scalar"))
        }
    )+};
}

impl Serializer for CellSerializer {
    type Ok = Option<Value>;
    type Error = RecordError;
    type SerializeSeq = Impossible<Option<Value>, RecordError>;
    type SerializeTuple = Impossible<Option<Value>, RecordError>;
    type SerializeTupleStruct = Impossible<Option<Value>, RecordError>;
    type SerializeTupleVariant = Impossible<Option<Value>, RecordError>;
    type SerializeMap = Impossible<Option<Value>, RecordError>;
    type SerializeStruct = Impossible<Option<Value>, RecordError>;
    type SerializeStructVariant = Impossible<Option<Value>, RecordError>;

    scalars! {
        serialize_bool(bool); serialize_i8(i8); serialize_i16(i16); serialize_i32(i32); serialize_i64(i64);
        serialize_u8(u8); serialize_u16(u16); serialize_u32(u32); serialize_u64(u64); serialize_f32(f32);
        serialize_f64(f64); serialize_str(&str); serialize_bytes(&[u8]);
    }

    documents! {
        serialize_seq(Option<usize>) -> SerializeSeq;
        serialize_tuple(usize) -> SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> SerializeTupleVariant;
        serialize_map(Option<usize>) -> SerializeMap;
        serialize_struct(&'static str, usize) -> SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> SerializeStructVariant;
    }

    fn serialize_char(self, value: char) -> Cell {
        Ok(Some(Value::Text(value.into())))
    }

    fn serialize_none(self) -> Cell {
        Ok(Some(Value::Null))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Cell {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Cell {
        Ok(Some(Value::Null))
    }

    fn serialize_unit_struct(self, _: &'static str) -> Cell {
        Ok(Some(Value::Null))
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Cell {
        Ok(Some(Value::from(variant)))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Cell {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Cell {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Serialize)]
    enum Status {
        Active,
    }

    #[derive(Serialize)]
    struct Row {
        id: u64,
        ratio: f64,
        status: Status,
        gone: Option<String>,
        tags: Vec<&'static str>,
    }

    #[test]
    fn fields_become_cells_and_lists_become_documents() {
        let row = Row { id: 7, ratio: 0.5, status: Status::Active, gone: None, tags: vec!["a"] };
        let expected = Record::from((("id", 7), ("ratio", 0.5), ("status", "Active")))
            .set("gone", Value::Null)
            .set("tags", json!(["a"]));
        assert_eq!(record(&row).unwrap(), expected);
        let map: std::collections::BTreeMap<_, _> = [("b", 1), ("a", 2)].into();
        assert_eq!(record(&map).unwrap(), Record::from([("a", 2), ("b", 1)]));
    }

    #[test]
    fn what_is_no_row_is_refused_with_the_field() {
        assert!(record(&(1, 2)).unwrap_err().to_string().contains("tuple"));
        assert!(record(&7).is_err());
        let wide = std::collections::BTreeMap::from([("wide", vec![u128::MAX])]);
        let error = record(&wide).unwrap_err().to_string();
        assert!(error.starts_with("field `wide`"), "{error}");
    }
}
