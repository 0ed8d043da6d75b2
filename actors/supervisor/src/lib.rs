//! Hosts any backend as actix actors that survive panics.
//!
//! One control actor a backend takes orders; one lane actor a thread serves calls. Callers hold a
//! [`BackendRef`], which outlives every restart. actix's own supervisor does not survive a panic and its
//! mailbox bounds nothing, so actors are hosted here on actix's public parts.

pub mod control;
mod erased;
mod home;
mod host;
mod hub;
mod lane;
mod placement;
mod reference;
mod shutdown;
mod slots;
mod supervisor;

pub use self::{
    control::{Order, OrderError},
    erased::DynBackend,
    hub::{BackendSnapshot, LaneSnapshot},
    lane::{InFlightCall, attach_thread, can_host},
    placement::Placement,
    reference::{Ask, BackendRef, BlockingError},
    shutdown::{DrainReport, ShutdownReport},
    supervisor::{StartError, Strategy, Supervisor, SupervisorOptions, SupervisorRef},
};
