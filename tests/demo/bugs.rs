//! Planted bugs: each is caught, by the check that is there for it.

use crate::program::{Ended, SERVERS, backstop};

/// Runs without servers, which take seconds to start.
fn caught(bug: &str, check: &str, more: &[&str]) {
    caught_among(bug, check, &[more, &["--without", SERVERS]].concat());
}

fn caught_among(bug: &str, check: &str, more: &[&str]) -> Ended {
    let arguments = [&["demo", "--duration", "5s", "--seed", "5", "--json", "--break", bug], more].concat();
    let ended = backstop(&arguments);
    let failed = ended.failed_checks();
    assert_eq!(ended.code, Some(1), "{bug}: {failed:?}\n{}", ended.stderr);
    assert!(failed.iter().any(|name| name == check), "{bug}: {failed:?}");
    assert_eq!(ended.report()["planted"], bug);
    assert!(ended.stderr.contains(&format!("FAILED {check}")), "{}", ended.stderr);
    ended
}

/// The bug is caught on both servers, each named in what the check found.
fn caught_on_servers(bug: &str, check: &str) {
    let ended = caught_among(bug, check, &["--with", SERVERS]);
    let report = ended.report();
    let found = report["checks"].as_array().unwrap().iter().find(|found| found["name"] == check).unwrap();
    let detail = found["detail"].as_str().unwrap();
    assert!(detail.contains("payments") && detail.contains("savings"), "{bug}: {detail}");
}

#[test]
fn a_lost_write_is_caught() {
    caught("lose-ack", "acknowledged-writes-exist", &[]);
}

#[test]
fn a_write_that_happens_twice_is_caught() {
    caught("double-write", "nothing-twice", &[]);
}

#[test]
fn a_failure_that_claims_nothing_happened_is_caught() {
    caught("lie-executed-no", "not-executed-means-absent", &[]);
}

#[test]
fn a_message_without_a_counted_end_is_caught() {
    caught("drop-fate", "one-fate-per-message", &["--no-faults"]);
}

#[test]
fn an_answer_at_the_wrong_caller_is_caught() {
    caught("swap-answers", "answers-reach-their-caller", &["--no-faults"]);
}

#[test]
fn an_answer_after_its_deadline_is_caught() {
    caught("answer-late", "answers-in-time", &[]);
}

#[test]
fn half_a_transaction_is_caught() {
    caught("tear-transaction", "transactions-are-whole", &[]);
}

#[test]
fn money_out_of_nothing_is_caught_on_every_server() {
    caught_on_servers("mint-money", "money-is-conserved");
}

#[test]
fn a_lost_write_is_caught_on_every_server() {
    caught_on_servers("lose-ack", "acknowledged-writes-exist");
}

#[test]
fn a_write_that_happens_twice_is_caught_on_every_server() {
    caught_on_servers("double-write", "nothing-twice");
}

#[test]
fn a_breaker_that_stays_open_is_caught() {
    caught("stay-open", "backends-recover", &[]);
}

#[test]
fn a_call_left_behind_is_caught() {
    caught("leave-call", "clean-shutdown", &["--no-faults"]);
}

#[test]
fn the_list_of_bugs_names_each_with_its_check() {
    let ended = backstop(&["demo", "--break", "help"]);
    assert_eq!(ended.code, Some(0));
    let this_file = include_str!("bugs.rs");
    let listed: Vec<_> = ended.stdout.lines().filter(|line| line.ends_with(']')).collect();
    assert!(listed.len() >= 10, "{}", ended.stdout);
    for line in listed {
        let bug = line.split_whitespace().next().unwrap();
        let check = line.rsplit_once('[').unwrap().1.trim_end_matches(']');
        let call = format!("(\"{bug}\", \"{check}\"");
        assert!(
            this_file.contains(&format!("caught{call}"))
                || this_file.contains(&format!("caught_on_servers{call}")),
            "{line} has no test here"
        );
    }
}
