//! The steps that take long, for `--deep`.
//!
//! They find their tests by name: an integration test called `simulation` or `shuttle`, in any crate.

use super::{Checked, Done, Step, demo};
use crate::args::CiOptions;
use crate::metadata::Metadata;
use crate::process;

/// Schedules of the long simulation; an ordinary test run takes far fewer.
const SCHEDULES: &str = "50000";

/// All of them, in order.
pub(super) const STEPS: [Step; 4] = [
    Step { title: "release demo", check: demo::release },
    Step { title: "long simulation", check: simulation },
    Step { title: "shuttle", check: shuttle },
    Step { title: "benches build", check: benches },
];

fn simulation(_: CiOptions) -> Checked {
    // The whole workspace, so that features and artefacts are those of the tests step.
    let mut command = process::cargo();
    command.env("BACKSTOP_SIM_SCHEDULES", SCHEDULES).args(["test", "--workspace", "--test", "simulation"]);
    where_there_is("simulation", |_| process::run(&mut command))
}

/// The long explorations, which an ordinary test run ignores.
fn shuttle(_: CiOptions) -> Checked {
    let mut command = process::cargo();
    command.args(["test", "--workspace", "--test", "shuttle", "--", "--include-ignored"]);
    where_there_is("shuttle", |_| process::run(&mut command))
}

fn benches(_: CiOptions) -> Checked {
    process::run(process::cargo().args(["bench", "--workspace", "--no-run"])).map(|()| Done::Passed)
}

pub(super) fn where_there_is(name: &str, run: impl FnOnce(&[&str]) -> Result<(), String>) -> Checked {
    let metadata = Metadata::read()?;
    let packages = metadata.packages_with_test(name);
    if packages.is_empty() {
        return Ok(Done::Skipped(format!("no crate has a test named `{name}`")));
    }
    run(&packages).map(|()| Done::Passed)
}
