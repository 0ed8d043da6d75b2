//! What a server says that no test can make it say, put into its mouth; and packets that are too large for it.

use backstop_core::{
    clock,
    error::{Executed, FailureKind},
    outcome::Outcome,
};
use backstop_mysql::{
    MySqlOptions,
    sql::{Execute, Query, QueryAs, Request, Transaction},
};
use backstop_testkit::{
    lane::OneLane,
    server::{MariaDb, MariaDbSetup},
};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use crate::{
    meddler::{Meddler, Trick},
    support::{Db, LONG, assert_failed, lane, until},
};

/// The payload of an error.
fn error(code: u16, state: &str, text: &str) -> Vec<u8> {
    let mut bytes = vec![0xff];
    bytes.extend(code.to_le_bytes());
    bytes.extend(format!("#{state}{text}").as_bytes());
    bytes
}

#[test]
fn my5_a_server_that_blocks_this_host_is_unavailable_for_good_and_is_asked_once_a_call() {
    lane(async {
        // A server blocks no host of loopback, so its words come from a listener: an error where the greeting belongs.
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = std::rc::Rc::new(std::cell::Cell::new(0));
        let counted = std::rc::Rc::clone(&asked);
        tokio::task::spawn_local(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                counted.set(counted.get() + 1);
                // before the greeting there is no state yet
                let mut payload = vec![0xff];
                payload.extend(1129_u16.to_le_bytes());
                payload.extend(b"Host '127.0.0.1' is blocked because of many connection errors");
                let mut packet = u32::try_from(payload.len()).unwrap().to_le_bytes()[..3].to_vec();
                packet.push(0);
                packet.extend(payload);
                let _ = client.write_all(&packet).await;
            }
        });
        let client = OneLane::new(MySqlOptions::url(format!("mysql://app:canary@{address}/db"))).await;
        for call in 1..4 {
            let failure = assert_failed(
                client.ask(Execute::new("INSERT INTO t VALUES (1, 1)")).await,
                FailureKind::Unavailable,
                Executed::No,
            );
            assert!(failure.code().unwrap().starts_with("1129"), "{failure}");
            assert_eq!((failure.is_transient(), failure.outcome()), (false, Outcome::Failure), "{failure}");
            assert!(!format!("{failure:?}").contains("canary"));
            assert_eq!(asked.get(), call);
        }
    });
}

#[test]
fn rows_that_this_server_does_not_raise_mean_what_the_table_says_end_to_end() {
    lane(async {
        let server = MariaDb::shared().unwrap();
        let meddler = Meddler::start(server.address().unwrap()).await;
        let db = Db::behind(server, meddler.address).await;
        db.make_table();
        let read = || QueryAs::<i64>::new("SELECT 1");
        let insert = |id: i64| Execute::new("INSERT INTO t VALUES (?, ?)").bind(id).bind(id);
        db.ask(insert(0)).await.unwrap();
        let rows = [
            (
                1615,
                "HY000",
                "Prepared statement needs to be re-prepared",
                FailureKind::Aborted,
                Executed::No,
                true,
            ),
            (
                3024,
                "HY000",
                "maximum statement execution time exceeded",
                FailureKind::Timeout,
                Executed::No,
                false,
            ),
            // we never send what is larger than the server said it takes
            (
                1153,
                "08S01",
                "Got a packet bigger than 'max_allowed_packet' bytes",
                FailureKind::TooLarge,
                Executed::No,
                false,
            ),
            (
                4031,
                "HY000",
                "disconnected by the server because of inactivity",
                FailureKind::Lost,
                Executed::Unknown,
                true,
            ),
        ];
        for (id, (code, state, text, kind, executed, transient)) in (1..).zip(rows) {
            // prepared already, so that the next packet is the answer to the execution
            db.ask(insert(id * 100)).await.unwrap();
            meddler.arm(0, Trick::Replace(error(code, state, text)));
            let failure = assert_failed(db.ask(insert(id)).await, kind, executed);
            assert!(meddler.is_done());
            assert!(failure.code().unwrap().starts_with(&code.to_string()), "{failure}");
            assert_eq!(failure.is_transient(), transient, "{failure}");
            assert_eq!(db.ask(read()).await.unwrap(), [1], "after {code}");
        }
    });
}

#[test]
fn a_time_limit_of_the_server_stops_the_statement_alone() {
    lane(async {
        let settings = vec![("max-statement-time".to_owned(), "0.2".to_owned())];
        let server = MariaDb::start(MariaDbSetup { settings, ..MariaDbSetup::default() }).unwrap();
        let db = Db::on(&server, |options| options.pool_size(1)).await;
        db.make_table();
        let endless = "SELECT count(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b";
        let failure = assert_failed(db.ask(Query::new(endless)).await, FailureKind::Timeout, Executed::No);
        assert!(failure.code().unwrap().starts_with("1969") && !failure.is_transient(), "{failure}");
        let both =
            Transaction::new().then(Request::new("INSERT INTO t VALUES (1, 1)")).then(Request::new(endless));
        let failure = assert_failed(db.ask(both).await, FailureKind::Timeout, Executed::No);
        assert!(failure.code().unwrap().starts_with("1969"), "{failure}");
        assert_eq!(db.ids().await, Vec::<i64>::new());
    });
}

#[test]
fn my7_a_packet_too_large_for_the_server_is_refused_and_the_next_call_works() {
    lane(async {
        let settings = vec![("max-allowed-packet".to_owned(), "1M".to_owned())];
        let server = MariaDb::start(MariaDbSetup { settings, ..MariaDbSetup::default() }).unwrap();
        let db = Db::on(&server, |options| options.pool_size(2)).await;
        db.database.sql("CREATE TABLE b (v LONGBLOB) ENGINE = InnoDB;").unwrap();
        let insert = |bytes: usize| Execute::new("INSERT INTO b VALUES (?)").bind(vec![7_u8; bytes]);
        db.ask(insert(500_000)).await.unwrap();
        // a little past the limit, several packets, and more than one packet can carry
        for bytes in [1_100_000, 5_000_000, 20_000_000] {
            let began = clock::now();
            let failure = db.ask(insert(bytes)).await.unwrap_err().failure();
            println!("{bytes}: {failure}");
            assert_eq!(
                (failure.kind(), failure.executed()),
                (FailureKind::TooLarge, Executed::No),
                "{bytes}: {failure}"
            );
            assert!(!failure.is_transient() && began.elapsed() < LONG / 4, "{failure}");
            assert_eq!(db.ask(QueryAs::<i64>::new("SELECT count(*) FROM b")).await.unwrap(), [1]);
        }
        until("an idle pool", async || {
            use backstop_core::backend::Backend as _;
            db.lane.pool().active == 0
        })
        .await;
    });
}
