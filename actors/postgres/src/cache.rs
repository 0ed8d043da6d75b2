//! Statements by their texts: those prepared on one connection, or those that the server has described.

use std::{collections::HashMap, sync::Arc};

use backstop_sql::{Column, Columns};
use foldhash::fast::RandomState;
use tokio_postgres::{Statement, types::Type};

/// Keeps the statements used last, at most `capacity`; one that goes is closed at the server.
pub(crate) struct Cache<T> {
    entries: HashMap<Box<str>, Entry<T>, RandomState>,
    capacity: usize,
    clock: u64,
    /// The schema they were prepared under.
    epoch: u64,
}

struct Entry<T> {
    known: T,
    used: u64,
}

/// A statement that the server knows on one connection; cloning costs two reference counts.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) statement: Statement,
    pub(crate) columns: Columns,
}

impl Prepared {
    pub(crate) fn new(statement: Statement) -> Self {
        let columns = columns(statement.columns());
        Self { statement, columns }
    }
}

/// What the server said of a statement, true on every connection; cloning costs two reference counts.
#[derive(Clone)]
pub(crate) struct Described {
    pub(crate) params: Arc<[Type]>,
    pub(crate) columns: Columns,
    /// The driver knows the types of the columns by heart, and asks the server nothing when it reads them.
    pub(crate) is_plain: bool,
}

impl Described {
    pub(crate) fn new(statement: &Statement) -> Self {
        let is_plain = |column: &tokio_postgres::Column| Type::from_oid(column.type_().oid()).is_some();
        Self {
            params: statement.params().into(),
            columns: columns(statement.columns()),
            is_plain: statement.columns().iter().all(is_plain),
        }
    }
}

/// Names and types of columns.
pub(crate) fn columns(told: &[tokio_postgres::Column]) -> Columns {
    let column = |column: &tokio_postgres::Column| Column {
        name: column.name().into(),
        db_type: Some(column.type_().name().into()),
    };
    told.iter().map(column).collect()
}

impl<T: Clone> Cache<T> {
    pub(crate) fn new(capacity: usize, epoch: u64) -> Self {
        Self { entries: HashMap::default(), capacity, clock: 0, epoch }
    }

    /// Finds a statement that was prepared under the schema of `epoch`; those of another one are forgotten.
    pub(crate) fn get(&mut self, sql: &str, epoch: u64) -> Option<T> {
        if self.epoch != epoch {
            self.entries.clear();
            self.epoch = epoch;
        }
        self.clock += 1;
        let entry = self.entries.get_mut(sql)?;
        entry.used = self.clock;
        Some(entry.known.clone())
    }

    pub(crate) fn put(&mut self, sql: &str, known: T) {
        if self.entries.len() >= self.capacity {
            self.drop_oldest();
        }
        self.clock += 1;
        self.entries.insert(sql.into(), Entry { known, used: self.clock });
    }

    /// Forgets one statement.
    pub(crate) fn forget(&mut self, sql: &str) {
        self.entries.remove(sql);
    }

    /// A look at each: it happens once a statement that is new to a full cache, which costs a round trip anyway.
    fn drop_oldest(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(sql, _)| sql.clone());
        if let Some(sql) = oldest {
            self.entries.remove(&sql);
        }
    }
}
