//! The command line: one file for each sub-command, and the exit codes that they share.

mod demo;
mod exit;
mod telemetry;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::exit::Exit;

/// Examples and exit codes under the help of the program.
const AFTER_HELP: &str = "\
Examples:
  backstop demo                          30 seconds of faults, live, with a proof at the end
  backstop demo --duration 5s --seed 7   a short run that can be repeated
  backstop demo --json > report.json     the report as one JSON document
  backstop demo --break lose-ack         plants a bug; the run must catch it

Exit codes:
  0  all is well
  1  a check failed
  2  the command line is wrong
  3  something could not be started

Logs go to stderr; BACKSTOP_LOG=backstop=debug turns them on.";

/// Stands between a service and everything it depends on.
#[derive(Debug, Parser)]
#[command(name = "backstop", version, about, after_help = AFTER_HELP, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
enum Command {
    /// Runs Backstop on real backends under a schedule of faults, and proves its promises.
    Demo(demo::Arguments),
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::of_usage(&error).into(),
    };
    telemetry::init();
    let exit = match cli.command {
        Command::Demo(arguments) => demo::run(&arguments),
    };
    ExitCode::from(exit)
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_names_every_exit_code() {
        for exit in Exit::ALL {
            assert!(AFTER_HELP.contains(&format!("\n  {}  ", exit as u8)), "{exit:?}");
        }
    }
}
