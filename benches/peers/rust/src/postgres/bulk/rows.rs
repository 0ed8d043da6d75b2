//! The rows that are inserted, and the table that takes them.

use tokio_postgres::Client;

/// The table.
pub const TABLE: &str = "backstop_bulk";

/// One row as the application holds it.
#[derive(Clone)]
pub struct Item {
    /// Goes into a column of text.
    pub name: String,
    /// Goes into a column of 64 bits.
    pub amount: i64,
}

/// Makes so many rows.
pub fn items(count: usize) -> Vec<Item> {
    (1..=count as i64).map(|amount| Item { name: format!("item {amount}"), amount }).collect()
}

/// Makes the table anew; the key is drawn by the server.
pub async fn create(client: &Client) {
    let text = format!(
        "DROP TABLE IF EXISTS {TABLE};
         CREATE TABLE {TABLE} (id bigserial PRIMARY KEY, name text NOT NULL, amount bigint NOT NULL)"
    );
    client.batch_execute(&text).await.unwrap();
}

/// Empties the table, and writes what earlier turns left to the disk.
pub async fn clear(client: &Client) {
    client.batch_execute(&format!("TRUNCATE {TABLE}")).await.unwrap();
    client.batch_execute("CHECKPOINT").await.unwrap();
}

/// The table holds these rows so many times, and nothing else.
pub async fn check(client: &Client, items: &[Item], times: usize) {
    let count = format!(
        "SELECT count(*), coalesce(sum(amount), 0)::bigint, count(*) FILTER (WHERE name = 'item ' || amount)
         FROM {TABLE}"
    );
    let row = client.query_one(&count, &[]).await.unwrap();
    let times = times as i64;
    let (rows, sum) = (items.len() as i64 * times, items.iter().map(|item| item.amount).sum::<i64>() * times);
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2)), (rows, sum, rows));
}
