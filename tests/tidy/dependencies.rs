//! Who may use whom between crates: `supervisor → core`, `postgres … chain → (sql, transport) → core`.

use crate::manifest::dependencies;
use crate::tree::{Tree, lines_outside_tests};
use crate::{assert_kept, manifest};

/// Rooms that are not backends.
const SHARED: [&str; 6] = ["core", "supervisor", "sql", "transport", "servers", "testkit"];

/// The HTTP client: needs no actor and no actix runtime of its own, and only these rooms may use it.
const CLIENT: [&str; 4] = ["awc", "actix-http", "actix-service", "actix-tls"];
const CLIENT_ROOMS: [&str; 3] = ["transport", "http", "chain"];

/// A crate against the arrows that a room cannot do without.
struct Exception {
    room: &'static str,
    name: &'static str,
    /// The one path into the crate that the room's code may use.
    only: &'static str,
    reason: &'static str,
}

/// All of them. One that is no longer needed is a breach too.
const EXCEPTIONS: &[Exception] = &[Exception {
    room: "transport",
    name: "actix-rt",
    only: "actix_rt::net::ActixStream",
    reason: "awc demands this trait of a connector's stream and nothing re-exports it",
}];

const TESTKIT: &str = "backstop-testkit";

/// Breaches of the arrows between rooms; dev-dependencies are free.
fn arrows(tree: &Tree, exceptions: &[Exception]) -> Vec<String> {
    let mut breaches = Vec::new();
    for (room, manifest) in tree.rooms() {
        for name in dependencies(&manifest.text) {
            let Some(reason) = objection(room, name) else { continue };
            match exceptions.iter().find(|exception| exception.room == room && exception.name == name) {
                Some(exception) => breaches.extend(stretched(tree, exception)),
                None => breaches.push(format!("{}: `{name}`: {reason}", manifest.path)),
            }
        }
    }
    for Exception { room, name, reason, .. } in exceptions {
        if reason.is_empty() {
            breaches.push(format!("actors/{room}: the exception for `{name}` has no reason"));
        }
        let manifest = tree.text(&format!("actors/{room}/Cargo.toml")).unwrap_or_default();
        if !dependencies(manifest).contains(name) {
            breaches.push(format!("actors/{room}: the exception for `{name}` is no longer needed"));
        }
    }
    let root = tree.text("Cargo.toml").unwrap_or_default();
    if dependencies(root).contains(&TESTKIT) {
        breaches.push(format!("Cargo.toml: `{TESTKIT}`: it is never published, so only tests may use it"));
    }
    breaches
}

/// Uses of an excepted crate beyond the one path that was granted.
fn stretched(tree: &Tree, exception: &Exception) -> Vec<String> {
    let (source, in_code) = (format!("actors/{}/src/", exception.room), exception.name.replace('-', "_"));
    let mut breaches = Vec::new();
    for file in tree.rust().filter(|file| file.path.starts_with(&source)) {
        for (number, line) in lines_outside_tests(&file.text) {
            let code = line.split("//").next().unwrap_or_default();
            if code.replace(exception.only, "").contains(&in_code) {
                breaches.push(format!("{}:{number}: only `{}` is granted", file.path, exception.only));
            }
        }
    }
    breaches
}

/// Why this room may not use this crate.
fn objection(room: &str, name: &str) -> Option<&'static str> {
    if name == TESTKIT {
        return Some("it is never published, so only tests may use it");
    }
    if let Some(other) = name.strip_prefix("backstop-") {
        let allowed: &[&str] = match room {
            "core" | "servers" => &[],
            "supervisor" | "sql" | "transport" => &["core"],
            "testkit" => &SHARED,
            _ => &["core", "sql", "transport"],
        };
        return (!allowed.contains(&other)).then_some("no arrow leads from this room to that one");
    }
    if CLIENT.contains(&name) {
        return (!CLIENT_ROOMS.contains(&room) && room != "testkit")
            .then_some("only the HTTP rooms use the client");
    }
    let actors = name == "actix" || name.starts_with("actix-");
    (actors && !matches!(room, "supervisor" | "testkit")).then_some("a backend is plain async code (ADR 1)")
}

/// Breaches of "doc tests run": a crate that switches them off would do so in silence.
fn doc_tests(tree: &Tree) -> Vec<String> {
    let manifests = tree.files.iter().filter(|file| file.path.ends_with("Cargo.toml"));
    let off = manifests.filter(|file| {
        manifest::entries(&file.text).iter().any(|entry| {
            entry.section == "lib"
                && matches!(entry.key, "doctest" | "test")
                && entry.value.starts_with("false")
        })
    });
    off.map(|file| format!("{}: [lib] switches its tests off", file.path)).collect()
}

/// Breaches of "each room takes the lints of the workspace".
fn lints(tree: &Tree) -> Vec<String> {
    let without = tree.rooms().filter(|(_, manifest)| {
        !manifest::entries(&manifest.text).iter().any(|entry| {
            let table = entry.section == "lints" && entry.key == "workspace";
            let dotted = entry.section.is_empty() && entry.key == "lints.workspace";
            (table || dotted) && entry.value.starts_with("true")
        })
    });
    without.map(|(_, manifest)| format!("{}: no `[lints] workspace = true`", manifest.path)).collect()
}

#[test]
fn rooms_depend_only_on_the_rooms_below_them() {
    assert_kept("dependencies between rooms follow the arrows of docs/architecture.md", |tree| {
        arrows(tree, EXCEPTIONS)
    });
}

#[test]
fn every_room_takes_the_lints_of_the_workspace() {
    assert_kept("every crate in actors/ has [lints] workspace = true", lints);
}

#[test]
fn no_crate_switches_its_doc_tests_off() {
    assert_kept("doc tests and unit tests of every library run", doc_tests);
}

#[test]
fn a_wrong_arrow_is_caught() {
    let breaches_of =
        |path: &str, line: &str| arrows(&Tree::sample(&[(path, &format!("[dependencies]\n{line}"))]), &[]);
    let wrong = [
        ("actors/core/Cargo.toml", "actix.workspace = true"),
        ("actors/core/Cargo.toml", "backstop-sqlite.workspace = true"),
        ("actors/core/Cargo.toml", "awc = \"3\""),
        ("actors/sql/Cargo.toml", "backstop-sqlite.workspace = true"),
        ("actors/sqlite/Cargo.toml", "backstop-supervisor.workspace = true"),
        ("actors/sqlite/Cargo.toml", "backstop-http.workspace = true"),
        ("actors/sqlite/Cargo.toml", "actix-rt.workspace = true"),
        ("actors/sqlite/Cargo.toml", "awc.workspace = true"),
        ("actors/http/Cargo.toml", "actix-rt.workspace = true"),
        ("actors/http/Cargo.toml", "runtime = { package = \"actix-rt\", version = \"2\" }"),
        ("actors/transport/Cargo.toml", "actix-web.workspace = true"),
        ("actors/supervisor/Cargo.toml", "backstop-redis.workspace = true"),
        ("actors/new_backend/Cargo.toml", "actix.workspace = true"),
        ("actors/http/Cargo.toml", "backstop-testkit.workspace = true"),
        ("Cargo.toml", "backstop-testkit.workspace = true"),
    ];
    for (path, line) in wrong {
        assert_eq!(breaches_of(path, line).len(), 1, "{path}: {line}");
    }
    let right = [
        ("actors/sqlite/Cargo.toml", "backstop-core.workspace = true\nbackstop-sql.workspace = true"),
        (
            "actors/http/Cargo.toml",
            "awc.workspace = true\nactix-http = \"3\"\nbackstop-transport.workspace = true",
        ),
        ("actors/supervisor/Cargo.toml", "actix.workspace = true\nactix-rt.workspace = true"),
        (
            "actors/sqlite/Cargo.toml",
            "[dev-dependencies]\nactix-rt.workspace = true\nbackstop-testkit.workspace = true",
        ),
    ];
    for (path, line) in right {
        assert_eq!(breaches_of(path, line), Vec::<String>::new(), "{path}: {line}");
    }
}

#[test]
fn an_exception_covers_one_path_and_must_be_needed() {
    let granted =
        [Exception { room: "http", name: "actix-rt", only: "actix_rt::net::ActixStream", reason: "a trait" }];
    let breaches_of = |dependency: &str, code: &str| {
        let manifest = format!("[dependencies]\n{dependency}");
        let files = [("actors/http/Cargo.toml", manifest.as_str()), ("actors/http/src/lib.rs", code)];
        arrows(&Tree::sample(&files), &granted).len()
    };
    assert_eq!(breaches_of("actix-rt = \"2\"", "use actix_rt::net::ActixStream;"), 0);
    assert_eq!(breaches_of("actix-rt = \"2\"", "actix_rt::spawn(run());"), 1, "stretched");
    assert_eq!(breaches_of("actix = \"2\"\nactix-rt = \"2\"", ""), 1, "another crate");
    assert_eq!(breaches_of("awc = \"3\"", ""), 1, "no longer needed");
}

#[test]
fn a_room_without_the_lints_is_caught() {
    let breaches_of = |text: &str| lints(&Tree::sample(&[("actors/redis/Cargo.toml", text)])).len();
    assert_eq!(breaches_of("[package]\nname = \"x\"\n"), 1);
    assert_eq!(breaches_of("[lints]\nworkspace = false\n"), 1);
    assert_eq!(breaches_of("[package]\nversion.workspace = true\n"), 1);
    assert_eq!(breaches_of("[lints]\nworkspace = true\n"), 0);
}

#[test]
fn a_crate_without_doc_tests_is_caught() {
    let breaches_of = |text: &str| doc_tests(&Tree::sample(&[("actors/redis/Cargo.toml", text)])).len();
    assert_eq!(breaches_of("[lib]\ndoctest = false\n"), 1);
    assert_eq!(breaches_of("[lib]\nbench = false\n"), 0);
}
