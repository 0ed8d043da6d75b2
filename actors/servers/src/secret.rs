//! Passwords of private servers.

use std::{fmt::Write as _, fs::File, io::Read};

use crate::ServerError;

/// A new password of 24 letters and digits, from the system's own source of chance.
pub(crate) fn make() -> Result<String, ServerError> {
    let mut bytes = [0; 12];
    let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    read.map_err(ServerError::machine("make a password"))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes everything
        text
    }))
}
