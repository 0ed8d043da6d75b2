//! Messages that come as data: decode, ask, JSON. REST, batches and the orchestrator call backends by
//! name through this form, so that none of them knows a backend.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use serde::Serialize;
use serde_json::Value;

use crate::{
    backend::{Backend, Serve},
    call::CallContext,
    error::{Executed, Failure, FailureKind, Phase},
    message::{CallKey, Class, Message, Sharing},
};

/// A future of a lane: it stays on its thread.
pub type LocalBoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A message of a backend whose reply is JSON.
pub struct Operation<B: Backend>(Box<dyn Erased<B>>);

trait Erased<B: Backend>: Send {
    fn class(&self) -> Class;
    fn name(&self) -> &'static str;
    fn sharing(&self) -> Option<Sharing<Value>>;
    fn invalidates(&self, tag: &mut dyn FnMut(&str));
    fn serve<'a>(
        &'a self,
        backend: &'a B,
        call: &'a CallContext,
    ) -> LocalBoxFuture<'a, Result<Value, Failure>>;
}

struct Typed<M>(M);

impl<B, M> Erased<B> for Typed<M>
where
    B: Serve<M>,
    M: Message,
    M::Reply: Serialize,
{
    fn class(&self) -> Class {
        self.0.class()
    }

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn sharing(&self) -> Option<Sharing<Value>> {
        // kept as JSON, and all operations are one type here: the name tells their keys apart
        let Sharing { key, coalesce, cache, .. } = self.0.sharing()?;
        let mut named = self.0.name().as_bytes().to_vec();
        named.push(0);
        named.extend_from_slice(key.as_bytes());
        Some(Sharing { coalesce, cache, ..Sharing::coalesce(CallKey::new(named)) })
    }

    fn invalidates(&self, tag: &mut dyn FnMut(&str)) {
        self.0.invalidates(tag);
    }

    fn serve<'a>(
        &'a self,
        backend: &'a B,
        call: &'a CallContext,
    ) -> LocalBoxFuture<'a, Result<Value, Failure>> {
        Box::pin(async move {
            let reply = backend.serve(&self.0, call).await?;
            serde_json::to_value(reply).map_err(|error| {
                Failure::new(FailureKind::Decode, "the reply cannot be written as JSON")
                    .in_phase(Phase::Decode)
                    .executed_is(Executed::Yes)
                    .caused_by(error)
            })
        })
    }
}

impl<B: Backend> Operation<B> {
    /// Erases the type of a message whose reply can be written as JSON.
    pub fn new<M>(message: M) -> Self
    where
        B: Serve<M>,
        M: Message,
        M::Reply: Serialize,
    {
        Self(Box::new(Typed(message)))
    }
}

impl<B: Backend> Message for Operation<B> {
    type Reply = Value;
    const NAME: &'static str = "operation";

    fn class(&self) -> Class {
        self.0.class()
    }

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn sharing(&self) -> Option<Sharing<Value>> {
        self.0.sharing()
    }

    fn invalidates(&self, tag: &mut dyn FnMut(&str)) {
        self.0.invalidates(tag);
    }
}

impl<B: Backend> Serve<Operation<B>> for B {
    async fn serve(&self, message: &Operation<B>, call: &CallContext) -> Result<Value, Failure> {
        message.0.serve(self, call).await
    }
}

impl<B: Backend> fmt::Debug for Operation<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Operation").field(&self.0.name()).finish()
    }
}

/// A backend whose messages can come as data.
pub trait Wire: Backend {
    /// Lists the operations, for documentation and for errors that name the near ones.
    const OPERATIONS: &'static [OperationInfo];

    /// Turns a name and JSON arguments into a message.
    ///
    /// # Errors
    /// [`WireError`] names the operation or the argument that is unknown, missing or malformed.
    fn decode(name: &str, arguments: Value) -> Result<Operation<Self>, WireError>;

    /// Turns a list into one message that commits all of it or nothing.
    ///
    /// # Errors
    /// Refuses unless the backend has transactions.
    fn atomic(operations: Vec<(String, Value)>) -> Result<Operation<Self>, WireError> {
        drop(operations);
        Err(WireError::new(format!("a {} backend has no atomic batches", Self::KIND)))
    }
}

/// One operation of a [`Wire`] backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OperationInfo {
    /// The name to call it by.
    pub name: &'static str,
    /// One sentence about what it does.
    pub summary: &'static str,
    /// The names of its arguments; optional ones end with `?`.
    pub arguments: &'static [&'static str],
}

/// Data that is no message of the backend; says what is wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WireError(Arc<str>);

impl WireError {
    /// Says what is wrong and what would be right.
    pub fn new(message: impl Into<Arc<str>>) -> Self {
        Self(message.into())
    }

    /// Reports an unknown operation, with the ones that exist.
    #[must_use]
    pub fn unknown_operation(name: &str, known: &[OperationInfo]) -> Self {
        let known: Vec<_> = known.iter().map(|operation| operation.name).collect();
        Self::new(format!("no operation is named `{name}`; there are: {}", known.join(", ")))
    }

    /// Returns the text.
    #[must_use]
    pub fn message(&self) -> &Arc<str> {
        &self.0
    }
}
