//! One Python process that takes turns when it is told to.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    contender::{Contender, Sample},
    options::Options,
    sqlite::Database,
};

/// Where the program is, beside this package.
const PROGRAM: &str = "../python/peers.py";

/// What a turn consists of.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Reads by key.
    Reads,
    /// Inserts, each committed by itself.
    Inserts,
}

/// A process with one driver; it ends with this.
pub struct Peer {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// The file of an embedded database.
    database: Option<Database>,
}

impl Peer {
    /// Starts the driver on what it connects to.
    pub fn start(options: &Options, driver: &str, target: &[&str]) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(PROGRAM);
        let mut command = Command::new(&options.python);
        command.arg(program).arg(driver).args(target).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let orders = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { process, orders, answers, database: None }
    }

    /// Starts the driver on a database file of its own.
    pub fn on_file(options: &Options, driver: &str, database: Database) -> Self {
        let (path, word) = (database.path(), database.durability().word());
        let mut peer = Self::start(options, driver, &[&path.to_string_lossy(), word]);
        peer.database = Some(database);
        peer
    }

    /// Takes its turns in this work.
    pub fn contender(mut self, name: &'static str, work: Work) -> Contender {
        Contender::new(name, move |callers, watch| self.turn(work, callers, watch.lengths()))
    }

    fn turn(&mut self, work: Work, callers: usize, (warm_up, measured): (Duration, Duration)) -> Sample {
        let order = json!({
            "work": match work { Work::Reads => "reads", Work::Inserts => "inserts" },
            "callers": callers, "warm_up": warm_up.as_secs_f64(), "measured": measured.as_secs_f64(),
        });
        writeln!(self.orders.as_mut().unwrap(), "{order}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let seen: Value = serde_json::from_str(&line).expect("the Python peer ended; its error is above");
        let figure = |name: &str| seen[name].as_f64().unwrap();
        Sample {
            rate: figure("rate"),
            p50: figure("p50_us"),
            p99: figure("p99_us"),
            p999: figure("p999_us"),
            cpu: figure("cpu_us"),
            extra: None,
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // it ends with its input
        self.orders = None;
        let _ = self.process.wait();
    }
}
