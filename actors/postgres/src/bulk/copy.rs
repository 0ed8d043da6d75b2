//! A chunk as binary COPY.

use std::pin::pin;

use backstop_core::{error::Failure, outcome::Outcome};
use backstop_sql::{BatchInsert, message::Chunk};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use tokio_postgres::{Client, CopyInSink, types::Type};

use super::statement;
use crate::{
    codec::item,
    error::{During, failure},
};

/// Signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: i16 = -1;
/// Bytes that are written before they are handed to the driver.
const PIECE: usize = 64 << 10;

/// Says whether the server does not copy into this table at all: views, row-level security.
pub(super) fn is_refused(failure: &Failure) -> bool {
    matches!(failure.code(), Some("0A000" | "42809"))
}

/// Sends the rows of a chunk inside the transaction that is open.
pub(super) async fn send(
    client: &Client,
    message: &BatchInsert,
    chunk: &Chunk,
    types: &[Type],
) -> Result<u64, Failure> {
    let told = |error| failure(error, During::Statement, true);
    let sink: CopyInSink<Bytes> = client.copy_in(&statement::copy(message)).await.map_err(told)?;
    let mut sink = pin!(sink);
    let mut buffer = BytesMut::with_capacity(PIECE + PIECE / 8);
    buffer.put_slice(HEADER);
    for (at, row) in chunk.values().chunks_exact(types.len().max(1)).enumerate() {
        let width = i16::try_from(types.len()).map_err(|_| Failure::refused("too many columns"))?;
        buffer.put_i16(width);
        for (place, (value, ty)) in row.iter().zip(types).enumerate() {
            item(value, ty, &mut buffer).map_err(|wrong| {
                let column = message.columns().get(place).map(AsRef::as_ref).unwrap_or_default();
                let text = format!("row {}, column `{column}`: {wrong}", chunk.rows.start + at);
                Failure::refused(text)
                    .counts_as(Outcome::NotCounted)
                    .with_code("invalid_value")
                    .caused_by(wrong)
            })?;
        }
        if buffer.len() >= PIECE {
            sink.feed(buffer.split().freeze()).await.map_err(told)?;
        }
    }
    buffer.put_i16(TRAILER);
    sink.feed(buffer.freeze()).await.map_err(told)?;
    sink.finish().await.map_err(told)
}
