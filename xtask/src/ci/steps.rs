//! The steps of every run.
//!
//! A profile or a set of features that no step before has used builds all dependencies once more. So tests,
//! examples and doc tests share the dev profile with the features of the whole workspace, and warnings are denied
//! through the arguments after `--`: another `RUSTFLAGS` would build everything again.

use std::time::Duration;

use super::{Checked, Done, Step, demo, models};
use crate::args::CiOptions;
use crate::metadata::{self, Metadata};
use crate::{process, test};

/// How long one example may run.
const EXAMPLE_LIMIT: Duration = Duration::from_secs(60);

/// All of them, in order: cheap ones that fail often come first.
pub(super) const STEPS: [Step; 9] = [
    Step { title: "format", check: format },
    Step { title: "clippy", check: clippy },
    Step { title: "tests", check: tests },
    Step { title: "loom", check: models::loom },
    Step { title: "examples", check: examples },
    Step { title: "docs", check: docs },
    Step { title: "features", check: features },
    Step { title: "demo", check: demo::quick },
    Step { title: "deny", check: deny },
];

fn format(_: CiOptions) -> Checked {
    cargo(&["fmt", "--all", "--check"])
}

fn clippy(_: CiOptions) -> Checked {
    cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])
}

/// Unit, integration and doc tests: `cargo test` runs all three.
fn tests(options: CiOptions) -> Checked {
    let arguments = if options.keep_going { vec!["--no-fail-fast".to_owned()] } else { Vec::new() };
    test::run(&arguments).map(|()| Done::Passed)
}

/// Runs every example to its end.
fn examples(_: CiOptions) -> Checked {
    let metadata = Metadata::read()?;
    let expected = metadata.examples();
    if expected.is_empty() {
        return Ok(Done::Skipped("there are no examples".to_owned()));
    }
    let built = metadata::build(process::cargo().args(["build", "--workspace", "--examples"]), "example")?;
    // Cargo passes over an example whose `required-features` are off.
    if let Some(name) = expected.iter().find(|name| !built.iter().any(|example| example.name == **name)) {
        return Err(format!("example `{name}` was not built: the default features do not cover it"));
    }
    for example in &built {
        let path = example.path.to_string_lossy();
        process::run_within(&mut process::program(&path), EXAMPLE_LIMIT)?;
    }
    Ok(Done::Passed)
}

fn docs(_: CiOptions) -> Checked {
    let mut command = process::cargo();
    command.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--workspace", "--no-deps", "--all-features"]);
    process::run(&mut command).map(|()| Done::Passed)
}

/// The root package with no feature, then with each one alone.
fn features(_: CiOptions) -> Checked {
    // clippy instead of check: it shares the same artefacts and can deny warnings without `RUSTFLAGS`.
    let alone = ["clippy", "-p", "backstop", "--no-default-features"];
    let deny = ["--", "-D", "warnings"];
    cargo(&[&alone[..], &deny].concat())?;
    for feature in &Metadata::read()?.root_features {
        cargo(&[&alone[..], &["--features", feature], &deny].concat())?;
    }
    Ok(Done::Passed)
}

/// Bans, licences and sources; advisories need the network and have a job of their own.
fn deny(_: CiOptions) -> Checked {
    if !process::works(process::cargo().args(["deny", "--version"])) {
        return Ok(Done::Skipped("cargo-deny is not installed (`cargo install cargo-deny`)".to_owned()));
    }
    cargo(&["deny", "check", "bans", "licenses", "sources"])
}

fn cargo(arguments: &[&str]) -> Checked {
    process::run(process::cargo().args(arguments)).map(|()| Done::Passed)
}
