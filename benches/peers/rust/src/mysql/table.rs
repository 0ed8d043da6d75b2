//! The table that all contenders use.

use mysql_async::{Conn, prelude::Queryable};

use crate::{
    spread::stealing,
    sql::{ROWS, TABLE},
};

/// Adds a row.
pub const INSERT: &str = "INSERT INTO backstop_item (name, amount) VALUES (?, ?)";
/// Reads a row by its key.
pub const SELECT: &str = "SELECT name, amount FROM backstop_item WHERE id = ?";

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
            let mut connection = Conn::from_url(url).await.unwrap();
            connection.query_drop(format!("DROP TABLE IF EXISTS {TABLE}")).await.unwrap();
            let create = format!(
                "CREATE TABLE {TABLE} (id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) NOT NULL,
                 amount BIGINT NOT NULL) ENGINE = InnoDB"
            );
            connection.query_drop(create).await.unwrap();
            let rows: Vec<String> = (1..=ROWS).map(|row| format!("({row}, 'item {row}', {row})")).collect();
            let fill = format!("INSERT INTO {TABLE} (id, name, amount) VALUES {}", rows.join(", "));
            connection.query_drop(fill).await.unwrap();
            let (flush, binlog): (i64, i64) = connection
                .query_first("SELECT @@innodb_flush_log_at_trx_commit, @@log_bin")
                .await
                .unwrap()
                .unwrap();
            connection.disconnect().await.unwrap();
            format!("innodb_flush_log_at_trx_commit={flush}, log_bin={binlog}")
        });
        Self { url: url.to_owned(), durability }
    }

    /// When the server says that a commit counts.
    pub fn durability(&self) -> &str {
        &self.durability
    }
}
