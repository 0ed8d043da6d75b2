//! Several backends at once: all of them, at least some, the first answer, and ordered alternatives.
//!
//! Run it with `cargo run --example gather`. It needs no server and ends by itself.
// An example shows what happens and asserts it.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use backstop::{
    orchestrator::NoAnswer,
    prelude::*,
    sql::{Execute, Query},
    sqlite::{Sqlite, SqliteOptions},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = Runtime::builder();
    for shop in ["north", "south", "west"] {
        builder = builder.backend(shop, SqliteOptions::memory(), Policy::default());
    }
    let runtime = builder.start().await?;
    let shop = |name| runtime.backend::<Sqlite>(name);
    let (north, south, west) = (shop("north")?, shop("south")?, shop("west")?);
    for (shop, price) in [(&north, 12), (&south, 9)] {
        shop.ask(Execute::new("CREATE TABLE price (sku TEXT, cents INTEGER)")).await?;
        shop.ask(Execute::new("INSERT INTO price VALUES ('tea', ?)").bind(price)).await?;
    }
    let price = || Query::new("SELECT cents FROM price WHERE sku = ?").bind("tea");

    // all: one typed result for each member, in request order; `west` has no such table
    let asks = (north.ask(price()), south.ask(price()), west.ask(price()));
    let (first, second, third) = Gather::all(asks).within(Duration::from_secs(1)).await;
    println!(
        "all: north {} row, south {} row, west: {}",
        first?.len(),
        second?.len(),
        third.as_ref().unwrap_err()
    );
    assert_eq!(third.unwrap_err().executed(), Executed::No);

    // at least: two answers are enough, whoever gives them
    let asks = || vec![north.ask(price()), west.ask(price()), south.ask(price())];
    let quorum = Gather::all(asks()).at_least(2).await?;
    println!("at least two: {} answers of {} asked", quorum.answers().count(), quorum.slots().len());
    assert_eq!(quorum.answers().count(), 2);
    let too_few = Gather::all(asks()).at_least(3).await.unwrap_err();
    println!("at least three: {too_few}");

    // first ok: failures do not count, losers are cancelled
    let first = Gather::all(vec![west.ask(price()), south.ask(price())]).first_ok().await?;
    println!("first ok: position {} after {:?}", first.position, first.elapsed);
    assert_eq!(first.position, 1);

    // fallback: one after the other, and it says why the earlier ones failed
    let answer = Fallback::ask(&west, price()).or(&north, price()).within(Duration::from_secs(1)).await?;
    println!("fallback: answered by {}, because {}", answer.by, answer.earlier[0]);
    assert_eq!((answer.by.as_str(), answer.value.len()), ("north", 1));
    let none: NoAnswer = Fallback::ask(&west, price()).await.unwrap_err();
    assert_eq!(none.errors.len(), 1);

    let report = runtime.shutdown(Deadline::after(Duration::from_secs(2))).await;
    assert!(report.is_clean());
    Ok(())
}
