//! Private servers do what the fault tests need of them. Needs PostgreSQL and MariaDB: `cargo xtask setup`.
#![allow(clippy::unwrap_used, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "real time of real processes")]

mod mariadb;
mod owner;
mod postgres;
mod tls;

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

use backstop_testkit::server::Server;

/// Longer than a local server needs for one byte, short enough to wait for in vain.
const A_WHILE: Duration = Duration::from_millis(300);
/// Longer than anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

fn connect(server: &Server) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(server.address().unwrap())?;
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    Ok(stream)
}

fn send(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
}

fn one_byte(stream: &mut TcpStream) -> std::io::Result<u8> {
    let mut byte = [0];
    stream.read_exact(&mut byte).map(|()| byte[0])
}

/// Whether nothing arrives for a while.
fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(A_WHILE)).unwrap();
    let read = one_byte(stream);
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    matches!(read.unwrap_err().kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn is_refused(server: &Server) -> bool {
    connect(server).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Whether the server is at the end of this connection no more.
fn is_cut(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// The processes that work in a directory.
fn processes_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let works = |pid: &String| {
        std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|place| place.starts_with(directory))
    };
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(works).collect()
}

/// Whether `done` comes true before the limit.
fn eventually(mut done: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}
