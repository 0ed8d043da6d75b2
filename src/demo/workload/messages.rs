//! How each action becomes messages, and how their ends come into the books.

use std::{cell::Cell, future::Future, time::Duration};

use backstop_core::{error::CallError, message::Class};
use backstop_http::{Get, Json, Post};
use backstop_sql::{Execute, Query, Request, Rows, Transaction, Value, Written};
use serde::Deserialize;
use serde_json::{Value as Data, json};

use super::{Action, Step};
use crate::{
    demo::{
        Bug, Role,
        books::Effect,
        fate::Fate,
        stage::{INSERT, INSERT_KEYED, Stage},
        worker::Work,
    },
    orchestrator::{Batch, BatchItem, End, Gather},
};

/// What the worker's work takes.
const WORK_TAKES: Duration = Duration::from_millis(3);

/// The statement of a read; its answer repeats the caller's number.
const SELECT: &str = "SELECT ? AS nonce, (SELECT count(*) FROM orders WHERE op_id = ?) AS found";

/// One in so many answers goes wrong once a bug of that kind is planted.
const SPOIL_EVERY: u64 = 100;

/// The answer of the API: it repeats the caller's number.
#[derive(Debug, Deserialize)]
struct Echo {
    nonce: u64,
}

/// Does one step of a caller, to its end.
pub(super) async fn perform(stage: &Stage, step: &Step) {
    match step.action {
        Action::Query => query(stage, step).await,
        Action::QueryByName => query_by_name(stage, step).await,
        Action::Insert => insert(stage, step, INSERT, Class::Unsafe).await,
        Action::InsertKeyed => insert(stage, step, INSERT_KEYED, Class::Keyed).await,
        Action::Transfer => transfer(stage, step).await,
        Action::Get => get(stage, step).await,
        Action::Post => post(stage, step, false).await,
        Action::PostKeyed => post(stage, step, true).await,
        Action::Work => work(stage, step.cancel_after, WORK_TAKES).await,
        Action::Gather => gather(stage, step).await,
        Action::Batch => batch(stage, step).await,
        // only servers have accounts
        Action::Move => {}
    }
}

async fn query(stage: &Stage, step: &Step) {
    let nonce = step.nonce;
    let ask = stage.orders.ask(select(nonce)).within(stage.timeout());
    single(stage, Role::Orders, Effect::Read, step.cancel_after, ask, nonce, echoes_row).await;
}

async fn query_by_name(stage: &Stage, step: &Step) {
    let nonce = step.nonce;
    let arguments = json!({ "sql": SELECT, "params": [nonce, nonce] });
    let ask = stage.execute(Role::Orders, "query", arguments);
    single(stage, Role::Orders, Effect::Read, step.cancel_after, ask, nonce, echoes_data).await;
}

async fn insert(stage: &Stage, step: &Step, sql: &'static str, class: Class) {
    let op = stage.books.next_op();
    let ask = stage.orders.ask(order(sql, op).class(class)).within(stage.timeout());
    // a repetition by key finds its own row
    let fits: Fits<Written> =
        if class == Class::Keyed { |_, _| true } else { |written, _| written.affected == 1 };
    single(stage, Role::Orders, Effect::Write(op), step.cancel_after, ask, op, fits).await;
}

async fn transfer(stage: &Stage, step: &Step) {
    let (one, other) = (stage.books.next_op(), stage.books.next_op());
    let statement = |op| Request::with_params(INSERT, (number(op), "transfer"));
    let message = Transaction::new().then(statement(one)).then(statement(other));
    let ask = stage.orders.ask(message).within(stage.timeout());
    let fits: Fits<Vec<Written>> = |written, _| written.len() == 2;
    single(stage, Role::Orders, Effect::Pair(one, other), step.cancel_after, ask, one, fits).await;
}

async fn get(stage: &Stage, step: &Step) {
    let Ok(request) = price(step.nonce) else { return };
    let ask = stage.pricing.ask(request).within(stage.timeout());
    single(stage, Role::Pricing, Effect::Read, step.cancel_after, ask, step.nonce, echoes).await;
}

async fn post(stage: &Stage, step: &Step, keyed: bool) {
    let op = stage.books.next_op();
    let builder = Post::new("orders").json(&json!({ "op": op }));
    let builder = if keyed { builder.idempotency_key(format!("order-{op}")) } else { builder };
    let Ok(request) = builder.build() else { return };
    let ask = stage.pricing.ask(request.into_json::<Echo>()).within(stage.timeout());
    single(stage, Role::Pricing, Effect::Write(op), step.cancel_after, ask, op, echoes).await;
}

/// Gives the worker one piece of work and waits for its end.
pub(in crate::demo) async fn work(stage: &Stage, cancel_after: Option<Duration>, takes: Duration) {
    let op = stage.books.next_op();
    let ask = stage.worker.ask(Work { op, takes }).within(stage.timeout());
    single(stage, Role::Worker, Effect::Write(op), cancel_after, ask, op, |done, op| *done == op).await;
}

async fn gather(stage: &Stage, step: &Step) {
    let (nonce, op, timeout) = (step.nonce, stage.books.next_op(), stage.timeout());
    let Ok(request) = price(nonce) else { return };
    let rows = stage.books.open(Role::Orders, Effect::Read, timeout);
    let echo = stage.books.open(Role::Pricing, Effect::Read, timeout);
    let done = stage.books.open(Role::Worker, Effect::Write(op), timeout);
    let members = (
        stage.orders.ask(select(nonce)),
        stage.pricing.ask(request),
        stage.worker.ask(Work { op, takes: WORK_TAKES }),
    );
    let (found, told, did) = Gather::all(members).within(timeout).await;
    stage.books.close(rows, judge(stage, Role::Orders, &found, nonce, echoes_row));
    stage.books.close(echo, judge(stage, Role::Pricing, &told, nonce, echoes));
    stage.books.close(done, judge(stage, Role::Worker, &did, op, |done, op| *done == op));
}

async fn batch(stage: &Stage, step: &Step) {
    let (nonce, op, timeout) = (step.nonce, stage.books.next_op(), stage.timeout());
    let opened = [
        stage.books.open(Role::Orders, Effect::Read, timeout),
        stage.books.open(Role::Orders, Effect::Write(op), timeout),
        stage.books.open(Role::Pricing, Effect::Read, timeout),
    ];
    let item = |role: Role, operation: &str, arguments| {
        BatchItem::new(role.name(), operation, arguments).within(timeout)
    };
    let batch = Batch::new()
        .then(item(Role::Orders, "query", json!({ "sql": SELECT, "params": [nonce, nonce] })))
        .then(item(Role::Orders, "execute", json!({ "sql": INSERT, "params": [op, "batch"] })))
        .then(item(Role::Pricing, "get", json!({ "path": "prices/7", "query": { "nonce": nonce } })));
    let ends = stage.batch(batch).await;
    let fits: [Fits<Data>; 3] = [echoes_data, |_, _| true, |data, nonce| data["body"]["nonce"] == nonce];
    for ((open, end), (role, fits)) in
        opened.into_iter().zip(ends).zip([Role::Orders, Role::Orders, Role::Pricing].into_iter().zip(fits))
    {
        let fate = match end {
            End::Ok(data) => judge(stage, role, &Ok(data), nonce, fits),
            End::Error(error) => Fate::of_error(&error),
            // nothing in this batch waits for anything else
            End::Skipped(_) => Fate::Rejected("skipped"),
        };
        stage.books.close(open, fate);
    }
}

/// Says whether a reply belongs to the number it was asked with.
pub(super) type Fits<R> = fn(&R, u64) -> bool;

/// Waits for one message, or goes away before its end, and writes its fate down.
pub(super) async fn single<R>(
    stage: &Stage,
    role: Role,
    effect: Effect,
    cancel_after: Option<Duration>,
    ask: impl Future<Output = Result<R, CallError>>,
    nonce: u64,
    fits: Fits<R>,
) {
    let open = stage.books.open(role, effect, stage.timeout());
    let result = match cancel_after {
        Some(patience) => tokio::time::timeout(patience, ask).await.ok(),
        None => Some(ask.await),
    };
    let fate = result.map_or(Fate::Cancelled, |result| judge(stage, role, &result, nonce, fits));
    if stage.options.bug == Some(Bug::AnswerLate) && is_spoilt(stage) {
        tokio::time::sleep(stage.timeout() + crate::demo::books::LATE_AFTER * 2).await;
    }
    stage.books.close(open, fate);
}

/// Reads the fate of a message and looks whether the reply is its own.
fn judge<R>(stage: &Stage, role: Role, result: &Result<R, CallError>, nonce: u64, fits: Fits<R>) -> Fate {
    let swapped = stage.options.bug == Some(Bug::SwapAnswers) && is_spoilt(stage);
    let nonce = if swapped { nonce + 1 } else { nonce };
    if result.as_ref().is_ok_and(|reply| !fits(reply, nonce)) {
        stage.books.mismatch(role);
    }
    Fate::of(result)
}

/// Picks the messages that a planted bug spoils.
fn is_spoilt(stage: &Stage) -> bool {
    let spoilt: &Cell<u64> = &stage.spoilt;
    spoilt.set(spoilt.get() + 1);
    spoilt.get().is_multiple_of(SPOIL_EVERY)
}

fn select(nonce: u64) -> Query {
    Query::new(SELECT).bind(number(nonce)).bind(number(nonce))
}

fn order(sql: &'static str, op: u64) -> Execute {
    Execute::new(sql).bind(number(op)).bind("single")
}

fn price(nonce: u64) -> Result<Json<Echo>, backstop_http::RequestError> {
    Ok(Get::new("prices/7").query("nonce", nonce).build()?.into_json())
}

fn echoes(echo: &Echo, nonce: u64) -> bool {
    echo.nonce == nonce
}

pub(super) fn echoes_row(rows: &Rows, nonce: u64) -> bool {
    rows.get(0).and_then(|row| row.get("nonce")) == Some(&Value::Int(number(nonce)))
}

/// Whole numbers of 64 bits travel as text.
pub(super) fn echoes_data(data: &Data, nonce: u64) -> bool {
    let cell = &data["rows"][0][0];
    cell.as_u64() == Some(nonce) || cell.as_str() == Some(nonce.to_string().as_str())
}

/// SQL knows signed numbers alone; ours are far below the limit.
pub(super) fn number(op: u64) -> i64 {
    i64::try_from(op).unwrap_or(i64::MAX)
}
