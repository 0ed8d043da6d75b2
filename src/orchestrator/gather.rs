//! Several asks at once, on the caller's thread, with their results in request order.
//!
//! A failure, a rejection or a panic of one member changes no other. No task is started: dropping the
//! gather, or the end of a race, drops the members that are left and so cancels them.

mod list;
mod member;
mod set;

use std::{
    fmt,
    future::{Future, IntoFuture},
    time::Duration,
};

use futures_util::future::BoxFuture;

pub(crate) use self::member::contained;
pub use self::{
    list::{AtLeast, Fate, First, FirstOk, Gathered, Slot, TooFew},
    member::{BoxAsk, Member},
    set::Gatherable,
};

/// Asks several backends at once and waits for all of them.
///
/// A tuple of up to eight asks resolves to a tuple of `Result`s, a `Vec` to a `Vec` of them. Nothing is sent
/// before it is awaited.
///
/// ```
/// # use std::time::Duration;
/// # use backstop::orchestrator::{BoxAsk, Gather};
/// # use backstop::CallError;
/// # async fn run(user: BoxAsk<String>, price: BoxAsk<u64>) -> Result<(), CallError> {
/// let (user, price) = Gather::all((user, price)).within(Duration::from_millis(300)).await;
/// let price = price.unwrap_or_default(); // partial success is normal
/// # drop((user?, price)); Ok(()) }
/// ```
///
/// # Cancel safety
/// Dropping it cancels every member that has not ended.
#[must_use = "a gather does nothing until it is awaited"]
pub struct Gather<S> {
    set: S,
    within: Option<Duration>,
}

impl<S: Gatherable> Gather<S> {
    /// Prepares to ask all members of a tuple or a `Vec`.
    pub fn all(set: S) -> Self {
        Self { set, within: None }
    }
}

impl<S> Gather<S> {
    /// Gives each member `timeout` from the first poll on; a shorter time of its own stays.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.within = Some(timeout);
        self
    }
}

impl<F: Member> Gather<Vec<F>> {
    /// Waits until `n` members have answered, then cancels the others.
    ///
    /// It also ends as soon as `n` answers cannot be reached any more.
    pub fn at_least(self, n: usize) -> AtLeast<F> {
        AtLeast::new(self.set, n, self.within)
    }

    /// Waits for the first answer, then cancels the others; failures do not count.
    pub fn first_ok(self) -> FirstOk<F> {
        FirstOk::new(self.set, self.within)
    }

    /// Waits for all members and tells how long each of them took.
    pub fn timed(self) -> impl Future<Output = Gathered<F::Reply>> + Send {
        list::race(self.set, self.within, |_| false)
    }
}

impl<S: Gatherable> IntoFuture for Gather<S> {
    type Output = S::Output;
    type IntoFuture = BoxFuture<'static, S::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.set.gather(self.within)
    }
}

impl<S> fmt::Debug for Gather<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather").field("within", &self.within).finish_non_exhaustive()
    }
}
