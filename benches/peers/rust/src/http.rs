//! GET of a body of 100 bytes from a server in a process of its own: Backstop against reqwest.

mod backstop;
mod peer;
pub mod server;

use crate::{options::Options, rounds, table};

/// Latency is read off one request in so many.
const EVERY: u64 = 1;
const PEER: &str = "reqwest";
/// Where the body is.
const PATH: &str = "body";

/// Runs the comparison and prints its table.
pub fn run(options: &Options) {
    let server = server::Process::start();
    let base = server.base();
    let mut contenders = vec![
        peer::gets(PEER, &base),
        backstop::gets("Backstop, 1 thread", &base, 1),
        backstop::gets("Backstop, 2 threads", &base, 2),
    ];
    let lines = rounds::run(options, EVERY, &options.callers(&[1, 16, 64, 256]), &mut contenders);
    table::show(options, "HTTP GET, 100 bytes, loopback", &[PEER], &lines, None);
}
