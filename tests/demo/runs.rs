//! Whole runs: with faults, without, as JSON and as text.

use serde_json::Value;

use crate::program::{SERVERS, backstop, command, ended};

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

fn sum(counts: &Value) -> u64 {
    counts.as_object().expect("an object").values().map(number).sum()
}

#[test]
fn a_run_with_faults_keeps_every_promise_and_accounts_for_every_message() {
    let ended = backstop(&["demo", "--duration", "6s", "--seed", "7", "--json", "--with", SERVERS]);
    let report = ended.report();
    assert_eq!((ended.code, ended.failed_checks()), (Some(0), vec![]), "{}\n{}", ended.stdout, ended.stderr);
    assert_eq!((&report["ok"], &report["seed"], &report["planted"]), (&true.into(), &7.into(), &Value::Null));
    assert!(report["checks"].as_array().unwrap().len() >= 12);
    assert!(report["transitions"].as_array().unwrap().iter().any(|seen| seen["to"] == "open"));
    assert!(report["backends"].as_array().unwrap().iter().any(|backend| number(&backend["restarts"]) > 0));
    assert_eq!(report["shutdown"]["backends"].as_array().unwrap().len(), 5);
    assert_eq!(report["left_out"], Value::Array(vec![]));

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
    let report =
        backstop(&["demo", "--duration", "5s", "--seed", "11", "--json", "--with", SERVERS]).report();
    let faults = report["faults"].as_array().unwrap();
    let of_servers = ["payments", "savings"].map(|name| [(name, "killed"), (name, "paused")]).concat();
    let always = [
        ("pricing", "slow"),
        ("pricing", "fails"),
        ("pricing", "hangs"),
        ("pricing", "dies"),
        ("worker", "panics"),
        ("worker", "burst"),
        ("orders", "locked"),
    ];
    for (backend, kind) in always.into_iter().chain(of_servers) {
        let is_it = |fault: &&Value| fault["kind"] == kind && fault["backend"] == backend;
        let of_kind: Vec<_> = faults.iter().filter(is_it).collect();
        assert!(!of_kind.is_empty(), "{backend} {kind}");
        for fault in of_kind {
            assert!(number(&fault["ended_ms"]) >= number(&fault["began_ms"]), "{fault}");
            assert!(fault["recovered_after_ms"].is_u64(), "{fault}");
        }
    }
}

#[test]
fn without_faults_nothing_is_refused_and_nothing_fails() {
    let ended = backstop(&["demo", "--duration", "5s", "--no-faults", "--json", "--with", SERVERS]);
    let report = ended.report();
    assert_eq!((ended.code, ended.failed_checks()), (Some(0), vec![]), "{}", ended.stdout);
    assert!(report["faults"].as_array().unwrap().is_empty());
    assert!(report["fates"]["rejected"].as_object().unwrap().is_empty());
    assert_eq!(sum(&report["fates"]["failed"]), 0);
    for backend in report["backends"].as_array().unwrap() {
        assert!(number(&backend["fates"]["ok"]) > 100, "{backend}");
    }
}

#[test]
fn a_run_without_servers_has_the_other_backends_and_checks() {
    let ended = backstop(&["demo", "--duration", "5s", "--seed", "2", "--json", "--without", SERVERS]);
    let report = ended.report();
    assert_eq!((ended.code, ended.failed_checks()), (Some(0), vec![]), "{}", ended.stdout);
    let names: Vec<_> =
        report["backends"].as_array().unwrap().iter().map(|backend| backend["name"].clone()).collect();
    assert_eq!(names, ["orders", "pricing", "worker"]);
    assert!(report["checks"].as_array().unwrap().iter().all(|check| check["name"] != "money-is-conserved"));
}

#[test]
fn piped_output_is_plain_lines_and_ends_with_the_summary() {
    let ended = backstop(&["demo", "--duration", "5s", "--seed", "3", "--without", SERVERS]);
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

    let mut child = command(&["demo", "--duration", "10m", "--json", "--without", SERVERS]).spawn().unwrap();
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

#[cfg(target_os = "linux")]
#[test]
#[allow(clippy::disallowed_methods, reason = "real time of real processes")]
fn servers_end_with_a_demo_that_is_killed() {
    use std::{
        fs,
        io::{BufRead, BufReader},
        os::unix::fs::PermissionsExt,
        time::{Duration, Instant},
    };

    let place = tempfile::tempdir().unwrap();
    // the servers run as users of their own where we are root
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let of_servers = || {
        let entries = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name());
        entries.filter(|name| name.to_string_lossy().starts_with("backstop-")).count()
    };
    let mut demo = command(&["demo", "--duration", "10m", "--with", SERVERS]);
    let mut child = demo.env("TMPDIR", place.path()).spawn().unwrap();
    let mut progress = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(progress.any(|line| line.unwrap().contains("payments closed")), "no server took part");
    assert_eq!(of_servers(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    // each directory goes after the last process that worked in it
    let give_up = Instant::now() + Duration::from_secs(30);
    while of_servers() > 0 {
        assert!(Instant::now() < give_up, "a server outlived the demo");
        std::thread::sleep(Duration::from_millis(20));
    }
}
