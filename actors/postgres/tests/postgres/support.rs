//! A database of the test's own with one lane of the backend.

use std::ops::Deref;

use backstop_postgres::PostgresOptions;
use backstop_testkit::{
    lane::OneLane,
    server::{Database, Postgres},
};

pub(crate) use backstop_testkit::lane::{End, LONG, ask, assert_failed, lane, until};

pub(crate) struct Db<'s> {
    pub(crate) database: Database<'s>,
    one: OneLane<PostgresOptions>,
}

impl Db<'static> {
    pub(crate) async fn new() -> Self {
        Self::with(|options| options).await
    }

    pub(crate) async fn with(change: impl FnOnce(PostgresOptions) -> PostgresOptions) -> Self {
        Self::on(Postgres::shared().unwrap(), change).await
    }
}

impl<'s> Db<'s> {
    pub(crate) async fn on(
        server: &'s Postgres,
        change: impl FnOnce(PostgresOptions) -> PostgresOptions,
    ) -> Self {
        let database = server.fresh_database().unwrap();
        let options = change(PostgresOptions::url(database.url()));
        Self::of(database, options).await
    }

    pub(crate) async fn of(database: Database<'s>, options: PostgresOptions) -> Self {
        let options = options.application_name(database.name());
        Self { database, one: OneLane::new(options).await }
    }

    /// What the server says of our sessions, past the backend.
    pub(crate) fn sessions(&self, condition: &str) -> usize {
        let name = self.database.name();
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' AND {condition};"
        );
        self.database.sql(&sql).unwrap().parse().unwrap()
    }

    /// Waits until the server says so of one of our sessions.
    pub(crate) async fn until_session(&self, condition: &str) {
        until(condition, async || self.sessions(condition) > 0).await;
    }
}

impl Deref for Db<'_> {
    type Target = OneLane<PostgresOptions>;

    fn deref(&self) -> &Self::Target {
        &self.one
    }
}
