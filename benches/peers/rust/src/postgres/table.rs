//! The table that all contenders use.

use tokio_postgres::NoTls;

use crate::spread::stealing;

/// Adds a row.
pub const INSERT: &str = "INSERT INTO backstop_item (name, amount) VALUES ($1, $2)";
/// Reads a row by its key.
pub const SELECT: &str = "SELECT name, amount FROM backstop_item WHERE id = $1";
/// Rows that are there from the start.
pub const ROWS: i64 = 10_000;

/// A filled table in a database that is given.
pub struct Table {
    /// The database.
    pub url: String,
}

impl Table {
    /// Drops what an earlier run left, and fills the table anew.
    pub fn create(url: &str) -> Self {
        stealing().block_on(async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
            tokio::spawn(connection);
            let fill = format!(
                "DROP TABLE IF EXISTS backstop_item;
                 CREATE TABLE backstop_item (id bigserial PRIMARY KEY, name text NOT NULL, amount bigint NOT NULL);
                 INSERT INTO backstop_item (name, amount) SELECT 'item ' || n, n FROM generate_series(1, {ROWS}) n;
                 VACUUM ANALYZE backstop_item"
            );
            for statement in fill.split(';') {
                client.batch_execute(statement).await.unwrap();
            }
        });
        Self { url: url.to_owned() }
    }

    /// The key of the row that the `turn`th operation reads.
    pub fn key(turn: u64) -> i64 {
        (turn.wrapping_mul(7_919) % ROWS.unsigned_abs()) as i64 + 1
    }
}
