//! Tables that are named with their schema.
#![allow(missing_docs, reason = "a check says in its name what it checks")]

use backstop_core::{
    error::{Executed, FailureKind},
    operation::Wire as _,
};
use backstop_sql::{
    BatchInsert, TableName, Value,
    crud::{
        Count, DeleteMany, DeleteOne, Exists, Filter, InsertMany, InsertOne, SelectMany, SelectOne,
        UpdateMany, UpdateOne, Upsert,
    },
};
use serde_json::json;

use super::{Lane, SqlSubject, User, three};
use crate::lane::{LONG, assert_failed, lane};

/// Makes `stock(id, name, age)` in a schema.
async fn make_stock<S: SqlSubject>(db: &S, schema: &str) {
    let key = S::KEY;
    let columns = format!("id {key}, name varchar(40) UNIQUE NOT NULL, age smallint");
    db.run(format!("CREATE TABLE {schema}.stock({columns})")).await;
}

pub fn every_message_finds_a_table_in_its_schema<S: SqlSubject>() {
    lane(async {
        let db = S::fresh().await;
        let (schema, _kept) = db.schema().await;
        make_stock(&db, &schema).await;
        let stock = format!("{schema}.stock");
        let stock = stock.as_str();

        let first = db.ask(InsertOne::new(stock, (("name", "a"), ("age", 1)))).await.unwrap();
        assert_eq!(first.int_id(), Some(1));
        // many at once, which an engine may send as one statement
        let inserts = (2..=9).map(|age| (("name", format!("n{age}")), ("age", age)));
        let inserts = inserts.map(|row| db.start(LONG, InsertOne::new(stock, row).without_id()));
        for insert in inserts.collect::<Vec<_>>() {
            assert_eq!(insert.await.unwrap().unwrap().written.affected, 1);
        }
        let many = InsertMany::new(stock, [[("name", "b")], [("name", "c")]]);
        assert_eq!(db.ask(many).await.unwrap().affected, 2);
        let batch = (0..1_200).map(|at| (format!("row {at}"), 100));
        let batch = BatchInsert::new(stock, ["name", "age"]).rows(batch);
        assert_eq!(db.ask(batch).await.unwrap().affected, 1_200);
        let upsert = Upsert::new(stock, (("name", "b"), ("age", 50)), ["name"]);
        assert_eq!(db.ask(upsert).await.unwrap().affected, S::UPSERTED);

        let look = |age: i32| SelectOne::new(stock, ("age", age)).columns(["name"]).typed::<String>();
        let looks: Vec<_> = (2..=9).map(|age| db.start(LONG, look(age))).collect();
        for (age, look) in (2..=9).zip(looks) {
            assert_eq!(look.await.unwrap().unwrap(), Some(format!("n{age}")));
        }
        let page = SelectMany::new(stock, Filter::lt("age", 4)).columns(["name"]).order_by_desc("age");
        assert_eq!(db.ask(page.typed::<String>()).await.unwrap(), ["n3", "n2", "a"]);
        assert_eq!(db.ask(Count::new(stock, ("age", 100))).await.unwrap(), 1_200);
        assert!(db.ask(Exists::new(stock, Filter::is_null("age"))).await.unwrap());

        assert_eq!(db.ask(UpdateOne::new(stock, ("name", "c"), [("age", 51)])).await.unwrap().affected, 1);
        let update = UpdateMany::new(stock, Filter::between("age", 50, 51), [("age", 52)]);
        assert_eq!(db.ask(update).await.unwrap().affected, 2);
        assert_eq!(db.ask(DeleteOne::new(stock, ("name", "a"))).await.unwrap().affected, 1);
        assert_eq!(db.ask(DeleteMany::new(stock, ("age", 100))).await.unwrap().affected, 1_200);
        assert_eq!(db.int(format!("SELECT count(*) FROM {stock}")).await, 10);
    });
}

pub fn tables_of_one_name_in_two_schemas_are_two<S: SqlSubject>() {
    lane(async {
        let db = three::<S>().await;
        let (schema, _kept) = db.schema().await;
        let is_other = schema != "main";
        let users = format!("{schema}.users");
        if is_other {
            db.run(format!("CREATE TABLE {users}(id {}, name varchar(40), age smallint)", S::KEY)).await;
            db.ask(InsertOne::new(users.as_str(), [("name", "Zoe")])).await.unwrap();
        }
        let first = async |table: &str| {
            let select = SelectOne::new(table, ("id", 1)).typed::<User>();
            db.ask(select).await.unwrap().unwrap().name
        };
        for _ in 0..2 {
            assert_eq!(first("users").await, "Ada");
            assert_eq!(first(&users).await, if is_other { "Zoe" } else { "Ada" });
        }
        for table in ["nowhere.users", "a.b.users", ".users", "users."] {
            let read = db.ask(SelectOne::new(table, ("id", 1))).await;
            assert_failed(read, FailureKind::Refused, Executed::No);
        }
    });
}

pub fn a_name_with_a_dot_is_given_in_parts<S: SqlSubject>() {
    lane(async {
        let db = S::fresh().await;
        let (schema, _kept) = db.schema().await;
        let quote = S::QUOTE;
        for prefix in [String::new(), format!("{schema}.")] {
            // where the schema is the same one, so is the table
            db.run(format!("CREATE TABLE IF NOT EXISTS {prefix}{quote}a.b{quote}(id INTEGER)")).await;
        }
        let (plain, full) = (TableName::plain("a.b"), TableName::in_schema(schema.as_str(), "a.b"));
        for (at, (table, parts)) in
            [(plain, json!(["a.b"])), (full, json!([schema, "a.b"]))].into_iter().enumerate()
        {
            let row = [("id", Value::Int(at as i64))];
            db.ask(InsertOne::new(table, row).without_id()).await.unwrap();
            let count = json!({"table": parts, "where": {"id": at}});
            assert_eq!(db.ask(Lane::<S>::decode("count", count).unwrap()).await.unwrap(), json!(1));
        }
        let text = db.ask(SelectOne::new("a.b", ("id", 0))).await;
        assert_failed(text, FailureKind::Refused, Executed::No);
    });
}
