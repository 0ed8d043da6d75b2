//! A database of one test's own.

use crate::Server;

/// A database that one test has for itself.
///
/// It goes with its private server; on another server it is removed when this value is dropped.
#[derive(Debug)]
pub struct Database<'a> {
    server: &'a Server,
    name: String,
    url: String,
}

impl<'a> Database<'a> {
    pub(crate) fn new(server: &'a Server, name: String) -> Self {
        let url = server.url_of(&name);
        Self { server, name, url }
    }

    /// Its address for a driver, as superuser.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs statements in it as superuser; returns the rows, one a line.
    ///
    /// # Errors
    /// As [`Server::sql`].
    pub fn sql(&self, statements: &str) -> Result<String, crate::ServerError> {
        self.server.sql_at(&self.url, statements)
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        self.server.forget(&self.name);
    }
}
