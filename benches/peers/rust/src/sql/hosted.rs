//! Backstop through its supervisor with every policy on, callers on the lanes' threads as in actix-web.

use std::{
    future::Future,
    rc::Rc,
    time::{Duration, Instant},
};

use backstop_core::{
    backend::{Backend, Connect, Serve},
    policy::Policy,
};
use backstop_sql::{
    Execute, Query, Rows, Value,
    crud::{InsertOne, SelectOne},
};
use backstop_supervisor::{BackendRef, Supervisor, SupervisorOptions, SupervisorRef};

use super::{TABLE, key};
use crate::{
    contender::{Caller, Contender, Sample, Stopwatch},
    spread::{Workers, stealing},
};

/// A backend that runs, and the threads that ask it.
pub struct Hosted<B: Backend> {
    backend: BackendRef<B>,
    workers: Workers,
    _supervisor: SupervisorRef,
}

impl<B: Backend> Hosted<B> {
    /// Starts the backend, and so many threads of callers.
    pub fn start<C: Connect<Backend = B>>(options: C, threads: usize) -> Rc<Self> {
        let (supervisor, backend) = stealing().block_on(async {
            let supervisor = Supervisor::start(SupervisorOptions::default()).unwrap();
            let backend = supervisor.add(B::KIND, options, Policy::default()).await.unwrap();
            (supervisor, backend)
        });
        Rc::new(Self { backend, workers: Workers::start(threads), _supervisor: supervisor })
    }

    /// Takes a turn in which each caller does as `caller` says.
    pub fn turn<F, Fut>(&self, callers: usize, watch: &Stopwatch, caller: F) -> Sample
    where
        F: Fn(BackendRef<B>, Caller) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Caller> + 'static,
    {
        let (backend, before) = (self.backend.clone(), self.opened());
        let sample = self.workers.turn(callers, watch, move |seen| caller(backend.clone(), seen));
        Sample { extra: Some((self.opened() - before) as f64), ..sample }
    }

    /// Connections that were opened so far; more than a few in a turn cost the callers dearly.
    fn opened(&self) -> u64 {
        let backend = self.backend.clone();
        self.workers.run(move || async move { backend.pool().await.created_total })
    }

    /// Does something once on the first thread, and returns how long it took there.
    pub fn timed<Fut>(&self, work: impl FnOnce(BackendRef<B>) -> Fut + Send + 'static) -> Duration
    where
        Fut: Future<Output = ()> + 'static,
    {
        let backend = self.backend.clone();
        self.workers.run(move || async move {
            let start = Instant::now();
            work(backend).await;
            start.elapsed()
        })
    }

    /// Reads by key, as a text with one parameter.
    pub fn queries(self: &Rc<Self>, name: &'static str, select: &'static str) -> Contender
    where
        B: Serve<Query>,
    {
        let hosted = Rc::clone(self);
        Contender::new(name, move |callers, watch| {
            hosted.turn(callers, watch, move |backend, mut caller| async move {
                while let Some(turn) = caller.next() {
                    let key = key(turn);
                    let rows = backend.ask(Query::new(select).bind(key)).await.unwrap();
                    assert_row(&rows, key);
                }
                caller
            })
        })
    }

    /// Reads by key, as a table, columns and a key.
    pub fn look_ups(self: &Rc<Self>, name: &'static str) -> Contender
    where
        B: Serve<SelectOne>,
    {
        let hosted = Rc::clone(self);
        Contender::new(name, move |callers, watch| {
            hosted.turn(callers, watch, move |backend, mut caller| async move {
                while let Some(turn) = caller.next() {
                    let key = key(turn);
                    let select = SelectOne::new(TABLE, ("id", key)).columns(["name", "amount"]);
                    assert_row(&backend.ask(select).await.unwrap(), key);
                }
                caller
            })
        })
    }

    /// Inserts as a text with two parameters, each committed by itself.
    pub fn executes(self: &Rc<Self>, name: &'static str, insert: &'static str) -> Contender
    where
        B: Serve<Execute>,
    {
        let hosted = Rc::clone(self);
        Contender::new(name, move |callers, watch| {
            hosted.turn(callers, watch, move |backend, mut caller| async move {
                while let Some(turn) = caller.next() {
                    let insert = Execute::new(insert).bind("an item").bind(turn as i64);
                    assert_eq!(backend.ask(insert).await.unwrap().affected, 1);
                }
                caller
            })
        })
    }

    /// Inserts as a table and a record, without the id of the new row.
    pub fn insert_ones(self: &Rc<Self>, name: &'static str) -> Contender
    where
        B: Serve<InsertOne>,
    {
        let hosted = Rc::clone(self);
        Contender::new(name, move |callers, watch| {
            hosted.turn(callers, watch, move |backend, mut caller| async move {
                while let Some(turn) = caller.next() {
                    let row = (("name", "an item"), ("amount", turn as i64));
                    let inserted = backend.ask(InsertOne::new(TABLE, row).without_id()).await.unwrap();
                    assert_eq!(inserted.written.affected, 1);
                }
                caller
            })
        })
    }
}

/// The reply is the one row that was asked for.
pub fn assert_row(rows: &Rows, key: i64) {
    let amount = rows.get(0).and_then(|row| row.get("amount").cloned());
    assert_eq!((rows.len(), amount), (1, Some(Value::Int(key))));
}
