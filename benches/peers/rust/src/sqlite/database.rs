//! A database file of its own for every contender, all alike.

use std::path::PathBuf;

use rusqlite::Connection;

use crate::options::Options;

/// Adds a row.
pub const INSERT: &str = "INSERT INTO item (name, amount) VALUES (?1, ?2)";
/// Reads a row by its key.
pub const SELECT: &str = "SELECT name, amount FROM item WHERE id = ?1";
/// Rows that are there from the start.
pub const ROWS: i64 = 10_000;
/// Prepared statements that every contender keeps.
pub const STATEMENTS: usize = 256;

/// When a commit counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// At checkpoints.
    Normal,
    /// At once.
    Full,
}

impl Durability {
    /// The word of the pragma.
    pub fn word(self) -> &'static str {
        match self {
            Self::Normal => "NORMAL",
            Self::Full => "FULL",
        }
    }
}

/// A file in a directory that vanishes with it.
pub struct Database {
    directory: tempfile::TempDir,
    durability: Durability,
}

impl Database {
    /// Creates the file, the table and its rows.
    pub fn create(options: &Options, durability: Durability) -> Self {
        let parent = options.directory.clone().unwrap_or_else(std::env::temp_dir);
        let database = Self { directory: tempfile::tempdir_in(parent).unwrap(), durability };
        let mut connection = database.open();
        connection
            .execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, amount INTEGER)", [])
            .unwrap();
        let filling = connection.transaction().unwrap();
        for id in 1..=ROWS {
            filling.execute(INSERT, (format!("item {id}"), id)).unwrap();
        }
        filling.commit().unwrap();
        database
    }

    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("peer.db")
    }

    /// When its commits count.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Opens a connection with the settings that all contenders have.
    pub fn open(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        self.set_up(&connection).unwrap();
        connection
    }

    /// Gives a connection the settings that all contenders have.
    pub fn set_up(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", self.durability.word())?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.busy_timeout(std::time::Duration::from_secs(5))
    }

    /// The key of the row that the `turn`th operation reads.
    pub fn key(turn: u64) -> i64 {
        (turn.wrapping_mul(7_919) % ROWS.unsigned_abs()) as i64 + 1
    }
}
