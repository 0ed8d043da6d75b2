//! Processes of their own, for what would hurt this one: to be killed, to be denied the disk, to hold a lock.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use crate::{files, full, kill};

const PART: &str = "BACKSTOP_SQLITE_TEST_PART";
const FILE: &str = "BACKSTOP_SQLITE_TEST_FILE";

/// A process that plays a part on a database file; it is killed with this value.
pub(crate) struct Child {
    process: std::process::Child,
    lines: BufReader<std::process::ChildStdout>,
}

/// This test binary again, with the signal about the size of files ignored, so that it is an error.
pub(crate) fn command(part: &str, file: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ && exec \"$@\"", "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "child::part", "--ignored", "--nocapture"])
        .env(PART, part)
        .env(FILE, file);
    command
}

impl Child {
    /// Starts a process.
    pub(crate) fn start(part: &str, file: &Path) -> Self {
        Self::of(command(part, file))
    }

    pub(crate) fn of(mut command: Command) -> Self {
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    /// Returns the next thing it said; `None` at its end. A line that it was killed in does not count.
    pub(crate) fn hear(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            self.lines.read_line(&mut line).unwrap();
            if !line.ends_with('\n') {
                return None;
            }
            if let Some((_, said)) = line.trim_end().split_once("> ") {
                return Some(said.to_owned());
            }
        }
    }

    /// Waits until it says `word`.
    pub(crate) fn wait_for(&mut self, word: &str) {
        while let Some(said) = self.hear() {
            if said == word {
                return;
            }
        }
        panic!("the process ended and never said {word:?}: {:?}", self.process.wait());
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> ExitStatus {
        while self.hear().is_some() {}
        self.process.wait().unwrap()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Plays a part to its end in a process of its own; it must find what it expects.
#[track_caller]
pub(crate) fn play(part: &str, file: &Path) {
    let status = Child::start(part, file).end();
    assert!(status.success(), "{part}: {status}; the panic is above");
}

/// Tells the parent something; one write, so that a kill cannot cut into an earlier line.
pub(crate) fn say(word: &str) {
    std::io::stdout().write_all(format!("> {word}\n").as_bytes()).unwrap();
}

#[test]
#[ignore = "the other process of tests that need two"]
fn part() {
    let part = env::var(PART).expect("another test starts this one, in a process of its own");
    let file = PathBuf::from(env::var(FILE).unwrap());
    match part.split_once(' ').unwrap_or((&part, "")) {
        ("write", round) => kill::write(&file, round.parse().unwrap(), kill::Told::AfterTheCommit),
        ("lie", round) => kill::write(&file, round.parse().unwrap(), kill::Told::BeforeTheCommit),
        ("lock", _) => files::lock(&file),
        ("read", _) => files::read_without_rights(&file),
        ("look", _) => files::look_without_rights(&file),
        ("commit", what) => full::commit_without_room(&file, what),
        ("grow", _) => full::grow_from_nothing(&file),
        ("checkpoint", _) => full::checkpoint_without_room(&file),
        (other, _) => panic!("no part is called {other:?}"),
    }
}
