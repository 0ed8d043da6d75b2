//! One suite that every SQL backend runs on one lane: messages on a table, and the JSON form of all messages.
//!
//! A backend's `tests/…/suite.rs` implements [`SqlSubject`] and calls [`sql_suite!`](crate::sql_suite!), which makes
//! one `#[test]` of each check:
//!
//! ```text
//! impl SqlSubject for Db<'static> {
//!     type Connect = MySqlOptions;
//!     const KEY: &'static str = "BIGINT AUTO_INCREMENT PRIMARY KEY";
//!     …
//!     async fn fresh() -> Self { Db::new().await }
//! }
//! backstop_testkit::sql_suite!(crate::support::Db<'static>);
//! ```

mod crud;
mod kept;
mod schema;
mod wire;

use std::{any::Any, future::Future, ops::Deref, time::Duration};

use backstop_core::{
    backend::{Connect, Serve},
    operation::Wire,
};
use backstop_sql::{
    Execute, Query, QueryAs, Sql, TransactAsync, Transaction,
    crud::{Crud, CrudEngine, InsertMany, SelectManyAs, SelectOneAs},
};
use backstop_supervisor::BackendRef;
use serde::Deserialize;

pub use self::{crud::*, kept::*, schema::*, wire::*};
use crate::{
    contract::{Call, call},
    lane::OneLane,
};

/// A database of its own with one lane, and what its engine's SQL has of its own.
pub trait SqlSubject: Deref<Target = OneLane<<Self as SqlSubject>::Connect>> + Sized {
    /// The recipe.
    type Connect: Connect<
        Backend: Crud
                     + CrudEngine
                     + Wire
                     + Serve<QueryAs<i64>>
                     + Serve<Transaction>
                     + Serve<TransactAsync<()>>
                     + Serve<SelectOneAs<User>>
                     + Serve<SelectOneAs<String>>
                     + Serve<SelectOneAs<i64>>
                     + Serve<SelectManyAs<String>>,
    >;

    /// The definition of a column `id` whose values the engine makes, from 1 on.
    const KEY: &'static str;

    /// What stands around a name; inside it is doubled.
    const QUOTE: char;

    /// What the reply calls the type of a column that was made a `smallint`.
    const SMALLINT: &'static str;

    /// How many rows an upsert counts that changes one.
    const UPSERTED: u64;

    /// What the engine says of a name that it does not know; one of these.
    const UNKNOWN: &'static [&'static str];

    /// Makes an empty database.
    fn fresh() -> impl Future<Output = Self>;

    /// Makes a schema beside the one where a table without a schema is found; an engine without others names that
    /// one. It lasts as long as what comes with its name.
    fn schema(&self) -> impl Future<Output = (String, Box<dyn Any>)>;
}

/// The backend of a subject.
type Lane<S> = <<S as SqlSubject>::Connect as Connect>::Backend;

/// A row of `users`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "as the columns")]
pub struct User {
    pub id: i64,
    pub name: String,
    pub age: Option<i16>,
}

/// Makes a database with a table `users(id, name, age)`, whose names are unique.
pub async fn users<S: SqlSubject>() -> S {
    let db = S::fresh().await;
    let key = S::KEY;
    db.run(format!("CREATE TABLE users(id {key}, name varchar(40) UNIQUE NOT NULL, age smallint)")).await;
    db
}

/// The same with Ada, 36, Bob without an age, and Cy, 7.
pub async fn three<S: SqlSubject>() -> S {
    let db = users::<S>().await;
    let rows = [("Ada", Some(36)), ("Bob", None), ("Cy", Some(7))];
    let rows = rows.map(|(name, age)| (("name", name), ("age", age)));
    assert_eq!(db.ask(InsertMany::new("users", rows)).await.unwrap().affected, 3);
    db
}

impl<C: Connect> OneLane<C> {
    /// Runs a statement that must work.
    pub async fn run(&self, sql: impl Into<Sql>)
    where
        C::Backend: Serve<Execute>,
    {
        let sql = sql.into();
        self.ask(Execute::new(sql.clone())).await.unwrap_or_else(|end| panic!("{sql:?}: {end:?}"));
    }

    /// Reads the first number of the first row.
    pub async fn int(&self, sql: impl Into<Sql>) -> i64
    where
        C::Backend: Serve<Query>,
    {
        let sql = sql.into();
        let rows = self.ask(Query::new(sql.clone())).await.unwrap_or_else(|end| panic!("{sql:?}: {end:?}"));
        rows.get(0).unwrap()[0].as_int().unwrap()
    }

    /// Reads a column of numbers.
    pub async fn ints(&self, sql: &'static str) -> Vec<i64>
    where
        C::Backend: Serve<QueryAs<i64>>,
    {
        self.ask(QueryAs::new(sql)).await.unwrap_or_else(|end| panic!("{sql}: {end:?}"))
    }
}

/// Reads a seven, for a [`ContractSubject`](crate::contract::ContractSubject).
pub fn seven<B: Serve<QueryAs<i64>>>(backend: &BackendRef<B>, within: Duration) -> Call {
    let ask = backend.ask(QueryAs::new("SELECT 7")).within(within);
    Box::pin(async move {
        assert_eq!(ask.await?, [7]);
        Ok(())
    })
}

/// Reads from a table that is not there.
pub fn nothing<B: Serve<Query>>(backend: &BackendRef<B>, within: Duration) -> Call {
    call(backend, Query::new("SELECT nothing FROM nowhere"), within)
}

/// Makes one `#[test]` of each check of the suite, for one [`SqlSubject`].
#[macro_export]
macro_rules! sql_suite {
    ($subject:ty) => {
        $crate::sql_suite! { @each $subject:
            an_inserted_row_has_an_id_and_is_read_back_as_a_struct
            a_struct_is_inserted_by_its_fields
            every_condition_finds_its_rows
            pages_have_a_hundred_rows_unless_asked_otherwise
            updates_and_deletes_say_how_many_rows_they_touched
            a_write_for_one_row_that_fits_more_leaves_all_as_they_were
            a_forgotten_condition_reaches_no_row
            an_upsert_inserts_and_then_updates
            wrong_names_are_errors_and_never_texts
            names_of_any_kind_work_where_the_table_has_them
            conflicts_are_the_callers_and_a_list_is_all_or_nothing
            a_shape_is_lowered_once_on_a_lane
            every_message_finds_a_table_in_its_schema
            tables_of_one_name_in_two_schemas_are_two
            a_name_with_a_dot_is_given_in_parts
            each_operation_round_trips
            an_atomic_batch_is_one_transaction
            what_cannot_be_read_is_named
            every_message_on_a_table_has_a_json_form
            an_atomic_batch_takes_messages_on_a_table_and_undoes_all_of_it
            arguments_of_a_message_on_a_table_that_cannot_be_read_are_named
            a_list_drops_what_it_makes_stale_after_its_commit_alone
            a_closure_drops_what_it_makes_stale_after_its_commit_alone
            a_message_in_a_closure_that_fits_more_rows_ends_it_and_drops_nothing
        }
    };
    (@each $subject:ty: $($check:ident)*) => {
        $(
            #[test]
            fn $check() {
                $crate::sql::$check::<$subject>();
            }
        )*
    };
}
