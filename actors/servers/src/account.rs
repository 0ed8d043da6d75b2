//! As whom a server runs: as root, PostgreSQL refuses to start and MariaDB should.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
};

use crate::ServerError;

/// The account of a server; `None` is our own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account(Option<(u32, u32)>);

impl Account {
    /// Our own account, unless `directory`, which we have just made, shows that we are root; then the first of
    /// `names` that exists.
    pub(crate) fn find(directory: &Path, names: &[&str]) -> Result<Self, ServerError> {
        let made = fs::metadata(directory).map_err(ServerError::machine("look at a new directory"))?;
        if made.uid() != 0 {
            return Ok(Self(None));
        }
        let ids = |name: &&str| Some((id("-u", name)?, id("-g", name)?));
        match names.iter().find_map(ids) {
            Some(ids) => Ok(Self(Some(ids))),
            None => Err(ServerError::Machine {
                doing: "run a server as root".to_owned(),
                reason: format!("none of the users {names:?} exists"),
            }),
        }
    }

    /// Gives a file or directory to the account.
    pub(crate) fn own(self, path: &Path) -> Result<(), ServerError> {
        let Some((user, group)) = self.0 else { return Ok(()) };
        chown(path, Some(user), Some(group)).map_err(ServerError::machine("give a file to the server's user"))
    }

    /// Writes a file that only the account can read.
    pub(crate) fn write(self, path: &Path, text: &str) -> Result<(), ServerError> {
        let write = || -> io::Result<()> {
            fs::write(path, text)?;
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        };
        write().map_err(ServerError::machine(format!("write {}", path.display())))?;
        self.own(path)
    }

    /// Makes a command run as the account, without any group of ours.
    pub(crate) fn run_as(self, command: &mut Command) {
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
    }
}

fn id(flag: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([flag, name]).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().parse().ok())?
}
