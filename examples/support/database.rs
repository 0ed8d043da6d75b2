//! A PostgreSQL for an example: the one that `DATABASE_URL` names, or a private one that ends with the example.

use backstop_servers::{Postgres, PostgresSetup, ServerError};

/// A database to try things in.
pub(crate) struct Database {
    url: String,
    _server: Option<Postgres>,
}

impl Database {
    /// Finds or starts it; a start takes one to two seconds.
    pub(crate) fn open() -> Result<Self, ServerError> {
        if let Ok(url) = std::env::var("DATABASE_URL") {
            return Ok(Self { url, _server: None });
        }
        let server = Postgres::start(PostgresSetup::default())?;
        Ok(Self { url: server.url().to_owned(), _server: Some(server) })
    }

    /// Its address, with user and password.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}
