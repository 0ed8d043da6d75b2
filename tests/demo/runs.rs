//! Whole runs: with faults, without, as JSON and as text.

use serde_json::Value;

use crate::program::{backstop, command, ended};

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

fn sum(counts: &Value) -> u64 {
    counts.as_object().expect("an object").values().map(number).sum()
}

#[test]
fn a_run_with_faults_keeps_every_promise_and_accounts_for_every_message() {
    let ended = backstop(&["demo", "--duration", "6s", "--seed", "7", "--json"]);
    let report = ended.report();
    assert_eq!((ended.code, ended.failed_checks()), (Some(0), vec![]), "{}\n{}", ended.stdout, ended.stderr);
    assert_eq!((&report["ok"], &report["seed"], &report["planted"]), (&true.into(), &7.into(), &Value::Null));
    assert!(report["checks"].as_array().unwrap().len() >= 12);
    assert!(report["transitions"].as_array().unwrap().iter().any(|seen| seen["to"] == "open"));
    assert!(report["backends"].as_array().unwrap().iter().any(|backend| number(&backend["restarts"]) > 0));
    assert_eq!(report["shutdown"]["backends"].as_array().unwrap().len(), 3);

    for backend in report["backends"].as_array().unwrap() {
        let fates = &backend["fates"];
        let ends = [
            number(&fates["ok"]),
            sum(&fates["rejected"]),
            sum(&fates["failed"]),
            number(&fates["cancelled"]),
        ];
        assert_eq!(number(&backend["asked"]), ends.iter().sum::<u64>(), "{backend}");
        assert_eq!(backend["asked"], backend["runtime"]["asked"], "{backend}");
        assert_eq!(sum(&fates["failed"]), sum(&fates["failures"]), "{backend}");
    }
}

#[test]
fn every_fault_of_the_schedule_happens_and_has_a_recovery_time() {
    let report = backstop(&["demo", "--duration", "5s", "--seed", "11", "--json"]).report();
    let faults = report["faults"].as_array().unwrap();
    for kind in ["slow", "fails", "hangs", "dies", "panics", "burst", "locked"] {
        let of_kind: Vec<_> = faults.iter().filter(|fault| fault["kind"] == kind).collect();
        assert!(!of_kind.is_empty(), "{kind}");
        for fault in of_kind {
            assert!(number(&fault["ended_ms"]) >= number(&fault["began_ms"]), "{fault}");
            assert!(fault["recovered_after_ms"].is_u64(), "{fault}");
        }
    }
}

#[test]
fn without_faults_nothing_is_refused_and_nothing_fails() {
    let ended = backstop(&["demo", "--duration", "5s", "--no-faults", "--json"]);
    let report = ended.report();
    assert_eq!((ended.code, ended.failed_checks()), (Some(0), vec![]), "{}", ended.stdout);
    assert!(report["faults"].as_array().unwrap().is_empty());
    assert!(report["fates"]["rejected"].as_object().unwrap().is_empty());
    assert_eq!(sum(&report["fates"]["failed"]), 0);
    assert!(number(&report["fates"]["ok"]) > 500, "{}", report["fates"]);
}

#[test]
fn piped_output_is_plain_lines_and_ends_with_the_summary() {
    let ended = backstop(&["demo", "--duration", "5s", "--seed", "3"]);
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    assert!(!ended.stdout.contains('\x1b') && !ended.stderr.contains('\x1b'));
    for word in
        ["fault begins", "breaker closed → open", "restarted, instance", "recovered in", "checks hold"]
    {
        assert!(ended.stdout.contains(word), "no `{word}` in\n{}", ended.stdout);
    }
    assert!(ended.stderr.is_empty(), "{}", ended.stderr);
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_run_early_and_it_is_checked_all_the_same() {
    use std::{
        io::{BufRead, BufReader},
        process::Command,
    };

    let mut child = command(&["demo", "--duration", "10m", "--json"]).spawn().unwrap();
    let mut progress = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    progress.read_line(&mut line).unwrap(); // messages are under way
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    // the pipe is read to its end, or the program could not write on
    let reader = std::thread::spawn(move || progress.lines().count());
    let ended = ended(child.wait_with_output().unwrap());
    reader.join().unwrap();
    assert_eq!((ended.code, ended.failed_checks()), (Some(0), vec![]), "{}", ended.stdout);
    assert_eq!(ended.report()["interrupted"], true);
}
