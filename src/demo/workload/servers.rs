//! What callers ask of a database server: the same messages, whichever engine it is.

use std::future::Future;

use backstop_core::{backend::Serve, error::CallError, message::Class};
use backstop_sql::{AsyncTx, Execute, Query, Request, TransactAsync, Transaction, TxError, Written};
use backstop_supervisor::BackendRef;
use serde_json::json;

use super::{
    Action, Step,
    messages::{Fits, echoes_data, echoes_row, number, single},
};
use crate::demo::{
    Role,
    books::Effect,
    servers::{ACCOUNTS, Tables},
    stage::Stage,
};

/// The most that one move takes along.
const AMOUNT_MAX: u64 = 50;

/// A backend that serves what is asked here.
pub(in crate::demo) trait Teller:
    Serve<Query> + Serve<Execute> + Serve<Transaction> + Serve<TransactAsync<()>>
{
}

impl<B> Teller for B where B: Serve<Query> + Serve<Execute> + Serve<Transaction> + Serve<TransactAsync<()>> {}

/// Does one step of a caller, to its end.
pub(super) async fn perform<B: Teller>(stage: &Stage, role: Role, backend: &BackendRef<B>, step: &Step) {
    let tables = Tables::of(role);
    let caller = Caller { stage, role, backend, step };
    match step.action {
        Action::QueryByName => caller.query_by_name(tables.select).await,
        Action::Insert => caller.insert(tables.insert, Class::Unsafe).await,
        Action::InsertKeyed => caller.insert(tables.insert_keyed, Class::Keyed).await,
        Action::Transfer => caller.pair(tables.insert).await,
        Action::Move => caller.move_money().await,
        _ => caller.query(tables.select).await,
    }
}

struct Caller<'a, B: Teller> {
    stage: &'a Stage,
    role: Role,
    backend: &'a BackendRef<B>,
    step: &'a Step,
}

impl<B: Teller> Caller<'_, B> {
    async fn query(&self, sql: &'static str) {
        let nonce = self.step.nonce;
        let message = Query::new(sql).bind(number(nonce)).bind(number(nonce));
        let ask = self.backend.ask(message).within(self.stage.timeout());
        self.wait(Effect::Read, ask, nonce, echoes_row).await;
    }

    async fn query_by_name(&self, sql: &'static str) {
        let nonce = self.step.nonce;
        let ask = self.stage.execute(self.role, "query", json!({ "sql": sql, "params": [nonce, nonce] }));
        self.wait(Effect::Read, ask, nonce, echoes_data).await;
    }

    async fn insert(&self, sql: &'static str, class: Class) {
        let op = self.stage.books.next_op();
        let message = Execute::new(sql).bind(number(op)).bind("single").class(class);
        let ask = self.backend.ask(message).within(self.stage.timeout());
        // a repetition by key finds its own row
        let fits: Fits<Written> =
            if class == Class::Keyed { |_, _| true } else { |written, _| written.affected == 1 };
        self.wait(Effect::Write(op), ask, op, fits).await;
    }

    async fn pair(&self, sql: &'static str) {
        let (one, other) = (self.stage.books.next_op(), self.stage.books.next_op());
        let statement = |op| Request::with_params(sql, (number(op), "pair"));
        let message = Transaction::new().then(statement(one)).then(statement(other));
        let ask = self.backend.ask(message).within(self.stage.timeout());
        let fits: Fits<Vec<Written>> = |written, _| written.len() == 2;
        self.wait(Effect::Pair(one, other), ask, one, fits).await;
    }

    async fn move_money(&self) {
        let op = self.stage.books.next_op();
        let order = Move::drawn(op, self.step.nonce);
        let message = TransactAsync::new(async move |tx| order.carry_out(tx).await);
        let ask = self.backend.ask(message).within(self.stage.timeout());
        self.wait(Effect::Write(op), ask, op, |(), _| true).await;
    }

    async fn wait<R>(
        &self,
        effect: Effect,
        ask: impl Future<Output = Result<R, CallError>>,
        nonce: u64,
        fits: Fits<R>,
    ) {
        single(self.stage, self.role, effect, self.step.cancel_after, ask, nonce, fits).await;
    }
}

/// Money from one account to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Move {
    op: u64,
    source: u64,
    target: u64,
    amount: i64,
}

impl Move {
    /// Draws accounts that differ, and an amount, from a number.
    fn drawn(op: u64, nonce: u64) -> Self {
        let source = nonce % ACCOUNTS;
        let target = (source + 1 + nonce / ACCOUNTS % (ACCOUNTS - 1)) % ACCOUNTS;
        Self { op, source, target, amount: number(nonce % AMOUNT_MAX + 1) }
    }

    async fn carry_out(self, tx: &mut AsyncTx<'_>) -> Result<(), TxError> {
        let (source, target) = (number(self.source), number(self.target));
        // in the order of their numbers, so that no two moves wait for each other
        let lock = "SELECT id, balance FROM accounts WHERE id IN (?, ?) ORDER BY id FOR UPDATE";
        let held: Vec<(i64, i64)> = tx.query_as(lock, [source, target]).await?;
        let balance = held.iter().find(|(id, _)| *id == source).map_or(0, |(_, balance)| *balance);
        let amount = self.amount.min(balance);
        let change = "UPDATE accounts SET balance = balance + ? WHERE id = ?";
        tx.execute(change, [-amount, source]).await?;
        tx.execute(change, [amount, target]).await?;
        let note = "INSERT INTO moves (op_id, source, target, amount) VALUES (?, ?, ?, ?)";
        tx.execute(note, [number(self.op), source, target, amount]).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_always_goes_to_another_account_and_is_more_than_nothing() {
        for nonce in 0..10_000 {
            let Move { source, target, amount, .. } = Move::drawn(1, nonce);
            assert!(source != target && source < ACCOUNTS && target < ACCOUNTS, "{nonce}");
            assert!((1..=number(AMOUNT_MAX)).contains(&amount), "{nonce}");
        }
    }
}
