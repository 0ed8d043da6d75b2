//! The backend listens: a connection beside the pool's, under the same cap.

use std::sync::Arc;

use backstop_core::{
    backend::Serve,
    call::CallContext,
    error::{Executed, Failure, FailureKind, Phase},
};
use tokio::{sync::OwnedSemaphorePermit, time::timeout_at};

use super::{Listen, NoticeStream, listen};
use crate::{Postgres, pooled::needs_session};

impl Serve<Listen> for Postgres {
    async fn serve(&self, message: &Listen, call: &CallContext) -> Result<NoticeStream, Failure> {
        message.sql()?; // a wrong name is known before a place is waited for
        if !self.lane().core.naming().is_on() {
            return Err(needs_session("`Listen`"));
        }
        let permit = self.place(call).await?;
        call.enter(Phase::Connect);
        let core = Arc::clone(&self.lane().core);
        let connect = async move || core.connector.open().await.map(|opened| (opened.client, opened.wire));
        let (stream, going) = listen(connect, message).await?;
        self.keep(tokio::task::spawn_local(async move {
            going.await;
            drop(permit);
        }));
        Ok(stream)
    }
}

impl Postgres {
    /// Takes a place under the cap: a free one, or that of a connection of the pool, which is closed for it.
    async fn place(&self, call: &CallContext) -> Result<OwnedSemaphorePermit, Failure> {
        let core = &self.lane().core;
        if let Some(permit) = core.try_permit() {
            return Ok(permit);
        }
        let lease = self.lane().acquire(call, "listen").await?;
        lease.break_up();
        drop(lease);
        call.enter(Phase::Acquire);
        match timeout_at(call.deadline().instant(), Arc::clone(&core.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Failure::unavailable("the pool is closed")),
            Err(_) => Err(Failure::new(FailureKind::Exhausted, "no place for a connection that listens")
                .in_phase(Phase::Acquire)
                .executed_is(Executed::No)),
        }
    }
}
