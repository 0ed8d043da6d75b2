//! The command line: what is refused before anything runs, and what help says.

use crate::program::{backstop, command, ended};

#[test]
fn wrong_command_lines_are_refused_at_once_with_a_hint() {
    let table: [(&[&str], &str); 19] = [
        (&["demo", "--duration", "0s"], "5s or more"),
        (&["demo", "--duration", "-5s"], "negative"),
        (&["demo", "--duration=-5s"], "negative"),
        (&["demo", "--duration", "4s"], "5s or more"),
        (&["demo", "--duration", "999h"], "1h or less"),
        (&["demo", "--duration", "99999999999999d"], "10 years"),
        (&["demo", "--duration", "30"], "no unit"),
        (&["demo", "--duration", "soon"], "no number"),
        (&["demo", "--duration", ""], "no number"),
        (&["demo", "--seed", "-1"], "invalid value"),
        (&["demo", "--seed", "seven"], "invalid value"),
        (&["demo", "--break", "nothing"], "lose-ack"),
        (&["demo", "--break", "stay-open", "--no-faults"], "--no-faults"),
        (&["demo", "--with", "oracle"], "possible values: postgres, mysql"),
        (&["demo", "--with", "postgres,oracle"], "possible values"),
        (&["demo", "--with", "mysql", "--without", "postgres,mysql"], "both name mysql"),
        (&["demo", "--break", "mint-money", "--without", "postgres,mysql"], "needs a server"),
        (&["demo", "--colour"], "unexpected argument"),
        (&["dmeo"], "'demo'"),
    ];
    for (arguments, hint) in table {
        let ended = backstop(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(hint), "{arguments:?}: {}", ended.stderr);
        // a run would have written lines of progress
        assert!(ended.stdout.is_empty(), "{arguments:?}: {}", ended.stdout);
    }
}

#[test]
fn help_shows_examples_and_exit_codes_and_no_arguments_show_help() {
    let help = backstop(&["--help"]);
    assert_eq!(help.code, Some(0));
    for text in ["Examples:", "backstop demo --json", "Exit codes:", "could not be started"] {
        assert!(help.stdout.contains(text), "no `{text}` in\n{}", help.stdout);
    }
    let nothing = backstop(&[]);
    assert_eq!(nothing.code, Some(2));
    assert!(nothing.stderr.contains("Usage: backstop"), "{}", nothing.stderr);
    let of_demo = backstop(&["demo", "--help"]);
    for flag in ["--duration", "--seed", "--json", "--no-faults", "--with", "--without", "--break"] {
        assert!(of_demo.stdout.contains(flag), "no `{flag}` in\n{}", of_demo.stdout);
    }
}

#[test]
fn the_version_is_that_of_the_crate() {
    let ended = backstop(&["--version"]);
    assert_eq!((ended.code, ended.stdout), (Some(0), format!("backstop {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn what_cannot_be_started_says_what_it_needs() {
    let mut demo = command(&["demo", "--duration", "5s"]);
    let ended = ended(demo.env("TMPDIR", "/nowhere/at/all").output().unwrap());
    assert_eq!(ended.code, Some(3), "{}", ended.stdout);
    assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains("TMPDIR"), "{}", ended.stderr);
}
