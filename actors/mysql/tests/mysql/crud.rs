//! Messages that name a table, on the real server.

use backstop_core::error::{Executed, FailureKind};
use backstop_mysql::sql::{
    Value,
    crud::{
        Count, DeleteMany, DeleteOne, Exists, Filter, InsertMany, InsertOne, SelectMany, SelectOne,
        UpdateMany, UpdateOne, Upsert,
    },
    message::WRONG_ROW_COUNT,
};
use serde::Deserialize;

use crate::support::{Db, lane};

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct User {
    id: i64,
    name: String,
    age: Option<i16>,
}

async fn three() -> Db<'static> {
    let db = Db::new().await;
    db.run("CREATE TABLE users(id BIGINT AUTO_INCREMENT PRIMARY KEY, name varchar(40) UNIQUE NOT NULL, age smallint)").await;
    let rows = [("Ada", Some(36)), ("Bob", None), ("Cy", Some(7))];
    let rows = rows.map(|(name, age)| (("name", name), ("age", age)));
    assert_eq!(db.ask(InsertMany::new("users", rows)).await.unwrap().affected, 3);
    db
}

async fn names(db: &Db<'_>, filter: impl Into<Filter>) -> Vec<String> {
    let select = SelectMany::new("users", filter).columns(["name"]).order_by("name");
    db.ask(select.typed::<String>()).await.unwrap()
}

#[test]
fn an_inserted_row_has_the_id_that_the_server_gave_it() {
    lane(async {
        let db = three().await;
        let inserted = db.ask(InsertOne::new("users", (("name", "Di"), ("age", 5)))).await.unwrap();
        let id = inserted.int_id().unwrap();
        let di = db.ask(SelectOne::new("users", ("id", id)).typed::<User>()).await.unwrap();
        assert_eq!(di, Some(User { id, name: "Di".into(), age: Some(5) }));
        let nobody = db.ask(SelectOne::new("users", ("id", -1)).typed::<User>()).await.unwrap();
        assert_eq!(nobody, None);
    });
}

#[test]
fn rows_are_found_counted_ordered_and_cut_into_pages() {
    lane(async {
        let db = three().await;
        assert_eq!(names(&db, ()).await, ["Ada", "Bob", "Cy"]);
        assert_eq!(names(&db, Filter::gt("age", 7)).await, ["Ada"]);
        assert_eq!(names(&db, Filter::is_null("age")).await, ["Bob"]);
        assert_eq!(names(&db, Filter::in_list("name", ["Cy", "Bob", "Nobody"])).await, ["Bob", "Cy"]);
        assert_eq!(names(&db, Filter::like("name", "%d%")).await, ["Ada"]);
        assert_eq!(db.ask(Count::new("users", Filter::between("age", 1, 10))).await.unwrap(), 1);
        assert!(!db.ask(Exists::new("users", ("name", "Di"))).await.unwrap());
        let page = SelectMany::new("users", ()).columns(["name"]).order_by_desc("name").limit(1).offset(1);
        assert_eq!(db.ask(page.typed::<String>()).await.unwrap(), ["Bob"]);
    });
}

#[test]
fn a_write_of_one_row_that_hits_more_is_undone() {
    lane(async {
        let db = three().await;
        let all = Filter::is_null("age").or(Filter::gt("age", 0));
        let update = UpdateOne::new("users", all.clone(), [("age", Value::Int(1))]);
        for failure in [
            db.ask(update).await.unwrap_err().failure(),
            db.ask(DeleteOne::new("users", all.clone())).await.unwrap_err().failure(),
        ] {
            assert_eq!(
                (failure.kind(), failure.executed()),
                (FailureKind::Refused, Executed::No),
                "{failure}"
            );
            assert_eq!(failure.code(), Some(WRONG_ROW_COUNT), "{failure}");
        }
        assert_eq!(names(&db, Filter::gt("age", 7)).await, ["Ada"], "nothing was changed");
        let one = UpdateOne::new("users", ("name", "Bob"), [("age", Value::Int(8))]);
        assert_eq!(db.ask(one).await.unwrap().affected, 1);
        assert_eq!(db.ask(DeleteOne::new("users", ("name", "Cy"))).await.unwrap().affected, 1);
        assert_eq!(
            db.ask(UpdateMany::new("users", all, [("age", Value::Int(9))])).await.unwrap().affected,
            2
        );
        assert_eq!(db.ask(DeleteMany::new("users", ("age", 9))).await.unwrap().affected, 2);
    });
}

#[test]
fn an_upsert_inserts_or_replaces_and_a_plain_insert_conflicts() {
    lane(async {
        let db = three().await;
        for age in [40, 41] {
            let upsert = Upsert::new("users", (("name", "Ada"), ("age", age)), ["name"]);
            db.ask(upsert).await.unwrap();
        }
        assert_eq!(names(&db, ("age", 41)).await, ["Ada"]);
        assert_eq!(names(&db, ()).await.len(), 3);
        let failure = db.ask(InsertOne::new("users", [("name", "Ada")])).await.unwrap_err().failure();
        assert_eq!((failure.kind(), failure.executed()), (FailureKind::Conflict, Executed::No), "{failure}");
    });
}

#[test]
fn hostile_names_are_names_and_nothing_else() {
    lane(async {
        let db = three().await;
        let failure = db.ask(SelectMany::new("users; DROP TABLE users", ())).await.unwrap_err().failure();
        assert_eq!(failure.executed(), Executed::No);
        let failure = db.ask(SelectMany::new("users", ("name\" OR 1=1 --", 1))).await.unwrap_err().failure();
        assert_eq!(failure.executed(), Executed::No);
        assert_eq!(names(&db, ("name", "' OR 1=1 --")).await, [""; 0]);
        assert_eq!(names(&db, ()).await.len(), 3);
    });
}
