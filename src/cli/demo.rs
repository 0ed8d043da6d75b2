//! `backstop demo`.

use std::{
    future::pending,
    io::{self, IsTerminal, Write},
    process,
    time::Duration,
};

use backstop::demo::{self, Bug, Lines, Options, Presence, Report, Screen, View, parse_duration};
use clap::{Args, ValueEnum, error::ErrorKind};
use tokio::signal;

use super::{
    exit::{self, Exit},
    terminal,
};

/// The exit code of a program that the user has ended by force.
const INTERRUPTED: i32 = 130;

/// What to say to `--break` to see what can be planted.
const LIST: &str = "help";

/// What the exit code of the demo means, under its help.
const AFTER_HELP: &str = "\
Exit codes: 0 every check holds, 1 a check failed, 2 the command line is wrong, 3 it could not be started.
Ctrl-C ends a run early and still checks it; a second one ends it on the spot (130).";

/// Arguments of `backstop demo`.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// How long messages are sent, 5s to 1h; recovery from the last fault may take a little longer.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration, allow_hyphen_values = true)]
    duration: Duration,
    /// The seed of all chance: the same seed gives the same workload and the same faults.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, allow_hyphen_values = true)]
    seed: u64,
    /// Prints one JSON document to stdout at the end and nothing else; progress goes to stderr.
    #[arg(long)]
    json: bool,
    /// Leaves the faults out; then nothing may be refused and nothing may fail.
    #[arg(long)]
    no_faults: bool,
    /// Insists on these servers: postgres, mysql. Otherwise those that are installed take part (Linux).
    #[arg(long, value_name = "SERVERS", value_enum, value_delimiter = ',')]
    with: Vec<Server>,
    /// Leaves these servers out: postgres, mysql.
    #[arg(long, value_name = "SERVERS", value_enum, value_delimiter = ',')]
    without: Vec<Server>,
    /// Plants a known bug, which a check must catch; `help` lists them.
    #[arg(long = "break", value_name = "NAME", value_parser = planted)]
    planted: Option<Planted>,
}

/// A server that may take part, by the kind of its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Server {
    Postgres,
    Mysql,
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
        }
    }
}

/// What `--break` asks for.
#[derive(Clone, Copy, Debug)]
enum Planted {
    List,
    Bug(Bug),
}

fn planted(name: &str) -> Result<Planted, String> {
    if name == LIST {
        return Ok(Planted::List);
    }
    Bug::named(name).map(Planted::Bug).ok_or_else(|| {
        let names: Vec<_> = Bug::ALL.into_iter().map(Bug::name).collect();
        format!("there is no such bug; choose one of {}", names.join(", "))
    })
}

/// Runs the demo.
pub(crate) fn run(arguments: &Arguments) -> Exit {
    let bug = match arguments.planted {
        Some(Planted::List) => return list_bugs(),
        Some(Planted::Bug(bug)) => Some(bug),
        None => None,
    };
    let options = match options(arguments, bug) {
        Ok(options) => options,
        Err(message) => return exit::of_usage(&clap::Error::raw(ErrorKind::ArgumentConflict, message)),
    };
    match act(&options, arguments.json) {
        Ok(report) => finish(&report, arguments.json),
        Err(error) => {
            say(&mut io::stderr(), &format!("error: {error}\n"));
            Exit::NotStarted
        }
    }
}

/// What the arguments come to.
///
/// # Errors
/// A line that says which of them contradict each other.
fn options(arguments: &Arguments, bug: Option<Bug>) -> Result<Options, String> {
    let Arguments { duration, seed, no_faults, .. } = *arguments;
    let (postgres, mysql) = (presence(arguments, Server::Postgres)?, presence(arguments, Server::Mysql)?);
    if let Some(bug) = bug.filter(|bug| no_faults && bug.needs_faults()) {
        let name = bug.name();
        return Err(format!("`--break {name}` shows only while faults happen; leave `--no-faults` out\n"));
    }
    let no_server = postgres == Presence::Never && mysql == Presence::Never;
    if let Some(bug) = bug.filter(|bug| no_server && bug.needs_server()) {
        return Err(format!("`--break {}` needs a server; leave one of `--without` out\n", bug.name()));
    }
    Ok(Options { duration, seed, faults: !no_faults, bug, postgres, mysql })
}

fn presence(arguments: &Arguments, server: Server) -> Result<Presence, String> {
    match (arguments.with.contains(&server), arguments.without.contains(&server)) {
        (true, true) => Err(format!("`--with` and `--without` both name {}\n", server.name())),
        (true, false) => Ok(Presence::Required),
        (false, true) => Ok(Presence::Never),
        (false, false) => Ok(Presence::IfInstalled),
    }
}

fn act(options: &Options, json: bool) -> Result<Report, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut view = view(json);
    Ok(runtime.block_on(demo::run(options, &mut *view, interrupt()))?)
}

/// The live view on stdout; beside a JSON document, progress goes to stderr.
fn view(json: bool) -> Box<dyn View> {
    let is_terminal = if json { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
    let out: Box<dyn Write> = if json { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
    if terminal::can_redraw(is_terminal) {
        Box::new(Screen::new(out, terminal::style(), terminal::size))
    } else {
        Box::new(Lines::new(out))
    }
}

/// Waits to be told to end; a second time ends the program on the spot.
async fn interrupt() {
    stop_signal().await;
    tokio::spawn(async {
        stop_signal().await;
        // the view hides the cursor, and nothing is dropped here
        terminal::show_cursor();
        process::exit(INTERRUPTED);
    });
}

/// Waits for Ctrl-C or a request to terminate; without signals the run lasts its time.
async fn stop_signal() {
    let terminated = async {
        #[cfg(unix)]
        if let Ok(mut terminate) = signal::unix::signal(signal::unix::SignalKind::terminate()) {
            terminate.recv().await;
            return;
        }
        pending::<()>().await;
    };
    let interrupted = async {
        if signal::ctrl_c().await.is_err() {
            pending::<()>().await;
        }
    };
    tokio::select! {
        () = terminated => {}
        () = interrupted => {}
    }
}

fn finish(report: &Report, json: bool) -> Exit {
    let text = if json {
        serde_json::to_string_pretty(report).map(|document| document + "\n")
    } else {
        Ok(report.to_string())
    };
    match text {
        Ok(text) => say(&mut io::stdout(), &text),
        Err(error) => {
            say(&mut io::stderr(), &format!("error: the report cannot be written as JSON: {error}\n"));
            return Exit::Failed;
        }
    }
    if json {
        for check in report.failed_checks() {
            say(&mut io::stderr(), &format!("FAILED {}: {}\n", check.rule.name(), check.detail));
        }
    }
    if report.ok { Exit::Ok } else { Exit::Failed }
}

fn list_bugs() -> Exit {
    let mut text = String::from(
        "Bugs that `backstop demo --break NAME` can plant, and the check that catches each:\n\n",
    );
    for bug in Bug::ALL {
        text.push_str(&format!("  {:<17} {} [{}]\n", bug.name(), bug.summary(), bug.caught_by()));
    }
    say(&mut io::stdout(), &text);
    Exit::Ok
}

/// Writes text; a reader that has left, such as `head`, is no error.
fn say(out: &mut dyn Write, text: &str) {
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
