//! The callers' side of the ledger: every message that was asked, and what its caller was told.
//!
//! It knows nothing of the runtime's own counters; the checks compare the two.

use std::{cell::RefCell, time::Duration};

use backstop_core::{
    clock::{self, Instant},
    error::Executed,
};

use super::{
    Bug, Role,
    fate::{Fate, Fates},
    pulse::Pulse,
};

/// What a caller may wait beyond its deadline; above the 50 ms that are promised, for a busy machine.
pub(super) const LATE_AFTER: Duration = Duration::from_millis(250);

/// One in so many ends is not counted once the bug is planted.
const DROP_EVERY: u64 = 50;

/// What a message changes, so that the ledgers can be asked about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    Read,
    /// One entry under this number.
    Write(u64),
    /// Two entries, both or neither.
    Pair(u64, u64),
}

/// A message on its way; it is closed by [`Books::close`].
#[derive(Debug)]
#[must_use = "a message without an end is a breach of the first promise"]
pub(super) struct Open {
    role: Role,
    effect: Effect,
    asked: Instant,
    timeout: Duration,
}

/// A write and what its caller was told about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// Who was asked.
    pub role: Role,
    /// What it changes.
    pub effect: Effect,
    /// What the caller knows.
    pub executed: Executed,
}

/// What one backend was asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Messages asked.
    pub asked: u64,
    /// Messages that have ended.
    pub fates: Fates,
    /// Answers that belonged to another message.
    pub mismatched: u64,
    last_read_ok: Option<Instant>,
    last_write_ok: Option<Instant>,
}

/// An answer that came after its deadline, as the caller's clock saw it.
#[derive(Clone, Copy, Debug)]
struct Late {
    asked: Instant,
    ended: Instant,
    over: Duration,
}

/// The books of all callers.
#[derive(Debug)]
pub(super) struct Books {
    pages: RefCell<Pages>,
    bug: Option<Bug>,
}

#[derive(Debug, Default)]
struct Pages {
    accounts: [Account; Role::ALL.len()],
    told: Vec<Told>,
    late: Vec<Late>,
    next_op: u64,
    closed: u64,
}

impl Books {
    /// Opens empty books; some bugs are planted here.
    #[must_use]
    pub(super) fn new(bug: Option<Bug>) -> Self {
        Self { pages: RefCell::default(), bug }
    }

    /// Draws the number of a write; never twice.
    pub(super) fn next_op(&self) -> u64 {
        let mut pages = self.pages.borrow_mut();
        pages.next_op += 1;
        pages.next_op
    }

    /// Notes that a message is asked.
    pub(super) fn open(&self, role: Role, effect: Effect, timeout: Duration) -> Open {
        self.pages.borrow_mut().accounts[role.index()].asked += 1;
        Open { role, effect, asked: clock::now(), timeout }
    }

    /// Notes how a message ended.
    pub(super) fn close(&self, open: Open, fate: Fate) {
        let now = clock::now();
        let mut pages = self.pages.borrow_mut();
        pages.closed += 1;
        if self.bug == Some(Bug::DropFate) && pages.closed.is_multiple_of(DROP_EVERY) {
            return;
        }
        let Open { role, effect, asked, timeout } = open;
        let over = now.saturating_duration_since(asked).saturating_sub(timeout);
        if over > LATE_AFTER {
            pages.late.push(Late { asked, ended: now, over });
        }
        let account = &mut pages.accounts[role.index()];
        account.fates.add(fate);
        let last_ok =
            if effect == Effect::Read { &mut account.last_read_ok } else { &mut account.last_write_ok };
        if fate == Fate::Ok {
            *last_ok = (*last_ok).max(Some(asked));
        }
        if effect != Effect::Read {
            let executed = self.reported(fate);
            pages.told.push(Told { role, effect, executed });
        }
    }

    fn reported(&self, fate: Fate) -> Executed {
        match fate {
            Fate::Failed(..) if self.bug == Some(Bug::LieExecutedNo) => Executed::No,
            fate => fate.executed(),
        }
    }

    /// Notes an answer that belonged to another message.
    pub(super) fn mismatch(&self, role: Role) {
        self.pages.borrow_mut().accounts[role.index()].mismatched += 1;
    }

    /// Returns the account of one backend.
    #[must_use]
    pub(super) fn account(&self, role: Role) -> Account {
        self.pages.borrow().accounts[role.index()].clone()
    }

    /// Counts the messages to one backend that were refused or failed so far.
    #[must_use]
    pub(super) fn trouble(&self, role: Role) -> u64 {
        self.pages.borrow().accounts[role.index()].fates.trouble()
    }

    /// Says whether a message that was asked after `since` succeeded; a write, if `writes`.
    #[must_use]
    pub(super) fn succeeded_since(&self, role: Role, writes: bool, since: Instant) -> bool {
        let pages = self.pages.borrow();
        let account = &pages.accounts[role.index()];
        let read = account.last_read_ok.filter(|_| !writes);
        read.max(account.last_write_ok).is_some_and(|asked| asked >= since)
    }

    /// Lists all writes.
    #[must_use]
    pub(super) fn told(&self) -> Vec<Told> {
        self.pages.borrow().told.clone()
    }

    /// Counts answers that were late, beyond what the callers' own thread is to blame for, and the worst.
    #[must_use]
    pub(super) fn late(&self, pulse: &Pulse) -> (u64, Duration) {
        let mut counted = (0, Duration::ZERO);
        for late in &self.pages.borrow().late {
            let ours = late.over.saturating_sub(pulse.stalled_between(late.asked, late.ended));
            if ours > LATE_AFTER {
                counted = (counted.0 + 1, counted.1.max(ours));
            }
        }
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn every_message_is_in_the_books_with_its_end() {
        let books = Books::new(None);
        let write = books.open(Role::Orders, Effect::Write(books.next_op()), SECOND);
        let read = books.open(Role::Orders, Effect::Read, SECOND);
        books.close(write, Fate::Failed("timeout", Executed::Unknown));
        assert_eq!(books.account(Role::Orders).fates.total(), 1);
        books.close(read, Fate::Ok);
        let account = books.account(Role::Orders);
        assert_eq!((account.asked, account.fates.total(), account.fates.ok), (2, 2, 1));
        let told = books.told();
        assert_eq!((told.len(), told[0].executed, told[0].effect), (1, Executed::Unknown, Effect::Write(1)));
    }

    #[tokio::test]
    async fn a_recovery_needs_a_message_that_was_asked_after_the_fault() {
        let books = Books::new(None);
        let before = books.open(Role::Pricing, Effect::Read, SECOND);
        tokio::time::sleep(Duration::from_millis(2)).await;
        let fault_ends = clock::now();
        books.close(before, Fate::Ok);
        assert!(!books.succeeded_since(Role::Pricing, false, fault_ends));
        let after = books.open(Role::Pricing, Effect::Read, SECOND);
        books.close(after, Fate::Ok);
        assert!(books.succeeded_since(Role::Pricing, false, fault_ends));
        assert!(!books.succeeded_since(Role::Pricing, true, fault_ends));
    }

    #[tokio::test]
    async fn an_answer_after_its_deadline_is_late_unless_our_own_thread_stood_still() {
        let books = Books::new(None);
        let asked = clock::now() - 2 * SECOND;
        let open = Open { role: Role::Orders, effect: Effect::Read, asked, timeout: SECOND };
        books.close(open, Fate::Ok);
        assert_eq!(books.late(&Pulse::default()).0, 1);
        let busy = Pulse::default();
        busy.note_stall(clock::now(), SECOND);
        assert_eq!(books.late(&busy).0, 0);
    }

    #[tokio::test]
    async fn planted_bugs_show_in_the_books() {
        let lying = Books::new(Some(Bug::LieExecutedNo));
        let open = lying.open(Role::Orders, Effect::Write(1), SECOND);
        lying.close(open, Fate::Failed("timeout", Executed::Unknown));
        assert_eq!(lying.told()[0].executed, Executed::No);
        let dropping = Books::new(Some(Bug::DropFate));
        for _ in 0..DROP_EVERY {
            let open = dropping.open(Role::Orders, Effect::Read, SECOND);
            dropping.close(open, Fate::Ok);
        }
        let account = dropping.account(Role::Orders);
        assert_eq!(account.asked - account.fates.total(), 1);
    }
}
