//! Packets that are lost, swapped, cut or made up (MY6, MY8): never a wrong row, never a file.

use backstop_core::{
    backend::Backend as _,
    error::{Executed, FailureKind},
};
use backstop_mysql::sql::{Execute, QueryAs};
use backstop_testkit::server::MariaDb;

use crate::{
    meddler::{Meddler, Trick},
    support::{Db, End, SHORT, assert_failed, lane, until},
};

async fn behind_a_meddler() -> (Meddler, Db<'static>) {
    let server = MariaDb::shared().unwrap();
    let meddler = Meddler::start(server.address().unwrap()).await;
    let db = Db::behind(server, meddler.address).await;
    db.make_table();
    (meddler, db)
}

#[test]
fn my6_a_packet_that_is_swallowed_swapped_or_cut_never_makes_a_wrong_row() {
    lane(async {
        let (meddler, db) = behind_a_meddler().await;
        let read = || QueryAs::<(i64, i64)>::new("SELECT seq, seq * 10 FROM seq_1_to_5");
        let right: Vec<_> = (1..=5).map(|at| (at, at * 10)).collect();
        assert_eq!(db.ask(read()).await.unwrap(), right);
        let mut spoiled = 0;
        for trick in [Trick::Swallow, Trick::Swap, Trick::Cut] {
            // a head, two columns, five rows and the ends: a trick on each of them
            for nth in 0..9 {
                meddler.arm(nth, trick.clone());
                let result = db.ask_in(SHORT, read()).await;
                if !meddler.is_done() {
                    break;
                }
                match result {
                    Ok(rows) => assert_eq!(rows, right, "{trick:?} of packet {nth}"),
                    Err(End::Dropped { .. }) => spoiled += 1,
                    Err(End::Failed(failure)) => {
                        assert_eq!(failure.executed(), Executed::No, "{failure}");
                        spoiled += 1;
                    }
                }
                // whatever it was, the next call has its own answer
                assert_eq!(db.ask(read()).await.unwrap(), right, "after {trick:?} of packet {nth}");
            }
        }
        assert!(spoiled >= 20, "{spoiled} replies were spoiled");
        until("an idle pool", async || db.lane.pool().active == 0).await;
    });
}

#[test]
fn my6_a_write_whose_answer_is_spoiled_is_unknown_and_never_repeated() {
    lane(async {
        let (meddler, db) = behind_a_meddler().await;
        let insert = |id: i64| Execute::new("INSERT INTO t VALUES (?, ?)").bind(id).bind(id);
        db.ask(insert(0)).await.unwrap();
        for (id, trick) in [(1, Trick::Swallow), (2, Trick::Cut), (3, Trick::Replace(vec![0x7f, 1, 2]))] {
            meddler.arm(0, trick.clone());
            // a connection without the statement prepares it first, and the trick is then played there
            match db.ask_in(SHORT, insert(id)).await.unwrap_err() {
                End::Dropped { sent } => assert!(sent || !has(&db, id), "{trick:?}"),
                End::Failed(failure) if has(&db, id) => {
                    assert_eq!(failure.executed(), Executed::Unknown, "{failure}")
                }
                End::Failed(_) => {}
            }
            until("an idle pool", async || db.lane.pool().active == 0).await;
            db.ask(QueryAs::<i64>::new("SELECT 1")).await.unwrap();
        }
    });
}

fn has(db: &Db<'_>, id: i64) -> bool {
    db.database.sql(&format!("SELECT count(*) FROM t WHERE id = {id};")).unwrap() == "1"
}

#[test]
fn my8_a_server_that_asks_for_a_file_gets_none() {
    lane(async {
        let (meddler, db) = behind_a_meddler().await;
        let file = std::env::current_exe().unwrap();
        let secret = db.database.name().to_owned();
        let path = std::env::temp_dir().join(&secret);
        std::fs::write(&path, "the secret of this machine").unwrap();
        for asked in [path.clone(), file] {
            let read = || QueryAs::<i64>::new("SELECT 1");
            db.ask(read()).await.unwrap();
            let mut request = vec![0xfb];
            request.extend(asked.to_str().unwrap().as_bytes());
            meddler.arm(0, Trick::Replace(request));
            assert_failed(db.ask(read()).await, FailureKind::Protocol, Executed::No);
            assert!(meddler.is_done());
            let said = meddler.said();
            assert!(said.len() < 64, "the client said {} bytes", said.len());
            assert!(!String::from_utf8_lossy(&said).contains("secret"));
            db.ask(read()).await.unwrap();
        }
        std::fs::remove_file(path).unwrap();
    });
}
