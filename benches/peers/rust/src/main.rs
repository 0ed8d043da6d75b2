//! Backstop beside what its users would take instead: closed loops in interleaved rounds.
#![warn(missing_docs)]

mod contender;
#[path = "../../../overhead/echo.rs"]
mod echo;
mod http;
mod messaging;
mod mysql;
mod options;
mod postgres;
mod python;
mod rounds;
mod spread;
mod sql;
mod sqlite;
mod table;

use options::{Command, Options};

fn main() {
    let options = match Options::from_args(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            std::process::exit(2);
        }
    };
    match options.command {
        Command::Messaging => messaging::run(&options),
        Command::Sqlite => sqlite::run(&options),
        Command::Http => http::run(&options),
        Command::Postgres => postgres::run(&options),
        Command::PostgresMixed => postgres::mixed::run(&options),
        Command::PostgresBulk => postgres::bulk::run(&options),
        Command::MySql => mysql::run(&options),
        Command::Python => python::run(&options),
        Command::HttpServer => http::server::serve(),
    }
}
