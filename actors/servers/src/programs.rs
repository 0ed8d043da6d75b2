//! Where the programs of servers are. `cargo xtask setup` looks in the same places.

use std::{fs, path::PathBuf};

use crate::{ServerError, kind::Kind};

/// Where packages keep a directory for each version of PostgreSQL.
const VERSIONED: [&str; 3] = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"];

/// Beside `PATH`, which of an ordinary user often lacks the second.
const PLAIN: [&str; 4] = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin"];

/// The directories that hold all programs of one server.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    kind: Kind,
    places: Vec<PathBuf>,
}

impl Programs {
    /// The programs in `chosen`, or else where they usually are: of PostgreSQL the newest version.
    pub(crate) fn find(kind: Kind, chosen: Option<PathBuf>) -> Self {
        let places = match (kind, chosen) {
            (_, Some(chosen)) => vec![chosen],
            (Kind::Postgres, None) => {
                let places: Vec<_> = newest_first().into_iter().chain(plain()).collect();
                // All from one directory: programs of two versions do not work together.
                match places
                    .iter()
                    .find(|place| place.join("postgres").is_file() && place.join("initdb").is_file())
                {
                    Some(place) => vec![place.clone()],
                    None => places,
                }
            }
            (Kind::MariaDb, None) => plain().collect(),
        };
        Self { kind, places }
    }

    /// The path of a program.
    pub(crate) fn path(&self, program: &'static str) -> Result<PathBuf, ServerError> {
        let mut paths = self.places.iter().map(|place| place.join(program));
        paths.find(|path| path.is_file()).ok_or_else(|| ServerError::Missing {
            program,
            looked: self.places.clone(),
            install: self.kind.install(),
        })
    }
}

/// The path of pgbouncer.
pub(crate) fn pgbouncer() -> Result<PathBuf, ServerError> {
    let places: Vec<_> = plain().collect();
    let found = places.iter().map(|place| place.join("pgbouncer")).find(|path| path.is_file());
    found.ok_or(ServerError::Missing {
        program: "pgbouncer",
        looked: places,
        install: "sudo apt-get update && sudo apt-get install -y pgbouncer # also starts one on port 6432",
    })
}

/// Directories like `15/bin` or `postgresql@15/bin`.
fn newest_first() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in VERSIONED.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten() {
        let name = entry.file_name();
        let number =
            name.to_str().and_then(|name| name.trim_start_matches("postgresql@").parse::<u32>().ok());
        found.extend(number.map(|number| (number, entry.path().join("bin"))));
    }
    found.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    found.into_iter().map(|(_, place)| place).collect()
}

/// The directories of `PATH`, then the usual ones.
fn plain() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<_> = std::env::split_paths(&path).collect();
    path.into_iter().chain(PLAIN.iter().map(PathBuf::from))
}
