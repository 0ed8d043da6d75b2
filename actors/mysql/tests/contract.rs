//! The contract suite, against a real MariaDB behind a proxy that can take it away.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use backstop_mysql::{
    MySqlOptions,
    sql::{Execute, Query, TransactAsync},
};
use backstop_testkit::{
    contract::{Ability, Call, ContractSubject, Ref, call},
    proxy::{Fault, Proxy},
    server::{Database, MariaDb},
    sql::{nothing, seven},
};

struct Subject {
    database: Database<'static>,
    proxy: Proxy,
}

impl ContractSubject for Subject {
    type Connect = MySqlOptions;
    const LACKS: &'static [(Ability, &'static str)] = &[];

    async fn start() -> Self {
        let server = MariaDb::shared().unwrap();
        let database = server.fresh_database().unwrap();
        database.sql("CREATE TABLE entry (`key` BIGINT);").unwrap();
        let proxy = Proxy::start(server.address().unwrap(), 7).await.unwrap();
        Self { database, proxy }
    }

    fn connect(&self) -> MySqlOptions {
        let (login, rest) = self.database.url().split_once('@').unwrap();
        let (_, name) = rest.split_once('/').unwrap();
        MySqlOptions::url(format!("{login}@{}/{name}", self.proxy.address()))
    }

    fn wrong(&self) -> Option<MySqlOptions> {
        Some(self.connect().pool_size(0))
    }

    fn read(&self, backend: &Ref<Self>, within: Duration) -> Call {
        seven(backend, within)
    }

    fn slow(&self, backend: &Ref<Self>, takes: Duration, within: Duration) -> Option<Call> {
        Some(call(backend, Query::new("SELECT SLEEP(?)").bind(takes.as_secs_f64()), within))
    }

    fn bad(&self, backend: &Ref<Self>, within: Duration) -> Call {
        nothing(backend, within)
    }

    fn write(&self, backend: &Ref<Self>, key: u64, within: Duration) -> Option<Call> {
        Some(call(backend, Execute::new("INSERT INTO entry VALUES (?)").bind(key), within))
    }

    async fn writes(&self, key: u64) -> u32 {
        let count = format!("SELECT count(*) FROM entry WHERE `key` = {key};");
        self.database.sql(&count).unwrap().parse().unwrap()
    }

    fn caller_panic(&self, backend: &Ref<Self>, within: Duration) -> Option<Call> {
        let closure: TransactAsync<()> = TransactAsync::new(async |_| panic!("the caller's own"));
        Some(call(backend, closure, within))
    }

    async fn make_unreachable(&self) -> bool {
        self.proxy.set(Fault::Refuse);
        self.proxy.cut_all(true);
        true
    }

    async fn make_reachable(&self) {
        self.proxy.heal();
    }
}

backstop_testkit::contract_suite!(Subject);
