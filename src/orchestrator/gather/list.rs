//! Lists of equal asks: all of them, at least some, or the first answer.

use std::{fmt, future::IntoFuture, time::Duration};

use backstop_core::{clock, error::CallError};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};

use super::{Member, contained, set::limited};

/// How one member of a list ended.
#[derive(Clone, Debug)]
pub enum Fate<R> {
    /// With a reply.
    Answered(R),
    /// With an error.
    Failed(CallError),
    /// We gave it up because the others were enough; if it had been sent, nobody knows whether it was executed.
    Cancelled,
}

/// One member of a list: how it ended, and after how long.
#[derive(Clone, Debug)]
pub struct Slot<R> {
    /// How it ended.
    pub fate: Fate<R>,
    /// Time from the start of the gather to its end.
    pub elapsed: Duration,
}

/// What became of a list of asks, in request order.
#[derive(Clone, Debug)]
pub struct Gathered<R> {
    slots: Vec<Slot<R>>,
}

impl<R> Gathered<R> {
    /// Lists the members in request order.
    #[must_use]
    pub fn slots(&self) -> &[Slot<R>] {
        &self.slots
    }

    /// Takes the members in request order.
    #[must_use]
    pub fn into_slots(self) -> Vec<Slot<R>> {
        self.slots
    }

    /// Lists the answers, each with its position in the request.
    pub fn answers(&self) -> impl Iterator<Item = (usize, &R)> {
        self.slots.iter().enumerate().filter_map(|(position, slot)| match &slot.fate {
            Fate::Answered(answer) => Some((position, answer)),
            _ => None,
        })
    }

    /// Takes the answers, in request order.
    pub fn into_answers(self) -> impl Iterator<Item = R> {
        self.slots.into_iter().filter_map(|slot| match slot.fate {
            Fate::Answered(answer) => Some(answer),
            _ => None,
        })
    }

    /// Lists the errors, each with its position in the request.
    pub fn failures(&self) -> impl Iterator<Item = (usize, &CallError)> {
        self.slots.iter().enumerate().filter_map(|(position, slot)| match &slot.fate {
            Fate::Failed(error) => Some((position, error)),
            _ => None,
        })
    }

    fn untouched(members: usize) -> Self {
        let slot = |_| Slot { fate: Fate::Cancelled, elapsed: Duration::ZERO };
        Self { slots: (0..members).map(slot).collect() }
    }

    fn into_first(mut self) -> Result<First<R>, Self> {
        let failures = self.failures().map(|(position, error)| (position, error.clone())).collect();
        let Some(position) = self.answers().next().map(|(position, _)| position) else { return Err(self) };
        let Slot { fate, elapsed } = self.slots.remove(position);
        match fate {
            Fate::Answered(answer) => Ok(First { answer, position, elapsed, failures }),
            fate => {
                self.slots.insert(position, Slot { fate, elapsed });
                Err(self)
            }
        }
    }

    /// For a list that was waited for to its end: no member is cancelled then.
    pub(super) fn into_results(self) -> Vec<Result<R, CallError>> {
        let ended = |slot: Slot<R>| match slot.fate {
            Fate::Answered(answer) => Some(Ok(answer)),
            Fate::Failed(error) => Some(Err(error)),
            Fate::Cancelled => None,
        };
        self.slots.into_iter().filter_map(ended).collect()
    }
}

/// Fewer members answered than were needed; what there is, is in [`Self::gathered`].
#[derive(Clone)]
pub struct TooFew<R> {
    /// How many answers were needed.
    pub needed: usize,
    /// What became of the members.
    pub gathered: Gathered<R>,
}

impl<R> fmt::Display for TooFew<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (answers, asked) = (self.gathered.answers().count(), self.gathered.slots.len());
        write!(f, "{answers} answers of {} needed, {asked} asked", self.needed)?;
        self.gathered.failures().try_for_each(|(position, error)| write!(f, "; {position}: {error}"))
    }
}

impl<R> fmt::Debug for TooFew<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<R> std::error::Error for TooFew<R> {}

/// The first answer of a race.
#[derive(Clone, Debug)]
pub struct First<R> {
    /// The answer.
    pub answer: R,
    /// Who gave it, by its position in the request.
    pub position: usize,
    /// How long it took.
    pub elapsed: Duration,
    /// Who failed before, by position.
    pub failures: Vec<(usize, CallError)>,
}

/// Waits for some answers of a list; made by [`Gather::at_least`](super::Gather::at_least).
#[must_use = "a gather does nothing until it is awaited"]
pub struct AtLeast<F> {
    members: Vec<F>,
    needed: usize,
    within: Option<Duration>,
}

/// Waits for the first answer of a list; made by [`Gather::first_ok`](super::Gather::first_ok).
#[must_use = "a gather does nothing until it is awaited"]
pub struct FirstOk<F> {
    members: Vec<F>,
    within: Option<Duration>,
}

impl<F> AtLeast<F> {
    pub(super) fn new(members: Vec<F>, needed: usize, within: Option<Duration>) -> Self {
        Self { members, needed, within }
    }

    /// Gives each member `timeout` from the first poll on; a shorter time of its own stays.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.within = Some(timeout);
        self
    }
}

impl<F> FirstOk<F> {
    pub(super) fn new(members: Vec<F>, within: Option<Duration>) -> Self {
        Self { members, within }
    }

    /// Gives each member `timeout` from the first poll on; a shorter time of its own stays.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.within = Some(timeout);
        self
    }
}

impl<F: Member> IntoFuture for AtLeast<F> {
    type Output = Result<Gathered<F::Reply>, TooFew<F::Reply>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { members, needed, within } = self;
        Box::pin(at_least(members, needed, within))
    }
}

impl<F: Member> IntoFuture for FirstOk<F> {
    type Output = Result<First<F::Reply>, TooFew<F::Reply>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { members, within } = self;
        Box::pin(async move {
            let gathered = race(members, within, |ok| ok).await;
            gathered.into_first().map_err(|gathered| TooFew { needed: 1, gathered })
        })
    }
}

async fn at_least<F: Member>(
    members: Vec<F>,
    needed: usize,
    within: Option<Duration>,
) -> Result<Gathered<F::Reply>, TooFew<F::Reply>> {
    // What cannot be reached, or is reached already, is not begun.
    let Some(spare) = members.len().checked_sub(needed) else {
        return Err(TooFew { needed, gathered: Gathered::untouched(members.len()) });
    };
    if needed == 0 {
        return Ok(Gathered::untouched(members.len()));
    }
    let (mut answered, mut failed) = (0, 0);
    let gathered = race(members, within, |ok| {
        if ok {
            answered += 1
        } else {
            failed += 1
        }
        answered >= needed || failed > spare
    })
    .await;
    if answered >= needed { Ok(gathered) } else { Err(TooFew { needed, gathered }) }
}

/// Polls all members until `enough` says so, with whether the newest one answered; drops the others.
pub(super) async fn race<F: Member>(
    members: Vec<F>,
    within: Option<Duration>,
    mut enough: impl FnMut(bool) -> bool + Send,
) -> Gathered<F::Reply> {
    let started = clock::now();
    let elapsed = || clock::now().saturating_duration_since(started);
    let mut slots: Vec<Option<Slot<F::Reply>>> = members.iter().map(|_| None).collect();
    let numbered = members.into_iter().enumerate();
    let mut running: FuturesUnordered<_> = numbered
        .map(|(position, member)| async move { (position, contained(limited(member, within)).await) })
        .collect();
    while let Some((position, result)) = running.next().await {
        let ok = result.is_ok();
        let fate = result.map_or_else(Fate::Failed, Fate::Answered);
        slots[position] = Some(Slot { fate, elapsed: elapsed() });
        if enough(ok) {
            break;
        }
    }
    drop(running);
    let cancelled = || Slot { fate: Fate::Cancelled, elapsed: elapsed() };
    Gathered { slots: slots.into_iter().map(|slot| slot.unwrap_or_else(cancelled)).collect() }
}

impl<F> fmt::Debug for AtLeast<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtLeast").field("members", &self.members.len()).field("needed", &self.needed).finish()
    }
}

impl<F> fmt::Debug for FirstOk<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstOk").field("members", &self.members.len()).finish()
    }
}
