//! The `backstop` binary: reads the command line, starts logging, calls the library.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
