//! Sessions of tests with the real server.

use backstop_sql::Value;
use backstop_testkit::server::{Database, Postgres};
use tokio::net::TcpStream;
use tokio_postgres::{Client, Config, NoTls, tls::NoTlsStream, types::ToSql};

use crate::codec::{Cell, Param};

/// The driver's half of a plain session.
pub(crate) type Wire = tokio_postgres::Connection<TcpStream, NoTlsStream>;

/// A session in a database of the test's own; the connection runs in a task.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) database: Database<'static>,
}

/// Connects to an address.
pub(crate) async fn connect(url: &str) -> Result<(Client, Wire), tokio_postgres::Error> {
    let config: Config = url.parse().unwrap();
    let host = match &config.get_hosts()[0] {
        tokio_postgres::config::Host::Tcp(host) => host.clone(),
        #[cfg(unix)]
        tokio_postgres::config::Host::Unix(path) => panic!("a socket: {}", path.display()),
    };
    let stream = TcpStream::connect((host.as_str(), config.get_ports()[0])).await.unwrap();
    stream.set_nodelay(true).unwrap();
    config.connect_raw(stream, NoTls).await
}

impl Session {
    /// Opens a session in a new database of the shared server.
    pub(crate) async fn open() -> Self {
        let fresh = || Postgres::shared().unwrap().fresh_database().unwrap();
        let database = tokio::task::spawn_blocking(fresh).await.unwrap();
        let (client, wire) = connect(database.url()).await.unwrap();
        tokio::spawn(wire);
        Self { client, database }
    }

    /// Another session in the same database.
    pub(crate) async fn another(&self) -> Client {
        let (client, wire) = connect(self.database.url()).await.unwrap();
        tokio::spawn(wire);
        client
    }

    /// Runs statements without parameters.
    pub(crate) async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Reads the first cell of the first row.
    pub(crate) async fn one(&self, sql: &str, values: &[Value]) -> Result<Value, tokio_postgres::Error> {
        let params: Vec<Param<'_>> = values.iter().map(Param).collect();
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as _).collect();
        let row = self.client.query_one(sql, &params).await?;
        row.try_get::<_, Cell>(0).map(|cell| cell.0)
    }
}

/// The texts of an error and its causes.
pub(crate) fn story(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
