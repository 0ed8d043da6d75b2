//! Answers with a cache key, and the writes that make them stale.

use std::rc::Rc;

use backstop_core::{error::Executed, operation::Wire as _};
use backstop_sqlite::{
    Sqlite,
    sql::{
        Execute,
        crud::{Filter, InsertOne, SelectOne, UpdateOne},
    },
};
use backstop_testkit::sql::Guarded;
use serde_json::json;

use crate::support::{Db, lane};

type Users = Guarded<Db>;

#[test]
fn a_cache_key_keeps_an_answer_until_one_of_its_tags_is_dropped() {
    lane(async {
        let users = Users::new().await;
        assert_eq!(users.age().await, 36);
        users.change(40).await;
        assert_eq!(users.age().await, 36, "the answer was not kept");
        for (age, tag) in [(40, "user:1"), (41, "ages"), (42, "table:users")] {
            users.change(age).await;
            users.guard.invalidate_tag(tag);
            assert_eq!(users.age().await, age, "{tag}");
        }
        // the same key on another statement or value is another answer
        let other = SelectOne::new("users", ("id", 3)).columns(["age"]).cache_key("user:1");
        assert_eq!(users.ask(other.typed::<i64>()).await.unwrap(), Some(7));
        let name = SelectOne::new("users", ("id", 1)).columns(["name"]).cache_key("user:1");
        assert_eq!(users.ask(name.typed::<String>()).await.unwrap(), Some("Ada".into()));
    });
}

#[test]
fn a_write_drops_cached_rows_of_its_table_and_one_that_is_rolled_back_does_not() {
    lane(async {
        let users = Users::new().await;
        assert_eq!(users.age().await, 36);
        users.change(40).await;
        let wide = UpdateOne::new("users", Filter::gt("id", 0), [("age", 1)]);
        assert_eq!(users.ask(wide).await.unwrap_err().executed(), Executed::No);
        users.ask(InsertOne::new("users", [("name", "Bob")])).await.unwrap_err();
        assert_eq!(users.age().await, 36, "a write that was undone dropped the answer");
        users.ask(UpdateOne::new("users", ("id", 3), [("age", 8)])).await.unwrap();
        assert_eq!(users.age().await, 40, "a committed write kept the answer");
        users.change(41).await;
        users
            .ask(Sqlite::decode("delete_one", json!({"table": "users", "where": {"id": 2}})).unwrap())
            .await
            .unwrap();
        assert_eq!(users.age().await, 41, "a write by name kept the answer");
        users.change(42).await;
        let update = json!({"table": "users", "where": {"id": 3}, "data": {"age": 9}});
        users.ask(Sqlite::atomic(vec![("update_one".into(), update)]).unwrap()).await.unwrap();
        assert_eq!(users.age().await, 42, "an atomic batch kept the answer");
        users.ask(Execute::new("UPDATE users SET age = 43").invalidating("table:users")).await.unwrap();
        assert_eq!(users.age().await, 43, "a text with a tag kept the answer");
    });
}

#[test]
fn a_write_is_not_seen_as_stale_before_its_commit() {
    lane(async {
        let users = Rc::new(Users::new().await);
        assert_eq!(users.age().await, 36);
        let hold = users.db.hold_writer().await;
        let writer = Rc::clone(&users);
        let write = tokio::task::spawn_local(async move {
            writer.ask(UpdateOne::new("users", ("id", 1), [("age", 50)])).await.unwrap()
        });
        tokio::task::yield_now().await;
        // not committed: the kept answer is still the true one, and nothing was dropped
        users
            .db
            .stranger()
            .query_row("SELECT age FROM users WHERE id = 1", [], |row| row.get::<_, i64>(0))
            .unwrap();
        assert_eq!(users.age().await, 36);
        drop(hold);
        write.await.unwrap();
        assert_eq!(users.age().await, 50);
    });
}

#[test]
fn a_read_by_name_is_kept_too() {
    lane(async {
        let users = Users::new().await;
        let read = || {
            let arguments =
                json!({"table": "users", "where": {"id": 1}, "columns": ["age"], "cache_key": "user:1"});
            users.ask(Sqlite::decode("select_one", arguments).unwrap())
        };
        assert_eq!(read().await.unwrap()["rows"], json!([["36"]]));
        users.change(40).await;
        assert_eq!(read().await.unwrap()["rows"], json!([["36"]]));
        users.guard.invalidate_tag("user:1");
        assert_eq!(read().await.unwrap()["rows"], json!([["40"]]));
    });
}
