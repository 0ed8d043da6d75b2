//! Columns with their values: what is inserted or set.

mod cell;

use std::fmt;

use serde::Serialize;

pub use self::cell::RecordError;
use crate::Value;

/// Values by the names of their columns, in order.
///
/// ```
/// use backstop_sql::crud::Record;
///
/// #[derive(serde::Serialize)]
/// struct User { name: &'static str, age: u8 }
///
/// let by_pairs = Record::from((("name", "Ada"), ("age", 36)));
/// let by_struct = Record::from_struct(&User { name: "Ada", age: 36 })?;
/// assert_eq!(by_pairs, by_struct);
/// # Ok::<_, backstop_sql::crud::RecordError>(())
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Record {
    columns: Vec<Box<str>>,
    values: Vec<Value>,
}

impl Record {
    /// Starts without columns.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a column, in place of an earlier value.
    #[must_use]
    pub fn set(mut self, column: impl Into<Box<str>>, value: impl Into<Value>) -> Self {
        self.put(column.into(), value.into());
        self
    }

    /// Reads the fields of a struct or the entries of a map, through serde. Lists and nested structs become
    /// JSON documents.
    ///
    /// # Errors
    /// [`RecordError`] names the field whose value has no place in a cell.
    pub fn from_struct<T: Serialize + ?Sized>(row: &T) -> Result<Self, RecordError> {
        cell::record(row)
    }

    /// Returns the names of the columns.
    #[must_use]
    pub fn columns(&self) -> &[Box<str>] {
        &self.columns
    }

    /// Returns the values, in the order of the columns.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Returns the value of a column.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&Value> {
        self.columns.iter().position(|name| **name == *column).and_then(|at| self.values.get(at))
    }

    /// Takes a column out.
    pub fn remove(&mut self, column: &str) -> Option<Value> {
        let at = self.columns.iter().position(|name| **name == *column)?;
        self.columns.remove(at);
        Some(self.values.remove(at))
    }

    /// Counts the columns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Says whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    pub(super) fn put(&mut self, column: Box<str>, value: Value) {
        match self.columns.iter().position(|known| *known == column) {
            Some(at) => self.values[at] = value,
            None => {
                self.columns.push(column);
                self.values.push(value);
            }
        }
    }

    pub(super) fn into_pairs(self) -> impl Iterator<Item = (Box<str>, Value)> {
        self.columns.into_iter().zip(self.values)
    }
}

impl<N: Into<Box<str>>, V: Into<Value>> FromIterator<(N, V)> for Record {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut record = Self::default();
        for (column, value) in pairs {
            record.put(column.into(), value.into());
        }
        record
    }
}

impl<N: Into<Box<str>>, V: Into<Value>, const K: usize> From<[(N, V); K]> for Record {
    fn from(pairs: [(N, V); K]) -> Self {
        pairs.into_iter().collect()
    }
}

impl<N: Into<Box<str>>, V: Into<Value>> From<Vec<(N, V)>> for Record {
    fn from(pairs: Vec<(N, V)>) -> Self {
        pairs.into_iter().collect()
    }
}

macro_rules! record_from_pairs {
    ($($name:ident $value:ident)+) => {
        impl<$($name: Into<Box<str>>, $value: Into<Value>),+> From<($(($name, $value),)+)> for Record {
            #[allow(non_snake_case, reason = "a type and its value share one name in the macro")]
            fn from(($(($name, $value),)+): ($(($name, $value),)+)) -> Self {
                Self::default()$(.set($name, $value))+
            }
        }
    };
}

record_from_pairs!(A A1);
record_from_pairs!(A A1 B B1);
record_from_pairs!(A A1 B B1 C C1);
record_from_pairs!(A A1 B B1 C C1 D D1);
record_from_pairs!(A A1 B B1 C C1 D D1 E E1);
record_from_pairs!(A A1 B B1 C C1 D D1 E E1 F F1);

/// Shows the columns and no value, because values may be secrets.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Record")?;
        f.debug_set().entries(&self.columns).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_set_once_and_debug_shows_no_value() {
        let record = Record::from((("token", "old"), ("age", 36))).set("token", "hunter2");
        assert_eq!(record.len(), 2);
        assert_eq!(record.get("token"), Some(&Value::from("hunter2")));
        assert!(!format!("{record:?}").contains("hunter2"));
    }
}
