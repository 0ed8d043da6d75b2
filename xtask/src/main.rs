//! The chores of this repository: `cargo xtask setup | test | ci | bench | help`.
//!
//! Every chore is a list of ordinary commands, each printed before it runs, so that it can be repeated by hand.
//! Exit codes: 0 all is well, 1 a chore failed, 2 the command line was wrong.
#![allow(clippy::print_stdout, reason = "the terminal is where this tool reports")]
#![allow(clippy::disallowed_methods, reason = "real time of real processes, and no arbiter to block")]

mod args;
mod bench;
mod ci;
mod metadata;
mod process;
mod setup;
mod test;

use std::process::ExitCode;

use args::Chore;

fn main() -> ExitCode {
    let chore = match args::parse(std::env::args_os().skip(1)) {
        Ok(chore) => chore,
        Err(error) => {
            eprintln!("error: {error}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    let done = match chore {
        Chore::Help => {
            println!("{}", args::HELP);
            Ok(())
        }
        Chore::Setup => setup::run(),
        Chore::Test(arguments) => test::run(&arguments),
        Chore::Ci(options) => ci::run(options),
        Chore::Bench(arguments) => bench::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
