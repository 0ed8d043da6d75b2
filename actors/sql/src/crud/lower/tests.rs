use backstop_core::message::Message as _;

use super::*;
use crate::{
    Statement, TableName,
    crud::{
        Count, DeleteMany, DeleteOne, Exists, Filter, InsertMany, InsertOne, Record, SelectMany, SelectOne,
        UpdateMany, UpdateOne, Upsert,
    },
};

const ALL: [Dialect; 3] = [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql];

fn sql(request: Result<Request, StatementError>) -> String {
    request.unwrap().sql.as_str().to_owned()
}

#[test]
fn each_engine_gets_its_own_text() {
    let select = SelectMany::new("users", Filter::in_list("id", [1, 2, 3]).and(("name", "Ada")))
        .columns(["id", "name"])
        .order_by("name")
        .order_by_desc("id");
    let texts = ALL.map(|dialect| sql(select.lower(dialect)));
    assert_eq!(
        texts,
        [
            r#"SELECT "users"."id", "users"."name" FROM "users" WHERE "users"."id" IN (?, ?, ?, ?) AND "users"."name" = ? ORDER BY "users"."name" ASC, "users"."id" DESC LIMIT ? OFFSET ?"#,
            r#"SELECT "users"."id", "users"."name" FROM "users" WHERE "users"."id" = ANY($1) AND "users"."name" = $2 ORDER BY "users"."name" ASC, "users"."id" DESC LIMIT $3 OFFSET $4"#,
            "SELECT `users`.`id`, `users`.`name` FROM `users` WHERE `users`.`id` IN (?, ?, ?, ?) AND `users`.`name` = ? ORDER BY `users`.`name` ASC, `users`.`id` DESC LIMIT ? OFFSET ?",
        ]
    );
    let upsert = Upsert::new("kv", (("k", "a"), ("v", 1)), ["k"]);
    let texts = ALL.map(|dialect| sql(upsert.lower(dialect)));
    assert_eq!(
        texts[0],
        r#"INSERT INTO "kv" ("k", "v") VALUES (?, ?) ON CONFLICT ("k") DO UPDATE SET "v" = "excluded"."v""#
    );
    assert!(texts[1].contains("VALUES ($1, $2) ON CONFLICT"), "{}", texts[1]);
    assert!(texts[2].contains("ON DUPLICATE KEY UPDATE"), "{}", texts[2]);
    let insert = InsertOne::new("users", [("name", "Ada")]);
    let texts = ALL.map(|dialect| sql(insert.lower(dialect)));
    assert_eq!(texts[1], r#"INSERT INTO "users" ("name") VALUES ($1) RETURNING "users"."id""#);
    assert_eq!(texts[2], "INSERT INTO `users` (`name`) VALUES (?)");
}

#[test]
fn values_come_in_the_order_of_the_placeholders_on_every_engine() {
    let filter = Filter::between("a", 2, 3).and(Filter::in_list("b", [4, 5]).or(Filter::like("c", "6%")));
    let update = UpdateMany::new("t", filter.and(!Filter::ge("d", 7)), [("x", 1)]);
    for dialect in ALL {
        let request = update.lower(dialect).unwrap();
        let Params::Positional(values) = &request.params else { panic!("named parameters") };
        let shown = format!("{values:?}").replace("Array([Int(4), Int(5)])", "Int(4), Int(5)");
        assert_eq!(shown, r#"[Int(1), Int(2), Int(3), Int(4), Int(5), Text("6%"), Int(7)]"#);
        // what the builder wrote is one statement for the tokenizer too, with as many placeholders
        let statement = Statement::parse(request.sql.as_str(), dialect).unwrap();
        assert_eq!(statement.bind(&request.params).unwrap().count(), values.len(), "{dialect:?}");
    }
}

#[test]
fn every_message_is_one_statement_for_every_engine() {
    for dialect in ALL {
        let requests = [
            SelectOne::new("t", ("id", 1)).lower(dialect),
            SelectMany::new("t", ()).lower(dialect),
            Count::new("t", Filter::is_null("a")).lower(dialect),
            Exists::new("t", ("a", 1)).lower(dialect),
            InsertOne::new("t", Record::new()).lower(dialect),
            InsertOne::new("t", [("a", 1)]).without_id().lower(dialect),
            Upsert::new("t", [("a", 1)], ["a"]).lower(dialect),
            UpdateOne::new("t", ("id", 1), [("a", 1)]).lower(dialect),
            DeleteOne::new("t", ("id", 1)).lower(dialect),
            DeleteMany::new("t", ()).all_rows().lower(dialect),
        ];
        for request in requests {
            let request = request.unwrap();
            let statement = Statement::parse(request.sql.as_str(), dialect);
            statement
                .unwrap()
                .bind(&request.params)
                .unwrap_or_else(|error| panic!("{dialect:?} {request:?}: {error}"));
        }
    }
}

#[test]
fn hostile_names_stay_names() {
    let name = "a\"`'; DROP TABLE t; -- ?";
    for dialect in ALL {
        let request = SelectOne::new(name, (name, 1)).columns([name]).order_by(name).lower(dialect).unwrap();
        let statement = Statement::parse(request.sql.as_str(), dialect).unwrap();
        assert_eq!(statement.placeholders(), 1, "{dialect:?}: {}", statement.sql());
    }
    for bad in ["", "a\0b", &"x".repeat(65)] {
        for request in [
            SelectOne::new(bad, ("id", 1)).lower(Dialect::Sqlite),
            SelectOne::new("t", (bad, 1)).lower(Dialect::Sqlite),
            SelectOne::new("t", ("id", 1)).columns([bad]).lower(Dialect::Sqlite),
            SelectOne::new("t", ("id", 1)).order_by(bad).lower(Dialect::Sqlite),
            InsertOne::new("t", [(bad, 1)]).lower(Dialect::Sqlite),
            InsertOne::new("t", [("a", 1)]).returning(bad).lower(Dialect::Sqlite),
            UpdateOne::new("t", ("id", 1), [(bad, 1)]).lower(Dialect::Sqlite),
            DeleteOne::new("t", !Filter::is_null(bad)).lower(Dialect::Sqlite),
        ] {
            assert!(matches!(request, Err(StatementError::Message(_))), "{bad:?}");
        }
    }
}

#[test]
fn a_shape_is_built_once_and_shapes_that_differ_are_not_confused() {
    let shapes = Shapes::new(64);
    let text = |request: Result<Request, StatementError>| request.unwrap().sql;
    let one = text(SelectOne::new("t", ("id", 1)).request(Dialect::Sqlite, Some(&shapes)));
    let again = text(SelectOne::new("t", ("id", 2)).request(Dialect::Sqlite, Some(&shapes)));
    assert!(std::ptr::eq(one.as_str(), again.as_str()), "the text was built twice");
    assert_eq!(shapes.len(), 1);
    // names that would run together without their lengths
    for columns in [vec!["a", "b"], vec!["a b"], vec!["a 1:b"], vec!["a", "1:b"], vec![]] {
        text(SelectOne::new("t", ("id", 1)).columns(columns).request(Dialect::Sqlite, Some(&shapes)));
    }
    text(SelectOne::new("t", Filter::ne("id", 1)).request(Dialect::Sqlite, Some(&shapes)));
    text(SelectOne::new("t", !Filter::eq("id", 1)).request(Dialect::Sqlite, Some(&shapes)));
    text(SelectOne::new("t", ("id", 1)).order_by("a").request(Dialect::Sqlite, Some(&shapes)));
    text(SelectOne::new("t", ("id", 1)).order_by_desc("a").request(Dialect::Sqlite, Some(&shapes)));
    text(SelectMany::new("t", ("id", 1)).request(Dialect::Sqlite, Some(&shapes)));
    text(Count::new("t", ("id", 1)).request(Dialect::Sqlite, Some(&shapes)));
    // the empty list of columns is the first shape again
    assert_eq!(shapes.len(), 1 + 4 + 6);
}

#[test]
fn lists_of_many_lengths_share_few_texts() {
    let shapes = Shapes::new(64);
    for length in 1..=100 {
        let select = SelectMany::new("t", Filter::in_list("id", 0..length));
        let request = select.request(Dialect::Sqlite, Some(&shapes)).unwrap();
        assert!(request.params.len() - 2 >= usize::try_from(length).unwrap());
    }
    assert_eq!(shapes.len(), 8);
}

#[test]
fn a_schema_stands_before_its_table_and_before_no_column() {
    let texts =
        ALL.map(|dialect| sql(SelectOne::new("shop.orders", ("id", 1)).columns(["id"]).lower(dialect)));
    assert_eq!(
        texts,
        [
            r#"SELECT "orders"."id" FROM "shop"."orders" WHERE "orders"."id" = ? LIMIT 1"#,
            r#"SELECT "orders"."id" FROM "shop"."orders" WHERE "orders"."id" = $1 LIMIT 1"#,
            "SELECT `orders`.`id` FROM `shop`.`orders` WHERE `orders`.`id` = ? LIMIT 1",
        ]
    );
    let batch = InsertMany::new("shop.orders", [[("a", 1)]]).batch(Dialect::Postgres).unwrap();
    let plan = batch.plan(Dialect::Postgres).unwrap();
    assert_eq!(&*plan[0].sql, r#"INSERT INTO "shop"."orders" ("a") VALUES ($1)"#);
    let long = "x".repeat(64);
    for bad in [format!("{long}.orders"), format!("shop.{long}"), "a.b.c".into(), "shop.".into()] {
        assert!(SelectOne::new(bad.as_str(), ("id", 1)).lower(Dialect::Postgres).is_err(), "{bad}");
        assert!(InsertMany::new(bad.as_str(), [[("a", 1)]]).batch(Dialect::Postgres).is_err(), "{bad}");
    }
}

#[test]
fn names_that_look_alike_have_shapes_of_their_own() {
    let shapes = Shapes::new(64);
    let tables = [
        TableName::from("a.b"),
        TableName::plain("a.b"),
        TableName::in_schema("a", " .b"),
        TableName::plain("b"),
        TableName::plain("a . 1:b"),
    ];
    let texts: std::collections::HashSet<String> = tables
        .map(|table| sql(SelectOne::new(table, ("id", 1)).request(Dialect::Sqlite, Some(&shapes))))
        .into();
    assert_eq!((texts.len(), shapes.len()), (5, 5));
}

#[test]
fn a_write_drops_what_was_read_from_its_table_by_either_name() {
    let tags = |table: &str| {
        let read = SelectOne::new(table, ("id", 1)).cache_key("own");
        let mut tags = Vec::new();
        read.sharing().unwrap().cache.unwrap().tags.iter().for_each(|tag| tags.push(tag.to_string()));
        tags
    };
    let dropped = |table: &str| {
        let mut tags = Vec::new();
        UpdateOne::new(table, ("id", 1), [("a", 1)]).invalidates(&mut |tag| tags.push(tag.to_owned()));
        tags
    };
    assert_eq!(tags("orders"), ["own", "table:orders"]);
    assert_eq!(tags("shop.orders"), ["own", "table:orders", "table:shop.orders"]);
    for (read, written) in
        [("orders", "shop.orders"), ("shop.orders", "orders"), ("shop.orders", "shop.orders")]
    {
        assert!(dropped(written).iter().any(|tag| tags(read).contains(tag)), "{read} {written}");
    }
}
