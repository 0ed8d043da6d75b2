//! Which commands would bring what is missing, and who may run them.

use super::tools::{Install, Tool};
use crate::process;

/// Installs without questions; waits two minutes for another installation, such as the nightly upgrades.
const QUIET_INSTALL: [&str; 8] = [
    "env",
    "DEBIAN_FRONTEND=noninteractive",
    "apt-get",
    "install",
    "-y",
    "--no-install-recommends",
    "-o",
    "DPkg::Lock::Timeout=120",
];

/// What we may do on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    /// We are root and there is apt-get.
    Root,
    /// sudo asks for no password and there is apt-get.
    Sudo,
    /// We may install no packages.
    No,
}

impl Rights {
    /// Asks the machine.
    pub(crate) fn find() -> Self {
        if !process::works(process::program("apt-get").arg("--version")) {
            Self::No
        } else if process::first_line(process::program("id").arg("-u")).as_deref() == Some("0") {
            Self::Root
        } else if process::works(process::program("sudo").args(["-n", "true"])) {
            Self::Sudo
        } else {
            Self::No
        }
    }
}

/// The way to what is missing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Commands to run now, in this order.
    pub(crate) commands: Vec<Vec<String>>,
    /// Commands to run after them, also when one failed.
    pub(crate) undo: Vec<Vec<String>>,
    /// Lines that the user has to run.
    pub(crate) by_hand: Vec<String>,
}

/// Sorts the missing tools into what we do and what the user has to do.
pub(crate) fn plan(missing: &[&Tool], rights: Rights) -> Plan {
    let mut plan = Plan::default();
    let (mut packages, mut prepare, mut undo) = (Vec::new(), Vec::new(), Vec::new());
    for tool in missing {
        match &tool.install {
            Install::Packages(names) => packages.extend_from_slice(names),
            Install::Quietly { names, prepare: before, undo: after } => {
                packages.extend_from_slice(names);
                prepare.push(*before);
                undo.push(*after);
            }
            Install::Shell { line, unattended: true } => plan.commands.push(words(&["sh", "-c", line])),
            Install::Shell { line, unattended: false } => plan.by_hand.push((*line).to_owned()),
        }
    }
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return plan;
    }
    let prefix: &[&str] = match rights {
        Rights::Root => &[],
        Rights::Sudo => &["sudo", "-n"],
        Rights::No => {
            let names = packages.join(" ");
            plan.by_hand.extend(prepare.iter().map(|line| format!("sudo sh -c '{line}'")));
            plan.by_hand.push(format!(
                "sudo apt-get update && sudo apt-get install -y --no-install-recommends {names}"
            ));
            plan.by_hand.extend(undo.iter().map(|line| format!("sudo sh -c '{line}'")));
            return plan;
        }
    };
    let shell = |line: &&str| words(&[prefix, &["sh", "-c", line]].concat());
    // Packages first: what a tool's own line needs (npm) may be among them.
    let update = [prefix, &["apt-get", "update", "-q"]].concat();
    let install = [prefix, &QUIET_INSTALL, &packages].concat();
    let first = prepare.iter().map(shell).chain([words(&update), words(&install)]);
    plan.commands.splice(0..0, first);
    plan.undo = undo.iter().map(shell).collect();
    plan
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(install: Install) -> Tool {
        Tool { name: "tool", why: "for this test", find: || None, install }
    }

    fn lines(plan: &Plan) -> Vec<String> {
        plan.commands.iter().map(|command| command.join(" ")).collect()
    }

    #[test]
    fn root_installs_all_packages_at_once() {
        let (a, b) = (tool(Install::Packages(&["gcc", "libc6-dev"])), tool(Install::Packages(&["gcc"])));
        let plan = plan(&[&a, &b], Rights::Root);
        let install = format!("{} gcc libc6-dev", QUIET_INSTALL.join(" "));
        assert_eq!(lines(&plan), ["apt-get update -q", install.as_str()]);
        assert!(plan.by_hand.is_empty());
    }

    #[test]
    fn sudo_stands_before_every_command_and_never_asks() {
        let gcc = tool(Install::Packages(&["gcc"]));
        assert!(lines(&plan(&[&gcc], Rights::Sudo)).iter().all(|line| line.starts_with("sudo -n ")));
    }

    #[test]
    fn without_rights_the_user_gets_the_command() {
        let gcc = tool(Install::Packages(&["gcc"]));
        let plan = plan(&[&gcc], Rights::No);
        assert!(plan.commands.is_empty());
        assert_eq!(
            plan.by_hand,
            ["sudo apt-get update && sudo apt-get install -y --no-install-recommends gcc"]
        );
    }

    #[test]
    fn what_keeps_a_server_from_starting_stands_around_the_installation() {
        let server =
            || tool(Install::Quietly { names: &["postgresql"], prepare: "echo no > conf", undo: "rm conf" });
        let done = plan(&[&server()], Rights::Sudo);
        assert_eq!(lines(&done).first().map(String::as_str), Some("sudo -n sh -c echo no > conf"));
        assert_eq!(done.undo, [["sudo", "-n", "sh", "-c", "rm conf"].map(str::to_owned)]);
        let told = plan(&[&server()], Rights::No);
        assert_eq!(told.by_hand.len(), 3);
        assert_eq!(told.by_hand[0], "sudo sh -c 'echo no > conf'");
        assert_eq!(told.by_hand[2], "sudo sh -c 'rm conf'");
    }

    #[test]
    fn only_an_unattended_line_is_run_and_after_the_packages_it_may_need() {
        let npm = tool(Install::Packages(&["npm"]));
        let node = tool(Install::Shell { line: "npm ci", unattended: true });
        let rust = tool(Install::Shell { line: "rustup", unattended: false });
        let plan = plan(&[&node, &rust, &npm], Rights::Root);
        assert_eq!(lines(&plan).last().map(String::as_str), Some("sh -c npm ci"));
        assert_eq!(plan.by_hand, ["rustup"]);
    }

    #[test]
    fn nothing_missing_is_nothing_to_do() {
        assert_eq!(plan(&[], Rights::Root), Plan::default());
    }
}
