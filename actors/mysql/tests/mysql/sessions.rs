//! What one call leaves in a session never reaches the next one, and a read never writes.

use backstop_core::{
    backend::Backend as _,
    error::{Executed, FailureKind},
    outcome::Outcome,
};
use backstop_mysql::sql::{Execute, Query, QueryAs};

use crate::support::{Db, assert_failed, lane, until};

#[test]
fn variables_locks_and_temporary_tables_end_with_their_call() {
    lane(async {
        let db = Db::with(|options| options.pool_size(1).max_overflow(0)).await;
        db.ask(Query::new("SELECT @left := 7")).await.unwrap();
        let rows = db.ask(QueryAs::<Option<i64>>::new("SELECT @left")).await.unwrap();
        assert_eq!(rows, [None]);
        db.ask(Query::new("SELECT GET_LOCK('name', 1)")).await.unwrap();
        until("a free lock", async || db.database.sql("SELECT IS_FREE_LOCK('name');").unwrap() == "1").await;
        db.run("CREATE TEMPORARY TABLE temp (a int)").await;
        let failure = db.ask(Execute::new("INSERT INTO temp VALUES (1)")).await;
        assert_failed(failure, FailureKind::Refused, Executed::No);
        // all of it on one connection, which was reset and not replaced
        assert_eq!(db.lane.pool().created_total, 1);
        let zone = db.ask(QueryAs::<String>::new("SELECT @@session.time_zone")).await.unwrap();
        assert_eq!(zone, ["+00:00"]);
    });
}

#[test]
fn a_read_cannot_write_whatever_hides_in_it() {
    lane(async {
        let db = Db::with_table().await;
        let function = "CREATE FUNCTION sneaky() RETURNS INT MODIFIES SQL DATA BEGIN \
                        INSERT INTO t VALUES (1, 1); RETURN 1; END";
        // a body with semicolons is one statement to the server, and more to our tokenizer and to the client
        db.database.sql(&format!("DELIMITER $$\n{function}$$\nDELIMITER ;\n")).unwrap();
        for sql in [
            "INSERT INTO t VALUES (1, 1)",
            "INSERT INTO t VALUES (1, 1) RETURNING id",
            "DELETE FROM t",
            "SELECT sneaky()",
            "SELECT * FROM t FOR UPDATE",
            "DROP TABLE t",
            "SELECT 1 INTO @v",
            "DO SLEEP(0)",
            "CREATE TEMPORARY TABLE temp (a int)",
        ] {
            let failure = assert_failed(db.ask(Query::new(sql)).await, FailureKind::Refused, Executed::No);
            assert_eq!(failure.code(), Some("not_a_read"), "{sql}: {failure}");
            assert_eq!(failure.outcome(), Outcome::NotCounted, "{sql}");
        }
        assert!(db.ids().await.is_empty());
        // as a write it works
        db.ask(Execute::new("SELECT sneaky()")).await.unwrap();
        assert_eq!(db.ids().await, [1]);
    });
}

#[test]
fn reads_of_every_kind_return_rows() {
    lane(async {
        let db = Db::with_table().await;
        for sql in [
            "SELECT 1",
            "(SELECT 1) UNION (SELECT 2)",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "VALUES (1), (2)",
            "SHOW TABLES",
            "EXPLAIN SELECT * FROM t",
        ] {
            db.ask(Query::new(sql)).await.unwrap_or_else(|end| panic!("{sql}: {end:?}"));
        }
    });
}

#[test]
fn a_write_tells_matched_rows_the_id_of_a_single_row_and_what_it_returns() {
    lane(async {
        let db = Db::new().await;
        db.run("CREATE TABLE n (id INT AUTO_INCREMENT PRIMARY KEY, v INT)").await;
        let written = db.ask(Execute::new("INSERT INTO n(v) VALUES (5)")).await.unwrap();
        assert_eq!((written.affected, written.last_insert_id), (1, Some(1)));
        let written = db.ask(Execute::new("INSERT INTO n(v) VALUES (6), (7)")).await.unwrap();
        assert_eq!((written.affected, written.last_insert_id), (2, None));
        // a row that has the value already is matched, as on the other engines
        let written = db.ask(Execute::new("UPDATE n SET v = 5 WHERE id = 1")).await.unwrap();
        assert_eq!((written.affected, written.last_insert_id), (1, None));
        let written = db.ask(Execute::new("INSERT INTO n(v) VALUES (8), (9) RETURNING id")).await.unwrap();
        assert_eq!((written.affected, written.rows.unwrap().len()), (2, 2));
    });
}

#[test]
fn a_statement_for_which_there_is_no_prepared_form_is_refused_in_words() {
    lane(async {
        let db = Db::new().await;
        for sql in
            ["SELECT 1; SELECT 2", "SET GLOBAL a = 1", "LOAD DATA LOCAL INFILE 'x' INTO TABLE t", "BEGIN"]
        {
            let failure = assert_failed(db.ask(Execute::new(sql)).await, FailureKind::Refused, Executed::No);
            assert_eq!(failure.outcome(), Outcome::NotCounted, "{failure}");
        }
    });
}
