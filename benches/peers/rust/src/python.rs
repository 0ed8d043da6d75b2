//! The drivers of a Python service, each in a process of its own, beside Backstop on one thread and on two.

mod peer;

use self::peer::{Peer, Work};
use crate::{
    contender::Contender,
    options::Options,
    postgres, rounds,
    sql::CALLERS,
    sqlite::{self, Database, Durability},
    table as output,
};

/// Latency is read off every operation, as the Python side does.
const EVERY: u64 = 1;

/// Runs the comparisons and prints their tables; those of PostgreSQL only where a server is given.
pub fn run(options: &Options) {
    on_sqlite(options);
    match postgres::given(options) {
        Some(url) => on_postgres(options, &url),
        None => eprintln!("PostgreSQL is left out: give --url postgres://… or DATABASE_URL"),
    }
}

fn on_postgres(options: &Options, url: &str) {
    let table = postgres::Table::create(url);
    let [one, two] = [1, 2].map(|threads| postgres::hosted(&table, threads));
    let peers = ["asyncpg", "asyncpg-no-reset", "psycopg"];
    let of = |work| peers.map(|name| Peer::start(options, name, &[url]).contender(name, work));
    show(options, "Python, PostgreSQL point reads", &peers, || {
        let mut contenders = Vec::from(of(Work::Reads));
        contenders.push(one.queries("Backstop, 1 thread", postgres::SELECT));
        contenders.push(two.queries("Backstop, 2 threads", postgres::SELECT));
        contenders.push(two.look_ups("Backstop, SelectOne, 2 threads"));
        contenders
    });
    let title = format!("Python, PostgreSQL single-row inserts, {}", table.durability());
    show(options, &title, &peers, || {
        let mut contenders = Vec::from(of(Work::Inserts));
        contenders.push(one.executes("Backstop, 1 thread", postgres::INSERT));
        contenders.push(two.executes("Backstop, 2 threads", postgres::INSERT));
        contenders.push(two.insert_ones("Backstop, InsertOne, 2 threads"));
        contenders
    });
}

fn on_sqlite(options: &Options) {
    let peer = "aiosqlite";
    show(options, "Python, SQLite point reads", &[peer], || {
        let database = || Database::create(options, Durability::Normal);
        vec![
            Peer::on_file(options, peer, database()).contender(peer, Work::Reads),
            sqlite::reads("Backstop, 1 thread", database(), 1),
            sqlite::reads("Backstop, 2 threads", database(), 2),
        ]
    });
    for durability in [Durability::Normal, Durability::Full] {
        let title = format!("Python, SQLite inserts, synchronous={}", durability.word());
        show(options, &title, &[peer], || {
            let database = || Database::create(options, durability);
            vec![
                Peer::on_file(options, peer, database()).contender(peer, Work::Inserts),
                sqlite::inserts("Backstop, 1 thread", database(), 1),
                sqlite::inserts("Backstop, 2 threads", database(), 2),
            ]
        });
    }
}

fn show(options: &Options, title: &str, peers: &[&str], contenders: impl FnOnce() -> Vec<Contender>) {
    if options.wants(title) {
        let lines = rounds::run(options, EVERY, &options.callers(&CALLERS), &mut contenders());
        output::show(options, title, peers, &lines, None);
    }
}
