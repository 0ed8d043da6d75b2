//! The prepared statements of one connection.

use std::collections::HashMap;

use tokio_postgres::Statement;

/// Keeps the statements used last, at most `capacity`; one that goes is closed at the server.
pub(crate) struct Cache {
    entries: HashMap<Box<str>, Entry>,
    capacity: usize,
    clock: u64,
    /// The schema they were prepared under.
    epoch: u64,
}

struct Entry {
    statement: Statement,
    used: u64,
}

impl Cache {
    pub(crate) fn new(capacity: usize, epoch: u64) -> Self {
        Self { entries: HashMap::new(), capacity, clock: 0, epoch }
    }

    /// Finds a statement that was prepared under the schema of `epoch`; those of another one are forgotten.
    pub(crate) fn get(&mut self, sql: &str, epoch: u64) -> Option<Statement> {
        if self.epoch != epoch {
            self.entries.clear();
            self.epoch = epoch;
        }
        self.clock += 1;
        let entry = self.entries.get_mut(sql)?;
        entry.used = self.clock;
        Some(entry.statement.clone())
    }

    pub(crate) fn put(&mut self, sql: &str, statement: Statement) {
        if self.entries.len() >= self.capacity {
            self.drop_oldest();
        }
        self.clock += 1;
        self.entries.insert(sql.into(), Entry { statement, used: self.clock });
    }

    /// A look at each: it happens once a statement that is new to a full cache, which costs a round trip anyway.
    fn drop_oldest(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(sql, _)| sql.clone());
        if let Some(sql) = oldest {
            self.entries.remove(&sql);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}
