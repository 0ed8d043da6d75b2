//! The contract suite, against a real server behind a proxy that can take it away.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use backstop_postgres::{
    PostgresOptions,
    sql::{Execute, Query, TransactAsync, TxError},
};
use backstop_testkit::{
    contract::{Ability, Call, ContractSubject, Ref, call},
    proxy::{Fault, Proxy},
    server::{Database, Postgres},
    sql::{nothing, seven},
};

struct Subject {
    database: Database<'static>,
    proxy: Proxy,
    url: String,
}

impl ContractSubject for Subject {
    type Connect = PostgresOptions;
    const LACKS: &'static [(Ability, &'static str)] = &[];

    async fn start() -> Self {
        let server = Postgres::shared().unwrap();
        let database = server.fresh_database().unwrap();
        database.sql("CREATE TABLE entry (key bigint);").unwrap();
        let address = server.address().unwrap();
        let proxy = Proxy::start(address, 7).await.unwrap();
        let url = database.url().replace(&address.to_string(), &proxy.address().to_string());
        Self { database, proxy, url }
    }

    fn connect(&self) -> PostgresOptions {
        PostgresOptions::url(self.url.as_str())
    }

    fn wrong(&self) -> Option<PostgresOptions> {
        Some(self.connect().pool_size(0))
    }

    fn read(&self, backend: &Ref<Self>, within: Duration) -> Call {
        seven(backend, within)
    }

    fn slow(&self, backend: &Ref<Self>, takes: Duration, within: Duration) -> Option<Call> {
        Some(call(backend, Query::new("SELECT pg_sleep($1)").bind(takes.as_secs_f64()), within))
    }

    fn bad(&self, backend: &Ref<Self>, within: Duration) -> Call {
        nothing(backend, within)
    }

    fn write(&self, backend: &Ref<Self>, key: u64, within: Duration) -> Option<Call> {
        let key = i64::try_from(key).unwrap();
        Some(call(backend, Execute::new("INSERT INTO entry VALUES ($1)").bind(key), within))
    }

    async fn writes(&self, key: u64) -> u32 {
        self.database.sql(&format!("SELECT count(*) FROM entry WHERE key = {key};")).unwrap().parse().unwrap()
    }

    fn caller_panic(&self, backend: &Ref<Self>, within: Duration) -> Option<Call> {
        let closure = TransactAsync::new(async |tx| {
            tx.execute("INSERT INTO entry VALUES ($1)", (1,)).await?;
            if tx.query("SELECT 1", ()).await?.len() == 1 {
                panic!("the caller's own");
            }
            Ok::<(), TxError>(())
        });
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
