//! Many rows into one table: how far it is, what each chunk did, and which rows could not go in.
//!
//! Run it with `cargo run --example bulk_load`. It starts a PostgreSQL of its own, or uses that of `DATABASE_URL`
//! (table `bulk_load_reading`, which it removes), and ends by itself.
// An example shows what happens and asserts it.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

#[path = "support/database.rs"]
mod database;

use std::time::Duration;

use backstop::{
    postgres::{Postgres, PostgresOptions},
    prelude::*,
    sql::{BatchInsert, Execute, QueryAs},
};

/// Rows of the whole load.
const ROWS: i64 = 20_000;

/// Rows of one message: it takes effect as a whole or not at all, so this is what a failure costs.
const PORTION: i64 = 4_000;

/// Rows of a message that is large enough for several chunks, which hold about a megabyte each.
const MANY: i64 = 60_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = database::Database::open()?;
    let options = PostgresOptions::url(database.url());
    let runtime = Runtime::builder().backend("readings", options, Policy::default()).start().await?;
    let db = runtime.backend::<Postgres>("readings")?;
    let drop_table = || db.ask(Execute::new("DROP TABLE IF EXISTS bulk_load_reading"));
    drop_table().await?;
    db.ask(Execute::new(
        "CREATE TABLE bulk_load_reading (id BIGINT PRIMARY KEY, sensor TEXT NOT NULL, celsius FLOAT8)",
    ))
    .await?;

    loads_in_portions(&db).await?;
    keeps_what_it_can(&db).await?;

    drop_table().await?;
    assert!(runtime.shutdown(Deadline::after(Duration::from_secs(2))).await.is_clean());
    Ok(())
}

/// Each portion commits by itself, so progress is what is in the table, and a broken load can go on from there.
async fn loads_in_portions(db: &BackendRef<Postgres>) -> Result<(), CallError> {
    let mut done = 0;
    for first in (0..ROWS).step_by(PORTION.unsigned_abs() as usize) {
        let portion = readings().rows((first..first + PORTION).map(reading));
        let report = db.ask(portion).within(Duration::from_secs(30)).await?;
        done += report.affected;
        println!(
            "{:>3} % in the table, chunks of this portion: {}",
            done * 100 / ROWS.unsigned_abs(),
            report.chunks.len()
        );
    }
    assert_eq!(count(db).await?, ROWS);

    // a row that is there already: nothing of its portion stays
    let again = readings().rows((ROWS - 1..ROWS + PORTION).map(reading));
    let error = db.ask(again).within(Duration::from_secs(30)).await.unwrap_err();
    println!("refused as a whole: {error}");
    assert_eq!((error.executed(), count(db).await?), (Executed::No, ROWS));
    Ok(())
}

/// With independent chunks the report says for each of them whether it is there.
async fn keeps_what_it_can(db: &BackendRef<Postgres>) -> Result<(), CallError> {
    // the first row is there already, and costs its chunk alone
    let again = readings().rows((ROWS - 1..ROWS + MANY).map(reading)).independent_chunks();
    let report = db.ask(again).within(Duration::from_secs(30)).await?;
    for chunk in &report.chunks {
        let last = chunk.first_row + chunk.rows - 1;
        match &chunk.error {
            None => println!("rows {} to {last}: {} inserted", chunk.first_row, chunk.affected),
            Some(error) => println!("rows {} to {last}: {error}", chunk.first_row),
        }
    }
    let failed: Vec<_> = report.chunks.iter().filter(|chunk| chunk.error.is_some()).collect();
    assert_eq!((failed.len(), failed[0].first_row), (1, 0));
    assert!(report.chunks.len() > 1);
    assert_eq!(count(db).await?, ROWS + i64::try_from(report.affected).unwrap());
    Ok(())
}

fn readings() -> BatchInsert {
    BatchInsert::new("bulk_load_reading", ["id", "sensor", "celsius"])
}

fn reading(id: i64) -> (i64, String, f64) {
    (id, format!("sensor {}", id % 7), 20.0 + (id % 100) as f64 / 10.0)
}

async fn count(db: &BackendRef<Postgres>) -> Result<i64, CallError> {
    let counted = db.ask(QueryAs::<i64>::new("SELECT count(*) FROM bulk_load_reading")).await?;
    Ok(counted[0])
}
