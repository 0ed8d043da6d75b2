//! Free ports for servers.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
};

/// The lowest port that is tried.
const FIRST: u16 = 15_000;

/// A port of 127.0.0.1 that nobody listens on.
///
/// Below the range from which the system takes the ports of outgoing connections: there, a client that
/// tries again and again while the server is down would in the end take the server's port itself.
pub(crate) fn free() -> io::Result<u16> {
    let end = outgoing_from().max(FIRST + 1000);
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..100 {
        let port = fastrand::u16(FIRST..end);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Where the ports of outgoing connections begin; 32768 unless the machine was set up differently.
fn outgoing_from() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_listened_on_and_is_no_port_of_outgoing_connections() {
        let port = free().unwrap();
        assert!(port >= FIRST && port < outgoing_from().max(FIRST + 1000));
        let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert_eq!(listening.local_addr().unwrap().port(), port);
    }
}
