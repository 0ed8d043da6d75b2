//! The first words of a server, which tell that it takes connections now.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// The longest refusal that is read.
const MOST: u32 = 4096;

/// Asks PostgreSQL for a session and reads whether it goes on to ask for a password.
///
/// A refusal shows a server that works, too (no more connections, no rule for us), unless it is still starting
/// or already stopping: SQLSTATE 57P03.
pub(crate) fn postgres(address: SocketAddr, limit: Duration) -> io::Result<()> {
    let mut stream = open(address, limit)?;
    let words = b"user\0backstop\0database\0postgres\0\0";
    let length = u32::try_from(words.len() + 8).map_err(io::Error::other)?;
    let mut packet = Vec::from(length.to_be_bytes());
    packet.extend(196_608_u32.to_be_bytes()); // version 3.0
    packet.extend(words);
    stream.write_all(&packet)?;
    let [kind, a, b, c, d] = read(&mut stream)?;
    let rest = u32::from_be_bytes([a, b, c, d]).saturating_sub(4).min(MOST);
    let mut text = vec![0; rest as usize];
    stream.read_exact(&mut text)?;
    match kind {
        b'R' => Ok(()),
        b'E' if !text.split(|&byte| byte == 0).any(|field| field == b"C57P03") => Ok(()),
        _ => Err(io::Error::other("is not ready")),
    }
}

/// Reads the packet that MariaDB sends first: a handshake of version 10, or an error.
pub(crate) fn mariadb(address: SocketAddr, limit: Duration) -> io::Result<()> {
    let [.., first] = read::<5>(&mut open(address, limit)?)?;
    if matches!(first, 10 | 0xff) { Ok(()) } else { Err(io::Error::other("is no MariaDB")) }
}

fn open(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    Ok(stream)
}

fn read<const N: usize>(stream: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
