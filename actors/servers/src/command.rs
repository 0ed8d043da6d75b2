//! Running the programs that come with a server.

use std::{
    fs::File,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal};

use crate::{ServerError, processes};

/// How long a helping program may take: ten times what the slowest needs on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A program with a clean environment, so that `PGHOST` and the like of the user have no say.
pub(crate) fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("LC_ALL", "C");
    for kept in ["PATH", "TMPDIR"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
}

/// Runs a program on `input` to its end, one minute at most, and returns what it printed.
pub(crate) fn output(command: &mut Command, input: &str) -> Result<String, ServerError> {
    let shown = line(command);
    let failed =
        |reason: String, output: String| Err(ServerError::Program { command: shown.clone(), reason, output });
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(ServerError::machine(format!("start `{shown}`")))?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let (sender, ended) = mpsc::channel();
    let input = input.to_owned();
    thread::spawn(move || {
        // A program that ends before it has read everything says why in its output.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
        let _ = sender.send(child.wait_with_output());
    });
    let Ok(ended) = ended.recv_timeout(LIMIT) else {
        pid.into_iter().for_each(|pid| processes::signal(pid, Signal::KILL));
        return failed(format!("was still running after {} s", LIMIT.as_secs()), String::new());
    };
    let ended = ended.map_err(ServerError::machine(format!("watch `{shown}`")))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if ended.status.success() {
        Ok(text(&ended.stdout))
    } else {
        let printed = [text(&ended.stdout), text(&ended.stderr)].join("\n");
        failed(format!("ended with {}", ended.status), printed.trim().to_owned())
    }
}

/// A command as one would type it, without its environment, which may hold a password.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The last lines of a log file.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Opens a log to append to.
pub(crate) fn open_log(log: &Path) -> Result<File, ServerError> {
    let opened = File::options().create(true).append(true).open(log);
    opened.map_err(ServerError::machine(format!("open {}", log.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_an_error_with_what_it_printed() {
        let error = output(program(Path::new("sh")).args(["-c", "cat >&2; exit 3"]), "reason").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exit status: 3") && text.contains("reason"), "{text}");
    }

    #[test]
    fn the_tail_of_a_log_that_is_not_there_is_empty() {
        assert_eq!(tail(Path::new("/no/such/log"), 5), "");
    }
}
