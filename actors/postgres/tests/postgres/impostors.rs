//! A server whose certificate is no good any more, or that gives up TLS, while the backend runs.

use std::{
    fmt,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use backstop_core::{
    clock,
    error::{Executed, FailureKind},
};
use backstop_postgres::{
    Postgres as Backend, PostgresOptions, TlsMode,
    sql::{Execute, Query},
};
use backstop_testkit::{
    proxy::Proxy,
    server::{Certificate, Postgres, PostgresSetup},
};
use tracing::{Event, Metadata, Subscriber, field, span};

use crate::support::{Db, LONG, ask, assert_failed, lane, until};

const PASSWORD: &str = "canary-5c1";

/// What was logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl field::Visit for &Log {
    fn record_debug(&mut self, field: &field::Field, value: &dyn fmt::Debug) {
        self.0.lock().unwrap().push_str(&format!("{field}={value:?} "));
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut &*self);
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut &*self);
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut &*self);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Asks for a connection that is refused, and looks at the refusal.
async fn refused(lane: &Rc<Backend>, words: &str) {
    let began = clock::now();
    let ended = ask(&**lane, &Execute::new("INSERT INTO t VALUES (1)"), LONG).await;
    let failure = assert_failed(ended, FailureKind::Unavailable, Executed::No);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!((failure.code(), failure.is_transient()), (Some("tls"), false), "{failure}");
    assert!(failure.to_string().to_lowercase().contains(words), "{failure}");
    assert!(!format!("{failure:?} {failure}").contains(PASSWORD), "{failure:?}");
}

/// A server of good repute turns `bad` and back: sessions go on, new ones are refused, and it is asked once in 5 s.
fn turns(bad: Certificate, words: &'static str) {
    lane(async move {
        let log = Log::default();
        let _logged = tracing::subscriber::set_default(log.clone());
        tracing::debug!("the log is heard");
        let server =
            Postgres::start(PostgresSetup { certificate: Certificate::Valid, ..PostgresSetup::default() })
                .unwrap();
        server.create_user("app", PASSWORD).unwrap();
        let database = server.fresh_database().unwrap();
        let address = server.address().unwrap();
        let proxy = Proxy::start(address, 7).await.unwrap();
        let url = server.url_for("app", PASSWORD, database.name());
        let url = url.replace(&address.to_string(), &proxy.address().to_string());
        let options = PostgresOptions::url(url)
            .pool_size(4)
            .max_overflow(0)
            .tls(TlsMode::VerifyFull)
            .root_certificates(server.authority().unwrap());
        let db = Db::of(database, options).await;
        assert_eq!(db.int("SELECT 1").await, 1);
        let (newcomer, before) = (db.another_lane().await, proxy.accepted());
        server.change_certificate(bad).unwrap();
        // from then on, whoever connects meets the new settings
        until("the change", async || server.log_tail(1_000).contains("reloading configuration files")).await;
        let first = clock::now();
        while first.elapsed() < Duration::from_secs(1) {
            refused(&newcomer, words).await;
            assert_eq!(db.int("SELECT 1").await, 1, "the session that is open goes on");
        }
        // callers that come together are one attempt too
        let many = (0..8).map(|_| refused(&newcomer, words));
        futures_util::future::join_all(many).await;
        assert_eq!(proxy.accepted() - before, 1, "attempts within a second");
        server.change_certificate(Certificate::Valid).unwrap();
        until("service", async || ask(&*newcomer, &Query::new("SELECT 1"), LONG).await.is_ok()).await;
        let took = first.elapsed();
        assert!(took > Duration::from_millis(4_900), "asked again after {took:?}");
        assert_eq!(proxy.accepted() - before, 2, "attempts within {took:?}");
        let snapshot = format!("{:?}", db.shared.snapshot());
        assert!(!snapshot.contains(PASSWORD), "{snapshot}");
        let logged = log.0.lock().unwrap();
        assert!(logged.contains("the log is heard"), "{logged}");
        assert!(!logged.contains(PASSWORD) && !server.log_tail(10_000).contains(PASSWORD), "{logged}");
    });
}

#[test]
fn pg11_an_expired_certificate_is_refused_rarely_asked_for_and_live_sessions_go_on() {
    turns(Certificate::Expired, "expired");
}

#[test]
fn pg11_a_certificate_of_another_name_is_refused_rarely_asked_for_and_live_sessions_go_on() {
    turns(Certificate::OtherName, "not valid for name");
}

#[test]
fn pg11_a_server_that_gives_up_tls_is_refused_rarely_asked_for_and_live_sessions_go_on() {
    turns(Certificate::None, "does not support tls");
}
