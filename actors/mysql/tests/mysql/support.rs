//! A database of the test's own with one lane of the backend.

use std::{ops::Deref, time::Duration};

use backstop_mysql::MySqlOptions;
use backstop_testkit::{
    lane::OneLane,
    server::{Database, MariaDb, Server},
};

pub(crate) use backstop_testkit::lane::{End, LONG, ask, assert_failed, lane, until};

/// Short enough for a call that is to be given up.
pub(crate) const SHORT: Duration = Duration::from_millis(200);

pub(crate) struct Db<'a> {
    pub(crate) database: Database<'a>,
    pub(crate) one: OneLane<MySqlOptions>,
}

impl Db<'static> {
    pub(crate) async fn new() -> Self {
        Self::with(|options| options).await
    }

    pub(crate) async fn with(change: impl FnOnce(MySqlOptions) -> MySqlOptions) -> Self {
        Db::on(MariaDb::shared().unwrap(), change).await
    }

    /// A database with `t(id BIGINT PRIMARY KEY, v BIGINT UNIQUE)` and no rows.
    pub(crate) async fn with_table() -> Self {
        let db = Self::new().await;
        db.make_table();
        db
    }
}

impl<'a> Db<'a> {
    /// A database of a server of the test's own.
    pub(crate) async fn on(server: &'a Server, change: impl FnOnce(MySqlOptions) -> MySqlOptions) -> Self {
        let database = server.fresh_database().unwrap();
        let options = change(MySqlOptions::url(database.url()));
        Self { database, one: OneLane::new(options).await }
    }

    /// A database whose backend reaches its server at another address.
    pub(crate) async fn behind(server: &'a Server, address: std::net::SocketAddr) -> Self {
        let database = server.fresh_database().unwrap();
        let (login, _) = database.url().split_once('@').unwrap();
        let options = MySqlOptions::url(format!("{login}@{address}/{}", database.name()));
        Self { database, one: OneLane::new(options).await }
    }

    pub(crate) fn make_table(&self) {
        self.database
            .sql("CREATE TABLE t (id BIGINT PRIMARY KEY, v BIGINT UNIQUE) ENGINE = InnoDB;")
            .unwrap();
    }

    /// The ids of `t`, as the backend reads them.
    pub(crate) async fn ids(&self) -> Vec<i64> {
        self.ints("SELECT id FROM t ORDER BY id").await
    }

    /// Counts the sessions of this database whose statement holds `text`, as the server sees them.
    pub(crate) fn sessions_with(&self, text: &str) -> usize {
        self.sessions_where(&format!("info LIKE '%{text}%'"))
    }

    /// Counts the sessions of this database, as the server sees them.
    pub(crate) fn sessions(&self) -> usize {
        self.sessions_where("TRUE")
    }

    fn sessions_where(&self, condition: &str) -> usize {
        let name = self.database.name();
        let count = format!(
            "SELECT count(*) FROM information_schema.processlist WHERE db = '{name}' AND {condition} \
             AND id <> CONNECTION_ID();"
        );
        self.database.sql(&count).unwrap().parse().unwrap()
    }
}

impl Deref for Db<'_> {
    type Target = OneLane<MySqlOptions>;

    fn deref(&self) -> &Self::Target {
        &self.one
    }
}
