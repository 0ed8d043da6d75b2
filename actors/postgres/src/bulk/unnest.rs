//! A chunk as one statement with an array a column, or as pipelined statements of one row.

use backstop_core::error::Failure;
use backstop_sql::message::Chunk;
use futures_util::future::join_all;
use tokio_postgres::Client;

use super::text::Text;
use crate::{
    codec::{ColumnParam, Param},
    error::{During, failure},
};

/// Statements in flight at a time.
const PIPELINED: usize = 128;

/// Sends the rows of a chunk as one statement.
pub(super) async fn send(client: &Client, chunk: &Chunk, text: &Text) -> Result<u64, Failure> {
    let (cells, width) = (chunk.values(), text.params().len());
    let columns = (0..width).map(|at| ColumnParam { cells, width, at });
    let sent = text.execute(client, columns.collect()).await;
    sent.map_err(|error| failure(error, During::Statement, true))
}

/// Sends each row of a chunk as a statement of its own, inside the transaction that is open.
pub(super) async fn rows(client: &Client, chunk: &Chunk, text: &Text) -> Result<u64, Failure> {
    let width = text.params().len().max(1);
    let mut affected = 0;
    for rows in chunk.values().chunks(PIPELINED * width) {
        let sent = rows.chunks_exact(width).map(|row| text.execute(client, row.iter().map(Param).collect()));
        for ended in join_all(sent).await {
            affected += ended.map_err(|error| failure(error, During::Statement, true))?;
        }
    }
    Ok(affected)
}
