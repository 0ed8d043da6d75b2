//! The JSON form of a reply, the same for every SQL backend.

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::{Column, Rows};
use crate::{Numbers, value::JsonValue};

/// `columns`, `rows`, `affected`, `last_insert_id`, `truncated`.
pub(crate) struct Envelope<'a> {
    pub(crate) rows: Option<&'a Rows>,
    pub(crate) affected: u64,
    pub(crate) last_insert_id: Option<i64>,
    pub(crate) numbers: Numbers,
}

impl Serialize for Envelope<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const NO_COLUMNS: &[Column] = &[];
        let mut out = serializer.serialize_struct("Envelope", 5)?;
        out.serialize_field("columns", self.rows.map_or(NO_COLUMNS, |rows| &rows.columns))?;
        out.serialize_field("rows", &Cells { rows: self.rows, numbers: self.numbers })?;
        out.serialize_field("affected", &self.affected)?;
        let id = self.last_insert_id.map(crate::Value::Int);
        out.serialize_field("last_insert_id", &id.as_ref().map(|id| JsonValue(id, self.numbers)))?;
        out.serialize_field("truncated", &self.rows.is_some_and(|rows| rows.truncated))?;
        out.end()
    }
}

struct Cells<'a> {
    rows: Option<&'a Rows>,
    numbers: Numbers,
}

impl Serialize for Cells<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct OneRow<'a>(&'a [crate::Value], Numbers);
        impl Serialize for OneRow<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(self.0.iter().map(|cell| JsonValue(cell, self.1)))
            }
        }
        match self.rows {
            Some(rows) => serializer.collect_seq(rows.iter().map(|row| OneRow(row.values(), self.numbers))),
            None => serializer.collect_seq([(); 0]),
        }
    }
}
