//! Runs one statement on a leased connection: prepare, bind, execute, collect within limits.

use backstop_core::{
    call::CallContext,
    error::{Executed, Failure, FailureKind, Phase},
};
use backstop_sql::{Request, Rows, StatementError, Value, Verb, Written, reply::not_a_read};
use mysql_async::{
    BinaryProtocol, Column, QueryResult, Statement as Prepared, Value as Wire, prelude::Queryable as _,
};

use crate::{
    error::During,
    known::Known,
    options::MySqlOptions,
    pool::{Lease, State},
    value,
};

/// Room in a command for its head and the types of its parameters.
const HEAD: usize = 1 << 10;

/// Rows past the limit that are read to keep a connection; with more to come it is cheaper to open another one.
const DRAINED: usize = 256;

/// The bounds of one reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl Limits {
    pub(crate) fn of(request: &Request, options: &MySqlOptions) -> Self {
        let rows = request.rows_max.map_or(options.rows_max, |rows| rows.min(options.rows_max));
        Self { rows, bytes: options.bytes_max }
    }
}

/// What a statement is run for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose {
    pub(crate) during: During,
    /// What is left to do with the connection once the statement has ended.
    pub(crate) then: State,
}

impl Purpose {
    pub(crate) const READ: Self = Self { during: During::Statement, then: State::Clean };
    pub(crate) const COMMIT: Self = Self { during: During::Autocommit, then: State::Clean };
    pub(crate) const WITHIN: Self = Self { during: During::Statement, then: State::Open };

    /// What it is called in lists of slow queries.
    fn operation(self) -> &'static str {
        match (self.during, self.then) {
            (_, State::Open) => "transaction",
            (During::Autocommit, _) => "execute",
            _ => "query",
        }
    }
}

/// Turns the parameters of a statement into the driver's.
pub(crate) fn bind(known: &Known, request: &Request) -> Result<Vec<Wire>, Failure> {
    let values = known.statement.bind(&request.params)?.enumerate();
    let bound = values.map(|(at, value)| value::parameter(value, at + 1));
    Ok(bound.collect::<Result<_, _>>()?)
}

/// Prepares a statement, or finds it prepared; nothing takes effect.
pub(crate) async fn prepare(
    lease: &mut Lease,
    sql: &str,
    values: &[Wire],
    then: State,
) -> Result<Prepared, Failure> {
    fits(lease.packet(), sql, values)?;
    lease.set(State::Broken);
    let prepared = match lease.conn()?.prep(sql).await {
        Ok(prepared) => prepared,
        Err(error) => return Err(lease.failed(&error, During::Connect, then).in_phase(Phase::Execute)),
    };
    lease.set(then);
    // the server would take a placeholder that our tokenizer did not see for another parameter
    let found = usize::from(prepared.num_params());
    if found != values.len() {
        let text = format!("the server sees {found} placeholders where {} were found", values.len());
        return Err(StatementError::Message(text).into());
    }
    Ok(prepared)
}

/// Refuses what the server would answer by closing the connection.
fn fits(packet: usize, sql: &str, values: &[Wire]) -> Result<(), Failure> {
    let bytes = HEAD + values.iter().map(|value| 2 + value::weight(value)).sum::<usize>();
    let bytes = bytes.max(HEAD + sql.len());
    if bytes <= packet {
        return Ok(());
    }
    let text = format!("a statement of {bytes} bytes exceeds the server's max_allowed_packet of {packet}");
    Err(Failure::new(FailureKind::TooLarge, text).executed_is(Executed::No))
}

/// Runs a statement that must not write; the session is read-only.
pub(crate) async fn read(
    lease: &mut Lease,
    known: &Known,
    request: &Request,
    limits: Limits,
    call: &CallContext,
) -> Result<Rows, Failure> {
    let values = bind(known, request)?;
    let prepared = prepare(lease, known.statement.sql(), &values, State::Clean).await?;
    if !returns_rows(known, &prepared) {
        return Err(not_a_read());
    }
    let written = run(lease, known, prepared, values, limits, Purpose::READ, call).await?;
    written.rows.map(|rows| rows.with_numbers(request.numbers)).ok_or_else(not_a_read)
}

/// Some kinds of statement tell their columns only when they run.
pub(crate) fn returns_rows(known: &Known, prepared: &Prepared) -> bool {
    prepared.num_columns() > 0 || known.statement.verb() == Verb::Explain
}

/// Runs a statement of any kind.
pub(crate) async fn write(
    lease: &mut Lease,
    known: &Known,
    request: &Request,
    limits: Limits,
    purpose: Purpose,
    call: &CallContext,
) -> Result<Written, Failure> {
    let values = bind(known, request)?;
    let prepared = prepare(lease, known.statement.sql(), &values, purpose.then).await?;
    let mut written = run(lease, known, prepared, values, limits, purpose, call).await?;
    written.numbers = request.numbers;
    written.rows = written.rows.map(|rows| rows.with_numbers(request.numbers));
    Ok(written)
}

/// Runs a prepared statement; returns how many rows it changed.
pub(crate) async fn insert(
    lease: &mut Lease,
    prepared: Prepared,
    values: Vec<Wire>,
    purpose: Purpose,
    call: &CallContext,
) -> Result<u64, Failure> {
    begin(lease, purpose, call);
    let ended = async {
        let result = lease.conn()?.exec_iter(prepared, values).await;
        let Ok(result) = result else { return Ok(result.map(|_| 0)) };
        let affected = result.affected_rows();
        Ok::<_, Failure>(result.drop_result().await.map(|()| affected))
    };
    match ended.await? {
        Ok(affected) => {
            lease.set(purpose.then);
            Ok(affected)
        }
        Err(error) => Err(lease.failed(&error, purpose.during, purpose.then)),
    }
}

/// Notes that a statement is about to leave; inside of a transaction nothing takes effect before COMMIT.
pub(crate) fn begin(lease: &mut Lease, purpose: Purpose, call: &CallContext) {
    if purpose.then == State::Open {
        call.enter(Phase::Execute);
    } else {
        call.sending();
    }
    lease.set(State::Running);
}

async fn run(
    lease: &mut Lease,
    known: &Known,
    prepared: Prepared,
    values: Vec<Wire>,
    limits: Limits,
    purpose: Purpose,
    call: &CallContext,
) -> Result<Written, Failure> {
    if known.soils {
        lease.soil();
    }
    begin(lease, purpose, call);
    let noted = known.stats.begin(purpose.operation());
    let written = answer(lease, known.statement.verb(), prepared, values, limits, purpose).await;
    noted.end(&written, |written| written.rows.as_ref().map_or(written.affected, |rows| rows.len() as u64));
    written
}

/// Sends a prepared statement and reads its answer.
async fn answer(
    lease: &mut Lease,
    verb: Verb,
    prepared: Prepared,
    values: Vec<Wire>,
    limits: Limits,
    purpose: Purpose,
) -> Result<Written, Failure> {
    let ended = async {
        let result = match lease.conn()?.exec_iter(prepared, values).await {
            Ok(result) => result,
            Err(error) => return Ok(Err(error)),
        };
        match result.columns().filter(|columns| !columns.is_empty()) {
            Some(columns) => collect(result, &columns, limits, purpose, verb).await,
            None => {
                let written = changed(&result, verb);
                Ok(result.drop_result().await.map(|()| (written, More::No)))
            }
        }
    };
    let ended: Result<Result<(Written, More), mysql_async::Error>, Failure> = ended.await;
    match ended? {
        Ok((written, More::No)) => {
            lease.set(purpose.then);
            Ok(written)
        }
        // the lease stays `Running`, so its drop ends the statement on the server
        Ok((written, More::Yes)) => Ok(written),
        Err(error) => Err(lease.failed(&error, purpose.during, purpose.then)),
    }
}

/// Whether the server still sends rows that nobody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum More {
    Yes,
    No,
}

fn changed(result: &QueryResult<'_, '_, BinaryProtocol>, verb: Verb) -> Written {
    let mut written = Written::default();
    written.affected = result.affected_rows();
    // of several rows the server tells the first id alone
    if verb == Verb::Insert && written.affected == 1 {
        written.last_insert_id =
            result.last_insert_id().filter(|id| *id > 0).and_then(|id| id.try_into().ok());
    }
    written
}

/// Collects rows within the limits.
///
/// A read that reaches its limit is cut off. A few rows more are read, so that the connection can serve on; with yet
/// more to come it is given up. What writes is read to its end, where its errors show.
async fn collect(
    mut result: QueryResult<'_, '_, BinaryProtocol>,
    described: &[Column],
    limits: Limits,
    purpose: Purpose,
    verb: Verb,
) -> Result<Result<(Written, More), mysql_async::Error>, Failure> {
    let may_stop = purpose.during == During::Statement && purpose.then == State::Clean;
    let mut rows = Rows::new(value::columns_of(described));
    let (mut bytes, mut seen, mut past) = (0, 0_u64, 0_usize);
    let mut more = More::No;
    loop {
        let row = match result.next().await {
            Ok(Some(row)) => row,
            Ok(None) => break,
            Err(error) => return Ok(Err(error)),
        };
        seen += 1;
        if rows.is_truncated() {
            past += 1;
            if may_stop && past > DRAINED {
                more = More::Yes;
                break;
            }
            continue;
        }
        let cells = cells_of(described, row.unwrap(), purpose)?;
        bytes += cells.iter().map(Value::weight).sum::<usize>();
        if rows.len() == limits.rows || bytes > limits.bytes {
            rows.truncate();
        } else {
            cells.into_iter().for_each(|cell| rows.push_cell(cell));
        }
    }
    // a procedure may have more results
    if more == More::No
        && let Err(error) = result.drop_result().await
    {
        return Ok(Err(error));
    }
    let mut written = Written::default();
    if matches!(verb, Verb::Insert | Verb::Update | Verb::Delete) {
        // RETURNING tells its rows in place of a count
        written.affected = seen;
    }
    written.rows = Some(rows);
    Ok(Ok((written, more)))
}

/// Turns the cells of a row into ours.
pub(crate) fn cells_of(
    described: &[Column],
    row: Vec<Wire>,
    purpose: Purpose,
) -> Result<Vec<Value>, Failure> {
    let cells = described.iter().zip(row);
    cells.map(|(column, value)| value::cell(column, value).ok_or_else(|| not_text(column, purpose))).collect()
}

fn not_text(column: &Column, purpose: Purpose) -> Failure {
    let executed = if purpose.during == During::Autocommit { Executed::Unknown } else { Executed::No };
    let text = format!("column `{}` holds text that is not UTF-8; read it as a blob", column.name_str());
    Failure::new(FailureKind::Decode, text).in_phase(Phase::Decode).executed_is(executed)
}
