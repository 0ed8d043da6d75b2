//! deadpool-postgres as its users run it: a pool on a work-stealing runtime, statements from its cache.

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use tokio_postgres::NoTls;

use super::table::{INSERT, SELECT, Table};
use crate::{
    contender::Contender,
    spread::{stealing, turn_on},
    sql::{POOL, key},
};

/// A pool of the common size.
pub fn pool(table: &Table) -> Pool {
    let config = table.url.parse().unwrap();
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    Pool::builder(Manager::from_config(config, NoTls, recycling)).max_size(POOL).build().unwrap()
}

/// Reads one row.
pub async fn read(pool: &Pool, key: i64) {
    let client = pool.get().await.unwrap();
    let select = client.prepare_cached(SELECT).await.unwrap();
    let row = client.query_one(&select, &[&key]).await.unwrap();
    assert_eq!(row.get::<_, i64>(1), key);
}

/// Reads by key.
pub fn reads(name: &'static str, table: &Table) -> Contender {
    let (runtime, pool) = (stealing(), pool(table));
    Contender::new(name, move |callers, watch| {
        turn_on(&runtime, callers, watch, |mut caller| {
            let pool = pool.clone();
            async move {
                while let Some(turn) = caller.next() {
                    read(&pool, key(turn)).await;
                }
                caller
            }
        })
    })
}

/// Inserts, each committed by itself.
pub fn inserts(name: &'static str, table: &Table) -> Contender {
    let (runtime, pool) = (stealing(), pool(table));
    Contender::new(name, move |callers, watch| {
        turn_on(&runtime, callers, watch, |mut caller| {
            let pool = pool.clone();
            async move {
                while let Some(turn) = caller.next() {
                    let client = pool.get().await.unwrap();
                    let insert = client.prepare_cached(INSERT).await.unwrap();
                    assert_eq!(client.execute(&insert, &[&"an item", &(turn as i64)]).await.unwrap(), 1);
                }
                caller
            }
        })
    })
}
