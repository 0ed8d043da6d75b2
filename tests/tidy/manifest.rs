//! As much of a `Cargo.toml` as the rules need: sections, keys, values on one line.

/// A line `key = value` and the section it stands in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) section: &'a str,
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
}

/// All entries of a manifest, in order.
pub(crate) fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut section = "";
    let mut found = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(rest) =
            line.strip_prefix('[').filter(|_| !line.contains('=') || line.starts_with("[target"))
        {
            let name = rest.trim_start_matches('[');
            section = name.rfind(']').map_or(name, |end| &name[..end]).trim_end_matches(']');
            // `[dependencies.x]` is an entry by itself, even if nothing follows.
            if let Some((table, key)) = dependency_table(section) {
                found.push(Entry { section: table, key, value: "" });
            }
        } else if let Some((key, value)) = line.split_once('=') {
            found.push(Entry { section, key: key.trim(), value: value.trim() });
        }
    }
    found
}

/// The crates that a manifest needs outside its tests, by the names they have in the registry.
pub(crate) fn dependencies(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for entry in entries(text) {
        if is_dependency_section(entry.section) {
            let key = entry.key.split('.').next().unwrap_or_default();
            names.push(unquoted(key));
            names.extend(renamed(entry.value));
        } else if entry.key == "package" && dependency_table(entry.section).is_some() {
            names.push(unquoted(entry.value));
        }
    }
    names
}

/// `("dependencies", "x")` for `[dependencies.x]` and its likes.
fn dependency_table(section: &str) -> Option<(&str, &str)> {
    let (table, key) = section.rsplit_once('.')?;
    is_dependency_section(table).then_some((table, key))
}

fn is_dependency_section(section: &str) -> bool {
    let last = section.rsplit_once('.').map_or(section, |(_, last)| last);
    matches!(last, "dependencies" | "build-dependencies") && !section.starts_with("workspace")
}

/// The crate behind `alias = { package = "name", … }`.
fn renamed(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("package")?;
    rest.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?.split('"').next()
}

fn unquoted(word: &str) -> &str {
    word.trim().trim_matches('"')
}

#[test]
fn dependencies_are_found_in_every_way_to_write_them() {
    let text = r#"
[package]
name = "room"
[dependencies]
plain = "1" # why
dotted.workspace = true
"quoted" = { version = "1", features = [
    "a",
] }
alias = { package = "behind", version = "1" }
[dependencies.own-table]
package = "behind-table"
[build-dependencies]
built = "1"
[target.'cfg(unix)'.dependencies]
unixy = "1"
[target."cfg(target_os = \"linux\")".dependencies]
linuxy = "1"
[dev-dependencies]
tested = "1"
[target.'cfg(unix)'.dev-dependencies]
also-tested = "1"
[features]
default = []
"#;
    let expected = [
        "plain",
        "dotted",
        "quoted",
        "alias",
        "behind",
        "own-table",
        "behind-table",
        "built",
        "unixy",
        "linuxy",
    ];
    assert_eq!(dependencies(text), expected);
}
