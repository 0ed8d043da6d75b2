//! Tidy: what the compiler cannot check about this repository.
//!
//! A rule is a function from a [`tree::Tree`] to its breaches. Each one runs twice: on the repository, where it
//! must find nothing, and on a small tree in memory with a planted breach, where it must find it.

mod dependencies;
mod layout;
mod manifest;
mod planted_bugs;
mod proofs;
mod rooms;
mod table;
mod tree;

use std::path::Path;

use tree::Tree;

/// Fails with the name of the rule and every breach of it in the repository.
fn assert_kept(rule: &str, check: fn(&Tree) -> Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tree = Tree::read(root).unwrap_or_else(|error| panic!("cannot read the repository: {error}"));
    let breaches = check(&tree);
    assert!(breaches.is_empty(), "rule broken: {rule}\n  {}\n", breaches.join("\n  "));
}
