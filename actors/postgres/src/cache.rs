//! The prepared statements of one connection.

use std::collections::HashMap;

use backstop_sql::{Column, Columns};
use foldhash::fast::RandomState;
use tokio_postgres::Statement;

/// Keeps the statements used last, at most `capacity`; one that goes is closed at the server.
pub(crate) struct Cache {
    entries: HashMap<Box<str>, Entry, RandomState>,
    capacity: usize,
    clock: u64,
    /// The schema they were prepared under.
    epoch: u64,
}

struct Entry {
    prepared: Prepared,
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
        let column = |column: &tokio_postgres::Column| Column {
            name: column.name().into(),
            db_type: Some(column.type_().name().into()),
        };
        let columns = statement.columns().iter().map(column).collect();
        Self { statement, columns }
    }
}

impl Cache {
    pub(crate) fn new(capacity: usize, epoch: u64) -> Self {
        Self { entries: HashMap::default(), capacity, clock: 0, epoch }
    }

    /// Finds a statement that was prepared under the schema of `epoch`; those of another one are forgotten.
    pub(crate) fn get(&mut self, sql: &str, epoch: u64) -> Option<Prepared> {
        if self.epoch != epoch {
            self.entries.clear();
            self.epoch = epoch;
        }
        self.clock += 1;
        let entry = self.entries.get_mut(sql)?;
        entry.used = self.clock;
        Some(entry.prepared.clone())
    }

    pub(crate) fn put(&mut self, sql: &str, prepared: Prepared) {
        if self.entries.len() >= self.capacity {
            self.drop_oldest();
        }
        self.clock += 1;
        self.entries.insert(sql.into(), Entry { prepared, used: self.clock });
    }

    /// A look at each: it happens once a statement that is new to a full cache, which costs a round trip anyway.
    fn drop_oldest(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(sql, _)| sql.clone());
        if let Some(sql) = oldest {
            self.entries.remove(&sql);
        }
    }
}
