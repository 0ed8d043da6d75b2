//! The JSON form of the messages.

use backstop_core::operation::{Operation, OperationInfo, Wire, WireError};
use backstop_sql::wire;
use serde_json::Value as Json;

use crate::Postgres;

impl Wire for Postgres {
    const OPERATIONS: &'static [OperationInfo] = wire::OPERATIONS;

    fn decode(name: &str, arguments: Json) -> Result<Operation<Self>, WireError> {
        wire::decode(name, arguments)
    }

    fn atomic(operations: Vec<(String, Json)>) -> Result<Operation<Self>, WireError> {
        wire::atomic(operations)
    }
}
