//! One limiter per client, in bounded memory.

use std::{
    collections::{BTreeSet, HashMap, hash_map::RandomState},
    hash::BuildHasher,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{RateLimited, RateLimiter, RatePolicy};
use crate::{clock::Instant, error::ConfigError, policy::duration};

/// How many sends of one client fit into a window of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientRatePolicy {
    /// Sends of one client in any window of length `window`; 100.
    pub max_rate: u32,
    /// The length of the window; 1 s.
    #[serde(with = "duration")]
    pub window: Duration,
    /// Added to the window, as for [`RatePolicy::margin`]; none, since it is our own limit.
    #[serde(with = "duration")]
    pub margin: Duration,
    /// Clients that are remembered; 10 000. Memory is at most 16 bytes times `max_rate` for each of them.
    pub max_clients: usize,
}

impl Default for ClientRatePolicy {
    fn default() -> Self {
        Self { max_rate: 100, window: Duration::from_secs(1), margin: Duration::ZERO, max_clients: 10_000 }
    }
}

impl ClientRatePolicy {
    /// Checks the settings.
    ///
    /// # Errors
    /// What [`RatePolicy::validate`] names, and `max_clients` outside 1 to 1 000 000.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.rate().validate()?;
        if (1..=1_000_000).contains(&self.max_clients) {
            return Ok(());
        }
        let message = format!("must be from 1 to 1000000, is {}", self.max_clients);
        Err(ConfigError::new("max_clients", message))
    }

    fn rate(&self) -> RatePolicy {
        RatePolicy { max_rate: self.max_rate, window: self.window, margin: self.margin }
    }
}

/// Limits every client on its own, exactly as a [`RateLimiter`] does.
///
/// Only a client whose window has fully passed is forgotten, so no client gains a fresh window by making
/// others come. When all that are remembered are active, a new client is refused, and told when the first
/// of them will be forgotten. A client is kept as a keyed 64-bit hash of its name.
#[derive(Debug)]
pub struct ClientLimiter {
    policy: ClientRatePolicy,
    clients: HashMap<u64, RateLimiter>,
    /// The clients by the end of their windows, so that the next to forget is found without a search.
    by_end: BTreeSet<(Instant, u64)>,
    hasher: RandomState,
    reserved_total: u64,
    refused_total: u64,
    crowded_total: u64,
}

/// A view of a [`ClientLimiter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ClientLimiterSnapshot {
    /// Clients that are remembered.
    pub clients: usize,
    /// Clients that may be remembered.
    pub max_clients: usize,
    /// Reservations since the start.
    pub reserved_total: u64,
    /// Refusals since the start.
    pub refused_total: u64,
    /// Refusals among them because too many clients were active.
    pub crowded_total: u64,
}

impl ClientLimiter {
    /// Starts with no clients.
    #[must_use]
    pub fn new(policy: ClientRatePolicy) -> Self {
        Self {
            policy,
            clients: HashMap::new(),
            by_end: BTreeSet::new(),
            hasher: RandomState::new(),
            reserved_total: 0,
            refused_total: 0,
            crowded_total: 0,
        }
    }

    /// Reserves the next send of `client`, and says when it may go; not before `now`.
    ///
    /// # Errors
    /// [`RateLimited`] when it would go after `latest`, or when `client` is new and `max_clients` others are
    /// active; nothing is reserved then.
    pub fn reserve(&mut self, client: &str, now: Instant, latest: Instant) -> Result<Instant, RateLimited> {
        let reserved = self.reserve_hashed(self.hasher.hash_one(client), now, latest);
        match reserved {
            Ok(_) => self.reserved_total += 1,
            Err(_) => self.refused_total += 1,
        }
        reserved
    }

    /// Gives back a reservation of `client` that will not be used.
    pub fn give_back(&mut self, client: &str, reserved: Instant, now: Instant) {
        if let Some(limiter) = self.clients.get_mut(&self.hasher.hash_one(client)) {
            limiter.give_back(reserved, now);
        }
    }

    /// Changes the settings; clients above a lower bound are forgotten as their windows pass.
    pub fn set_policy(&mut self, policy: ClientRatePolicy) {
        for limiter in self.clients.values_mut() {
            limiter.set_policy(policy.rate());
        }
        let ends = self.clients.iter().filter_map(|(client, limiter)| Some((limiter.idle_at()?, *client)));
        self.by_end = ends.collect();
        self.policy = policy;
    }

    /// Returns the settings.
    #[must_use]
    pub fn policy(&self) -> &ClientRatePolicy {
        &self.policy
    }

    /// Shows the counts.
    #[must_use]
    pub fn snapshot(&self) -> ClientLimiterSnapshot {
        ClientLimiterSnapshot {
            clients: self.clients.len(),
            max_clients: self.policy.max_clients,
            reserved_total: self.reserved_total,
            refused_total: self.refused_total,
            crowded_total: self.crowded_total,
        }
    }

    fn reserve_hashed(&mut self, client: u64, now: Instant, latest: Instant) -> Result<Instant, RateLimited> {
        self.forget_passed(now);
        if let Some(limiter) = self.clients.get_mut(&client) {
            let before = limiter.idle_at();
            let reserved = limiter.reserve(now, latest)?;
            let after = limiter.idle_at();
            before.map(|end| self.by_end.remove(&(end, client)));
            self.by_end.extend(after.map(|end| (end, client)));
            return Ok(reserved);
        }
        if self.clients.len() >= self.policy.max_clients
            && let Some((retry_at, _)) = self.by_end.first()
        {
            self.crowded_total += 1;
            return Err(RateLimited { retry_at: *retry_at });
        }
        let mut limiter = RateLimiter::new(self.policy.rate());
        let reserved = limiter.reserve(now, latest)?;
        self.by_end.extend(limiter.idle_at().map(|end| (end, client)));
        self.clients.insert(client, limiter);
        Ok(reserved)
    }

    /// Forgets at most a few clients, so that no single call pays for many.
    fn forget_passed(&mut self, now: Instant) {
        for _ in 0..8 {
            match self.by_end.first() {
                Some((end, client)) if *end <= now => self.clients.remove(client),
                _ => return,
            };
            self.by_end.pop_first();
        }
    }
}
