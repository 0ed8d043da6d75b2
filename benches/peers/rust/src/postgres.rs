//! Key look-ups and durable inserts: Backstop with every policy on against the pools its users would take.

mod backstop;
mod bb8;
pub mod bulk;
mod deadpool;
pub mod mixed;
mod sqlx;
mod table;

pub use self::{
    backstop::hosted,
    table::{INSERT, SELECT, Table},
};
use crate::{
    contender::Contender,
    options::Options,
    rounds,
    sql::{CALLERS, OPENED},
    table as output,
};

/// Latency is read off every operation: each is a round trip.
const EVERY: u64 = 1;
const PEERS: [&str; 2] = ["deadpool-postgres", "sqlx"];

/// Runs the comparison and prints its tables.
pub fn run(options: &Options) {
    let table = Table::create(&url(options));
    let backstop = hosted(&table, 2);
    let show = |title: &str, contenders: &dyn Fn() -> Vec<Contender>| {
        if options.wants(title) {
            let lines = rounds::run(options, EVERY, &options.callers(&CALLERS), &mut contenders());
            output::show(options, title, &PEERS, &lines, Some(OPENED));
        }
    };
    let [deadpool, sqlx] = PEERS;
    show("PostgreSQL point reads", &|| {
        vec![
            deadpool::reads(deadpool, &table),
            sqlx::reads(sqlx, &table),
            bb8::reads("bb8-postgres", &table),
            backstop.queries("Backstop, Query", SELECT),
            backstop.look_ups("Backstop, SelectOne"),
        ]
    });
    let commits = table.durability();
    show(&format!("PostgreSQL single-row inserts, {commits}"), &|| {
        vec![
            deadpool::inserts(deadpool, &table),
            sqlx::inserts(sqlx, &table),
            bb8::inserts("bb8-postgres", &table),
            backstop.executes("Backstop, Execute", INSERT),
            backstop.insert_ones("Backstop, InsertOne"),
        ]
    });
}

/// The server, if one was given.
pub fn given(options: &Options) -> Option<String> {
    options.url.clone().or_else(|| std::env::var("DATABASE_URL").ok())
}

/// The server, or the end of the program.
fn url(options: &Options) -> String {
    given(options).unwrap_or_else(|| options.no_server("postgres"))
}
