//! `cargo xtask test`: all tests of the workspace, doc tests included.

use crate::{process, setup};

/// Makes sure of the tools, then runs `cargo test` with the caller's arguments.
///
/// # Errors
///
/// A tool is missing, or a test failed.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    setup::run()?;
    let mut command = process::cargo();
    command.arg("test");
    if !names_packages(arguments) {
        command.arg("--workspace");
    }
    process::run(command.args(arguments))
}

/// Whether the caller chose packages; beside `--workspace` cargo would pass over the choice in silence.
fn names_packages(arguments: &[String]) -> bool {
    let ours = arguments.iter().take_while(|argument| *argument != "--");
    ours.into_iter().any(|argument| {
        let short = argument.starts_with("-p") && !argument.starts_with("--");
        short || argument == "--package" || argument.starts_with("--package=")
    })
}

#[cfg(test)]
mod tests {
    use super::names_packages;

    fn chosen(line: &str) -> bool {
        names_packages(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_choice_of_packages_replaces_the_whole_workspace() {
        assert!(chosen("-p backstop-core"));
        assert!(chosen("-pbackstop-core"));
        assert!(chosen("breaker --package=backstop-core"));
        assert!(!chosen(""));
        assert!(!chosen("--profile dev"));
        assert!(!chosen("breaker -- -p"));
    }
}
