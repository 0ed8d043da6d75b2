//! The table of tools. A new server or browser for the tests is one more row.

use super::servers;
use crate::process;

/// One thing the tests cannot do without.
#[derive(Debug)]
pub(crate) struct Tool {
    /// Its name in the report.
    pub(crate) name: &'static str,
    /// Which tests need it, and for what.
    pub(crate) why: &'static str,
    /// Looks for it in well under a second and says what was found, with the version.
    pub(crate) find: fn() -> Option<String>,
    /// How to get it.
    pub(crate) install: Install,
}

/// How to get a tool.
#[derive(Debug)]
pub(crate) enum Install {
    /// Packages of the distribution, by their names in Debian and Ubuntu.
    Packages(&'static [&'static str]),
    /// Packages that would start a server of their own: `prepare` is a line for the shell, with the rights of the
    /// installation, that keeps them from it, and `undo` one that takes the preparation back.
    Quietly { names: &'static [&'static str], prepare: &'static str, undo: &'static str },
    /// A line for the shell; run only if it is `unattended`: no rights, no questions, nothing outside the tree.
    Shell { line: &'static str, unattended: bool },
}

/// Everything the tests need.
pub(crate) const TOOLS: &[Tool] = &[
    Tool {
        name: "cargo",
        why: "builds everything",
        find: cargo,
        // Not a package: the distribution's is older than `rust-version`. Not unattended: it is the user's.
        install: Install::Shell {
            line: "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh",
            unattended: false,
        },
    },
    Tool {
        name: "C compiler",
        why: "builds the SQLite that backstop-sqlite brings along",
        find: c_compiler,
        install: Install::Packages(&["gcc", "libc6-dev"]),
    },
    Tool {
        name: "PostgreSQL",
        why: "the server that the tests of backstop-postgres start for themselves",
        find: servers::postgres,
        // The package of this name brings the distribution's own version: 15 on Debian 12.
        install: Install::Quietly {
            names: &["postgresql"],
            prepare: "mkdir -p /etc/postgresql-common/createcluster.d && \
                      echo create_main_cluster = false > /etc/postgresql-common/createcluster.d/backstop.conf",
            undo: "rm -f /etc/postgresql-common/createcluster.d/backstop.conf",
        },
    },
    Tool {
        name: "pgbouncer",
        why: "the pooler that tests of backstop-postgres start before their server",
        find: servers::pgbouncer,
        // Masked meanwhile, so that its package starts none on port 6432.
        install: Install::Quietly {
            names: &["pgbouncer"],
            prepare: "mkdir -p /etc/systemd/system && \
                      ln -sfn /dev/null /etc/systemd/system/pgbouncer.service",
            undo: "rm -f /etc/systemd/system/pgbouncer.service",
        },
    },
    Tool {
        name: "MariaDB",
        why: "the server that the tests of backstop-mysql start for themselves",
        find: servers::mariadb,
        // The programs alone: `mariadb-server` would add a service and start it.
        install: Install::Packages(&["mariadb-server-core", "mariadb-client-core"]),
    },
];

fn cargo() -> Option<String> {
    process::first_line(process::cargo().arg("--version"))
}

/// The compiler that build scripts will pick, if it also finds the headers of the C library.
fn c_compiler() -> Option<String> {
    let chosen = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut words = chosen.split_whitespace(); // `CC` may be `ccache gcc`
    let name = words.next()?;
    let arguments: Vec<_> = words.collect();
    let version = process::first_line(process::program(name).args(&arguments).arg("--version"))?;
    let mut trial = process::program(name);
    trial.args(&arguments).args(["-fsyntax-only", "-include", "stdio.h", "-x", "c", "/dev/null"]);
    process::works(&mut trial).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_says_what_it_is_for_and_how_to_get_it() {
        for tool in TOOLS {
            assert!(!tool.name.is_empty() && !tool.why.is_empty());
            let complete = match tool.install {
                Install::Packages(names) => !names.is_empty(),
                Install::Quietly { names, prepare, undo } => {
                    !names.is_empty() && !prepare.is_empty() && !undo.is_empty()
                }
                Install::Shell { line, .. } => !line.is_empty(),
            };
            assert!(complete, "{}", tool.name);
        }
    }

    #[test]
    fn the_cargo_that_runs_this_test_is_found_with_its_version() {
        assert!(cargo().unwrap().starts_with("cargo 1."));
    }
}
