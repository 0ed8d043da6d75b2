//! Ends a server when its test process ends, in whatever way.

use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::ServerError;

/// Waits for the end of its input, then kills whoever works in the directory and removes the directory.
///
/// `-ef` compares the directories themselves, without starting a program for each process.
const SCRIPT: &str = r#"
read -r _
round=0
while [ $round -lt 200 ]; do
    found=
    for process in /proc/[0-9]*; do
        if [ "$process/cwd" -ef "$1" ] || [ "$process/cwd" -ef "$1/data" ]; then
            kill -KILL "${process#/proc/}" 2>/dev/null
            found=yes
        fi
    done
    [ -n "$found" ] || break
    round=$((round + 1))
    sleep 0.05
done
rm -rf "$1"
"#;

/// A running guardian; dropped, it does its work and is waited for.
///
/// It holds the other end of a pipe that only this process has, so the kernel tells it of any end of ours.
#[derive(Debug)]
pub(crate) struct Guardian(Child);

impl Guardian {
    /// Starts watching over `directory`, which from now on is the guardian's to remove.
    pub(crate) fn start(directory: &Path) -> Result<Self, ServerError> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "guardian"]).arg(directory);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Out of our group: Ctrl-C is for us. And out of the directory, or it would end itself.
        command.process_group(0).current_dir("/");
        command.spawn().map(Self).map_err(ServerError::machine("start the guardian of a server"))
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
