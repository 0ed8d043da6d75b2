//! Stand-in for inserts in bulk.

use backstop_core::{call::CallContext, error::Failure};
use backstop_sql::{BatchInsert, InsertReport};
use tokio_postgres::Client;

pub(crate) async fn insert(
    _client: &Client,
    _message: &BatchInsert,
    _call: &CallContext,
) -> Result<InsertReport, Failure> {
    Err(Failure::refused("not yet"))
}
