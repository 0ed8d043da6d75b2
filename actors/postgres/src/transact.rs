//! Several statements that commit together: as a list, or as a closure that awaits.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use backstop_core::{
    backend::Serve,
    call::CallContext,
    error::{Failure, FailureKind},
};
use backstop_sql::{
    AsyncTx, StatementError, TransactAsync, Transaction, Verb, Written, reply::at_statement,
    transaction::AfterCommit,
};
use futures_util::FutureExt;

use crate::{
    Postgres,
    engine::{self, Engine},
};

impl<R: Send + 'static> Serve<TransactAsync<R>> for Postgres {
    async fn serve(&self, message: &TransactAsync<R>, call: &CallContext) -> Result<R, Failure> {
        let lease = self.lane().acquire(call, "transaction").await?;
        let parse = |sql: &_| self.known(sql);
        let mut engine = Engine::begin(&lease, call, &parse, message.options()).await?;
        let mut tx = AsyncTx::new(&mut engine);
        // what the closure touched is rolled back, and nothing else of it is looked at
        let ended = AssertUnwindSafe(message.body().run(&mut tx)).catch_unwind().await;
        let hooks = tx.into_hooks();
        let failure = match ended {
            Ok(Ok(reply)) => {
                engine.commit().await.map_err(|failure| self.judged(failure))?;
                run_hooks(hooks);
                return reply.downcast().map(|reply| *reply).map_err(|_| lost());
            }
            Ok(Err(error)) => error.into_failure(),
            Err(payload) => {
                forget(payload);
                engine::panicked()
            }
        };
        engine.roll_back().await;
        Err(self.judged(failure))
    }
}

/// A body returns the type that it was made with.
fn lost() -> Failure {
    Failure::new(FailureKind::Panicked, "the transaction's reply is of another type")
}

/// What was thrown may throw again as it is dropped.
fn forget(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
}

/// The transaction is committed, whatever its hooks do.
fn run_hooks(hooks: Vec<AfterCommit>) {
    for hook in hooks {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(hook)) {
            forget(payload);
            tracing::error!(target: "backstop::postgres", "a hook after a commit panicked");
        }
    }
}

impl Serve<Transaction> for Postgres {
    async fn serve(&self, message: &Transaction, call: &CallContext) -> Result<Vec<Written>, Failure> {
        let requests = message.requests();
        if requests.is_empty() {
            return Err(StatementError::Message("the transaction has no statements".into()).into());
        }
        for (at, request) in requests.iter().enumerate() {
            let known = self.checked(request).map_err(|failure| at_statement(failure, at))?;
            if known.statement.verb() == Verb::Vacuum {
                let (what, why) = (format!("statement {at}"), "VACUUM has no place in a transaction");
                return Err(StatementError::Refused { what, why }.into());
            }
        }
        let lease = self.lane().acquire(call, "transaction").await?;
        let parse = |sql: &_| self.known(sql);
        let mut engine = Engine::begin(&lease, call, &parse, message.options()).await?;
        let mut replies = Vec::with_capacity(requests.len());
        for (at, request) in requests.iter().enumerate() {
            let written = engine.statement(request).await;
            match written.and_then(|written| request.check_rows(&written).map(|()| written)) {
                Ok(reply) => replies.push(reply),
                Err(failure) => {
                    engine.roll_back().await;
                    return Err(at_statement(self.judged(failure), at));
                }
            }
        }
        engine.commit().await.map_err(|failure| self.judged(failure))?;
        Ok(replies)
    }
}
