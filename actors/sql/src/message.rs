//! The messages of every SQL backend.

mod batch_insert;
mod execute;
mod explain;
mod query;
mod request;
mod stream;
mod transact;
mod transact_async;

pub use self::{
    batch_insert::{BatchInsert, Chunk, ChunkReport, Chunks, InsertReport},
    execute::{Execute, Written},
    explain::{Explain, Explained, Plan},
    query::{Query, QueryAs},
    request::{Request, RowsExpected, Sql, WRONG_ROW_COUNT},
    stream::{QueryStream, RowSink, RowStream},
    transact::{Transact, Transaction, TxBody},
    transact_async::{AsyncTxBody, TransactAsync},
};
