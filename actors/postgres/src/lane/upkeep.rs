//! Which idle connections of a lane are closed, and why.

use std::time::Duration;

use backstop_core::clock;

use super::Lane;
use crate::{connection::Connection, stats::Reason};

/// How long connections beyond the pool's size stay open; closing each at once would open it again under load.
const OVERFLOW_LINGERS: Duration = Duration::from_secs(1);

/// A connection that is idle for less is between two calls.
const BETWEEN_CALLS: Duration = Duration::from_millis(5);

impl Lane {
    /// Closes one idle connection if another lane waits for it.
    pub(crate) fn feed_others(&self) {
        if self.core.other_waits_since(self.id).is_none() || self.head_since.lock().is_some() {
            return;
        }
        let (mut is_fed, has_more, now) = (false, self.has_more_than_its_share(), clock::now());
        self.close_idle(Reason::HandedOver, |connection| {
            let is_spare = has_more || connection.idle_for(now) >= BETWEEN_CALLS;
            is_spare && !std::mem::replace(&mut is_fed, true)
        });
    }

    /// Closes idle connections that are lost, too old, or more than are kept.
    pub(crate) fn reap(&self) {
        let (core, options, now) = (&self.core, self.core.options(), clock::now());
        self.close_idle(Reason::Broken, |connection| connection.is_closed());
        self.close_idle(Reason::Rerouted, |connection| connection.is_rerouted(core));
        self.close_idle(Reason::Lifetime, |connection| connection.is_too_old(now));
        let mut beyond = core.connections().saturating_sub(options.pool_size);
        self.close_idle(Reason::Idle, |connection| {
            let is_surplus = beyond > 0 && connection.idle_for(now) >= OVERFLOW_LINGERS;
            beyond -= usize::from(is_surplus);
            is_surplus
        });
        let mut spare = self.pool.manager().idle().saturating_sub(options.min_idle);
        self.close_idle(Reason::Idle, |connection| {
            let is_unused = spare > 0 && connection.idle_for(now) >= options.idle_timeout;
            spare -= usize::from(is_unused);
            is_unused
        });
    }

    pub(super) fn close_idle(&self, reason: Reason, mut ends: impl FnMut(&Connection) -> bool) {
        let closed = self.pool.retain(|connection, _| !ends(connection)).removed.len();
        self.pool.manager().took(closed);
        self.count_closed(reason, closed);
    }
}
