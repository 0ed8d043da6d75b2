//! Inserts and point reads: Backstop with every policy on against tokio-rusqlite and plain loops.

mod backstop;
mod bare;
mod database;
mod peer;

pub use self::{
    backstop::{inserts, reads},
    database::{Database, Durability},
};
use crate::{contender::Contender, options::Options, rounds, table};

/// Latency is read off one operation in so many.
const EVERY: u64 = 4;
const PEER: &str = "tokio-rusqlite";
const CALLERS: [usize; 4] = [1, 16, 64, 256];

/// Runs the comparison and prints its tables.
pub fn run(options: &Options) {
    for durability in [Durability::Normal, Durability::Full] {
        let title = format!("SQLite inserts, synchronous={}", durability.word());
        if options.wants(&title) {
            let mut contenders = all_inserts(options, durability);
            let lines = rounds::run(options, EVERY, &options.callers(&CALLERS), &mut contenders);
            table::show(options, &title, &[PEER], &lines, Some("operations/commit"));
        }
    }
    let title = "SQLite point reads";
    if options.wants(title) {
        let mut contenders = all_reads(options);
        let lines = rounds::run(options, EVERY, &options.callers(&CALLERS), &mut contenders);
        table::show(options, title, &[PEER], &lines, None);
    }
}

fn all_inserts(options: &Options, durability: Durability) -> Vec<Contender> {
    let database = || Database::create(options, durability);
    vec![
        peer::inserts(PEER, database()),
        inserts("Backstop, 1 thread", database(), 1),
        inserts("Backstop, 2 threads", database(), 2),
        bare::autocommit("tight loop, autocommit", database()).alone(),
        bare::one_transaction("tight loop, one transaction", database()).alone(),
    ]
}

fn all_reads(options: &Options) -> Vec<Contender> {
    let database = || Database::create(options, Durability::Normal);
    vec![
        peer::reads(PEER, database()),
        reads("Backstop, 1 thread", database(), 1),
        reads("Backstop, 2 threads", database(), 2),
        bare::reads("tight loop", database()).alone(),
    ]
}
