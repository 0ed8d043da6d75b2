//! `docs/mapping.md` promises features and names the test that proves each one; the test must be there.

use crate::assert_kept;
use crate::table::{self, Row};
use crate::tree::Tree;

const PAGE: &str = "docs/mapping.md";
const STATES: [&str; 3] = ["works", "later", "n/a"];

/// Breaches of "every feature that works has a test, and every test that is named exists".
fn mapping(tree: &Tree) -> Vec<String> {
    let Some(page) = tree.text(PAGE) else {
        return vec![format!("{PAGE} is missing")];
    };
    let rows = table::rows(page, &["state", "test"]);
    if rows.is_empty() {
        return vec![format!("{PAGE}: no table with the columns `state` and `test`")];
    }
    let mut breaches = Vec::new();
    for row in &rows {
        let state = row.cell("state").trim_matches('`');
        if !STATES.contains(&state) {
            breaches.push(format!("{PAGE}:{}: state `{state}` is none of {}", row.line, STATES.join(", ")));
        }
        breaches.extend(named_tests(tree, PAGE, row, state == "works"));
    }
    breaches
}

/// What is wrong with the tests that a row names in its column `test`.
pub(crate) fn named_tests(tree: &Tree, page: &str, row: &Row<'_>, required: bool) -> Vec<String> {
    let cell = row.cell("test");
    let names: Vec<_> = table::quoted(cell).collect();
    let mut wrong: Vec<_> = names.iter().filter_map(|name| doubt(tree, name)).collect();
    if required && names.is_empty() {
        wrong.push("names no test in backticks".to_owned());
    }
    wrong.into_iter().map(|reason| format!("{page}:{}: {reason}", row.line)).collect()
}

/// Why `path/to/file.rs::test_name` is no test that runs.
fn doubt(tree: &Tree, name: &str) -> Option<String> {
    let Some((path, rest)) = name.split_once("::").filter(|(path, _)| path.ends_with(".rs")) else {
        return Some(format!("`{name}` is not of the form `path/to/file.rs::test_name`"));
    };
    let function = rest.rsplit("::").next().unwrap_or_default();
    let Some(text) = tree.text(path) else {
        return Some(format!("`{name}`: there is no file {path}"));
    };
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let Some(at) = lines.iter().position(|line| defines(line, function)) else {
        return Some(format!("`{name}`: {path} has no `fn {function}`"));
    };
    let above = lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
    above.into_iter().any(|line| line.starts_with("#[ignore")).then(|| format!("`{name}` is ignored"))
}

/// Whether a line of code starts the function of this name.
fn defines(line: &str, function: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let start = format!("fn {function}");
    !function.is_empty()
        && code
            .match_indices(&start)
            .any(|(at, _)| code[at + start.len()..].trim_start().starts_with(['(', '<']))
}

#[test]
fn every_feature_that_works_names_a_test_that_exists() {
    assert_kept("docs/mapping.md names an existing test for everything that works", mapping);
}

#[test]
fn a_promise_without_a_proof_is_caught() {
    let source = "#[test]\nfn opens() {}\n// fn gone() {}\n#[test]\n#[ignore = \"slow\"]\nfn slow() {}\nfn generic<T>() {}\n";
    let breaches_of = |row: &str| {
        let page = format!("| feature | name here | state | test |\n|---|---|---|---|\n{row}\n");
        mapping(&Tree::sample(&[(PAGE, &page), ("tests/a.rs", source)])).len()
    };
    assert_eq!(breaches_of("| f | n | `works` | `tests/a.rs::opens` |"), 0);
    assert_eq!(breaches_of("| f | n | works | `tests/a.rs::opens`, `tests/a.rs::tests::generic` |"), 0);
    assert_eq!(breaches_of("| f | n | `later` | |"), 0);
    for (row, why) in [
        ("| f | n | `works` | |", "no test"),
        ("| f | n | `works` | tests/a.rs::opens |", "a test outside backticks"),
        ("| f | n | `works` | `opens` |", "no file"),
        ("| f | n | `works` | `tests/b.rs::opens` |", "a file that is not there"),
        ("| f | n | `works` | `tests/a.rs::open` |", "only the start of a name"),
        ("| f | n | `works` | `tests/a.rs::gone` |", "a test that is commented out"),
        ("| f | n | `works` | `tests/a.rs::slow` |", "a test that is ignored"),
        ("| f | n | `works` | `tests/a.rs::opens`, `tests/a.rs::no` |", "one of two"),
        ("| f | n | `later` | `tests/a.rs::no` |", "a named test that does not exist, in any state"),
        ("| f | n | `done` | `tests/a.rs::opens` |", "an unknown state"),
    ] {
        assert_eq!(breaches_of(row), 1, "{why}: {row}");
    }
}

#[test]
fn a_missing_or_empty_page_is_caught() {
    assert_eq!(mapping(&Tree::sample(&[])).len(), 1);
    assert_eq!(mapping(&Tree::sample(&[(PAGE, "# Mapping\n\nNothing yet.\n")])).len(), 1);
}
