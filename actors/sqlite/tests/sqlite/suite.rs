//! What every SQL backend does, and the words that this engine has for it.

use std::any::Any;

use backstop_sqlite::SqliteOptions;
use backstop_testkit::sql::SqlSubject;

use crate::support::Db;

impl SqlSubject for Db {
    type Connect = SqliteOptions;
    const KEY: &'static str = "INTEGER PRIMARY KEY";
    const QUOTE: char = '"';
    const SMALLINT: &'static str = "smallint";
    const UPSERTED: u64 = 1;
    const UNKNOWN: &'static [&'static str] = &["no such"];

    async fn fresh() -> Self {
        Self::new().await
    }

    async fn schema(&self) -> (String, Box<dyn Any>) {
        // nothing can be attached
        ("main".into(), Box::new(()))
    }
}

backstop_testkit::sql_suite!(Db);
