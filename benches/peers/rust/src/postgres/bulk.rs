//! Many rows at a time: `BatchInsert` against COPY and unnest by the bare driver.

mod bare;
mod rows;

use std::{rc::Rc, time::Duration};

use backstop_postgres::Postgres;
use backstop_sql::BatchInsert;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio_postgres::Client;

use self::rows::{Item, TABLE};
use super::{backstop, table};
use crate::{
    options::Options,
    spread::stealing,
    sql::Hosted,
    table::{median, write_json},
};

/// The rows of an insert.
const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];
/// Small inserts are repeated until a turn has written so many rows.
const TURN: usize = 20_000;
const PEER: &str = "COPY, binary";

/// Inserts the rows and returns how long it took, from the rows in the application's memory to the commit.
type Way = Box<dyn Fn(&[Item]) -> Duration>;

/// Runs the comparison and prints its tables; `--callers` chooses the sizes.
pub fn run(options: &Options) {
    let table = table::Table::create(&super::url(options));
    let runtime = Rc::new(stealing());
    let client = Rc::new(runtime.block_on(table::connect(&table.url)));
    runtime.block_on(rows::create(&client));
    let ways: Vec<(&str, Way)> = vec![
        (PEER, bare::way(&runtime, &client, bare::copy_binary)),
        ("COPY, text", bare::way(&runtime, &client, bare::copy_text)),
        ("unnest", bare::way(&runtime, &client, bare::unnest)),
        ("Backstop, BatchInsert", batch_insert(backstop::hosted(&table, 1))),
    ];
    println!("\n### PostgreSQL, many rows at a time, {}\n", table.durability());
    println!("| rows | | median ms | rows/s | × {PEER} |\n|---:|---|---:|---:|---:|");
    for size in options.callers(&SIZES) {
        let items = rows::items(size);
        let seconds = measure(options, (&runtime, &client), &ways, &items);
        for ((name, _), own) in ways.iter().zip(&seconds) {
            let ratios = own.iter().zip(&seconds[0]).map(|(own, peer)| peer / own).collect();
            let (middle, ratio) = (median(own.clone()), median(ratios));
            println!("| {size} | {name} | {:.3} | {:.0} | {ratio:.2} |", middle * 1e3, size as f64 / middle);
            let record = json!({
                "table": "PostgreSQL bulk", "rows": size, "name": name, "peer": PEER, "ratio": ratio, "seconds": own,
            });
            write_json(options, &record);
        }
    }
}

/// Seconds of one insert, by way and round; every other round runs backwards.
fn measure(
    options: &Options,
    (runtime, client): (&Runtime, &Client),
    ways: &[(&str, Way)],
    items: &[Item],
) -> Vec<Vec<f64>> {
    let times = (TURN / items.len()).max(1);
    let mut seconds = vec![Vec::new(); ways.len()];
    // the first round warms up
    for round in 0..=options.rounds {
        let mut order: Vec<_> = (0..ways.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            runtime.block_on(rows::clear(client));
            let took: Duration = (0..times).map(|_| ways[index].1(items)).sum();
            runtime.block_on(rows::check(client, items, times));
            if round > 0 {
                seconds[index].push(took.as_secs_f64() / times as f64);
            }
        }
    }
    seconds
}

/// The rows become a message first, and the time for that counts.
fn batch_insert(hosted: Rc<Hosted<Postgres>>) -> Way {
    Box::new(move |items| {
        let items = items.to_vec();
        hosted.timed(move |backend| async move {
            let rows = items.iter().map(|item| (item.name.as_str(), item.amount));
            let batch = BatchInsert::new(TABLE, ["name", "amount"]).rows(rows);
            let written = backend.ask(batch).within(Duration::from_secs(60)).await.unwrap();
            assert_eq!(written.affected, items.len() as u64);
        })
    })
}
