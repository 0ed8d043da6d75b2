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

    /// Closes one idle connection beyond this lane's share of `min_idle` where another lane lacks some of its own and
    /// finds no room.
    fn level(&self) {
        let (core, now) = (&self.core, clock::now());
        let (idle, share) = (self.pool.manager().idle(), core.idle_share(self.id));
        if idle <= share || core.connections() < core.options().pool_size || !core.lacks_idle(self.id) {
            return;
        }
        let mut is_done = false;
        self.close_idle(Reason::HandedOver, |connection| {
            connection.idle_for(now) >= BETWEEN_CALLS && !std::mem::replace(&mut is_done, true)
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
        let mut spare = self.pool.manager().idle().saturating_sub(core.idle_share(self.id));
        self.close_idle(Reason::Idle, |connection| {
            let is_unused = spare > 0 && connection.idle_for(now) >= options.idle_timeout;
            spare -= usize::from(is_unused);
            is_unused
        });
        self.level();
    }

    pub(super) fn close_idle(&self, reason: Reason, mut ends: impl FnMut(&Connection) -> bool) {
        // those that nobody has used yet go first
        let unused = self.pool.manager().close_ready(&mut ends);
        let closed = unused + self.pool.retain(|connection, _| !ends(connection)).removed.len();
        self.pool.manager().took(closed);
        self.count_closed(reason, closed);
    }
}
