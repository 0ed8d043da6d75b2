//! A backend without its type: orders for all of them, operations by name for those that have a wire form.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use backstop_core::{
    backend::Backend,
    call::Deadline,
    error::{CallError, RejectionReason},
    guard::Guard,
    operation::{OperationInfo, Wire, WireError},
};
use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::{
    control::{Drain, Order, OrderError, give},
    hub::{BackendSnapshot, Hub},
    reference::BackendRef,
    shutdown::DrainReport,
};

/// A backend whose operations come as data; what REST, batches and the orchestrator call.
pub trait DynBackend: Send + Sync + fmt::Debug {
    /// Names the backend.
    fn name(&self) -> &str;
    /// Names its kind, such as `sqlite`.
    fn kind(&self) -> &'static str;
    /// Lists its operations.
    fn operations(&self) -> &'static [OperationInfo];
    /// Asks by name; `timeout` as in [`Ask::within`](crate::Ask::within).
    fn execute(
        &self,
        operation: &str,
        arguments: Value,
        timeout: Option<Duration>,
    ) -> BoxFuture<'static, Result<Value, CallError>>;
    /// Asks for all of a list or nothing of it.
    fn atomic(
        &self,
        operations: Vec<(String, Value)>,
        timeout: Option<Duration>,
    ) -> BoxFuture<'static, Result<Value, CallError>>;
    /// Gives an order to the control actor.
    fn order(&self, order: Order) -> BoxFuture<'static, Result<(), OrderError>>;
    /// Shows the backend.
    fn snapshot(&self) -> BackendSnapshot;
    /// Returns the policies at work.
    fn guard(&self) -> &Arc<Guard>;
    /// Returns the typed [`BackendRef`], to be downcast.
    fn as_any(&self) -> &dyn Any;
}

impl<B: Wire> DynBackend for BackendRef<B> {
    fn name(&self) -> &str {
        BackendRef::name(self)
    }

    fn kind(&self) -> &'static str {
        B::KIND
    }

    fn operations(&self) -> &'static [OperationInfo] {
        B::OPERATIONS
    }

    fn execute(
        &self,
        operation: &str,
        arguments: Value,
        timeout: Option<Duration>,
    ) -> BoxFuture<'static, Result<Value, CallError>> {
        self.perform(B::decode(operation, arguments), timeout)
    }

    fn atomic(
        &self,
        operations: Vec<(String, Value)>,
        timeout: Option<Duration>,
    ) -> BoxFuture<'static, Result<Value, CallError>> {
        self.perform(B::atomic(operations), timeout)
    }

    fn order(&self, order: Order) -> BoxFuture<'static, Result<(), OrderError>> {
        let hub = Arc::clone(&self.hub);
        Box::pin(async move { give(&hub, order).await })
    }

    fn snapshot(&self) -> BackendSnapshot {
        BackendRef::snapshot(self)
    }

    fn guard(&self) -> &Arc<Guard> {
        BackendRef::guard(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl<B: Wire> BackendRef<B> {
    fn perform(
        &self,
        decoded: Result<backstop_core::operation::Operation<B>, WireError>,
        timeout: Option<Duration>,
    ) -> BoxFuture<'static, Result<Value, CallError>> {
        match decoded {
            Ok(operation) => {
                let ask = self.ask(operation);
                Box::pin(async move {
                    match timeout {
                        Some(timeout) => ask.within(timeout).await,
                        None => ask.await,
                    }
                })
            }
            Err(error) => {
                let reason = RejectionReason::Invalid(Arc::clone(error.message()));
                let refused = self.hub.guard.reject(reason);
                Box::pin(std::future::ready(Err(refused.into())))
            }
        }
    }
}

/// A supervised child: what the supervisor needs of a backend, whatever its type.
pub(crate) trait Child: Send + Sync {
    fn name(&self) -> &str;
    fn order(&self, order: Order) -> BoxFuture<'static, Result<(), OrderError>>;
    fn drain(&self, deadline: Deadline) -> BoxFuture<'static, DrainReport>;
    fn snapshot(&self) -> BackendSnapshot;
}

impl<B: Backend> Child for Arc<Hub<B>> {
    fn name(&self) -> &str {
        self.guard.name().as_str()
    }

    fn order(&self, order: Order) -> BoxFuture<'static, Result<(), OrderError>> {
        let hub = Arc::clone(self);
        Box::pin(async move { give(&hub, order).await })
    }

    fn drain(&self, deadline: Deadline) -> BoxFuture<'static, DrainReport> {
        let hub = Arc::clone(self);
        Box::pin(async move {
            let name = hub.guard.name().to_string();
            let gone = DrainReport { name, finished: 0, abandoned: 0, stuck_lanes: 0, took: Duration::ZERO };
            match hub.control.get() {
                Some(control) => control.send(Drain(deadline)).await.unwrap_or(gone),
                None => gone,
            }
        })
    }

    fn snapshot(&self) -> BackendSnapshot {
        Hub::snapshot(self)
    }
}
