//! Model checks: what threads share, in every order that they can take.

use super::Checked;
use super::deep::where_there_is;
use crate::args::CiOptions;
use crate::process;

/// Building takes most of the time, so that optimised dependencies cost more than they gain.
const QUICK_BUILD: &str = "profile.dev.package.\"*\".opt-level=0";

/// How often a thread is taken off where it could go on; each one more takes about five times as long.
const PREEMPTIONS: &str = "3";
const PREEMPTIONS_DEEP: &str = "5";

/// Runs every integration test called `loom`, planted bugs included.
///
/// In a target directory of its own, because the flag changes every crate.
pub(super) fn loom(options: CiOptions) -> Checked {
    let preemptions = if options.deep { PREEMPTIONS_DEEP } else { PREEMPTIONS };
    where_there_is("loom", |packages| {
        let mut command = process::cargo();
        command.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", "target/loom");
        command.env("LOOM_MAX_PREEMPTIONS", preemptions);
        command.args(["--config", QUICK_BUILD, "test", "--all-features", "--test", "loom"]);
        for package in packages {
            command.args(["-p", package]);
        }
        process::run(&mut command)
    })
}
