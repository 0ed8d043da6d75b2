//! What to measure, and for how long.

use std::{path::PathBuf, str::FromStr, time::Duration};

const USAGE: &str = "usage: backstop-peers messaging|sqlite|http|postgres|postgres-mixed|postgres-bulk|mysql|python \
[--url of-the-server] [--rounds 5] [--seconds 0.4] [--warm-up 0.1] [--callers 1,64] [--only part-of-a-table] [--contender part-of-a-name] \
[--json file] [--directory for-databases] [--python interpreter]";

/// A comparison.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// Messages between actors, against kameo and ractor.
    Messaging,
    /// Inserts and point reads, against tokio-rusqlite.
    Sqlite,
    /// GET requests, against reqwest.
    Http,
    /// Key look-ups and inserts, against deadpool-postgres, sqlx and bb8.
    Postgres,
    /// Point reads beside a slow statement, against deadpool-postgres.
    PostgresMixed,
    /// Many rows at a time, against COPY and unnest by tokio-postgres; `--callers` are the rows.
    PostgresBulk,
    /// Key look-ups and inserts, against mysql_async.
    MySql,
    /// Key look-ups and inserts, against the drivers of a Python service.
    Python,
    /// The server of the HTTP comparison, which the program starts itself.
    HttpServer,
}

/// The command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// The comparison.
    pub command: Command,
    /// How often every contender has its turn.
    pub rounds: usize,
    /// How long a turn is measured.
    pub measured: Duration,
    /// How long a turn runs before that.
    pub warm_up: Duration,
    /// How many callers ask at once; `None` for the comparison's own choice.
    pub callers: Option<Vec<usize>>,
    /// Keeps tables whose name holds this text.
    pub only: Option<String>,
    /// Keeps contenders whose name holds this text, for a profiler; nothing is compared then.
    pub contender: Option<String>,
    /// Where the figures go as JSON, beside the table.
    pub json: Option<PathBuf>,
    /// Where databases are made; the system's directory for temporary files if not given.
    pub directory: Option<PathBuf>,
    /// The server of comparisons that need one.
    pub url: Option<String>,
    /// The interpreter of the Python peers, with their packages.
    pub python: PathBuf,
}

impl Options {
    /// Reads the arguments after the program's name.
    pub fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let command = match args.next().as_deref() {
            Some("messaging") => Command::Messaging,
            Some("sqlite") => Command::Sqlite,
            Some("http") => Command::Http,
            Some("postgres") => Command::Postgres,
            Some("postgres-mixed") => Command::PostgresMixed,
            Some("postgres-bulk") => Command::PostgresBulk,
            Some("mysql") => Command::MySql,
            Some("python") => Command::Python,
            Some(crate::http::server::ARGUMENT) => Command::HttpServer,
            _ => return Err(USAGE.into()),
        };
        let mut options = Self {
            command,
            rounds: 5,
            measured: Duration::from_millis(400),
            warm_up: Duration::from_millis(100),
            callers: None,
            only: None,
            contender: None,
            json: None,
            directory: None,
            url: None,
            python: "python3".into(),
        };
        while let Some(flag) = args.next() {
            let value = args.next().ok_or_else(|| format!("{flag} needs a value\n{USAGE}"))?;
            match flag.as_str() {
                "--rounds" => options.rounds = parsed(&value)?,
                "--seconds" => options.measured = Duration::from_secs_f64(parsed(&value)?),
                "--warm-up" => options.warm_up = Duration::from_secs_f64(parsed(&value)?),
                "--callers" => {
                    options.callers = Some(value.split(',').map(parsed).collect::<Result<_, _>>()?);
                }
                "--only" => options.only = Some(value),
                "--contender" => options.contender = Some(value),
                "--json" => options.json = Some(value.into()),
                "--url" => options.url = Some(value),
                "--python" => options.python = value.into(),
                "--directory" => options.directory = Some(value.into()),
                _ => return Err(format!("unknown option {flag}\n{USAGE}")),
            }
        }
        Ok(options)
    }

    /// Ends the program, because the comparison needs a server and none was given.
    pub fn no_server(&self, kind: &str) -> ! {
        eprintln!(
            "no server: give --url {kind}://… or DATABASE_URL; a private one: cargo run -p backstop-testkit \
             --example private_server {kind}"
        );
        std::process::exit(2);
    }

    /// Says whether a table of this name is wanted.
    pub fn wants(&self, table: &str) -> bool {
        self.only.as_ref().is_none_or(|part| table.contains(part))
    }

    /// The numbers of callers to measure.
    pub fn callers(&self, usual: &[usize]) -> Vec<usize> {
        self.callers.clone().unwrap_or_else(|| usual.to_vec())
    }
}

fn parsed<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number\n{USAGE}"))
}
