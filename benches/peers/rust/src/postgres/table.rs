//! The table that all contenders use.

use tokio_postgres::{Client, NoTls};

use crate::{
    spread::stealing,
    sql::{ROWS, TABLE},
};

/// Adds a row.
pub const INSERT: &str = "INSERT INTO backstop_item (name, amount) VALUES ($1, $2)";
/// Reads a row by its key.
pub const SELECT: &str = "SELECT name, amount FROM backstop_item WHERE id = $1";

/// A filled table in a database that is given.
pub struct Table {
    /// The database.
    pub url: String,
    durability: String,
}

impl Table {
    /// Drops what an earlier run left, and fills the table anew.
    pub fn create(url: &str) -> Self {
        let durability = stealing().block_on(async {
            let client = connect(url).await;
            let fill = format!(
                "DROP TABLE IF EXISTS {TABLE};
                 CREATE TABLE {TABLE} (id bigserial PRIMARY KEY, name text NOT NULL, amount bigint NOT NULL);
                 INSERT INTO {TABLE} (name, amount) SELECT 'item ' || n, n FROM generate_series(1, {ROWS}) n;
                 VACUUM ANALYZE {TABLE}"
            );
            for statement in fill.split(';') {
                client.batch_execute(statement).await.unwrap();
            }
            let settings = "SELECT current_setting('fsync'), current_setting('synchronous_commit')";
            let row = client.query_one(settings, &[]).await.unwrap();
            format!("fsync={}, synchronous_commit={}", row.get::<_, &str>(0), row.get::<_, &str>(1))
        });
        Self { url: url.to_owned(), durability }
    }

    /// When the server says that a commit counts.
    pub fn durability(&self) -> &str {
        &self.durability
    }
}

/// Opens a connection of its own.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
