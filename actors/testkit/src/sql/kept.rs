//! Answers that are kept, and the transactions that make them stale.
#![allow(missing_docs, reason = "a check says in its name what it checks")]

use std::sync::Arc;

use backstop_core::{
    backend::Serve,
    call::{CallContext, Deadline, OpId},
    error::{CallError, Executed},
    event::EventRing,
    guard::Guard,
    message::Message,
    policy::Policy,
};
use backstop_sql::{
    AsyncTx, Execute, Request, TransactAsync, Transaction, TxError, Written,
    crud::{CrudEngine as _, Filter, SelectOne, UpdateOne},
};

use super::{Lane, SqlSubject, three};
use crate::lane::{LONG, lane};

/// A lane behind its policies, as the supervisor runs it.
#[derive(Debug)]
pub struct Guarded<S> {
    pub db: S,
    pub guard: Arc<Guard>,
}

impl<S: SqlSubject> Guarded<S> {
    pub async fn new() -> Self {
        let guard = Guard::new("users".into(), Policy::default(), Arc::new(EventRing::new(16))).unwrap();
        let own = Self { db: three().await, guard };
        assert_eq!(own.age().await, 36);
        own
    }

    pub async fn ask<M: Message>(&self, message: M) -> Result<M::Reply, CallError>
    where
        Lane<S>: Serve<M>,
    {
        let call = CallContext::new(OpId::next(), Deadline::after(LONG));
        let class = message.class();
        self.guard.run(&*self.db.lane, &message, &call, class).await
    }

    /// Ada's age, by a read that may be answered from the cache.
    pub async fn age(&self) -> i64 {
        let read = SelectOne::new("users", ("id", 1)).columns(["age"]).cache_key("user:1").tag("ages");
        self.ask(read.typed::<i64>()).await.unwrap().unwrap()
    }

    /// Changes it behind the back of the cache.
    pub async fn change(&self, age: i64) {
        self.db.run(format!("UPDATE users SET age = {age} WHERE id = 1")).await;
    }

    /// Says whether `message` drops the kept answer, and how it ends; leaves a kept answer behind.
    async fn drops<M: Message>(&self, message: M) -> (bool, Result<M::Reply, CallError>)
    where
        Lane<S>: Serve<M>,
    {
        let before = self.age().await;
        self.change(before + 1).await;
        assert_eq!(self.age().await, before, "the answer was not kept");
        let ended = self.ask(message).await;
        let is_dropped = self.age().await == before + 1;
        self.guard.invalidate_tag("ages");
        assert_eq!(self.age().await, before + 1);
        (is_dropped, ended)
    }
}

/// A statement that changes Cy alone and names no tag.
fn text() -> Request {
    Request::new("UPDATE users SET age = 8 WHERE id = 3")
}

/// The same as a message on the table, which names its tag.
fn message<S: SqlSubject>() -> Request {
    UpdateOne::new("users", ("id", 3), [("age", 9)]).lower(Lane::<S>::DIALECT).unwrap()
}

pub fn a_list_drops_what_it_makes_stale_after_its_commit_alone<S: SqlSubject>() {
    lane(async {
        let users = Guarded::<S>::new().await;
        let list = || Transaction::new().then(text());
        let fails = Request::new("INSERT INTO users(name) VALUES ('Bob')");
        for (transaction, expected) in [
            (list(), false),
            (list().invalidating("something else"), false),
            (list().invalidating("ages"), true),
            (list().invalidating("something else").invalidating("table:users"), true),
            (list().then(message::<S>()), true),
            (Transaction::new().then(text().invalidating("ages")).then(text()), true),
        ] {
            let (is_dropped, ended) = users.drops(transaction.clone()).await;
            ended.unwrap();
            assert_eq!(is_dropped, expected, "{transaction:?}");
            let undone = transaction.then(fails.clone());
            let (is_dropped, ended) = users.drops(undone.clone()).await;
            assert_eq!(ended.unwrap_err().executed(), Executed::No);
            assert!(!is_dropped, "a list that was undone: {undone:?}");
        }
    });
}

/// What a closure does before its end.
#[derive(Clone, Copy, Debug)]
enum Step {
    Text,
    Names,
    NamesWithinAPartThatIsUndone,
    Message,
}

async fn take<S: SqlSubject>(step: Step, tx: &mut AsyncTx<'_>) -> Result<Written, TxError> {
    match step {
        Step::Text => {}
        Step::Names => tx.invalidate("ages"),
        Step::NamesWithinAPartThatIsUndone => {
            let part = tx.savepoint(async |tx| {
                tx.run(&message::<S>()).await?;
                tx.invalidate("ages");
                Err::<(), _>(TxError::abort("on purpose"))
            });
            part.await.unwrap_err();
        }
        Step::Message => return tx.run(&message::<S>()).await,
    }
    tx.run(&text()).await
}

pub fn a_closure_drops_what_it_makes_stale_after_its_commit_alone<S: SqlSubject>() {
    lane(async {
        let users = Guarded::<S>::new().await;
        for (step, expected) in [
            (Step::Text, false),
            (Step::Names, true),
            (Step::NamesWithinAPartThatIsUndone, false),
            (Step::Message, true),
        ] {
            let closure =
                TransactAsync::new(async move |tx: &mut AsyncTx<'_>| take::<S>(step, tx).await.map(drop));
            let (is_dropped, ended) = users.drops(closure).await;
            ended.unwrap_or_else(|error| panic!("{step:?}: {error}"));
            assert_eq!(is_dropped, expected, "{step:?}");
            let gives_up = TransactAsync::new(async move |tx: &mut AsyncTx<'_>| -> Result<(), TxError> {
                take::<S>(step, tx).await?;
                Err(TxError::abort("on purpose"))
            });
            let (is_dropped, ended) = users.drops(gives_up.invalidating("ages")).await;
            assert_eq!(ended.unwrap_err().executed(), Executed::No);
            assert!(!is_dropped, "a closure that was undone: {step:?}");
        }
        let closure = TransactAsync::new(async |_: &mut AsyncTx<'_>| Ok(()));
        let (is_dropped, ended) = users.drops(closure.invalidating("ages")).await;
        ended.unwrap();
        assert!(is_dropped, "the tag of the message itself");
    });
}

pub fn a_message_in_a_closure_that_fits_more_rows_ends_it_and_drops_nothing<S: SqlSubject>() {
    lane(async {
        let users = Guarded::<S>::new().await;
        let wide = UpdateOne::new("users", Filter::gt("id", 0), [("age", 1)]);
        let wide = wide.lower(Lane::<S>::DIALECT).unwrap();
        let closure = TransactAsync::new(async move |tx: &mut AsyncTx<'_>| tx.run(&wide).await.map(drop));
        let (is_dropped, ended) = users.drops(closure).await;
        assert_eq!(ended.unwrap_err().executed(), Executed::No);
        assert!(!is_dropped);
        users.ask(Execute::new("UPDATE users SET age = 3 WHERE id = 1").invalidating("ages")).await.unwrap();
        assert_eq!(users.age().await, 3);
    });
}
