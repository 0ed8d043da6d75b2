//! Key look-ups and durable inserts: Backstop with every policy on against the pools its users would take.

mod bb8;
mod deadpool;
mod sqlx;
mod table;

use self::table::Table;
use crate::{contender::Contender, options::Options, rounds, table as output};

/// Latency is read off every operation: each is a round trip.
const EVERY: u64 = 1;
const PEER: &str = "deadpool-postgres";
const CALLERS: [usize; 4] = [1, 16, 64, 256];
/// Connections of every pool.
const POOL: usize = 16;

/// Runs the comparison and prints its tables.
pub fn run(options: &Options) {
    let Some(url) = options.url.clone().or_else(|| std::env::var("DATABASE_URL").ok()) else {
        eprintln!("no server: give --url postgres://… or DATABASE_URL; a private one: cargo run -p backstop-servers --example private_server postgres");
        std::process::exit(2);
    };
    let table = Table::create(&url);
    let show = |title: &str, contenders: fn(&Table) -> Vec<Contender>| {
        if options.wants(title) {
            let lines = rounds::run(options, EVERY, &options.callers(&CALLERS), &mut contenders(&table));
            output::show(options, title, PEER, &lines, None);
        }
    };
    show("PostgreSQL point reads", reads);
    show("PostgreSQL durable inserts", inserts);
}

fn reads(table: &Table) -> Vec<Contender> {
    vec![deadpool::reads(PEER, table), sqlx::reads("sqlx", table), bb8::reads("bb8-postgres", table)]
}

fn inserts(table: &Table) -> Vec<Contender> {
    vec![deadpool::inserts(PEER, table), sqlx::inserts("sqlx", table), bb8::inserts("bb8-postgres", table)]
}
