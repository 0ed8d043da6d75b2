//! The ledgers outside the runtime, read after it has stopped, through connections of our own.

use std::{collections::HashMap, path::Path};

use rusqlite::{Connection, OpenFlags};

use super::{Role, servers::Money};

/// How often each write is found, by its number.
pub(super) type Counts = HashMap<u64, u32>;

/// What was found in the ledgers.
#[derive(Debug, Default)]
pub(super) struct Ledgers {
    counts: [Counts; Role::ALL.len()],
    /// What SQLite's own check says of the file; `ok` when it is sound.
    pub integrity: String,
    /// The money on each server that takes part.
    pub money: Vec<(Role, Money)>,
}

impl Ledgers {
    /// Starts with empty ledgers and the engine's word on its file.
    pub(crate) fn new(integrity: String) -> Self {
        Self { integrity, ..Self::default() }
    }

    /// Puts the counts of one backend in.
    pub(super) fn set(&mut self, role: Role, counts: Counts) {
        self.counts[role.index()] = counts;
    }

    /// Counts how often a write is there.
    #[must_use]
    pub(super) fn count(&self, role: Role, op: u64) -> u32 {
        self.counts[role.index()].get(&op).copied().unwrap_or(0)
    }

    /// Walks over the writes of one ledger.
    pub(super) fn entries(&self, role: Role) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.counts[role.index()].iter().map(|(op, count)| (*op, *count))
    }
}

/// Reads the orders in a database file, and asks the engine whether the file is sound.
///
/// # Errors
/// When the file cannot be opened or read.
pub(super) fn read_file(path: &Path) -> rusqlite::Result<(Counts, String)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let integrity = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    let mut select = connection.prepare("SELECT op_id FROM orders")?;
    let mut counts = Counts::new();
    for op in select.query_map([], |row| row.get::<_, i64>(0))? {
        // a number below zero was never drawn, so it counts as a stranger
        *counts.entry(u64::try_from(op?).unwrap_or(u64::MAX)).or_default() += 1;
    }
    Ok((counts, integrity))
}

/// Deletes an order behind the runtime's back; a planted bug.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn delete_order(path: &Path, op: u64) -> rusqlite::Result<()> {
    let op = i64::try_from(op).unwrap_or(i64::MAX);
    Connection::open(path)?.execute("DELETE FROM orders WHERE op_id = ?1", [op]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::lock::FileLock;

    fn database(directory: &tempfile::TempDir) -> std::path::PathBuf {
        let path = directory.path().join("test.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch("CREATE TABLE orders (op_id INTEGER); INSERT INTO orders VALUES (1), (2), (2)")
            .unwrap();
        path
    }

    #[test]
    fn the_file_tells_how_often_each_order_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = database(&directory);
        assert_eq!(read_file(&path).unwrap(), (Counts::from([(1, 1), (2, 2)]), "ok".to_owned()));
        delete_order(&path, 1).unwrap();
        let mut ledgers = Ledgers::new(String::new());
        ledgers.set(Role::Orders, read_file(&path).unwrap().0);
        assert_eq!((ledgers.count(Role::Orders, 1), ledgers.count(Role::Orders, 2)), (0, 2));
        assert_eq!(ledgers.count(Role::Pricing, 2), 0);
    }

    #[tokio::test]
    async fn a_locked_file_takes_no_write_until_it_is_released() {
        let directory = tempfile::tempdir().unwrap();
        let path = database(&directory);
        let lock = FileLock::take(&path).await.unwrap();
        let writer = Connection::open(&path).unwrap();
        writer.busy_timeout(std::time::Duration::ZERO).unwrap();
        assert!(writer.execute("DELETE FROM orders", []).is_err());
        lock.release().await.unwrap();
        assert_eq!(writer.execute("DELETE FROM orders", []).unwrap(), 3);
    }
}
