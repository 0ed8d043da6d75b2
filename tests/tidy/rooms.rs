//! Who may use whom inside core: `guard → policy → contract`, and policies are pure machines.

use crate::assert_kept;
use crate::tree::{Tree, lines_outside_tests};

const CORE: &str = "actors/core/src/";

/// The contract: what a backend's author and a caller agree on.
const CONTRACT: [&str; 8] = ["message", "backend", "call", "error", "outcome", "event", "snapshot", "clock"];

/// What a machine whose time is an argument has no use for.
const IMPURE: [&str; 7] =
    ["clock::now", "Instant::now", "SystemTime::now", "spawn(", "spawn_local(", "sleep(", "sleep_until("];

/// Breaches of "a policy reads no clock, starts no task and does not sleep".
fn pure_policies(tree: &Tree) -> Vec<String> {
    words_in(tree, |layer| if layer == "policy" { &IMPURE } else { &[] })
}

/// Breaches of the arrows inside core.
fn layers(tree: &Tree) -> Vec<String> {
    words_in(tree, |layer| match layer {
        "policy" => &["crate::guard"],
        layer if CONTRACT.contains(&layer) => &["crate::guard", "crate::policy"],
        _ => &[],
    })
}

/// Lines of code in core that hold a word which is forbidden in their layer; comments and tests are free.
fn words_in(tree: &Tree, forbidden: impl Fn(&str) -> &'static [&'static str]) -> Vec<String> {
    let mut breaches = Vec::new();
    for file in tree.rust() {
        let Some(inside) = file.path.strip_prefix(CORE).filter(|path| !path.ends_with("tests.rs")) else {
            continue;
        };
        let layer = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        for (number, line) in lines_outside_tests(&file.text) {
            let code = line.split("//").next().unwrap_or_default();
            for word in forbidden(layer).iter().filter(|word| code.contains(**word)) {
                breaches.push(format!("{}:{number}: `{word}` in `{layer}`", file.path));
            }
        }
    }
    breaches
}

#[test]
fn policies_read_no_clock_start_no_task_and_do_not_sleep() {
    assert_kept("a policy is a pure machine: time is an argument", pure_policies);
}

#[test]
fn inside_core_guard_uses_policy_and_policy_uses_the_contract() {
    assert_kept("inside core the arrows are guard → policy → contract", layers);
}

#[test]
fn an_impure_policy_is_caught() {
    let breaches_of = |path: &str, code: &str| pure_policies(&Tree::sample(&[(path, code)])).len();
    let policy = "actors/core/src/policy/window.rs";
    for code in [
        "    let now = clock::now();",
        "    let now = at.unwrap_or_else(Instant::now);",
        "    tokio::spawn(run());",
        "    time::sleep(wait).await;",
    ] {
        assert_eq!(breaches_of(policy, code), 1, "{code}");
        assert_eq!(breaches_of("actors/core/src/guard.rs", code), 0, "{code}");
    }
    assert_eq!(breaches_of("actors/core/src/policy.rs", "use crate::clock::now;"), 1);
    assert_eq!(breaches_of(policy, "/// `permit(clock::now())`"), 0);
    assert_eq!(breaches_of(policy, "#[cfg(test)]\nmod tests {\n    let now = clock::now();\n}"), 0);
}

#[test]
fn an_arrow_that_leads_up_is_caught() {
    let breaches_of = |path: &str, code: &str| layers(&Tree::sample(&[(path, code)])).len();
    assert_eq!(breaches_of("actors/core/src/policy/retry.rs", "use crate::guard::Guard;"), 1);
    assert_eq!(breaches_of("actors/core/src/error/failure.rs", "use crate::policy::retry::Retry;"), 1);
    assert_eq!(breaches_of("actors/core/src/call.rs", "use crate::policy::budget::Budget;"), 1);
    assert_eq!(breaches_of("actors/core/src/guard.rs", "use crate::policy::retry::Retry;"), 0);
    assert_eq!(breaches_of("actors/core/src/policy/retry.rs", "use crate::outcome::Outcome;"), 0);
}
