//! The contract suite, against a real database file.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{fs, path::PathBuf, time::Duration};

use backstop_sql::{Execute, Query, Transact, Tx};
use backstop_sqlite::SqliteOptions;
use backstop_testkit::{
    contract::{Ability, Call, ContractSubject, Ref, call},
    sql::{nothing, seven},
};
use tempfile::TempDir;

struct Subject(TempDir);

impl Subject {
    fn file(&self) -> PathBuf {
        self.0.path().join("data.db")
    }

    fn aside(&self) -> PathBuf {
        self.0.path().join("aside.db")
    }
}

impl ContractSubject for Subject {
    type Connect = SqliteOptions;
    const LACKS: &'static [(Ability, &'static str)] = &[];

    async fn start() -> Self {
        let subject = Self(TempDir::new().unwrap());
        let connection = rusqlite::Connection::open(subject.file()).unwrap();
        connection.execute_batch("CREATE TABLE entry (key INTEGER)").unwrap();
        subject
    }

    fn connect(&self) -> SqliteOptions {
        SqliteOptions::file(self.file()).create(false)
    }

    fn wrong(&self) -> Option<SqliteOptions> {
        Some(self.connect().rows_max(0))
    }

    fn read(&self, backend: &Ref<Self>, within: Duration) -> Call {
        seven(backend, within)
    }

    fn slow(&self, backend: &Ref<Self>, _: Duration, within: Duration) -> Option<Call> {
        // SQLite cannot sleep: this counts for hours, until it is interrupted.
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000000) \
                   SELECT count(*) FROM n";
        Some(call(backend, Query::new(sql), within))
    }

    fn bad(&self, backend: &Ref<Self>, within: Duration) -> Call {
        nothing(backend, within)
    }

    fn write(&self, backend: &Ref<Self>, key: u64, within: Duration) -> Option<Call> {
        let key = i64::try_from(key).unwrap();
        Some(call(backend, Execute::new("INSERT INTO entry VALUES (?)").bind(key), within))
    }

    async fn writes(&self, key: u64) -> u32 {
        let connection = rusqlite::Connection::open(self.file()).unwrap();
        let count = "SELECT count(*) FROM entry WHERE key = ?";
        connection.query_row(count, [i64::try_from(key).unwrap()], |row| row.get(0)).unwrap()
    }

    fn caller_panic(&self, backend: &Ref<Self>, within: Duration) -> Option<Call> {
        let closure: Transact<()> = Transact::new(|_: &mut Tx<'_>| panic!("the caller's own"));
        Some(call(backend, closure, within))
    }

    async fn make_unreachable(&self) -> bool {
        fs::rename(self.file(), self.aside()).unwrap();
        true
    }

    async fn make_reachable(&self) {
        fs::rename(self.aside(), self.file()).unwrap();
    }
}

backstop_testkit::contract_suite!(Subject);
