//! Runs the binary.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The servers that may take part in a run, for `--with` and `--without`.
pub(crate) const SERVERS: &str = "postgres,mysql";

/// What a run of the binary left behind.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Reads stdout, which must be one JSON document and nothing else.
    pub(crate) fn report(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.stdout, self.stderr))
    }

    /// The names of the checks that failed.
    pub(crate) fn failed_checks(&self) -> Vec<String> {
        let report = self.report();
        let checks = report["checks"].as_array().expect("checks").iter();
        checks
            .filter(|check| check["ok"] != true)
            .map(|check| check["name"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// The binary with arguments; what it writes goes into pipes.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstop"));
    command.args(arguments).env_remove("BACKSTOP_LOG").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the binary to its end.
pub(crate) fn backstop(arguments: &[&str]) -> Ended {
    ended(command(arguments).output().expect("the binary runs"))
}

/// Reads what a run left behind.
pub(crate) fn ended(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
