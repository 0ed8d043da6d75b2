//! Where the programs of database servers are: the places that `backstop-servers` looks in, too.

use std::fs;
use std::path::PathBuf;

use crate::process;

/// Programs of one server stand together; these must all be there.
const POSTGRES: [&str; 3] = ["postgres", "initdb", "psql"];

/// Packages spread these over `bin` and `sbin`.
const MARIADB: [&str; 3] = ["mariadbd", "mariadb-install-db", "mariadb"];

/// Where a directory for each version may be.
const VERSIONED: [&str; 3] = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"];

/// Beside `PATH`, which of an ordinary user often lacks the second.
const PLAIN: [&str; 4] = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin"];

/// The newest PostgreSQL that has all of its programs, by its version.
pub(super) fn postgres() -> Option<String> {
    let mut places: Vec<_> = VERSIONED.iter().flat_map(|place| versions(place)).collect();
    places.sort_unstable_by_key(|(version, _)| std::cmp::Reverse(*version));
    let places = places.into_iter().map(|(_, place)| place).chain(plain());
    let complete = |place: &PathBuf| POSTGRES.iter().all(|name| place.join(name).is_file());
    let found = places.into_iter().find(complete)?;
    process::first_line(process::program(&found.join("postgres").to_string_lossy()).arg("--version"))
}

/// The MariaDB whose server, installer and client are all there, by its version.
pub(super) fn mariadb() -> Option<String> {
    let places: Vec<_> = plain().collect();
    let find = |name: &str| places.iter().map(|place| place.join(name)).find(|path| path.is_file());
    let found: Vec<_> = MARIADB.iter().map(|name| find(name)).collect::<Option<_>>()?;
    let version = process::first_line(process::program(&found.first()?.to_string_lossy()).arg("--version"))?;
    // The path stands first.
    Some(version.find("Ver").map_or(version.clone(), |at| format!("mariadbd {}", &version[at..])))
}

/// The pooler, by its version.
pub(super) fn pgbouncer() -> Option<String> {
    let found = plain().map(|place| place.join("pgbouncer")).find(|path| path.is_file())?;
    process::first_line(process::program(&found.to_string_lossy()).arg("--version"))
}

/// Directories like `15/bin` or `postgresql@15/bin` in `place`, with their numbers.
fn versions(place: &str) -> Vec<(u32, PathBuf)> {
    let number = |name: &str| name.trim_start_matches("postgresql@").parse().ok();
    let Ok(entries) = fs::read_dir(place) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| Some((number(entry.file_name().to_str()?)?, entry.path().join("bin"))))
        .collect()
}

/// The directories of `PATH`, then the usual ones.
fn plain() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<_> = std::env::split_paths(&path).collect();
    path.into_iter().chain(PLAIN.iter().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_for_each_version_is_found_by_its_number() {
        let place = std::env::temp_dir().join(format!("backstop-setup-{}", std::process::id()));
        for name in ["9", "15", "postgresql@17", "other"] {
            fs::create_dir_all(place.join(name)).unwrap();
        }
        let mut found: Vec<_> = versions(&place.to_string_lossy()).into_iter().map(|(n, _)| n).collect();
        found.sort_unstable();
        fs::remove_dir_all(&place).unwrap();
        assert_eq!(found, [9, 15, 17]);
    }

    #[test]
    fn a_place_that_does_not_exist_has_no_versions() {
        assert!(versions("/no/such/place").is_empty());
    }
}
