//! The bare driver, one connection, nothing around it.

use std::{
    fmt::Write,
    io::Cursor,
    pin::pin,
    rc::Rc,
    time::{Duration, Instant},
};

use futures_util::SinkExt;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, binary_copy::BinaryCopyInWriter, types::Type};

use super::{
    Way,
    rows::{Item, TABLE},
};

/// Bytes of text that go to the driver at once.
const BUFFER: usize = 64 << 10;

/// A way to insert on this connection.
pub fn way(
    runtime: &Rc<Runtime>,
    client: &Rc<Client>,
    insert: impl AsyncFn(&Client, &[Item]) -> u64 + 'static,
) -> Way {
    let (runtime, client) = (Rc::clone(runtime), Rc::clone(client));
    Box::new(move |items| runtime.block_on(timed(&client, items, &insert)))
}

async fn timed(client: &Client, items: &[Item], insert: impl AsyncFn(&Client, &[Item]) -> u64) -> Duration {
    let start = Instant::now();
    let inserted = insert(client, items).await;
    let took = start.elapsed();
    assert_eq!(inserted, items.len() as u64);
    took
}

/// COPY in binary form.
pub async fn copy_binary(client: &Client, items: &[Item]) -> u64 {
    let copy = format!("COPY {TABLE} (name, amount) FROM STDIN (FORMAT binary)");
    let sink = client.copy_in(&copy).await.unwrap();
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &[Type::TEXT, Type::INT8]));
    for item in items {
        writer.as_mut().write(&[&item.name, &item.amount]).await.unwrap();
    }
    writer.finish().await.unwrap()
}

/// COPY in text form; the names hold nothing that must be escaped.
pub async fn copy_text(client: &Client, items: &[Item]) -> u64 {
    let mut sink = pin!(client.copy_in(&format!("COPY {TABLE} (name, amount) FROM STDIN")).await.unwrap());
    let mut text = String::with_capacity(2 * BUFFER);
    for item in items {
        writeln!(text, "{}\t{}", item.name, item.amount).unwrap();
        if text.len() >= BUFFER {
            sink.send(Cursor::new(std::mem::take(&mut text))).await.unwrap();
            text.reserve(2 * BUFFER);
        }
    }
    sink.send(Cursor::new(text)).await.unwrap();
    sink.finish().await.unwrap()
}

/// One statement with an array for each column.
pub async fn unnest(client: &Client, items: &[Item]) -> u64 {
    let text = format!("INSERT INTO {TABLE} (name, amount) SELECT * FROM unnest($1::text[], $2::int8[])");
    let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
    let amounts: Vec<i64> = items.iter().map(|item| item.amount).collect();
    client.execute(&text, &[&names, &amounts]).await.unwrap()
}
