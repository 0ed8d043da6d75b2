//! The processes of a server: all that work in its directory, however they came to be.
//!
//! Parents would not do: when a postmaster is killed, its children belong to somebody else.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// How often processes are looked at while we wait for them.
pub(crate) const POLL: Duration = Duration::from_millis(5);

/// The processes whose working directory is `directory` or below it; zombies have none and do not count.
pub(crate) fn of(directory: &Path) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| works_in(*pid, directory)).filter_map(Pid::from_raw).collect()
}

fn works_in(pid: i32, directory: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|place| place.starts_with(directory))
}

/// Sends a signal; a process that has ended meanwhile is fine.
pub(crate) fn signal(pid: Pid, signal: Signal) {
    let _ = kill_process(pid, signal);
}

/// Kills all of them and whatever they start meanwhile; says whether none was left by `limit`.
pub(crate) fn kill_all(directory: &Path, limit: Duration) -> bool {
    until(limit, || {
        let left = of(directory);
        left.iter().for_each(|pid| signal(*pid, Signal::KILL));
        left.is_empty()
    })
}

/// Stops all of them; says whether each one stood still by `limit`.
pub(crate) fn pause_all(directory: &Path, limit: Duration) -> bool {
    until(limit, || {
        let moving: Vec<_> = of(directory).into_iter().filter(|pid| !is_stopped(*pid)).collect();
        moving.iter().for_each(|pid| signal(*pid, Signal::STOP));
        moving.is_empty()
    })
}

/// Lets all of them go on.
pub(crate) fn resume_all(directory: &Path) {
    of(directory).into_iter().for_each(|pid| signal(pid, Signal::CONT));
}

/// Whether a signal has stopped the process.
fn is_stopped(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // The state follows the name, which may hold parentheses itself.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

/// Asks again until `done` or `limit` has passed.
pub(crate) fn until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    loop {
        if done() {
            return true;
        }
        if started.elapsed() > limit {
            return false;
        }
        thread::sleep(POLL);
    }
}
