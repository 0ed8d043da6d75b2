//! Messages of one shape that share a statement.

use std::{cell::Cell, collections::HashSet, rc::Rc, time::Duration};

use backstop_core::error::{Executed, FailureKind};
use backstop_postgres::sql::{
    Rows, Value,
    crud::{InsertOne, SelectOne},
};
use futures_util::future::{join_all, poll_immediate};

use crate::support::{Db, LONG, ask, lane, until};

/// Asks for many keys at once, until the lane has learned that the look-up is quick; on a busy machine that takes a
/// while. What is never asked for together is asked for in ten rounds.
pub(crate) async fn look_up(
    db: &Db<'_>,
    table: &str,
    column: &str,
    keys: &[Value],
    merges: bool,
) -> Vec<Rows> {
    let before = db.shared.snapshot().merged_total;
    let (mut last, mut rounds) = (Vec::new(), 0);
    until("look-ups of many", async || {
        for _ in 0..4 {
            db.ask(SelectOne::new(table, (column, keys[0].clone()))).await.unwrap();
        }
        let asked = keys.iter().map(|key| db.ask(SelectOne::new(table, (column, key.clone()))));
        last = join_all(asked).await.into_iter().map(Result::unwrap).collect();
        rounds += 1;
        if merges { db.shared.snapshot().merged_total > before + 20 } else { rounds > 9 }
    })
    .await;
    last
}

#[test]
pub(crate) fn each_look_up_has_its_own_row_and_a_key_that_is_not_there_has_none() {
    lane(async {
        let db = Db::new().await;
        db.run("CREATE TABLE t (id bigint PRIMARY KEY, name text)").await;
        db.run("INSERT INTO t SELECT n, 'name ' || n FROM generate_series(1, 500) n").await;
        let keys: Vec<Value> = (0..600_i64).map(|n| Value::Int(n * 7 % 550)).collect();
        let rows = look_up(&db, "t", "id", &keys, true).await;
        for (key, rows) in keys.iter().zip(&rows) {
            let key = key.as_int().unwrap();
            assert_eq!(rows.len(), usize::from((1..=500).contains(&key)), "{key}");
            if let Some(row) = rows.get(0) {
                assert_eq!(row.get("id").unwrap().as_int(), Some(key));
                assert_eq!(row.get("name"), Some(&Value::Text(format!("name {key}"))));
                assert_eq!(rows.columns().len(), 2);
            }
        }
        let snapshot = db.shared.snapshot();
        assert_eq!((snapshot.active, snapshot.cancels_total), (0, 0), "{snapshot:?}");
    });
}

#[test]
fn messages_on_a_table_with_its_schema_share_statements_and_never_reach_one_of_its_name() {
    lane(async {
        let db = Db::new().await;
        for schema in ["public", "shop"] {
            db.run(format!("CREATE SCHEMA IF NOT EXISTS {schema}")).await;
            db.run(format!("CREATE TABLE {schema}.t (id bigint PRIMARY KEY, name text)")).await;
        }
        let (mut rows, before) = (0_i64, db.shared.snapshot().merged_total);
        until("inserts of many", async || {
            let inserts = (rows..rows + 100).map(|id| {
                db.ask(InsertOne::new("shop.t", (("id", id), ("name", format!("name {id}")))).without_id())
            });
            join_all(inserts).await.into_iter().for_each(|inserted| drop(inserted.unwrap()));
            rows += 100;
            db.shared.snapshot().merged_total > before + 20
        })
        .await;
        assert_eq!(db.int("SELECT count(*) FROM public.t").await, 0);
        assert_eq!(db.int("SELECT count(*) FROM shop.t").await, rows);
        let keys: Vec<Value> = (0..100_i64).map(Value::Int).collect();
        for (key, found) in keys.iter().zip(look_up(&db, "shop.t", "id", &keys, true).await) {
            let name = found.get(0).unwrap().get("name").cloned();
            assert_eq!(name, Some(Value::Text(format!("name {}", key.as_int().unwrap()))));
        }
        assert!(look_up(&db, "t", "id", &keys, true).await.iter().all(Rows::is_empty));
    });
}

#[test]
fn keys_of_every_type_find_what_they_find_by_themselves() {
    let types: [(&str, &str, [Value; 3]); 12] = [
        ("int2", "1, 2", [1.into(), 2.into(), 3.into()]),
        ("int4", "1, 2", [1.into(), 2.into(), 3.into()]),
        ("int8", "1, 9007199254740993", [1.into(), 9_007_199_254_740_993_i64.into(), 3.into()]),
        ("text", "'a', 'A'", ["a".into(), "A".into(), "b".into()]),
        ("varchar(9)", "'a', ' a'", ["a".into(), " a".into(), "a ".into()]),
        // spaces at the end do not count there
        ("char(4)", "'a', 'ab'", ["a".into(), "ab ".into(), "b".into()]),
        ("numeric(9,2)", "1.0, 2.50", [Value::Decimal("1".into()), Value::Decimal("2.5".into()), 3.into()]),
        (
            "uuid",
            "'00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002'",
            [
                "00000000-0000-0000-0000-000000000001".into(),
                "00000000-0000-0000-0000-000000000002".into(),
                "00000000-0000-0000-0000-000000000003".into(),
            ],
        ),
        ("bytea", "'\\x00', '\\x00ff'", [vec![0_u8].into(), vec![0_u8, 255].into(), Vec::<u8>::new().into()]),
        (
            "date",
            "'2024-02-29', '1999-12-31'",
            ["2024-02-29".into(), "1999-12-31".into(), "2001-01-01".into()],
        ),
        (
            "timestamptz",
            "'2024-02-29 12:00+00', '1999-12-31 00:00+01'",
            ["2024-02-29T12:00:00Z".into(), "1999-12-30T23:00:00Z".into(), "2001-01-01T00:00:00Z".into()],
        ),
        ("mood", "'glad', 'sad'", ["glad".into(), "sad".into(), "flat".into()]),
    ];
    lane(async {
        let db = Db::new().await;
        db.run("CREATE TYPE mood AS ENUM ('sad', 'flat', 'glad')").await;
        for (at, (ty, rows, keys)) in types.into_iter().enumerate() {
            let table = format!("t{at}");
            let values = rows.replace(", ", "), (");
            db.database
                .sql(&format!("CREATE TABLE {table} (k {ty}); INSERT INTO {table} VALUES ({values});"))
                .unwrap();
            let many: Vec<Value> = keys.iter().cycle().take(60).cloned().collect();
            let before = db.shared.snapshot().merged_total;
            let found = look_up(&db, &table, "k", &many, ty != "mood").await;
            let alone = join_all(keys.iter().map(|key| {
                let query = format!("SELECT * FROM {table} WHERE k = $1 LIMIT 1");
                db.ask(backstop_postgres::sql::Query::new(query).bind(key.clone()))
            }));
            let alone: Vec<Rows> = alone.await.into_iter().map(Result::unwrap).collect();
            for (place, rows) in found.iter().enumerate() {
                assert_eq!(rows, &alone[place % 3], "{ty} {:?}", many[place]);
            }
            assert_eq!((alone[0].len(), alone[1].len(), alone[2].len()), (1, 1, 0), "{ty}");
            // a type of the user's own is asked for one by one
            assert_eq!(db.shared.snapshot().merged_total > before, ty != "mood", "{ty}");
        }
    });
}

#[test]
fn a_look_up_that_fails_fails_alone() {
    lane(async {
        let db = Db::new().await;
        db.run("CREATE TABLE base (id int)").await;
        db.run("INSERT INTO base SELECT generate_series(1, 50)").await;
        db.run("CREATE VIEW v AS SELECT id, 1 / (id - 33) AS q FROM base").await;
        let keys: Vec<Value> = (1..=50_i64).map(Value::Int).collect();
        for _ in 0..4 {
            db.ask(SelectOne::new("v", ("id", 1))).await.unwrap();
        }
        let ends = join_all(keys.iter().map(|key| db.ask(SelectOne::new("v", ("id", key.clone()))))).await;
        for (key, end) in keys.iter().zip(ends) {
            match end {
                Ok(rows) => assert_eq!(rows.get(0).unwrap()[0], *key),
                Err(end) => {
                    assert_eq!(key.as_int(), Some(33));
                    assert_eq!(end.failure().code(), Some("22012"));
                }
            }
        }
    });
}

async fn table_of_rows() -> Rc<Db<'static>> {
    let db = Rc::new(Db::new().await);
    db.run("CREATE TABLE t (id bigint PRIMARY KEY, name varchar(20), at timestamptz DEFAULT now())").await;
    db
}

fn row(id: i64) -> InsertOne {
    InsertOne::new("t", (("id", id), ("name", format!("name {id}")))).without_id()
}

#[test]
fn inserts_share_statements_and_each_is_told_of_its_own_row() {
    lane(async {
        let db = table_of_rows().await;
        db.ask(row(100)).await.unwrap();
        let ends = join_all((0..200_i64).map(|id| db.ask(row(id)))).await;
        for (id, end) in ends.into_iter().enumerate() {
            match end {
                Ok(inserted) => assert_eq!((inserted.written.affected, inserted.id), (1, None)),
                Err(end) => {
                    let failure = end.failure();
                    assert_eq!(
                        (id, failure.kind(), failure.executed()),
                        (100, FailureKind::Conflict, Executed::No)
                    );
                }
            }
        }
        assert_eq!(db.int("SELECT count(*) FROM t WHERE name = 'name ' || id AND at IS NOT NULL").await, 200);
        // all of the second kind come through
        join_all((1_000..1_300_i64).map(|id| db.ask(row(id)))).await.into_iter().for_each(|end| {
            assert_eq!(end.unwrap().written.affected, 1);
        });
        assert_eq!(db.int("SELECT count(*) FROM t").await, 500);
        let snapshot = db.shared.snapshot();
        assert!(snapshot.merged_total > 250, "{snapshot:?}");
    });
}

#[test]
fn a_value_that_does_not_fit_fails_alone() {
    lane(async {
        let db = table_of_rows().await;
        let rows = (0..60_i64).map(|id| {
            let name = if id == 7 { "x".repeat(21) } else { "fits".to_owned() };
            let id = if id == 9 { Value::Text("nine".into()) } else { Value::Int(id) };
            db.ask(InsertOne::new("t", (("id", id), ("name", name))).without_id())
        });
        for (id, end) in join_all(rows).await.into_iter().enumerate() {
            assert_eq!(end.is_err(), id == 7 || id == 9, "{id}: {end:?}");
        }
        assert_eq!(db.int("SELECT count(*) FROM t").await, 58);
    });
}

#[test]
fn an_insert_that_waits_for_another_transaction_holds_up_no_other() {
    lane(async {
        let db = table_of_rows().await;
        db.ask(row(-1)).await.unwrap();
        let (held, release) = (Rc::new(tokio::sync::Notify::new()), Rc::new(tokio::sync::Notify::new()));
        let holder = {
            let (held, release) = (Rc::clone(&held), Rc::clone(&release));
            let transaction = backstop_postgres::sql::Transaction::from_iter([
                backstop_postgres::sql::Request::new("INSERT INTO t VALUES (5, 'held')"),
                backstop_postgres::sql::Request::new("SELECT pg_sleep(2)"),
            ]);
            let call = db.start(LONG, transaction);
            tokio::task::spawn_local(async move {
                held.notify_one();
                let ended = call.await.unwrap();
                release.notify_one();
                ended.unwrap();
            })
        };
        held.notified().await;
        db.until_session("wait_event = 'PgSleep'").await;
        let blocked = db.start(LONG, row(5));
        let others = join_all((10..60_i64).map(|id| db.ask(row(id)))).await;
        others.into_iter().for_each(|end| assert_eq!(end.unwrap().written.affected, 1));
        assert!(!holder.is_finished() && !blocked.is_finished(), "the others waited for the one that waits");
        holder.await.unwrap();
        let failure = blocked.await.unwrap().unwrap_err().failure();
        assert_eq!((failure.kind(), failure.executed()), (FailureKind::Conflict, Executed::No), "{failure}");
        assert_eq!(db.int("SELECT count(*) FROM t").await, 52);
    });
}

#[test]
fn tables_whose_triggers_count_statements_or_leave_rows_out_get_one_insert_each() {
    lane(async {
        let db = table_of_rows().await;
        db.run("CREATE TABLE statements (n int)").await;
        db.run("CREATE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO statements VALUES (1); RETURN NULL; END'").await;
        db.run("CREATE TRIGGER counted AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION count_it()")
            .await;
        join_all((0..40_i64).map(|id| db.ask(row(id)))).await.into_iter().for_each(|end| {
            assert_eq!(end.unwrap().written.affected, 1);
        });
        assert_eq!(db.int("SELECT count(*) FROM statements").await, 40);
        db.run("CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.id % 2 = 0 THEN RETURN NULL; END IF; RETURN NEW; END'").await;
        db.run("CREATE TRIGGER left_out BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION leave_out()").await;
        for (id, end) in join_all((100..140_i64).map(|id| db.ask(row(id)))).await.into_iter().enumerate() {
            assert_eq!(end.unwrap().written.affected, u64::from(id % 2 == 1));
        }
        assert_eq!(db.int("SELECT count(*) FROM t").await, 60);
        assert_eq!(db.shared.snapshot().merged_total, 0);
    });
}

/// Inserts many at once until a round tells what is waited for; each round has keys of its own.
async fn until_round(db: &Db<'_>, from: i64, what: &str, mut is_it: impl AsyncFnMut() -> bool) {
    let mut first = from;
    until(what, async || {
        first += 100;
        for end in join_all((first..first + 40).map(|id| db.ask(row(id)))).await {
            assert_eq!(end.unwrap().written.affected, 1);
        }
        is_it().await
    })
    .await;
}

#[test]
fn a_statement_trigger_of_another_client_is_seen_and_so_is_its_end() {
    lane(async {
        let db = table_of_rows().await;
        join_all((0..40_i64).map(|id| db.ask(row(id)))).await.into_iter().for_each(|end| drop(end.unwrap()));
        assert!(db.shared.snapshot().merged_total > 0, "the plan was not made");
        let trigger = "CREATE TABLE statements (n int); CREATE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql \
            AS 'BEGIN INSERT INTO statements VALUES (1); RETURN NULL; END'; CREATE TRIGGER counted AFTER INSERT ON t \
            FOR EACH STATEMENT EXECUTE FUNCTION count_it();";
        db.database.sql(trigger).unwrap();
        until_round(&db, 0, "one statement a row", async || {
            let seen = db.int("SELECT count(*) FROM statements").await == 40;
            db.database.sql("TRUNCATE statements;").unwrap();
            seen
        })
        .await;
        db.database.sql("DROP TRIGGER counted ON t;").unwrap();
        let before = db.shared.snapshot().merged_total;
        until_round(&db, 1_000_000, "statements of many", async || {
            db.shared.snapshot().merged_total > before
        })
        .await;
    });
}

#[test]
fn rows_that_a_trigger_of_another_client_leaves_out_are_told_once_and_then_one_by_one() {
    lane(async {
        let db = table_of_rows().await;
        join_all((0..40_i64).map(|id| db.ask(row(id)))).await.into_iter().for_each(|end| drop(end.unwrap()));
        assert!(db.shared.snapshot().merged_total > 0, "the plan was not made");
        let trigger = "CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.id % 2 = 0 THEN \
            RETURN NULL; END IF; RETURN NEW; END'; CREATE TRIGGER left_out BEFORE INSERT ON t FOR EACH ROW EXECUTE \
            FUNCTION leave_out();";
        db.database.sql(trigger).unwrap();
        let told = join_all((100..140_i64).map(|id| db.ask(row(id)))).await;
        // within the second that a look holds, the statement of many may have been the first to find out
        for end in told.into_iter().filter_map(Result::err) {
            assert_eq!(end.executed(), Executed::Unknown, "{end:?}");
        }
        for (id, end) in join_all((200..240_i64).map(|id| db.ask(row(id)))).await.into_iter().enumerate() {
            assert_eq!(end.unwrap().written.affected, u64::from(id % 2 == 1));
        }
    });
}

#[test]
fn who_leaves_before_the_statement_takes_the_row_along() {
    lane(async {
        let db = table_of_rows().await;
        db.ask(row(-1)).await.unwrap();
        let lane = Rc::clone(&db.lane);
        let is_sent = Rc::new(Cell::new(false));
        let first = db.start(LONG, row(1));
        tokio::task::yield_now().await;
        // the first one is under way, so these two wait for its end
        let (stays, leaves) = (row(2), row(3));
        let mut stays = Box::pin(ask(&*lane, &stays, LONG));
        let mut leaves = Box::pin(ask(&*lane, &leaves, LONG));
        assert!(poll_immediate(&mut stays).await.is_none());
        assert!(poll_immediate(&mut leaves).await.is_none());
        drop(leaves);
        first.await.unwrap().unwrap();
        stays.await.unwrap();
        is_sent.set(true);
        until("a settled pool", async || db.shared.snapshot().active == 0).await;
        assert_eq!(db.int("SELECT array_length(array_agg(id), 1) * 10 + max(id) FROM t").await, 32);
    });
}

#[test]
fn who_leaves_while_the_statement_waits_for_a_connection_takes_the_row_along() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        db.run("CREATE TABLE t (id bigint PRIMARY KEY, name varchar(20))").await;
        db.ask(row(-1)).await.unwrap();
        // the connection goes from the first insert to the sleep, and the statement of the two others waits for it
        let first = db.start(LONG, row(1));
        tokio::task::yield_now().await;
        let sleep = db.start(LONG, backstop_postgres::sql::Query::new("SELECT pg_sleep(0.6)"));
        let (leaves, stays) = (db.start(Duration::from_millis(100), row(2)), db.start(LONG, row(3)));
        first.await.unwrap().unwrap();
        let end = leaves.await.unwrap().unwrap_err();
        assert!(!sleep.is_finished(), "it left too late");
        assert_eq!(end.executed(), Executed::No, "{end:?}");
        assert_eq!(stays.await.unwrap().unwrap().written.affected, 1);
        sleep.await.unwrap().unwrap();
        assert_eq!(db.int("SELECT count(*) * 100 + max(id) FROM t WHERE id <> 2").await, 303);
        assert_eq!(db.int("SELECT count(*) FROM t WHERE id = 2").await, 0, "told `no`, and executed");
    });
}

#[test]
fn callers_of_one_statement_that_leave_it_change_nothing_for_those_who_stay() {
    lane(async {
        let db = table_of_rows().await;
        db.ask(row(-1)).await.unwrap();
        let mut told = HashSet::new();
        for round in 0..30_i64 {
            let rows: Vec<_> =
                (0..20_i64).map(|n| (round * 20 + n, db.start(LONG, row(round * 20 + n)))).collect();
            for _ in 0..round % 6 {
                tokio::task::yield_now().await;
            }
            for (id, insert) in rows {
                if id % 4 == 0 {
                    insert.abort();
                } else {
                    assert_eq!(insert.await.unwrap().unwrap().written.affected, 1);
                    told.insert(id);
                }
            }
        }
        until("a settled pool", async || db.shared.snapshot().active == 0).await;
        let there = db.database.sql("SELECT id FROM t WHERE id >= 0;").unwrap();
        let there: HashSet<i64> = there.lines().map(|id| id.parse().unwrap()).collect();
        assert!(told.is_subset(&there), "acknowledged and lost: {:?}", told.difference(&there));
    });
}

#[test]
fn a_group_that_cannot_have_a_connection_is_told_so() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        db.run("CREATE TABLE t (id bigint)").await;
        let insert = |id: i64| InsertOne::new("t", [("id", id)]).without_id();
        db.ask(insert(0)).await.unwrap();
        let busy = db.start(LONG, backstop_postgres::sql::Query::new("SELECT pg_sleep(20)"));
        db.until_session("wait_event = 'PgSleep'").await;
        let limit = Duration::from_millis(150);
        let ends = join_all((1..20_i64).map(|id| db.ask_in(limit, insert(id)))).await;
        for end in ends {
            assert_eq!(end.unwrap_err().executed(), Executed::No);
        }
        busy.abort();
        until("the connection", async || db.shared.snapshot().active == 0).await;
        assert_eq!(db.int("SELECT count(*) FROM t").await, 1);
    });
}
