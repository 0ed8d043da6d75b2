//! What a file may be called, how long it may be, and what it must not hold.

use crate::assert_kept;
use crate::tree::{Tree, lines_outside_tests};

/// The longest file without a reason, in lines outside its tests.
const LONG: usize = 500;

/// Files that may be longer, each with its reason. An entry that is no longer needed is a breach too.
const LONG_WITH_REASON: &[(&str, &str)] = &[];

/// Directories of a developer's or a build machine, in two halves so that this file does not hold them.
const MACHINE_PATHS: [(&str, &str); 3] = [("/wor", "k/"), ("/roo", "t/"), ("/tmp/ba", "sh")];

/// Breaches of the module style `x.rs` beside `x/`.
fn no_mod_files(tree: &Tree) -> Vec<String> {
    let named = tree.rust().filter(|file| file.path == "mod.rs" || file.path.ends_with("/mod.rs"));
    named.map(|file| format!("{}: move it up to the name of its directory", file.path)).collect()
}

/// Breaches of the length, by the list of exceptions.
fn lengths(tree: &Tree, exceptions: &[(&str, &str)]) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut needed = Vec::new();
    for file in tree.rust().filter(|file| !is_test(&file.path)) {
        let lines = lines_outside_tests(&file.text).count();
        if lines <= LONG {
            continue;
        }
        needed.push(file.path.as_str());
        let reason = exceptions.iter().find(|(path, _)| *path == file.path).map(|(_, reason)| *reason);
        if reason.unwrap_or_default().is_empty() {
            breaches.push(format!("{}: {lines} lines outside tests, and no reason in the list", file.path));
        }
    }
    let idle = exceptions.iter().filter(|(path, _)| !needed.contains(path));
    breaches.extend(idle.map(|(path, _)| format!("{path}: in the list of long files, but it is none")));
    breaches
}

fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part.trim_end_matches(".rs").ends_with("tests"))
}

/// Breaches of "nothing knows the machine it was written on".
fn machine_paths(tree: &Tree) -> Vec<String> {
    let mut breaches = Vec::new();
    for file in &tree.files {
        for (number, line) in file.text.lines().enumerate() {
            for (start, end) in MACHINE_PATHS {
                let path = format!("{start}{end}");
                if line.match_indices(&path).any(|(at, _)| is_absolute(&line[..at])) {
                    breaches.push(format!("{}:{}: `{path}`", file.path, number + 1));
                }
            }
        }
    }
    breaches
}

/// Whether a slash after this text starts a path, and is not a separator inside one (`src/a/queue.rs`).
fn is_absolute(before: &str) -> bool {
    !before.ends_with(|c: char| c.is_alphanumeric() || "_-.}".contains(c))
}

#[test]
fn no_module_lives_in_a_mod_file() {
    assert_kept("modules are x.rs beside x/", no_mod_files);
}

#[test]
fn long_files_have_a_reason() {
    assert_kept("files over 500 lines outside tests are listed with a reason", |tree| {
        lengths(tree, LONG_WITH_REASON)
    });
}

#[test]
fn no_file_holds_a_path_of_the_machine_it_was_written_on() {
    assert_kept("no machine paths in text files", machine_paths);
}

#[test]
fn a_mod_file_is_caught() {
    let tree = Tree::sample(&[("src/web/mod.rs", ""), ("src/model.rs", ""), ("docs/mod.rs.md", "")]);
    assert_eq!(no_mod_files(&tree).len(), 1);
}

#[test]
fn a_long_file_is_caught_and_its_tests_do_not_count() {
    let code = "let x = 1;\n".repeat(LONG + 1);
    let tested = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "    fn b() {}\n".repeat(LONG));
    let tree = Tree::sample(&[("src/a.rs", &code), ("src/b.rs", &tested), ("tests/c.rs", &code)]);
    let breaches = lengths(&tree, &[]);
    assert!(breaches.len() == 1 && breaches[0].starts_with("src/a.rs: 501"), "{breaches:?}");
    assert!(lengths(&tree, &[("src/a.rs", "one table")]).is_empty());
    assert_eq!(lengths(&tree, &[("src/a.rs", "")]).len(), 1, "an entry without a reason");
    assert_eq!(lengths(&tree, &[("src/a.rs", "one table"), ("src/b.rs", "idle")]).len(), 1, "an idle entry");
}

#[test]
fn a_machine_path_is_caught() {
    for (start, end) in MACHINE_PATHS {
        let path = format!("{start}{end}");
        for line in [format!("{path}x"), format!("see `{path}x`"), format!("file://{path}x")] {
            assert_eq!(machine_paths(&Tree::sample(&[("README.md", &line)])).len(), 1, "{line}");
        }
        let relative = format!("src{path}queue.rs");
        assert!(machine_paths(&Tree::sample(&[("README.md", &relative)])).is_empty(), "{relative}");
    }
}
