//! A server of our own: its directory, its processes, what can be done to them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal};
use std::os::unix::process::CommandExt;

use crate::{
    Certificate, ServerError, account::Account, command, guardian::Guardian, kind::Kind, port, processes,
    programs::Programs,
};

/// How long a start may take, recovery included, on a busy machine.
const START: Duration = Duration::from_secs(60);
/// How long a clean stop may take.
const STOP: Duration = Duration::from_secs(60);
/// How long processes may take to die or to stand still.
const SIGNAL: Duration = Duration::from_secs(10);
/// How many ports are tried.
const PORTS: usize = 5;
/// How many lines of the log an error shows.
const LINES: usize = 20;

/// How the server is started, found out once.
#[derive(Debug, Default)]
pub(crate) struct Recipe {
    /// Arguments of every start; the port comes on top.
    pub(crate) arguments: Vec<String>,
    /// Arguments of the very first start alone.
    pub(crate) first: Vec<String>,
}

/// A server of our own; dropped, it ends with its directory.
#[derive(Debug)]
pub(crate) struct Private {
    kind: Kind,
    directory: PathBuf,
    program: PathBuf,
    account: Account,
    recipe: Recipe,
    port: u16,
    /// `None` while it is down; the lock makes verbs wait for each other.
    child: Mutex<Option<Child>>,
    guardian: Option<Guardian>,
}

impl Private {
    /// Makes a directory in `place` or among the temporary ones, lets `prepare` put data into it and starts the server.
    pub(crate) fn start(
        kind: Kind,
        programs: &Programs,
        place: Option<&Path>,
        prepare: impl FnOnce(&Path, Account) -> Result<Recipe, ServerError>,
    ) -> Result<Self, ServerError> {
        let program = programs.path(kind.server())?;
        let prefix = format!("backstop-{}-", kind.server());
        let place = place.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let made = tempfile::Builder::new().prefix(&prefix).tempdir_in(place).and_then(|made| {
            let directory = made.path().canonicalize()?;
            Ok((made, directory))
        });
        let (made, directory) = made.map_err(ServerError::machine("make a directory for a server"))?;
        let guardian = Guardian::start(&directory)?;
        let _ = made.keep(); // from here on it is the guardian's
        let account = Account::find(&directory, kind.accounts())?;
        account.own(&directory)?;
        let recipe = prepare(&directory, account)?;
        let child = Mutex::new(None);
        let mut new =
            Self { kind, directory, program, account, recipe, port: 0, child, guardian: Some(guardian) };
        new.first_launch()?;
        Ok(new)
    }

    /// Starts on one free port after the other, as long as somebody else is quicker to take them.
    fn first_launch(&mut self) -> Result<(), ServerError> {
        let mut tries = 0;
        loop {
            self.port = port::free().map_err(ServerError::machine("find a free port"))?;
            tries += 1;
            match self.launch(&self.recipe.first) {
                Ok(child) => {
                    *self.child.get_mut() = Some(child);
                    return Ok(());
                }
                Err(ServerError::Start { log, .. }) if log.contains("already in use") && tries < PORTS => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Replaces the files of the certificate; says whether there is one now.
    pub(crate) fn certify(&self, wanted: Certificate) -> Result<bool, ServerError> {
        wanted.make(&self.directory, self.account).map(|files| files.is_some())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn log_tail(&self, lines: usize) -> String {
        command::tail(&self.log(), lines)
    }

    /// Kills every process at once and waits until none is left.
    pub(crate) fn kill(&self) -> Result<(), ServerError> {
        let mut child = self.child.lock();
        self.must(processes::kill_all(&self.directory, SIGNAL), "die", SIGNAL)?;
        if let Some(mut child) = child.take() {
            child.wait().map_err(ServerError::machine("wait for a killed server"))?;
        }
        Ok(())
    }

    /// Ends it cleanly and waits for that.
    pub(crate) fn stop(&self) -> Result<(), ServerError> {
        let mut child = self.child.lock();
        if let Some(running) = child.as_mut() {
            processes::resume_all(&self.directory);
            if matches!(running.try_wait(), Ok(None)) {
                pid_of(running).into_iter().for_each(|pid| processes::signal(pid, self.kind.stop()));
            }
            let ended = processes::until(STOP, || matches!(running.try_wait(), Ok(Some(_))));
            self.must(ended, "stop", STOP)?;
            *child = None;
        }
        // Without their parent, which may have been killed by a test, these only get in the way of a start.
        self.must(processes::kill_all(&self.directory, SIGNAL), "die", SIGNAL)
    }

    /// Stops it, if it runs, and starts it on the same port and data.
    pub(crate) fn restart(&self) -> Result<(), ServerError> {
        self.stop()?;
        let mut child = self.child.lock();
        if child.is_none() {
            *child = Some(self.launch(&[])?);
        }
        Ok(())
    }

    /// Lets every process stand still.
    pub(crate) fn pause(&self) -> Result<(), ServerError> {
        let _one_verb = self.child.lock();
        self.must(processes::pause_all(&self.directory, SIGNAL), "stand still", SIGNAL)
    }

    /// Lets every process go on.
    pub(crate) fn resume(&self) {
        let _one_verb = self.child.lock();
        processes::resume_all(&self.directory);
    }

    /// Sends a signal to one process, if it belongs to this server.
    pub(crate) fn signal_one(&self, pid: u32, signal: Signal) -> Result<(), ServerError> {
        let ours = processes::of(&self.directory);
        let found = ours.into_iter().find(|ours| ours.as_raw_nonzero().get().cast_unsigned() == pid);
        let pid = found.ok_or_else(|| ServerError::Machine {
            doing: format!("send a signal to process {pid}"),
            reason: "it is no process of this server".to_owned(),
        })?;
        processes::signal(pid, signal);
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    fn must(&self, done: bool, verb: &'static str, after: Duration) -> Result<(), ServerError> {
        let stubborn =
            || ServerError::Stubborn { name: self.kind.name(), verb, after, log: self.log_tail(LINES) };
        done.then_some(()).ok_or_else(stubborn)
    }

    /// Starts the server program and waits until it takes connections.
    fn launch(&self, more: &[String]) -> Result<Child, ServerError> {
        let mut command = command::program(&self.program);
        command.args(&self.recipe.arguments).arg(format!("--port={}", self.port)).args(more);
        let log = command::open_log(&self.log())?;
        let copy = log.try_clone().map_err(ServerError::machine("share a log"))?;
        command.current_dir(&self.directory).stdin(Stdio::null()).stdout(log).stderr(copy);
        command.process_group(0); // Ctrl-C is for the tests
        self.account.run_as(&mut command);
        let line = command::line(&command);
        let mut child = command.spawn().map_err(ServerError::machine(format!("start `{line}`")))?;
        match self.wait_until_ready(&mut child) {
            Ok(()) => Ok(child),
            Err(reason) => {
                processes::kill_all(&self.directory, SIGNAL);
                let _ = child.wait(); // reaped; the reason is already known
                Err(ServerError::Start { command: line, reason, log: self.log_tail(LINES) })
            }
        }
    }

    fn wait_until_ready(&self, child: &mut Child) -> Result<(), String> {
        let (started, data) = (Instant::now(), Kind::data(&self.directory));
        while started.elapsed() < START {
            match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return Err(format!("ended with {status} before it was ready")),
                Err(error) => return Err(format!("cannot be watched: {error}")),
            }
            if self.kind.is_ready(&data, child.id()) && self.kind.greets(self.address(), SIGNAL).is_ok() {
                return Ok(());
            }
            thread::sleep(processes::POLL);
        }
        Err(format!("was not ready after {} s", START.as_secs()))
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // Here and not by the guardian, so that the process leaves no zombie.
        if let Err(error) = self.kill() {
            eprintln!("{error}");
        }
        drop(self.guardian.take());
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}
