//! What every SQL backend does, and the words that this engine has for it.

use std::any::Any;

use backstop_mysql::MySqlOptions;
use backstop_testkit::{server::MariaDb, sql::SqlSubject};

use crate::support::Db;

impl SqlSubject for Db<'static> {
    type Connect = MySqlOptions;
    const KEY: &'static str = "BIGINT AUTO_INCREMENT PRIMARY KEY";
    const QUOTE: char = '`';
    const SMALLINT: &'static str = "smallint";
    const UPSERTED: u64 = 2;
    const UNKNOWN: &'static [&'static str] = &["Unknown column", "doesn't exist"];

    async fn fresh() -> Self {
        Self::new().await
    }

    async fn schema(&self) -> (String, Box<dyn Any>) {
        let other = MariaDb::shared().unwrap().fresh_database().unwrap();
        (other.name().to_owned(), Box::new(other))
    }
}

backstop_testkit::sql_suite!(Db<'static>);
