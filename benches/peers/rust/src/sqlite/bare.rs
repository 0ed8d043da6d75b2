//! Tight loops on one connection, to show what the engine itself can do.

use std::hint::black_box;

use super::database::{Database, INSERT, SELECT};
use crate::contender::{Contender, Sample};

/// Inserts, each committed by itself.
pub fn autocommit(name: &'static str, database: Database) -> Contender {
    let connection = database.open();
    Contender::new(name, move |_, watch| {
        let _keep = &database;
        let mut insert = connection.prepare_cached(INSERT).unwrap();
        let (turn, mut caller) = (watch.start(), watch.caller());
        while let Some(turn) = caller.next() {
            assert_eq!(insert.execute(("an item", turn as i64)).unwrap(), 1);
        }
        Sample::of([caller], turn)
    })
}

/// Inserts that all share one commit.
pub fn one_transaction(name: &'static str, database: Database) -> Contender {
    let connection = database.open();
    Contender::new(name, move |_, watch| {
        let _keep = &database;
        let mut insert = connection.prepare_cached(INSERT).unwrap();
        let (turn, mut caller) = (watch.start(), watch.caller());
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        while let Some(turn) = caller.next() {
            assert_eq!(insert.execute(("an item", turn as i64)).unwrap(), 1);
        }
        connection.execute_batch("COMMIT").unwrap();
        Sample::of([caller], turn)
    })
}

/// Point reads.
pub fn reads(name: &'static str, database: Database) -> Contender {
    let connection = database.open();
    Contender::new(name, move |_, watch| {
        let _keep = &database;
        let mut select = connection.prepare_cached(SELECT).unwrap();
        let (turn, mut caller) = (watch.start(), watch.caller());
        while let Some(turn) = caller.next() {
            let key = Database::key(turn);
            let row = select.query_row([key], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)));
            assert_eq!(black_box(row.unwrap()).1, key);
        }
        Sample::of([caller], turn)
    })
}
