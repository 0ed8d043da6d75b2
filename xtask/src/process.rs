//! Running other programs, always from the root of the workspace.

use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a program with a time limit is looked at.
const POLL: Duration = Duration::from_millis(20);

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// A program that is about to run in the root of the workspace.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root());
    command
}

/// The cargo that started us.
///
/// `cargo run` describes *this* package to us in variables. Some build scripts (ring's) name them as inputs, so
/// passing them on would build such crates again after every plain `cargo test`.
pub(crate) fn cargo() -> Command {
    let mut command = program(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    for (name, _) in std::env::vars_os() {
        let described =
            name.to_str().is_some_and(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_"));
        if described {
            command.env_remove(name);
        }
    }
    command
}

/// Prints the command, runs it and waits for it.
///
/// # Errors
///
/// It did not start, or it did not end with success.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    println!("$ {}", line(command));
    let status = command.status().map_err(|error| not_started(command, &error))?;
    succeeded(command, status)
}

/// Like [`run`], but ends the program when it takes longer than `limit`.
///
/// # Errors
///
/// As [`run`], and when the limit has passed.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<(), String> {
    println!("$ {}", line(command));
    let started = Instant::now();
    let spawned = command.stdin(Stdio::null()).spawn();
    let mut child = spawned.map_err(|error| not_started(command, &error))?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return succeeded(command, status),
            Ok(None) if started.elapsed() < limit => std::thread::sleep(POLL),
            ended => {
                // It may have ended by itself since; then there is nothing left to kill.
                let _ = child.kill();
                let _ = child.wait();
                return Err(match ended {
                    Err(error) => format!("cannot watch `{}`: {error}", line(command)),
                    Ok(_) => format!("`{}` was still running after {} s", line(command), limit.as_secs()),
                });
            }
        }
    }
}

/// The first line a program prints, if it runs and succeeds.
pub(crate) fn first_line(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().next().unwrap_or_default().trim();
    output.status.success().then(|| first.to_owned())
}

/// Whether a program runs and succeeds; what it prints is dropped.
pub(crate) fn works(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// What the program prints on its standard output.
///
/// # Errors
///
/// It did not start, or it did not end with success.
pub(crate) fn output_of(command: &mut Command) -> Result<String, String> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| not_started(command, &error))?;
    succeeded(command, output.status)?;
    String::from_utf8(output.stdout).map_err(|_| format!("`{}` did not print text", line(command)))
}

/// A command as one would type it: what was added to the environment, the name, the arguments.
pub(crate) fn line(command: &Command) -> String {
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!("{}={}", name.display(), quoted(&value.to_string_lossy())));
        }
    }
    let path = Path::new(command.get_program());
    let shown = if is_cargo(path) { "cargo".into() } else { relative(path).to_string_lossy() };
    words.push(shown.into_owned());
    words.extend(command.get_args().map(|argument| quoted(&argument.to_string_lossy())));
    words.join(" ")
}

fn is_cargo(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "cargo")
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix(root()).unwrap_or(path)
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn not_started(command: &Command, error: &io::Error) -> String {
    format!("cannot start `{}`: {error}", line(command))
}

fn succeeded(command: &Command, status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", line(command))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("cargo");
        command.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "it's"]);
        assert_eq!(line(&command), r"RUSTDOCFLAGS='-D warnings' cargo doc 'it'\''s'");
    }

    #[test]
    fn the_package_variables_of_this_tool_are_not_passed_on() {
        // The test runs under cargo, so they are set.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let removed: Vec<_> =
            cargo().get_envs().map(|(name, value)| (name.to_owned(), value.is_none())).collect();
        assert!(removed.contains(&("CARGO_MANIFEST_DIR".into(), true)), "{removed:?}");
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error_with_its_name() {
        let error = run(&mut program("no-such-program-anywhere")).unwrap_err();
        assert!(error.contains("no-such-program-anywhere"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_takes_too_long_is_ended() {
        let started = Instant::now();
        let error = run_within(program("sleep").arg("60"), Duration::from_millis(50)).unwrap_err();
        assert!(error.contains("still running"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[cfg(unix)]
    #[test]
    fn a_failing_program_is_an_error_and_a_working_one_is_not() {
        assert!(run_within(&mut program("false"), Duration::from_secs(30)).is_err());
        assert!(run_within(&mut program("true"), Duration::from_secs(30)).is_ok());
        assert!(works(&mut program("true")) && !works(&mut program("false")));
    }
}
