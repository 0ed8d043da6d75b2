//! Key look-ups and durable inserts on MySQL or MariaDB: Backstop with every policy on against its own driver's pool.

mod peer;
mod table;

use backstop_mysql::MySqlOptions;

use self::table::Table;
use crate::{
    contender::Contender,
    options::Options,
    rounds,
    sql::{CALLERS, Hosted, OPENED, POOL},
    table as output,
};

/// Latency is read off every operation: each is a round trip.
const EVERY: u64 = 1;
/// Keeps the sessions' prepared statements, which the pool's own default throws away at each return.
const PEER: &str = "mysql_async, no reset";
const AS_IT_COMES: &str = "mysql_async";

/// Runs the comparison and prints its tables.
pub fn run(options: &Options) {
    let table = Table::create(&options.url.clone().unwrap_or_else(|| options.no_server("mysql")));
    let settings = MySqlOptions::url(table.url.as_str()).pool_size(POOL).max_overflow(0);
    let backstop = Hosted::start(settings, 2);
    let show = |title: &str, contenders: &dyn Fn() -> Vec<Contender>| {
        if options.wants(title) {
            let lines = rounds::run(options, EVERY, &options.callers(&CALLERS), &mut contenders());
            output::show(options, title, &[PEER, AS_IT_COMES], &lines, Some(OPENED));
        }
    };
    show("MySQL point reads", &|| {
        vec![
            peer::reads(PEER, &table, false),
            peer::reads(AS_IT_COMES, &table, true),
            backstop.queries("Backstop, Query", table::SELECT),
            backstop.look_ups("Backstop, SelectOne"),
        ]
    });
    let commits = table.durability();
    show(&format!("MySQL single-row inserts, {commits}"), &|| {
        vec![
            peer::inserts(PEER, &table, false),
            peer::inserts(AS_IT_COMES, &table, true),
            backstop.executes("Backstop, Execute", table::INSERT),
            backstop.insert_ones("Backstop, InsertOne"),
        ]
    });
}
