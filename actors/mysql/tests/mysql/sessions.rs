//! What one call leaves in a session never reaches the next one, and a read never writes.

use backstop_core::{
    backend::Backend as _,
    error::{Executed, FailureKind},
    outcome::Outcome,
};
use backstop_mysql::{
    MySqlOptions,
    sql::{Execute, Query, QueryAs},
};
use backstop_testkit::server::{MariaDb, MariaDbSetup};

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

/// What a session could keep: a variable, its modes, its isolation, an open transaction, its database.
type Kept = (Option<i64>, String, String, String, i64, Option<String>);

const KEPT: &str = "SELECT @left, @@sql_mode, @@time_zone, @@tx_isolation, @@in_transaction, \
                    IF(DATABASE() LIKE 'test\\_%', 'ours', DATABASE())";

#[test]
fn no_statement_changes_the_session_of_the_next_call() {
    let server = MariaDb::start(MariaDbSetup::default()).unwrap();
    lane(async {
        let db = Db::on(&server, |options| options.pool_size(1).max_overflow(0)).await;
        db.make_table();
        let kept = async || db.ask(QueryAs::<Kept>::new(KEPT)).await.unwrap();
        let before = kept().await;
        for sql in [
            "SET @left = 7",
            "SET SESSION sql_mode = ''",
            "SET ROLE NONE",
            "SET STATEMENT sql_mode = '' FOR SELECT 1",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "USE mysql",
            "BEGIN",
            "START TRANSACTION",
            "XA START 'x'",
            "BEGIN NOT ATOMIC SET @left = 7; END",
            "IF 1 THEN SET @left = 7; END IF",
            "EXECUTE IMMEDIATE 'SET @left = 7'",
            "PREPARE p FROM 'SELECT 1'",
            "LOCK TABLES t READ",
            "HANDLER t OPEN",
            "FLUSH TABLES WITH READ LOCK",
            "BACKUP STAGE START",
            "BACKUP LOCK t",
            "SELECT GET_LOCK('name', 0)",
            "SELECT @left := 7",
            "SELECT 7 INTO @left",
            "INSERT INTO t SELECT seq, @left := seq FROM seq_1_to_3",
            "CREATE TEMPORARY TABLE t (other INT)",
            "CREATE TEMPORARY TABLE u (other INT)",
        ] {
            // refused or done: either way it is over with its call
            let _ = db.ask(Execute::new(sql)).await;
            until("no lock", async || server.sql("SELECT IS_FREE_LOCK('name');").unwrap() == "1").await;
            assert_eq!(kept().await, before, "{sql}");
            db.database.sql("DELETE FROM t; INSERT INTO t VALUES (1, 1);").unwrap();
            assert_eq!(db.ids().await, [1], "{sql}");
        }
        assert_eq!(db.lane.pool().created_total, 1);
    });
}

#[test]
fn what_triggers_and_functions_leave_ends_with_their_call_where_every_session_is_reset() {
    lane(async {
        let one = |options: MySqlOptions| options.pool_size(1).max_overflow(0);
        for always in [true, false] {
            let db = Db::with(|options| one(options).reset_always(always)).await;
            db.make_table();
            let trigger = "CREATE TRIGGER note AFTER INSERT ON t FOR EACH ROW SET @left = NEW.id;";
            db.database.sql(trigger).unwrap();
            db.ask(Execute::new("INSERT INTO t VALUES (7, 7)")).await.unwrap();
            let left = db.ask(QueryAs::<Option<i64>>::new("SELECT @left")).await.unwrap();
            // without it nothing in the text told of the variable
            assert_eq!(left, [if always { None } else { Some(7) }]);
            assert_eq!(db.lane.pool().created_total, 1);
        }
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
