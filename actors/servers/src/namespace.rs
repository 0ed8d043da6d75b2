//! A network and mounts of a test's own, so that packets can be lost and disks can be full for real.
//!
//! Root may have them; others where the system grants user namespaces. Needs `unshare`, `nsenter` and `mount` of
//! util-linux and `ip` of iproute2.

use std::{
    env, fs, io,
    net::Ipv4Addr,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use parking_lot::Mutex;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{ServerError, command, processes};

/// Set in a process that has namespaces of its own.
const INSIDE: &str = "BACKSTOP_TEST_NAMESPACES";
/// How long the system may take to set a namespace up.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs `body` of the test called `test` in another process of the same program, with a network and mounts of its
/// own. `test` is its full name, as `cargo test -- --list` shows it.
///
/// # Errors
/// [`ServerError::Machine`] where the machine does not grant them: nothing was proven then.
/// [`ServerError::Program`] when the test failed, or there is none of that name.
pub fn in_namespaces(test: &str, body: impl FnOnce()) -> Result<(), ServerError> {
    if env::var_os(INSIDE).is_some() {
        ip(&network(std::process::id()), "link set lo up")?;
        body();
        return Ok(());
    }
    let program = env::current_exe().map_err(ServerError::machine("find the program of this test"))?;
    let granted = command::output(unshare()?.arg("true"), "");
    granted.map_err(|error| ServerError::Machine {
        doing: format!("prove what `{test}` is about, for want of namespaces"),
        reason: format!("be root, or allow user namespaces; {error}"),
    })?;
    let mut again = unshare()?;
    again.arg(program).args([test, "--exact", "--include-ignored", "--nocapture"]).env(INSIDE, "1");
    let ended = again.stdin(Stdio::null()).output().map_err(ServerError::machine("run a test again"))?;
    let printed =
        format!("{}\n{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    if ended.status.success() && printed.contains("test result: ok. 1 passed") {
        eprintln!("{printed}");
        return Ok(());
    }
    let reason = format!("ended with {}", ended.status);
    Err(ServerError::Program { command: command::line(&again), reason, output: printed })
}

/// `unshare` with all that is needed; inside, root stays root, because servers run as another user then.
fn unshare() -> Result<Command, ServerError> {
    let ours = fs::metadata("/proc/self").map_err(ServerError::machine("find out who we are"))?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount"]);
    if std::os::unix::fs::MetadataExt::uid(&ours) != 0 {
        command.args(["--user", "--map-current-user", "--keep-caps"]);
    }
    Ok(command)
}

/// A cable between this network, where servers are, and another one for clients; both in [`in_namespaces`].
///
/// Packets that are lost are lost in silence, as behind a firewall: nobody is told.
#[derive(Debug)]
pub struct Cable {
    /// Keeps the clients' network; ends with its input.
    keeper: Child,
    /// What is lost now: to the server, to the client.
    lost: Mutex<[bool; 2]>,
}

/// Addresses of the two ends, and one of the hardware that nobody has.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const NOBODY: &str = "02:00:00:00:00:99";

impl Cable {
    /// Makes the clients' network and lays the cable.
    ///
    /// # Errors
    /// [`ServerError::Machine`] and [`ServerError::Program`] where the system does not let us.
    pub fn lay() -> Result<Self, ServerError> {
        let mut keeper = Command::new("unshare");
        keeper.args(["--net", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let keeper = keeper.spawn().map_err(ServerError::machine("start `unshare`"))?;
        let cable = Self { keeper, lost: Mutex::default() };
        let (ours, theirs) = (network(std::process::id()), cable.clients());
        let differs = || matches!((fs::read_link(&ours), fs::read_link(&theirs)), (Ok(a), Ok(b)) if a != b);
        if !processes::until(LIMIT, differs) {
            return Err(ServerError::Machine {
                doing: "make a network".to_owned(),
                reason: format!("`unshare` made none within {} s", LIMIT.as_secs()),
            });
        }
        let keeper = cable.keeper.id();
        ip(&ours, &format!("link add name cable0 type veth peer name cable1 netns {keeper}"))?;
        for (place, name, address) in [(&ours, "cable0", SERVER), (&theirs, "cable1", CLIENT)] {
            ip(place, &format!("address add {address}/24 dev {name}"))?;
            ip(place, &format!("link set {name} up"))?;
        }
        Ok(cable)
    }

    /// The address of servers, as clients see it.
    #[must_use]
    pub fn server(&self) -> Ipv4Addr {
        SERVER
    }

    /// Moves the calling thread to the clients' network; sockets that it opens from now on are there.
    ///
    /// # Errors
    /// [`ServerError::Machine`] where the system does not let us.
    pub fn enter(&self) -> Result<(), ServerError> {
        let enter = || -> io::Result<()> {
            let network = fs::File::open(self.clients())?;
            Ok(move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?)
        };
        enter().map_err(ServerError::machine("enter a network"))
    }

    /// Loses all packets in these directions, and in no other, from now on.
    ///
    /// # Errors
    /// [`ServerError::Program`] with what `ip` said.
    pub fn lose(&self, to_server: bool, to_client: bool) -> Result<(), ServerError> {
        let ends = [
            (to_server, self.clients(), SERVER, "cable1"),
            (to_client, network(std::process::id()), CLIENT, "cable0"),
        ];
        let mut lost = self.lost.lock();
        for ((wanted, place, address, name), lost) in ends.into_iter().zip(lost.iter_mut()) {
            if wanted && !*lost {
                ip(&place, &format!("neighbour replace {address} lladdr {NOBODY} dev {name} nud permanent"))?;
            } else if !wanted && *lost {
                // whoever has the address is asked for again
                ip(&place, &format!("neighbour delete {address} dev {name}"))?;
            }
            *lost = wanted;
        }
        Ok(())
    }

    fn clients(&self) -> PathBuf {
        network(self.keeper.id())
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait(); // it is gone, or was never there
    }
}

fn network(process: u32) -> PathBuf {
    format!("/proc/{process}/ns/net").into()
}

/// Runs `ip` in a network, wherever the calling thread is.
fn ip(network: &Path, words: &str) -> Result<(), ServerError> {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", network.display())).arg("ip").args(words.split(' '));
    command::output(&mut command, "").map(drop)
}

/// A file system of so many bytes in memory, in [`in_namespaces`].
#[derive(Debug)]
pub struct SmallDisk {
    place: tempfile::TempDir,
}

impl SmallDisk {
    /// Makes one.
    ///
    /// # Errors
    /// [`ServerError::Machine`] and [`ServerError::Program`] where the system does not let us.
    pub fn of(bytes: u64) -> Result<Self, ServerError> {
        let place = tempfile::Builder::new().prefix("backstop-disk-").tempdir();
        let place = place.map_err(ServerError::machine("make a directory"))?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=755"), "tmpfs"]).arg(place.path());
        command::output(&mut mount, "")?;
        Ok(Self { place })
    }

    /// Where it is mounted, for this process and what it starts alone.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.place.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = command::output(Command::new("umount").arg("--lazy").arg(self.path()), "") {
            eprintln!("{error}");
        }
    }
}
