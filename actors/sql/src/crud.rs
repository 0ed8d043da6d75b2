//! Messages that name a table in place of a text: select, insert, update, delete, upsert, count.
//!
//! ```
//! use backstop_sql::crud::{Filter, InsertOne, SelectMany, SelectOne, UpdateOne};
//!
//! let insert = InsertOne::new("users", (("name", "Ada"), ("age", 36)));
//! let one = SelectOne::new("users", ("id", 7)).columns(["id", "name"]);
//! let adults = SelectMany::new("users", Filter::ge("age", 18)).order_by("name").limit(20);
//! let rename = UpdateOne::new("users", ("id", 7), [("name", "Ada L.")]);
//! # drop((insert, one, adults, rename));
//! ```
//!
//! A backend that serves [`Query`](crate::Query), [`Execute`](crate::Execute) and
//! [`BatchInsert`](crate::BatchInsert) gets all of them by [`serve_crud!`](crate::serve_crud). The text of a
//! shape (table, columns, structure of the condition) is built once per lane; after that, a message binds its
//! values and no more. Names are quoted, so they are never read as SQL. A table can be named with its schema,
//! `"shop.orders"`; [`TableName`](crate::TableName) says more.

mod delete;
mod draft;
mod filter;
mod insert;
mod kept;
mod lower;
mod merge;
mod name;
mod record;
mod select;
mod serve;
mod update;
pub mod wire;

pub use self::{
    delete::{DeleteMany, DeleteOne},
    filter::Filter,
    insert::{InsertMany, InsertOne, Inserted, Upsert},
    lower::Shapes,
    merge::{KeyLookup, RowInsert},
    record::{Record, RecordError},
    select::{Count, Exists, SelectMany, SelectManyAs, SelectOne, SelectOneAs},
    serve::{Crud, CrudEngine, CrudMessage},
    update::{UpdateMany, UpdateOne},
};

/// How long an answer with a cache key is kept unless the message says otherwise.
pub const CACHE_TTL: std::time::Duration = std::time::Duration::from_secs(300);

/// The most rows of [`SelectMany`] unless the message says otherwise.
pub const LIMIT: u64 = 100;
