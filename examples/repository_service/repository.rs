//! The table of users.

use backstop::{BackendRef, CallError, Repository, sql::crud::SelectOne, sqlite::Sqlite};
use serde::Deserialize;

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct User {
    pub(crate) id: i64,
    pub(crate) email: String,
    pub(crate) name: String,
}

#[derive(Clone)]
pub(crate) struct UserRepository {
    db: BackendRef<Sqlite>,
}

impl Repository for UserRepository {
    type Backend = Sqlite;
    type Row = User;
    const TABLE: &'static str = "users";
    const COLUMNS: &'static [&'static str] = &["id", "email", "name"];

    fn backend(&self) -> &BackendRef<Sqlite> {
        &self.db
    }
}

impl UserRepository {
    pub(crate) fn new(db: BackendRef<Sqlite>) -> Self {
        Self { db }
    }

    /// Answered from the process while it is fresh; a write to `users` drops it.
    pub(crate) async fn find_by_email(&self, email: &str) -> Result<Option<User>, CallError> {
        let select = SelectOne::new(Self::TABLE, ("email", email)).columns(Self::COLUMNS.iter().copied());
        self.db.ask(select.cache_key(format!("user_email:{email}")).typed()).await
    }

    pub(crate) async fn find_active(&self) -> Result<Vec<User>, CallError> {
        self.find_many(("active", true)).await
    }
}
