//! Look-ups of many by the key of a unique column.

use backstop_postgres::sql::{Rows, Value, crud::SelectOne};
use futures_util::future::join_all;

use crate::{
    merges::look_up,
    seen::seen,
    support::{Db, lane},
};

/// How often a list of keys was asked for at once, by the statement for unique columns.
fn lists(db: &Db<'_>) -> u64 {
    let statements = seen(db).statements(usize::MAX);
    statements
        .iter()
        .filter(|statement| statement.sql.as_str().contains("= ANY"))
        .map(|statement| statement.calls())
        .sum()
}

async fn alone(db: &Db<'_>, table: &str, key: &Value) -> Rows {
    let query = format!("SELECT * FROM {table} WHERE k = $1 LIMIT 1");
    db.ask(backstop_postgres::sql::Query::new(query).bind(key.clone())).await.unwrap()
}

#[test]
fn each_has_its_own_row_however_often_a_key_is_asked_for() {
    let uuid = |n: u128| Value::Uuid(uuid::Uuid::from_u128(n));
    let types: [(&str, &str, [Value; 3]); 5] = [
        ("int2", "-1, 2", [(-1).into(), 2.into(), 3.into()]),
        ("int4", "1, 2147483647", [1.into(), 2_147_483_647.into(), 3.into()]),
        ("int8", "1, 9007199254740993", [1.into(), 9_007_199_254_740_993_i64.into(), 3.into()]),
        (
            "uuid",
            "'00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002'",
            [uuid(1), uuid(2), uuid(3)],
        ),
        ("bytea", "'\\x00', '\\x00ff'", [vec![0_u8].into(), vec![0_u8, 255].into(), Vec::<u8>::new().into()]),
    ];
    lane(async {
        let db = Db::new().await;
        for (at, (ty, rows, keys)) in types.into_iter().enumerate() {
            let table = format!("t{at}");
            let values = rows.replace(", ", "), (");
            let sql = format!(
                "CREATE TABLE {table} (note text DEFAULT 'kept', k {ty} PRIMARY KEY); INSERT INTO {table} (k) VALUES ({values});"
            );
            db.database.sql(&sql).unwrap();
            let before = lists(&db);
            let many: Vec<Value> = keys.iter().cycle().take(90).cloned().collect();
            let found = look_up(&db, &table, "k", &many, true).await;
            assert!(lists(&db) > before, "{ty}: {:?}", seen(&db).statements(usize::MAX));
            let single = join_all(keys.iter().map(|key| alone(&db, &table, key))).await;
            for (place, rows) in found.iter().enumerate() {
                assert_eq!(rows, &single[place % 3], "{ty} {:?}", many[place]);
            }
            assert_eq!((single[0].len(), single[1].len(), single[2].len()), (1, 1, 0), "{ty}");
        }
    });
}

#[test]
fn a_key_in_another_form_is_found_too() {
    lane(async {
        let db = Db::new().await;
        let id = |n: u8| format!("00000000-0000-0000-0000-00000000000{n}");
        db.run("CREATE TABLE t (k uuid PRIMARY KEY, n int)").await;
        db.run(format!("INSERT INTO t VALUES ('{}', 1), ('{}', 2)", id(1), id(2))).await;
        let exact: Vec<Value> = (1..=3).map(|n| Value::Uuid(id(n).parse().unwrap())).collect();
        let text: Vec<Value> = (1..=3).map(|n| Value::Text(id(n))).collect();
        for keys in [&exact, &text, &exact] {
            let many: Vec<Value> = keys.iter().cycle().take(60).cloned().collect();
            for (place, rows) in look_up(&db, "t", "k", &many, true).await.iter().enumerate() {
                let n = rows.get(0).map(|row| row.get("n").unwrap().as_int().unwrap());
                assert_eq!(n, [Some(1), Some(2), None][place % 3]);
            }
        }
        assert!(lists(&db) > 0);
    });
}

#[test]
fn a_column_that_another_client_makes_ambiguous_still_gives_one_row_each() {
    lane(async {
        let db = Db::new().await;
        db.run("CREATE TABLE t (k int PRIMARY KEY, n int)").await;
        db.run("INSERT INTO t SELECT g, g FROM generate_series(1, 40) g").await;
        let keys: Vec<Value> = (1..=40_i64).map(Value::Int).collect();
        look_up(&db, "t", "k", &keys, true).await;
        assert!(lists(&db) > 0);
        // past the backend, which learns of it from the rows alone
        db.database
            .sql("ALTER TABLE t DROP CONSTRAINT t_pkey; INSERT INTO t SELECT k, n + 100 FROM t;")
            .unwrap();
        let found = look_up(&db, "t", "k", &keys, true).await;
        for (key, rows) in keys.iter().zip(&found) {
            let key = key.as_int().unwrap();
            let n = rows.get(0).unwrap().get("n").unwrap().as_int().unwrap();
            assert!(rows.len() == 1 && (n == key || n == key + 100), "{key}: {rows:?}");
        }
        let before = lists(&db);
        look_up(&db, "t", "k", &keys, true).await;
        assert_eq!(lists(&db), before, "it is not taken for unique any more");
    });
}

#[test]
fn what_is_unique_in_a_part_only_is_asked_for_one_key_at_a_time() {
    lane(async {
        let db = Db::new().await;
        for sql in [
            // the rows of a table that inherits are under no index of its parent
            "CREATE TABLE parent (k int PRIMARY KEY, n int)",
            "CREATE TABLE child (PRIMARY KEY (k)) INHERITS (parent)",
            "INSERT INTO parent SELECT g, g FROM generate_series(1, 20) g",
            "INSERT INTO child SELECT g, g FROM generate_series(11, 40) g",
            "CREATE TABLE partial (k int, n int)",
            "CREATE UNIQUE INDEX ON partial (k) WHERE n > 0",
            "INSERT INTO partial SELECT g, 0 FROM generate_series(1, 40) g, generate_series(1, 2)",
            "CREATE TABLE pair (k int, n int, UNIQUE (k, n))",
            "INSERT INTO pair SELECT g, h FROM generate_series(1, 40) g, generate_series(1, 2) h",
            "CREATE TABLE later (k int UNIQUE DEFERRABLE, n int)",
            "INSERT INTO later SELECT g, g FROM generate_series(1, 40) g",
            "CREATE TABLE wide (k int PRIMARY KEY, n int)",
            "INSERT INTO wide SELECT g, g FROM generate_series(1, 40) g",
            "CREATE VIEW v AS SELECT * FROM wide",
        ] {
            db.run(sql).await;
        }
        let keys: Vec<Value> = (1..=40_i64).map(Value::Int).collect();
        for table in ["parent", "partial", "pair", "later", "v"] {
            let found = look_up(&db, table, "k", &keys, true).await;
            for (key, rows) in keys.iter().zip(&found) {
                assert_eq!((rows.len(), rows.get(0).unwrap().get("k")), (1, Some(key)), "{table}");
            }
            assert_eq!(lists(&db), 0, "{table}");
        }
        let asked = keys.iter().map(|key| db.ask(SelectOne::new("wide", ("k", key.clone())).columns(["n"])));
        for (key, rows) in keys.iter().zip(join_all(asked).await) {
            let rows = rows.unwrap();
            assert_eq!((rows.columns().len(), &rows.get(0).unwrap()[0]), (1, key));
        }
    });
}
