//! The steps of every run.
//!
//! A profile or a set of features that no step before has used builds all dependencies once more. So tests,
//! examples and doc tests share the dev profile with the features of the whole workspace, and warnings are denied
//! through the arguments after `--`: another `RUSTFLAGS` would build everything again.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::{Deserializer, Value};

use super::{Checked, Done, Step, models};
use crate::args::CiOptions;
use crate::metadata::{self, Metadata};
use crate::{process, test};

/// How long one example may run.
const EXAMPLE_LIMIT: Duration = Duration::from_secs(60);

/// How long the demo may run that was asked to take ten seconds.
const DEMO_LIMIT: Duration = Duration::from_secs(60);

/// All of them, in order: cheap ones that fail often come first.
pub(super) const STEPS: [Step; 9] = [
    Step { title: "format", check: format },
    Step { title: "clippy", check: clippy },
    Step { title: "tests", check: tests },
    Step { title: "loom", check: models::loom },
    Step { title: "examples", check: examples },
    Step { title: "docs", check: docs },
    Step { title: "features", check: features },
    Step { title: "demo", check: demo },
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

/// Ten seconds of the demo as a user runs it, with a summary that a program can read.
fn demo(_: CiOptions) -> Checked {
    if !process::root().join("src/main.rs").exists() {
        return Ok(Done::Skipped("there is no binary".to_owned()));
    }
    let mut build = process::cargo();
    build.args(["build", "--release", "-p", "backstop", "--bin", "backstop"]);
    let built = metadata::build(&mut build, "bin")?;
    let binary = built.first().ok_or("cargo built no binary `backstop`")?;
    let directory = Metadata::read()?.target_directory.join("xtask");
    let summary = directory.join("demo.json");
    let told = |error: io::Error| format!("cannot write {}: {error}", summary.display());
    fs::create_dir_all(&directory).map_err(told)?;
    let file = File::create(&summary).map_err(told)?;
    let mut run = process::program(&binary.path.to_string_lossy());
    run.args(["demo", "--duration", "10s", "--json"]).stdout(file);
    process::run_within(&mut run, DEMO_LIMIT)?;
    is_json(&summary).map(|()| Done::Passed)
}

fn is_json(path: &Path) -> Result<(), String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let values: Result<Vec<_>, _> = Deserializer::from_str(&text).into_iter::<Value>().collect();
    match values {
        Ok(values) if values.is_empty() => Err("the demo printed no summary".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("the demo printed something that is not JSON: {error}")),
    }
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
