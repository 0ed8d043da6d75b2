//! One message to an actor and its reply: the whole of Backstop against the bare `ask` of kameo and ractor.

mod actix_peer;
mod backstop;
mod kameo_peer;
mod ractor_peer;

use crate::{options::Options, rounds, table};

/// Latency is read off one message in so many.
const EVERY: u64 = 16;

/// Runs the comparison and prints its tables.
pub fn run(options: &Options) {
    if options.wants("same thread") {
        let mut contenders = vec![
            kameo_peer::same_thread(),
            ractor_peer::same_thread(),
            actix_peer::same_thread(),
            backstop::same_thread(),
        ];
        let lines = rounds::run(options, EVERY, &options.callers(&[1, 64]), &mut contenders);
        table::show(options, "Messages, same thread", &["kameo", "ractor"], &lines, None);
    }
    if options.wants("cross thread") {
        let mut contenders = vec![
            kameo_peer::stealing(),
            kameo_peer::own_thread(),
            ractor_peer::stealing(),
            ractor_peer::own_thread(),
            backstop::cross_thread(),
        ];
        let lines = rounds::run(options, EVERY, &options.callers(&[1, 64]), &mut contenders);
        table::show(
            options,
            "Messages from a work-stealing runtime",
            &["kameo, own thread", "ractor, own thread"],
            &lines,
            None,
        );
    }
}
