//! How a backend gets the messages from those that it has.

use std::future::Future;

use backstop_core::{
    backend::Serve,
    call::CallContext,
    error::{Executed, Failure, FailureKind, Phase},
    message::Message,
};
use serde::de::DeserializeOwned;

use super::{
    Count, DeleteMany, DeleteOne, Exists, InsertMany, InsertOne, Inserted, SelectMany, SelectManyAs,
    SelectOne, SelectOneAs, Shapes, UpdateMany, UpdateOne, Upsert,
};
use crate::{BatchInsert, Dialect, Execute, Query, Request, Rows, Written, reply::typed};

/// What a backend needs so that [`serve_crud!`](crate::serve_crud) can give it the messages of this module.
///
/// Its `Execute` and `Transaction` must keep [`Request::rows_expected`].
pub trait CrudEngine: Serve<Query> + Serve<Execute> + Serve<BatchInsert> {
    /// The SQL it speaks.
    const DIALECT: Dialect;

    /// The texts that this lane knows.
    fn shapes(&self) -> &Shapes;

    /// Reads one row; a backend that merges look-ups ([`SelectOne::as_key_lookup`]) has its own way.
    ///
    /// # Errors
    /// As the statement would fail by itself.
    ///
    /// # Cancel safety
    /// That of [`Query`].
    fn select_one(
        &self,
        message: &SelectOne,
        call: &CallContext,
    ) -> impl Future<Output = Result<Rows, Failure>> {
        async move { read(self, message.request(Self::DIALECT, Some(self.shapes()))?, call).await }
    }

    /// Inserts one row; a backend that merges inserts ([`InsertOne::as_row_insert`]) has its own way.
    ///
    /// # Errors
    /// As the statement would fail by itself.
    ///
    /// # Cancel safety
    /// That of [`Execute`].
    fn insert_one(
        &self,
        message: &InsertOne,
        call: &CallContext,
    ) -> impl Future<Output = Result<Inserted, Failure>> {
        async move {
            let request = message.request(Self::DIALECT, Some(self.shapes()))?;
            Ok(message.reply(write(self, request, message.class(), call).await?))
        }
    }
}

/// A backend that serves every message of this module; what a repository asks of it.
pub trait Crud:
    Serve<SelectOne>
    + Serve<SelectMany>
    + Serve<Count>
    + Serve<Exists>
    + Serve<InsertOne>
    + Serve<InsertMany>
    + Serve<Upsert>
    + Serve<UpdateOne>
    + Serve<UpdateMany>
    + Serve<DeleteOne>
    + Serve<DeleteMany>
{
}

impl<B> Crud for B where
    B: Serve<SelectOne>
        + Serve<SelectMany>
        + Serve<Count>
        + Serve<Exists>
        + Serve<InsertOne>
        + Serve<InsertMany>
        + Serve<Upsert>
        + Serve<UpdateOne>
        + Serve<UpdateMany>
        + Serve<DeleteOne>
        + Serve<DeleteMany>
{
}

/// A message of this module, as [`serve_crud!`](crate::serve_crud) serves it.
pub trait CrudMessage: Message {
    /// Answers by the backend's own messages.
    ///
    /// # Errors
    /// As the statement would fail by itself; `wrong_row_count` where more than one row would be touched.
    ///
    /// # Cancel safety
    /// That of the backend's messages.
    fn answer<B: CrudEngine>(
        &self,
        backend: &B,
        call: &CallContext,
    ) -> impl Future<Output = Result<Self::Reply, Failure>>;
}

/// Gives a [`CrudEngine`](crate::crud::CrudEngine) every message of [`crud`](crate::crud).
///
/// ```text
/// backstop_sql::serve_crud!(Sqlite);
/// ```
#[macro_export]
macro_rules! serve_crud {
    ($backend:ty) => {
        $crate::serve_crud!(@plain $backend: SelectOne SelectMany Count Exists InsertOne InsertMany Upsert
            UpdateOne UpdateMany DeleteOne DeleteMany);
        $crate::serve_crud!(@typed $backend: SelectOneAs SelectManyAs);
    };
    (@plain $backend:ty: $($message:ident)+) => {$(
        impl $crate::__private::Serve<$crate::crud::$message> for $backend {
            async fn serve(
                &self,
                message: &$crate::crud::$message,
                call: &$crate::__private::CallContext,
            ) -> Result<<$crate::crud::$message as $crate::__private::Message>::Reply, $crate::__private::Failure>
            {
                $crate::crud::CrudMessage::answer(message, self, call).await
            }
        }
    )+};
    (@typed $backend:ty: $($message:ident)+) => {$(
        impl<T> $crate::__private::Serve<$crate::crud::$message<T>> for $backend
        where
            T: $crate::__private::DeserializeOwned + Clone + Send + Sync + 'static,
        {
            async fn serve(
                &self,
                message: &$crate::crud::$message<T>,
                call: &$crate::__private::CallContext,
            ) -> Result<<$crate::crud::$message<T> as $crate::__private::Message>::Reply, $crate::__private::Failure>
            {
                $crate::crud::CrudMessage::answer(message, self, call).await
            }
        }
    )+};
}

macro_rules! answers {
    ($($message:ty => $reply:ty, |$self:ident, $backend:ident, $call:ident, $request:ident| $answer:expr;)+) => {$(
        impl CrudMessage for $message {
            async fn answer<B: CrudEngine>(&self, $backend: &B, $call: &CallContext) -> Result<$reply, Failure> {
                let ($self, $request) = (self, self.request(B::DIALECT, Some($backend.shapes()))?);
                $answer
            }
        }
    )+};
}

answers! {
    SelectMany => Rows, |_own, backend, call, request| read(backend, request, call).await;
    Count => u64, |_own, backend, call, request| {
        let counted = first(&read(backend, request, call).await?);
        counted.and_then(|count| u64::try_from(count).ok()).ok_or_else(|| odd("no count"))
    };
    Exists => bool, |_own, backend, call, request| {
        first(&read(backend, request, call).await?).map(|found| found != 0).ok_or_else(|| odd("no truth value"))
    };
    Upsert => Written, |own, backend, call, request| write(backend, request, own.class(), call).await;
    UpdateOne => Written, |own, backend, call, request| write(backend, request, own.class(), call).await;
    UpdateMany => Written, |own, backend, call, request| write(backend, request, own.class(), call).await;
    DeleteOne => Written, |own, backend, call, request| write(backend, request, own.class(), call).await;
    DeleteMany => Written, |own, backend, call, request| write(backend, request, own.class(), call).await;
}

impl CrudMessage for SelectOne {
    async fn answer<B: CrudEngine>(&self, backend: &B, call: &CallContext) -> Result<Rows, Failure> {
        backend.select_one(self, call).await
    }
}

impl CrudMessage for InsertOne {
    async fn answer<B: CrudEngine>(&self, backend: &B, call: &CallContext) -> Result<Inserted, Failure> {
        backend.insert_one(self, call).await
    }
}

impl CrudMessage for InsertMany {
    async fn answer<B: CrudEngine>(&self, backend: &B, call: &CallContext) -> Result<Written, Failure> {
        if self.is_empty() {
            return Ok(Written::default());
        }
        let report = Serve::<BatchInsert>::serve(backend, &self.batch(B::DIALECT)?, call).await?;
        Ok(Written { affected: report.affected, ..Written::default() })
    }
}

impl<T: DeserializeOwned + Clone + Send + Sync + 'static> CrudMessage for SelectOneAs<T> {
    async fn answer<B: CrudEngine>(&self, backend: &B, call: &CallContext) -> Result<Option<T>, Failure> {
        typed(backend.select_one(&self.untyped, call).await?).map(|mut rows: Vec<T>| rows.pop())
    }
}

impl<T: DeserializeOwned + Clone + Send + Sync + 'static> CrudMessage for SelectManyAs<T> {
    async fn answer<B: CrudEngine>(&self, backend: &B, call: &CallContext) -> Result<Vec<T>, Failure> {
        let request = self.untyped.request(B::DIALECT, Some(backend.shapes()))?;
        typed(read(backend, request, call).await?)
    }
}

async fn read<B: CrudEngine>(backend: &B, request: Request, call: &CallContext) -> Result<Rows, Failure> {
    Serve::<Query>::serve(backend, &Query::from(request), call).await
}

async fn write<B: CrudEngine>(
    backend: &B,
    request: Request,
    class: backstop_core::message::Class,
    call: &CallContext,
) -> Result<Written, Failure> {
    let expected = request.rows_expected;
    let written = Serve::<Execute>::serve(backend, &Execute::from(request).class(class), call).await?;
    match expected {
        // a backend that ignores the limit must not do so in silence
        Some(expected) if !expected.contains(written.affected) => {
            let text = format!("{} rows were written, {expected} may be", written.affected);
            Err(Failure::new(FailureKind::Protocol, text)
                .executed_is(Executed::Yes)
                .with_code(crate::message::WRONG_ROW_COUNT))
        }
        _ => Ok(written),
    }
}

fn first(rows: &Rows) -> Option<i64> {
    match rows.get(0)?.values().first()? {
        crate::Value::Bool(value) => Some(i64::from(*value)),
        value => value.as_int(),
    }
}

fn odd(what: &'static str) -> Failure {
    Failure::new(FailureKind::Protocol, what).in_phase(Phase::Decode).executed_is(Executed::No)
}
