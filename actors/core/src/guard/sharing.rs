//! Answers that equal messages share: from the cache, or from an equal call that is under way.

use std::any::TypeId;

use super::Guard;
use crate::{
    backend::Serve,
    call::CallContext,
    clock,
    error::{CallError, Failure, FailureKind, RejectionReason},
    message::{Class, Message, SharedReply, Sharing},
    policy::coalesce::{Followed, Leader, Role},
};

impl Guard {
    /// Answers from the cache alone; how an open breaker still serves what is known.
    #[must_use]
    pub fn cached<M: Message>(&self, message: &M) -> Option<M::Reply> {
        let sharing = message.sharing()?;
        sharing.cache.as_ref()?;
        self.recall::<M>(&sharing)
    }

    fn recall<M: Message>(&self, sharing: &Sharing<M::Reply>) -> Option<M::Reply> {
        let reply = self.cache.get(TypeId::of::<M>(), &sharing.key, clock::now())?;
        (sharing.ops.from_shared)(&reply)
    }

    pub(super) async fn shared<B, M>(
        &self,
        backend: &B,
        message: &M,
        call: &CallContext,
        class: Class,
        sharing: Sharing<M::Reply>,
    ) -> Result<M::Reply, CallError>
    where
        B: Serve<M>,
        M: Message,
    {
        if sharing.cache.is_some()
            && let Some(reply) = self.recall::<M>(&sharing)
        {
            return Ok(reply);
        }
        // Only reads may share a call that is under way: a write of each caller must happen.
        if !sharing.coalesce || class != Class::Read {
            return self.filled(backend, message, call, class, &sharing, None).await;
        }
        match self.flights.join(TypeId::of::<M>(), &sharing.key) {
            Role::Leader(leader) => self.filled(backend, message, call, class, &sharing, Some(leader)).await,
            Role::Alone => self.filled(backend, message, call, class, &sharing, None).await,
            Role::Follower(follower) => {
                let deadline = call.call_deadline().instant();
                match tokio::time::timeout_at(deadline, follower).await {
                    Ok(Followed::Answer(answer)) => self.share_of::<M>(&sharing, &answer?),
                    Ok(Followed::Lead(leader)) => {
                        self.filled(backend, message, call, class, &sharing, Some(leader)).await
                    }
                    Err(_) => Err(self.late_follower()),
                }
            }
        }
    }

    /// Asks the backend, keeps the answer, and hands it to those who follow.
    async fn filled<B, M>(
        &self,
        backend: &B,
        message: &M,
        call: &CallContext,
        class: Class,
        sharing: &Sharing<M::Reply>,
        leader: Option<Leader>,
    ) -> Result<M::Reply, CallError>
    where
        B: Serve<M>,
        M: Message,
    {
        // Read before the source is asked, so that an invalidation in between makes the fill a miss.
        let observed = sharing.cache.as_ref().map(|rule| self.cache.begin(rule));
        let result = self.attempts(backend, message, call, class).await;
        if leader.is_none() && observed.is_none() {
            return result;
        }
        let result = result.map(sharing.ops.into_shared);
        if let (Some(rule), Some(observed), Ok(reply)) = (&sharing.cache, observed, &result) {
            let kind = TypeId::of::<M>();
            self.cache.insert(kind, sharing.key.clone(), reply.clone(), rule, observed, clock::now());
        }
        match leader {
            // Dropped, the leader hands over: its own deadline is no answer for those with time left.
            Some(leader) if result.as_ref().is_err_and(|error| is_own(error, call)) => drop(leader),
            Some(leader) => leader.complete(result.clone()),
            None => {}
        }
        self.share_of::<M>(sharing, &result?)
    }

    fn share_of<M: Message>(
        &self,
        sharing: &Sharing<M::Reply>,
        reply: &SharedReply,
    ) -> Result<M::Reply, CallError> {
        // The key holds the message's type, so another reply type cannot be found under it.
        (sharing.ops.from_shared)(reply).ok_or_else(|| {
            let failure = Failure::new(FailureKind::Decode, "a shared reply has another type");
            failure.stamped(&self.name, 1).into()
        })
    }

    fn late_follower(&self) -> CallError {
        self.reject(RejectionReason::Expired).into()
    }
}

/// Says whether an error concerns this caller alone.
fn is_own(error: &CallError, call: &CallContext) -> bool {
    let reason = error.as_rejection().map(crate::error::Rejection::reason);
    let refused = matches!(
        reason,
        Some(RejectionReason::Expired | RejectionReason::Cancelled | RejectionReason::RateLimited { .. })
    );
    // A panic says something about this instance and this call; another one may do better.
    let crashed = super::is_crash(error);
    refused || crashed || call.call_deadline().is_past(clock::now())
}
