//! In what the two servers differ.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::Signal;
use url::{Url, form_urlencoded};

use crate::{command, greeting};

/// Which server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    MariaDb,
}

impl Kind {
    /// Its name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::MariaDb => "MariaDB",
        }
    }

    /// The environment variable that points at another server.
    pub(crate) fn variable(self) -> &'static str {
        match self {
            Self::Postgres => "BACKSTOP_TEST_POSTGRES_URL",
            Self::MariaDb => "BACKSTOP_TEST_MYSQL_URL",
        }
    }

    /// The line for the shell that installs it.
    pub(crate) fn install(self) -> &'static str {
        match self {
            Self::Postgres => {
                "sudo apt-get update && sudo apt-get install -y postgresql # also starts one on port 5432"
            }
            Self::MariaDb => {
                "sudo apt-get update && sudo apt-get install -y mariadb-server-core mariadb-client-core"
            }
        }
    }

    /// The schemes of its addresses; the first is ours.
    pub(crate) fn schemes(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["postgres", "postgresql"],
            Self::MariaDb => &["mysql", "mariadb"],
        }
    }

    /// The port where an address names none.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::MariaDb => 3306,
        }
    }

    /// The database that is always there.
    pub(crate) fn first_database(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mysql",
        }
    }

    /// Accounts it may run as when we are root, best first.
    pub(crate) fn accounts(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["postgres", "nobody"],
            Self::MariaDb => &["mysql", "nobody"],
        }
    }

    /// The program that serves.
    pub(crate) fn server(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mariadbd",
        }
    }

    /// The signal for a clean end that waits for no client.
    pub(crate) fn stop(self) -> Signal {
        match self {
            Self::Postgres => Signal::INT,
            Self::MariaDb => Signal::TERM,
        }
    }

    /// Whether the server at `address` takes connections; asks for `limit` at most.
    pub(crate) fn greets(self, address: SocketAddr, limit: Duration) -> io::Result<()> {
        match self {
            Self::Postgres => greeting::postgres(address, limit),
            Self::MariaDb => greeting::mariadb(address, limit),
        }
    }

    /// Whether the files in `data` say that process `pid` is ready: another server might have our port.
    pub(crate) fn is_ready(self, data: &Path, pid: u32) -> bool {
        let name = if self == Self::Postgres { "postmaster.pid" } else { "mariadbd.pid" };
        let text = fs::read_to_string(data.join(name)).unwrap_or_default();
        let mut lines = text.lines().map(str::trim);
        let ours = lines.next() == Some(pid.to_string().as_str());
        // The eighth line of PostgreSQL's file is its state.
        ours && (self != Self::Postgres || lines.nth(6) == Some("ready"))
    }

    /// Its client program.
    pub(crate) fn client(self) -> &'static str {
        match self {
            Self::Postgres => "psql",
            Self::MariaDb => "mariadb",
        }
    }

    /// A client that reads statements from its input, stops at the first error and prints bare rows.
    pub(crate) fn client_of(self, client: &Path, url: &Url) -> Command {
        let mut command = command::program(client);
        let password = decoded(url.password().unwrap_or_default());
        match self {
            Self::Postgres => {
                let mut shown = url.clone();
                let _ = shown.set_password(None);
                command.args([
                    "-X",
                    "-q",
                    "-A",
                    "-t",
                    "-v",
                    "ON_ERROR_STOP=1",
                    "-v",
                    "VERBOSITY=verbose",
                    "-d",
                ]);
                command.arg(shown.as_str()).env("PGPASSWORD", password).env("PGCONNECT_TIMEOUT", "10");
            }
            Self::MariaDb => {
                command.args(["--no-defaults", "--batch", "--skip-column-names", "--protocol=tcp"]);
                command.args(["--connect-timeout=10", "-h", url.host_str().unwrap_or("127.0.0.1")]);
                command.args(["-P", &url.port().unwrap_or(self.port()).to_string()]);
                command.args(["-u", &decoded(url.username()), "-D", url.path().trim_start_matches('/')]);
                if let Some((_, authority)) = url.query_pairs().find(|(name, _)| name == "ssl-ca") {
                    command.arg(format!("--ssl-ca={authority}")).arg("--ssl-verify-server-cert");
                }
                command.env("MYSQL_PWD", password);
            }
        }
        command
    }

    /// A name as an identifier of SQL.
    pub(crate) fn identifier(self, name: &str) -> String {
        match self {
            Self::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
            Self::MariaDb => format!("`{}`", name.replace('`', "``")),
        }
    }

    /// A text as a literal of SQL.
    pub(crate) fn literal(self, text: &str) -> String {
        match self {
            Self::Postgres => format!("'{}'", text.replace('\'', "''")),
            Self::MariaDb => format!("'{}'", text.replace('\\', r"\\").replace('\'', "''")),
        }
    }

    /// The directory of the data in the directory of a server.
    pub(crate) fn data(directory: &Path) -> PathBuf {
        directory.join("data")
    }
}

/// A part of an address without its percent signs.
fn decoded(part: &str) -> String {
    // The form's decoder would read a plus as a space.
    let pair = format!("={}", part.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(pair.as_bytes()).map(|(_, value)| value.into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_with_odd_characters_comes_back_from_an_address() {
        let mut url = Url::parse("postgres://host/").unwrap();
        url.set_password(Some("a+b&c=d%e/f@g h'")).unwrap();
        assert_eq!(decoded(url.password().unwrap()), "a+b&c=d%e/f@g h'");
    }

    #[test]
    fn names_and_texts_cannot_end_their_quotes() {
        assert_eq!(Kind::Postgres.identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(Kind::MariaDb.literal(r"a\'b"), r"'a\\''b'");
    }
}
