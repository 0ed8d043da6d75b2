//! The steps that take long, for `--deep`.
//!
//! They find their tests by name: an integration test called `simulation`, `shuttle` or `postgres`, in any crate.

use super::{Checked, Done, Step, demo};
use crate::args::CiOptions;
use crate::metadata::Metadata;
use crate::process;

/// Schedules of the long simulation; an ordinary test run takes far fewer.
const SCHEDULES: &str = "50000";

/// All of them, in order.
pub(super) const STEPS: [Step; 5] = [
    Step { title: "release demo", check: demo::release },
    Step { title: "long simulation", check: simulation },
    Step { title: "shuttle", check: shuttle },
    Step { title: "real faults", check: faults },
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

/// Faults that take long, or a network and mounts of the test's own, which an ordinary test run ignores.
fn faults(_: CiOptions) -> Checked {
    let mut command = process::cargo();
    command.args(["test", "--workspace", "--test", "postgres", "--", "--ignored", "--nocapture"]);
    if grants_namespaces() {
        return where_there_is("postgres", |_| process::run(&mut command));
    }
    command.args(["--skip", "silence::", "--skip", "disks::"]);
    match where_there_is("postgres", |_| process::run(&mut command))? {
        Done::Passed => Ok(Done::Skipped(
            "in part: this machine grants a test no network and mounts (be root, or allow user namespaces), so PG4 and \
             PG12 are not proven here"
                .to_owned(),
        )),
        skipped @ Done::Skipped(_) => Ok(skipped),
    }
}

/// Whether `backstop_servers::in_namespaces` works here: as root, or with a namespace of users.
fn grants_namespaces() -> bool {
    let plain = ["--net", "--mount", "true"];
    let users = ["--user", "--map-current-user", "--keep-caps"];
    process::works(process::program("unshare").args(plain))
        || process::works(process::program("unshare").args(users).args(plain))
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
