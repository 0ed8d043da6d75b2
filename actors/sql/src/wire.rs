//! The JSON form of the messages that every SQL backend serves.

use backstop_core::{
    backend::Serve,
    operation::{Operation, OperationInfo, WireError},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value as Json;

use crate::{
    BatchInsert, Execute, Explain, Numbers, Params, Query, Request, TableName, Transaction, TxOptions,
    crud::{self, Crud, CrudEngine},
};

/// What a SQL backend serves by name.
pub const OPERATIONS: &[OperationInfo] = &crud::wire::with_operations::<5, 16>([
    OperationInfo {
        name: "query",
        summary: "Reads rows; the engine refuses to write.",
        arguments: &["sql", "params?", "max_rows?", "numbers?"],
    },
    OperationInfo {
        name: "execute",
        summary: "Runs one statement and commits it; it is not repeated unless `idempotent` is true.",
        arguments: &["sql", "params?", "max_rows?", "numbers?", "expect_rows?", "idempotent?"],
    },
    OperationInfo {
        name: "explain",
        summary: "Tells how the engine would run a statement, which is not run.",
        arguments: &["sql", "params?"],
    },
    OperationInfo {
        name: "transaction",
        summary: "Runs several statements; all of them take effect or none.",
        arguments: &["statements", "options?"],
    },
    OperationInfo {
        name: "batch_insert",
        summary: "Inserts many rows into one table, all or none unless `independent_chunks` is true.",
        arguments: &["table", "columns", "rows", "independent_chunks?"],
    },
]);

/// Turns a name and arguments into an operation of a SQL backend.
///
/// # Errors
/// [`WireError`] names the operation and what is wrong with its arguments.
pub fn decode<B>(name: &str, arguments: Json) -> Result<Operation<B>, WireError>
where
    B: Crud + CrudEngine + Serve<Transaction> + Serve<BatchInsert> + Serve<Explain>,
{
    match name {
        "query" => Ok(Operation::new(Query::from(read::<One>(name, arguments)?.request(name)?))),
        "explain" => Ok(Operation::new(Explain::from(read::<One>(name, arguments)?.request(name)?))),
        "execute" => {
            let mut arguments = arguments;
            let idempotent = take_flag(&mut arguments, "idempotent", name)?;
            let execute = Execute::from(read::<One>(name, arguments)?.request(name)?);
            Ok(Operation::new(if idempotent { execute.idempotent() } else { execute }))
        }
        "transaction" => {
            let many: Many = read(name, arguments)?;
            let requests = many.statements.into_iter().map(|one| one.request(name));
            let list = requests.collect::<Result<Transaction, _>>()?;
            Ok(Operation::new(list.with_options(many.options)))
        }
        "batch_insert" => read::<Insert>(name, arguments)?.message(name).map(Operation::new),
        _ => crud::wire::decode(name, arguments)
            .unwrap_or_else(|| Err(WireError::unknown_operation(name, OPERATIONS))),
    }
}

/// Turns several operations into one transaction of a SQL backend.
///
/// # Errors
/// [`WireError`] names the operation and what is wrong with it.
pub fn atomic<B>(operations: Vec<(String, Json)>) -> Result<Operation<B>, WireError>
where
    B: CrudEngine + Serve<Transaction>,
{
    let requests = operations.into_iter().enumerate().map(|(at, (name, mut arguments))| {
        let place = format!("operation {at} (`{name}`)");
        match name.as_str() {
            "query" => {}
            "execute" => drop(take_flag(&mut arguments, "idempotent", &place)?),
            _ => {
                let known = crud::wire::statement(B::DIALECT, &name, arguments, &place);
                return known.unwrap_or_else(|| Err(no_statement(&place)));
            }
        }
        read::<One>(&place, arguments)?.request(&place)
    });
    Ok(Operation::new(requests.collect::<Result<Transaction, _>>()?))
}

fn no_statement(place: &str) -> WireError {
    WireError::new(format!(
        "{place}: an atomic batch takes `query`, `execute` and the messages on one table except `insert_many`"
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    sql: String,
    #[serde(default)]
    params: Json,
    max_rows: Option<usize>,
    #[serde(default)]
    numbers: Numbers,
    expect_rows: Option<u64>,
}

impl One {
    fn request(self, place: &str) -> Result<Request, WireError> {
        let params = Params::from_json(self.params).map_err(|error| wrong(place, &error))?;
        let mut request = Request::with_params(self.sql, params);
        (request.rows_max, request.numbers) = (self.max_rows, self.numbers);
        request.rows_expected = self.expect_rows.map(Into::into);
        Ok(request)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    statements: Vec<One>,
    #[serde(default)]
    options: TxOptions,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Insert {
    table: TableName,
    columns: Vec<String>,
    rows: Vec<Json>,
    #[serde(default)]
    independent_chunks: bool,
}

impl Insert {
    fn message(self, place: &str) -> Result<BatchInsert, WireError> {
        let mut rows = Vec::with_capacity(self.rows.len());
        for (at, row) in self.rows.into_iter().enumerate() {
            rows.push(Params::from_json(row).map_err(|error| wrong(place, &format!("row {at}: {error}")))?);
        }
        let batch = BatchInsert::new(self.table, self.columns).rows(rows);
        Ok(if self.independent_chunks { batch.independent_chunks() } else { batch })
    }
}

/// Takes an optional boolean out of an object.
fn take_flag(arguments: &mut Json, flag: &str, place: &str) -> Result<bool, WireError> {
    match arguments.as_object_mut().and_then(|object| object.remove(flag)) {
        None => Ok(false),
        Some(Json::Bool(value)) => Ok(value),
        Some(_) => Err(wrong(place, &format!("`{flag}` must be true or false"))),
    }
}

fn read<T: DeserializeOwned>(place: &str, arguments: Json) -> Result<T, WireError> {
    serde_json::from_value(arguments).map_err(|error| wrong(place, &error))
}

fn wrong(place: &str, error: &dyn std::fmt::Display) -> WireError {
    WireError::new(format!("{place}: {error}"))
}
