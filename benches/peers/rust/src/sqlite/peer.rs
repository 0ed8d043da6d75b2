//! tokio-rusqlite as its users run it: one connection, cloned, on a work-stealing runtime.

use std::{hint::black_box, sync::Arc};

use tokio_rusqlite::Connection;

use super::database::{Database, INSERT, SELECT};
use crate::{
    contender::Contender,
    spread::{stealing, turn_on},
};

async fn open(database: &Arc<Database>) -> Connection {
    let connection = Connection::open(database.path()).await.unwrap();
    let database = Arc::clone(database);
    connection.call(move |connection| database.set_up(connection)).await.unwrap();
    connection
}

/// Inserts, each committed by itself.
pub fn inserts(name: &'static str, database: Database) -> Contender {
    let (runtime, database) = (stealing(), Arc::new(database));
    let connection = runtime.block_on(open(&database));
    Contender::new(name, move |callers, watch| {
        turn_on(&runtime, callers, watch, |mut caller| {
            let connection = connection.clone();
            async move {
                while let Some(turn) = caller.next() {
                    let amount = turn as i64;
                    let inserted = connection.call(move |connection| {
                        connection.prepare_cached(INSERT)?.execute(("an item", amount))
                    });
                    assert_eq!(inserted.await.unwrap(), 1);
                }
                caller
            }
        })
    })
}

/// Point reads.
pub fn reads(name: &'static str, database: Database) -> Contender {
    let (runtime, database) = (stealing(), Arc::new(database));
    let connection = runtime.block_on(open(&database));
    Contender::new(name, move |callers, watch| {
        turn_on(&runtime, callers, watch, |mut caller| {
            let connection = connection.clone();
            async move {
                while let Some(turn) = caller.next() {
                    let key = Database::key(turn);
                    let row = connection.call(move |connection| {
                        let mut select = connection.prepare_cached(SELECT)?;
                        select.query_row([key], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
                    });
                    assert_eq!(black_box(row.await.unwrap()).1, key);
                }
                caller
            }
        })
    })
}
