//! How long a batch takes beside the driver's own COPY of the same rows; run by hand, on an idle machine.

use std::{pin::pin, time::Duration};

use backstop_core::clock;
use backstop_sql::{BatchInsert, Params, Value};
use tokio_postgres::{binary_copy::BinaryCopyInWriter, types::Type};

use super::{call, insert};
use crate::session::Session;

const ROWS: i64 = 100_000;
const ROUNDS: usize = 9;

async fn driver(session: &Session, rows: &[(i64, String, f64, jiff::Timestamp)]) -> Duration {
    session.run("TRUNCATE t").await;
    let started = clock::now();
    let sink =
        session.client.copy_in("COPY t (id, name, score, at) FROM STDIN (FORMAT binary)").await.unwrap();
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &[Type::INT8, Type::TEXT, Type::FLOAT8, Type::INT8]));
    for (id, name, score, at) in rows {
        let micros = at.as_microsecond() - 946_684_800_000_000;
        writer.as_mut().write(&[id, name, score, &micros]).await.unwrap();
    }
    assert_eq!(writer.finish().await.unwrap(), rows.len() as u64);
    started.elapsed()
}

async fn ours(session: &Session, batch: &BatchInsert) -> Duration {
    session.run("TRUNCATE t").await;
    let started = clock::now();
    let report = insert(&session.client, batch, &call()).await.unwrap();
    assert_eq!(report.affected, batch.len() as u64);
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: run it by hand, with optimisations, on an idle machine"]
async fn a_hundred_thousand_rows_take_at_most_twice_the_time_of_the_drivers_copy() {
    let session = Session::open().await;
    session
        .run("CREATE UNLOGGED TABLE t (id int8 PRIMARY KEY, name text, score float8, at timestamptz)")
        .await;
    let at: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let rows: Vec<_> = (0..ROWS).map(|id| (id, format!("name of {id}"), id as f64 / 3.0, at)).collect();
    let values = rows.iter().map(|(id, name, score, at)| {
        Params::Positional(vec![
            Value::Int(*id),
            Value::from(name.as_str()),
            Value::Float(*score),
            Value::Timestamp(*at),
        ])
    });
    let batch = BatchInsert::new("t", ["id", "name", "score", "at"]).rows(values);
    let (mut theirs, mut own) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(driver(&session, &rows).await);
        own.push(ours(&session, &batch).await);
    }
    theirs.sort_unstable();
    own.sort_unstable();
    let (theirs, own) = (theirs[ROUNDS / 2], own[ROUNDS / 2]);
    println!("{ROWS} rows: the driver's COPY {theirs:?}, a batch {own:?}, medians of {ROUNDS}");
    assert!(own <= theirs * 2, "{own:?} is more than twice {theirs:?}");
}
