//! sqlx as its users run it; its statements are cached on each connection, and it tests one at each checkout.

use sqlx::postgres::{PgPool, PgPoolOptions};

use super::table::{INSERT, SELECT, Table};
use crate::{
    contender::Contender,
    spread::{stealing, turn_on},
    sql::{POOL, key},
};

async fn pool(table: &Table) -> PgPool {
    // without the test at each checkout, which would double its round trips
    PgPoolOptions::new()
        .max_connections(POOL as u32)
        .test_before_acquire(false)
        .connect(&table.url)
        .await
        .unwrap()
}

/// Reads by key.
pub fn reads(name: &'static str, table: &Table) -> Contender {
    let runtime = stealing();
    let pool = runtime.block_on(pool(table));
    Contender::new(name, move |callers, watch| {
        turn_on(&runtime, callers, watch, |mut caller| {
            let pool = pool.clone();
            async move {
                while let Some(turn) = caller.next() {
                    let key = key(turn);
                    let row: (String, i64) = sqlx::query_as(SELECT).bind(key).fetch_one(&pool).await.unwrap();
                    assert_eq!(row.1, key);
                }
                caller
            }
        })
    })
}

/// Inserts, each committed by itself.
pub fn inserts(name: &'static str, table: &Table) -> Contender {
    let runtime = stealing();
    let pool = runtime.block_on(pool(table));
    Contender::new(name, move |callers, watch| {
        turn_on(&runtime, callers, watch, |mut caller| {
            let pool = pool.clone();
            async move {
                while let Some(turn) = caller.next() {
                    let insert = sqlx::query(INSERT).bind("an item").bind(turn as i64);
                    assert_eq!(insert.execute(&pool).await.unwrap().rows_affected(), 1);
                }
                caller
            }
        })
    })
}
