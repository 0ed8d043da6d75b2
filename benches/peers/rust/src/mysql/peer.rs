//! mysql_async as its users run it: its own pool on a work-stealing runtime, statements from the sessions' caches.

use mysql_async::{Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts, prelude::Queryable};
use tokio::runtime::Runtime;

use super::table::{INSERT, SELECT, Table};
use crate::{
    contender::Contender,
    spread::{stealing, turn_on},
    sql::{POOL, key},
};

/// A pool that resets each session at its return, or leaves it as it is.
fn pool(table: &Table, reset: bool) -> (Runtime, Pool) {
    let size = PoolConstraints::new(POOL, POOL).unwrap();
    let pooled = PoolOpts::new().with_constraints(size).with_reset_connection(reset);
    // by default the driver would leave TCP for the server's Unix socket, and the others here do not
    let options =
        OptsBuilder::from_opts(Opts::from_url(&table.url).unwrap()).prefer_socket(false).pool_opts(pooled);
    let runtime = stealing();
    let pool = {
        let _inside = runtime.enter();
        Pool::new(options)
    };
    (runtime, pool)
}

/// Reads by key.
pub fn reads(name: &'static str, table: &Table, reset: bool) -> Contender {
    let (runtime, pool) = pool(table, reset);
    Contender::new(name, move |callers, watch| {
        turn_on(&runtime, callers, watch, |mut caller| {
            let pool = pool.clone();
            async move {
                while let Some(turn) = caller.next() {
                    let key = key(turn);
                    let mut session = pool.get_conn().await.unwrap();
                    let row: Option<(String, i64)> = session.exec_first(SELECT, (key,)).await.unwrap();
                    assert_eq!(row.map(|row| row.1), Some(key));
                }
                caller
            }
        })
    })
}

/// Inserts, each committed by itself.
pub fn inserts(name: &'static str, table: &Table, reset: bool) -> Contender {
    let (runtime, pool) = pool(table, reset);
    Contender::new(name, move |callers, watch| {
        turn_on(&runtime, callers, watch, |mut caller| {
            let pool = pool.clone();
            async move {
                while let Some(turn) = caller.next() {
                    let mut session = pool.get_conn().await.unwrap();
                    session.exec_drop(INSERT, ("an item", turn as i64)).await.unwrap();
                    assert_eq!(session.affected_rows(), 1);
                }
                caller
            }
        })
    })
}
