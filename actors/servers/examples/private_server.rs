//! Starts a private database server and prints its address; it ends when standard input does.
//!
//! `cargo run -p backstop-servers --example private_server` (or `… private_server mariadb`).

use std::io::Read;

use backstop_servers::{MariaDb, MariaDbSetup, Postgres, PostgresSetup, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("postgres") | None => hold(&*Postgres::start(PostgresSetup::default())?),
        Some("mariadb") => hold(&*MariaDb::start(MariaDbSetup::default())?),
        Some(other) => return Err(format!("unknown server `{other}`; there are postgres and mariadb").into()),
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the address is what the caller waits for")]
fn hold(server: &Server) {
    println!("{}", server.url());
    // an error ends it as the end of the input does
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
