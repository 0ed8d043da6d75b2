//! A statement of a batch: prepared, or described and sent with its text.

use backstop_core::error::Failure;
use tokio_postgres::{
    Client, Error,
    types::{ToSql, Type},
};

use crate::{
    cache::Prepared,
    error::{During, failure},
    pooled::{self, Ready},
};

/// A statement that can be sent.
pub(super) struct Text {
    sql: String,
    ready: Ready,
}

impl Text {
    /// Has the server look at it; the session must be outside of any transaction.
    ///
    /// # Errors
    /// What the server said; nothing was done.
    pub(super) async fn describe(client: &Client, sql: String, has_names: bool) -> Result<Self, Failure> {
        let ready = if has_names {
            client.prepare(&sql).await.map(|statement| Ready::Named(Prepared::new(statement)))
        } else {
            pooled::describe(client, &sql, false).await.map(Ready::Unnamed)
        };
        let ready = ready.map_err(|error| failure(error, During::Prepare, false))?;
        Ok(Self { sql, ready })
    }

    pub(super) fn params(&self) -> &[Type] {
        self.ready.params()
    }

    /// Runs it and counts the rows.
    pub(super) async fn execute<P: ToSql + Sync>(
        &self,
        client: &Client,
        params: Vec<P>,
    ) -> Result<u64, Error> {
        match &self.ready {
            Ready::Named(prepared) => client.execute_raw(&prepared.statement, params).await,
            Ready::Unnamed(described) => {
                let params = params.iter().map(|param| param as &(dyn ToSql + Sync));
                let params: Vec<_> = params.zip(described.params.iter().cloned()).collect();
                client.execute_typed(&self.sql, &params).await
            }
        }
    }
}
