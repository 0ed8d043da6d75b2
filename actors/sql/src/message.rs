//! The messages of every SQL backend.

mod batch_insert;
mod execute;
mod query;
mod request;
mod transact;

pub use self::{
    batch_insert::{BatchInsert, Chunk, ChunkReport, Chunks, InsertReport},
    execute::{Execute, Written},
    query::{Query, QueryAs},
    request::{Request, Sql},
    transact::{Transact, Transaction, TxBody},
};
