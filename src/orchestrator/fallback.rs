//! Ordered alternatives: the first answer ends it, and it says why the earlier ones failed.

use std::{collections::VecDeque, fmt, future::IntoFuture, time::Duration};

use backstop_core::{
    backend::Serve,
    call::Deadline,
    clock,
    error::{CallError, Executed},
    message::{Class, Message},
};
use backstop_supervisor::BackendRef;
use futures_util::future::BoxFuture;

use super::gather::{BoxAsk, Member, contained};

/// Time that all alternatives have together unless the caller says otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Who answers where the caller's own value does.
const VALUE: &str = "value";

/// Asks one backend after the other until one answers.
///
/// After an error whose execution is in doubt (`unknown`, or `yes` without its reply) only a
/// [`Class::Read`] goes on to another backend. A write that may have been done is not done once more
/// elsewhere; its own backend may see it again where its class allows.
///
/// All alternatives share one deadline, 5 s by default.
///
/// ```
/// # use std::time::Duration;
/// # use backstop::{BackendRef, core::{backend::{Backend, Serve}, message::Message}};
/// # use backstop::orchestrator::{Fallback, NoAnswer};
/// # async fn run<B, M>(primary: BackendRef<B>, replica: BackendRef<B>, find: M) -> Result<M::Reply, NoAnswer>
/// # where B: Serve<M>, M: Message + Clone, M::Reply: Default {
/// let answer = Fallback::ask(&primary, find.clone())
///     .or(&replica, find)
///     .or_value(Default::default)
///     .within(Duration::from_millis(500))
///     .await?;
/// println!("answered by {}, after {} failures", answer.by, answer.earlier.len());
/// # Ok(answer.value) }
/// ```
///
/// # Cancel safety
/// Dropping it cancels the alternative under way; the later ones are not begun.
#[must_use = "a fallback does nothing until it is awaited"]
pub struct Fallback<R> {
    alternatives: Vec<Alternative<R>>,
    value: Option<Box<dyn FnOnce() -> R + Send>>,
    within: Duration,
    each: Option<Duration>,
    rules: Rules,
}

/// When somebody else may be asked after an error.
#[derive(Default)]
struct Rules {
    in_doubt: bool,
    only_when: Option<Wanted>,
}

type Wanted = Box<dyn Fn(&CallError) -> bool + Send>;

struct Alternative<R> {
    backend: String,
    class: Class,
    ask: BoxAsk<R>,
}

/// The first answer.
#[derive(Clone, Debug)]
pub struct Answer<R> {
    /// The answer.
    pub value: R,
    /// The backend that gave it; `value` for [`Fallback::or_value`].
    pub by: String,
    /// Why the earlier alternatives have not, in order.
    pub earlier: Vec<CallError>,
    /// How long it took over all alternatives.
    pub elapsed: Duration,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// No alternative is left.
    Exhausted,
    /// The shared deadline has passed.
    Deadline,
    /// The last error leaves it open whether the work was done, so nobody else may do it.
    InDoubt,
    /// The caller's own condition says no; see [`Fallback::only_when`].
    Declined,
}

/// No alternative answered.
#[derive(Clone, Debug)]
pub struct NoAnswer {
    /// Why it ended here.
    pub ended: Ended,
    /// The errors of the alternatives that were asked, in order.
    pub errors: Vec<CallError>,
    /// The backends that were not asked any more.
    pub untried: Vec<String>,
}

impl NoAnswer {
    /// Returns the error of the alternative that was asked last.
    #[must_use]
    pub fn last(&self) -> Option<&CallError> {
        self.errors.last()
    }

    /// Says whether any of the backends did the work: `unknown` outweighs `no`, and `yes` both.
    #[must_use]
    pub fn executed(&self) -> Executed {
        let ends = || self.errors.iter().map(CallError::executed);
        [Executed::Yes, Executed::Unknown]
            .into_iter()
            .find(|end| ends().any(|e| e == *end))
            .unwrap_or(Executed::No)
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.ended {
            Ended::Exhausted => "no alternative answered",
            Ended::Deadline => "no answer before the deadline",
            Ended::InDoubt => "no answer, and the work may have been done",
            Ended::Declined => "no answer, and no other alternative was wanted",
        })?;
        self.errors.iter().try_for_each(|error| write!(f, "; {error}"))
    }
}

impl std::error::Error for NoAnswer {}

impl<R: Send + 'static> Fallback<R> {
    /// Starts with the backend that is asked first.
    pub fn ask<B, M>(backend: &BackendRef<B>, message: M) -> Self
    where
        B: Serve<M>,
        M: Message<Reply = R>,
    {
        Self::empty().or(backend, message)
    }

    /// Starts with any ask; `backend` names it in the result, and `class` says what it is.
    pub fn member(backend: impl Into<String>, class: Class, ask: impl Member<Reply = R>) -> Self {
        Self::empty().or_member(backend, class, ask)
    }

    fn empty() -> Self {
        let alternatives = Vec::new();
        Self { alternatives, value: None, within: TIMEOUT, each: None, rules: Rules::default() }
    }

    /// Adds the backend that is asked when all before it have failed.
    pub fn or<B, M>(self, backend: &BackendRef<B>, message: M) -> Self
    where
        B: Serve<M>,
        M: Message<Reply = R>,
    {
        let class = message.class();
        self.or_member(backend.name(), class, backend.ask(message))
    }

    /// Adds any ask, such as one by name; `class` says what it is, and [`Class::Unsafe`] is the safe choice.
    pub fn or_member(
        mut self,
        backend: impl Into<String>,
        class: Class,
        ask: impl Member<Reply = R>,
    ) -> Self {
        self.alternatives.push(Alternative { backend: backend.into(), class, ask: ask.boxed_ask() });
        self
    }

    /// Answers with a value of the caller when all backends have failed, also after the deadline.
    ///
    /// It does not stand in for a write whose execution is in doubt.
    pub fn or_value(mut self, value: impl FnOnce() -> R + Send + 'static) -> Self {
        self.value = Some(Box::new(value));
        self
    }

    /// Gives all alternatives together `timeout`; 5 s by default.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.within = timeout;
        self
    }

    /// Gives each alternative at most `timeout`; by default an equal share of what is left, so that the first
    /// one cannot use up all of it.
    pub fn each_within(mut self, timeout: Duration) -> Self {
        self.each = Some(timeout);
        self
    }

    /// Goes on also when an earlier backend may have done the work: a write may then be done twice.
    pub fn even_if_unknown(mut self) -> Self {
        self.rules.in_doubt = true;
        self
    }

    /// Goes on only after errors for which `wanted` is true; after all of them by default.
    pub fn only_when(mut self, wanted: impl Fn(&CallError) -> bool + Send + 'static) -> Self {
        self.rules.only_when = Some(Box::new(wanted));
        self
    }

    async fn run(self) -> Result<Answer<R>, NoAnswer> {
        let Self { alternatives, value, within, each, rules } = self;
        let started = clock::now();
        let deadline = Deadline::at(started + within);
        let answer = |value, by, earlier| {
            let elapsed = clock::now().saturating_duration_since(started);
            Ok(Answer { value, by, earlier, elapsed })
        };
        let mut errors = Vec::new();
        let mut left = VecDeque::from(alternatives);
        let ended = loop {
            let remaining = deadline.remaining(clock::now());
            if remaining.is_zero() && !left.is_empty() {
                break Ended::Deadline;
            }
            let share = remaining / u32::try_from(left.len().max(1)).unwrap_or(u32::MAX);
            let timeout = each.map_or(share, |each| each.min(remaining));
            let Some(Alternative { backend, class, ask }) = left.pop_front() else { break Ended::Exhausted };
            let error = match contained(ask.within(timeout)).await {
                Ok(value) => return answer(value, backend, errors),
                Err(error) => error,
            };
            let next = left.front().map(|next| next.backend.as_str());
            let objection = rules.objection(&error, class, next == Some(backend.as_str()));
            errors.push(error);
            if let Some(objection) = objection {
                break objection;
            }
        };
        match (value, ended) {
            (Some(value), Ended::Exhausted | Ended::Deadline) => answer(value(), VALUE.into(), errors),
            _ => {
                let untried = left.into_iter().map(|alternative| alternative.backend).collect();
                Err(NoAnswer { ended, errors, untried })
            }
        }
    }
}

impl Rules {
    /// Says why nobody else may be asked after `error`; `None` when somebody may.
    fn objection(&self, error: &CallError, class: Class, same_backend: bool) -> Option<Ended> {
        if self.only_when.as_ref().is_some_and(|wanted| !wanted(error)) {
            return Some(Ended::Declined);
        }
        // Another backend knows neither our idempotency key nor what this one has done.
        let harmless = class == Class::Read || (same_backend && class.survives_unknown());
        match error.executed() {
            Executed::No => None,
            _ if harmless => None,
            Executed::Unknown if self.in_doubt => None,
            Executed::Unknown | Executed::Yes => Some(Ended::InDoubt),
        }
    }
}

impl<R: Send + 'static> IntoFuture for Fallback<R> {
    type Output = Result<Answer<R>, NoAnswer>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<R> fmt::Debug for Fallback<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backends: Vec<_> = self.alternatives.iter().map(|alternative| &alternative.backend).collect();
        f.debug_struct("Fallback")
            .field("backends", &backends)
            .field("within", &self.within)
            .finish_non_exhaustive()
    }
}
