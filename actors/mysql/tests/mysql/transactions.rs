//! Lists of statements: all or nothing, and nothing that commits by itself.

use backstop_core::error::{Executed, FailureKind};
use backstop_mysql::sql::{Isolation, QueryAs, Request, Transaction, TxOptions, Value};

use crate::support::{Db, assert_failed, lane};

fn insert(id: i64) -> Request {
    Request::with_params("INSERT INTO t VALUES (?, ?)", (id, id))
}

#[test]
fn a_list_commits_as_a_whole_and_answers_each_statement() {
    lane(async {
        let db = Db::with_table().await;
        let list = Transaction::new()
            .then(insert(1))
            .then(insert(2))
            .then(Request::new("SELECT count(*) FROM t"))
            .then(Request::new("UPDATE t SET v = v + 10"));
        let replies = db.ask(list).await.unwrap();
        assert_eq!(replies.iter().map(|reply| reply.affected).collect::<Vec<_>>(), [1, 1, 0, 2]);
        assert_eq!(replies[2].rows.as_ref().unwrap().get(0).unwrap()[0].as_int(), Some(2));
        assert_eq!(db.ids().await, [1, 2]);
    });
}

#[test]
fn a_list_that_fails_leaves_nothing_and_names_the_statement() {
    lane(async {
        let db = Db::with_table().await;
        let list = Transaction::new().then(insert(1)).then(insert(2)).then(insert(1));
        let failure = assert_failed(db.ask(list).await, FailureKind::Conflict, Executed::No);
        assert!(failure.message().starts_with("statement 2: "), "{failure}");
        assert_eq!(failure.code(), Some("1062/23000"));
        assert!(db.ids().await.is_empty());
        // the connection is clean again, and serves on
        db.ask(Transaction::new().then(insert(1))).await.unwrap();
        assert_eq!(db.ids().await, [1]);
    });
}

#[test]
fn a_change_of_the_schema_inside_a_list_is_refused_before_anything_runs() {
    lane(async {
        let db = Db::with_table().await;
        for sql in ["CREATE TABLE u (a int)", "TRUNCATE t", "CALL p()", "RENAME TABLE t TO u"] {
            let list = Transaction::new().then(insert(1)).then(Request::new(sql));
            let failure = assert_failed(db.ask(list).await, FailureKind::Refused, Executed::No);
            assert!(failure.message().starts_with("statement 1: "), "{failure}");
        }
        assert!(db.ids().await.is_empty());
    });
}

#[test]
fn the_options_of_a_transaction_hold_for_it_alone() {
    lane(async {
        let db = Db::with_table().await;
        let level = "SELECT trx_isolation_level FROM information_schema.innodb_trx \
                     WHERE trx_mysql_thread_id = CONNECTION_ID()";
        let list = |options: Option<TxOptions>| {
            // the server shows its transactions from a copy that is a tenth of a second old
            let list = Transaction::new()
                .then(Request::new("SELECT * FROM t"))
                .then(Request::new("SELECT SLEEP(0.15)"))
                .then(Request::new(level));
            options.map_or(list.clone(), |options| list.with_options(options))
        };
        let told = async |options| {
            let replies = db.ask(list(options)).await.unwrap();
            let rows = replies[2].rows.clone().unwrap();
            rows.get(0).unwrap()[0].as_text().unwrap().to_owned()
        };
        let usual = told(None).await;
        for (isolation, name) in
            [(Isolation::Serializable, "SERIALIZABLE"), (Isolation::ReadCommitted, "READ COMMITTED")]
        {
            assert_eq!(told(Some(TxOptions::new().isolation(isolation))).await, name);
        }
        assert_eq!(told(None).await, usual);

        let reader = Transaction::new().then(insert(1)).with_options(TxOptions::new().read_only());
        assert_failed(db.ask(reader).await, FailureKind::Refused, Executed::No);
        db.ask(Transaction::new().then(insert(1))).await.unwrap();
        let wait = QueryAs::<i64>::new("SELECT @@innodb_lock_wait_timeout");
        let usual = db.ask(wait.clone()).await.unwrap();
        let options = TxOptions::new().lock_timeout(std::time::Duration::from_millis(1_500));
        let list = Transaction::new().then(Request::new("SELECT @@innodb_lock_wait_timeout"));
        let replies = db.ask(list.with_options(options)).await.unwrap();
        assert_eq!(replies[0].rows.as_ref().unwrap().get(0).unwrap()[0], Value::UInt(2));
        assert_eq!(db.ask(wait).await.unwrap(), usual);
    });
}
