//! The demo as a user runs it, with a summary that a program can read.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::{Deserializer, Value};

use super::{Checked, Done};
use crate::args::CiOptions;
use crate::metadata::{self, Metadata};
use crate::process;

/// How long the demo may run that was asked to take ten seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// Ten seconds of a build that behaves as the release build does and takes a part of its time; profile `ci`.
pub(super) fn quick(_: CiOptions) -> Checked {
    run("ci")
}

/// Ten seconds of the build that the README names.
pub(super) fn release(_: CiOptions) -> Checked {
    run("release")
}

fn run(profile: &str) -> Checked {
    if !process::root().join("src/main.rs").exists() {
        return Ok(Done::Skipped("there is no binary".to_owned()));
    }
    let mut build = process::cargo();
    build.args(["build", "--profile", profile, "-p", "backstop", "--bin", "backstop"]);
    let built = metadata::build(&mut build, "bin")?;
    let binary = built.first().ok_or("cargo built no binary `backstop`")?;
    let directory = Metadata::read()?.target_directory.join("xtask");
    let summary = directory.join("demo.json");
    let told = |error: io::Error| format!("cannot write {}: {error}", summary.display());
    fs::create_dir_all(&directory).map_err(told)?;
    let file = File::create(&summary).map_err(told)?;
    let mut demo = process::program(&binary.path.to_string_lossy());
    // the tests step has installed the servers, so none may be left out
    demo.args(["demo", "--duration", "10s", "--json", "--with", "postgres,mysql"]).stdout(file);
    process::run_within(&mut demo, LIMIT)?;
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
