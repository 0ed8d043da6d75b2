//! `docs/planted_bugs.md` lists bugs that were planted to try the tests, and the test that caught each one.

use crate::assert_kept;
use crate::proofs::named_tests;
use crate::table;
use crate::tree::Tree;

const PAGE: &str = "docs/planted_bugs.md";

/// Breaches of "every planted bug names the existing test that caught it". Without the page there are none.
fn planted_bugs(tree: &Tree) -> Vec<String> {
    let Some(page) = tree.text(PAGE) else { return Vec::new() };
    let rows = table::rows(page, &["test"]);
    if rows.is_empty() {
        return vec![format!("{PAGE}: no table with a column `test`")];
    }
    rows.iter().flat_map(|row| named_tests(tree, PAGE, row, true)).collect()
}

#[test]
fn every_planted_bug_names_the_existing_test_that_caught_it() {
    assert_kept("docs/planted_bugs.md names an existing test for every planted bug", planted_bugs);
}

#[test]
fn a_planted_bug_that_no_test_caught_is_caught() {
    let breaches_of = |row: &str| {
        let page = format!("| bug | test |\n|---|---|\n{row}\n");
        planted_bugs(&Tree::sample(&[(PAGE, &page), ("tests/a.rs", "fn opens() {}")])).len()
    };
    assert_eq!(breaches_of("| permit lost | `tests/a.rs::opens` |"), 0);
    assert_eq!(breaches_of("| permit lost | `tests/a.rs::closes` |"), 1);
    assert_eq!(breaches_of("| permit lost | |"), 1);
    assert!(planted_bugs(&Tree::sample(&[])).is_empty());
    assert_eq!(planted_bugs(&Tree::sample(&[(PAGE, "nothing")])).len(), 1);
}
