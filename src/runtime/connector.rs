//! A recipe without its type, so that one list can hold all of them.

use std::fmt;

use backstop_core::{
    backend::{Backend, Connect},
    operation::Wire,
    policy::Policy,
};
use backstop_supervisor::{BackendRef, Placement, StartError, SupervisorRef};
use futures_util::future::BoxFuture;

use super::{Runtime, RuntimeError};
use crate::orchestrator::Directory;

/// The recipe of a backend of any kind.
pub struct Connector(Box<dyn Erased>);

trait Erased: Send {
    fn kind(&self) -> &'static str;

    fn start<'a>(self: Box<Self>, start: Start<'a>) -> BoxFuture<'a, Result<(), StartError>>;

    fn replace<'a>(
        self: Box<Self>,
        runtime: &'a Runtime,
        name: &'a str,
    ) -> BoxFuture<'a, Result<(), RuntimeError>>;
}

/// Everything a start needs beside the recipe.
struct Start<'a> {
    supervisor: &'a SupervisorRef,
    directory: &'a Directory,
    name: &'a str,
    policy: Policy,
    placement: Option<Placement>,
}

struct Recipe<C: Connect> {
    connect: C,
    enter: fn(&Directory, BackendRef<C::Backend>),
}

impl<C: Connect> Erased for Recipe<C> {
    fn kind(&self) -> &'static str {
        C::Backend::KIND
    }

    fn start<'a>(self: Box<Self>, start: Start<'a>) -> BoxFuture<'a, Result<(), StartError>> {
        Box::pin(async move {
            let Start { supervisor, directory, name, policy, placement } = start;
            let backend = match placement {
                Some(placement) => supervisor.add_placed(name, self.connect, policy, placement).await?,
                None => supervisor.add(name, self.connect, policy).await?,
            };
            (self.enter)(directory, backend);
            Ok(())
        })
    }

    fn replace<'a>(
        self: Box<Self>,
        runtime: &'a Runtime,
        name: &'a str,
    ) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(runtime.replace(name, self.connect))
    }
}

impl Connector {
    /// Takes the recipe of a backend that can be asked by type and by the names of its operations.
    pub fn new<C>(connect: C) -> Self
    where
        C: Connect,
        C::Backend: Wire,
    {
        Self(Box::new(Recipe { connect, enter: Directory::insert }))
    }

    /// Takes the recipe of a backend that can be asked by type alone.
    pub fn typed<C: Connect>(connect: C) -> Self {
        Self(Box::new(Recipe { connect, enter: Directory::insert_typed }))
    }

    /// Names the kind of the backend.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.0.kind()
    }

    /// Starts the backend and puts it into the directory.
    pub(super) async fn start(
        self,
        supervisor: &SupervisorRef,
        directory: &Directory,
        name: &str,
        policy: Policy,
        placement: Option<Placement>,
    ) -> Result<(), StartError> {
        self.0.start(Start { supervisor, directory, name, policy, placement }).await
    }

    pub(super) async fn replace(self, runtime: &Runtime, name: &str) -> Result<(), RuntimeError> {
        self.0.replace(runtime, name).await
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connector").field(&self.kind()).finish()
    }
}
