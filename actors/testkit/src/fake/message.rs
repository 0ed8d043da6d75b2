//! Messages that carry the script of their own fate.

use std::{borrow::Cow, time::Duration};

use backstop_core::{
    error::Failure,
    message::{CallKey, Class, Message, Sharing},
};

use super::Gate;

/// The reply: which message it answers, and who served it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// The nonce of the message.
    pub nonce: u64,
    /// The instance that served it.
    pub instance: u64,
    /// The label of its recipe.
    pub label: u64,
}

/// When the work of a message takes effect, as an outside ledger would see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// Right after it is sent, whatever becomes of the call.
    #[default]
    Early,
    /// At the end of the script.
    Late,
    /// Never: the backend refuses.
    Never,
}

/// How one attempt ends.
#[derive(Clone, Debug, Default)]
pub enum End {
    /// With the nonce.
    #[default]
    Reply,
    /// With a failure.
    Fail(Failure),
    /// A closure of the caller panics; the instance is sound.
    CallerPanics,
    /// The backend's code panics.
    Panic,
    /// Never.
    Hang,
    /// Blocks the thread until the gate opens, and then with the nonce.
    Block(Gate),
}

/// The script of one attempt.
#[derive(Clone, Debug)]
pub struct Step {
    /// Time before anything is sent.
    pub before: Duration,
    /// Time between sending and the end.
    pub after: Duration,
    /// Whether anything is sent at all.
    pub sends: bool,
    /// When it takes effect.
    pub effect: Effect,
    /// How it ends.
    pub end: End,
    /// Whether the future panics when it is dropped.
    pub drop_panics: bool,
}

impl Default for Step {
    fn default() -> Self {
        Self {
            before: Duration::ZERO,
            after: Duration::ZERO,
            sends: true,
            effect: Effect::default(),
            end: End::default(),
            drop_panics: false,
        }
    }
}

impl Step {
    /// An attempt that fails; it takes effect unless the failure says that it did not.
    #[must_use]
    pub fn fails(failure: Failure) -> Self {
        let effect = match failure.executed() {
            backstop_core::error::Executed::No => Effect::Never,
            _ => Effect::Early,
        };
        Self { effect, end: End::Fail(failure), ..Self::default() }
    }
}

/// A message that tells the backend what to do; `Unsafe` unless told otherwise.
#[derive(Clone, Debug)]
pub struct Do {
    /// Names this very operation; the reply echoes it.
    pub nonce: u64,
    class: Class,
    steps: Cow<'static, [Step]>,
}

impl Do {
    /// An operation that replies at once.
    #[must_use]
    pub fn echo(nonce: u64) -> Self {
        Self::steps(nonce, vec![Step::default()])
    }

    /// An operation that replies `time` after it was sent.
    #[must_use]
    pub fn slow(nonce: u64, time: Duration) -> Self {
        Self::step_of(nonce, Step { after: time, ..Step::default() })
    }

    /// An operation that ends as `end` says.
    #[must_use]
    pub fn ends(nonce: u64, end: End) -> Self {
        Self::step_of(nonce, Step { end, ..Step::default() })
    }

    /// An operation that ends as `end` says, `time` after it was sent.
    #[must_use]
    pub fn ends_after(nonce: u64, time: Duration, end: End) -> Self {
        Self::step_of(nonce, Step { after: time, end, ..Step::default() })
    }

    /// An operation of one step.
    #[must_use]
    pub fn step_of(nonce: u64, step: Step) -> Self {
        Self::steps(nonce, vec![step])
    }

    /// An operation whose attempts follow one step each; the last step repeats.
    #[must_use]
    pub fn steps(nonce: u64, steps: Vec<Step>) -> Self {
        assert!(!steps.is_empty(), "a script has at least one step");
        Self { nonce, class: Class::Unsafe, steps: Cow::Owned(steps) }
    }

    /// Sets the class.
    #[must_use]
    pub fn of(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    pub(super) fn step(&self, attempt: u32) -> &Step {
        let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        &self.steps[index.min(self.steps.len() - 1)]
    }
}

impl Message for Do {
    type Reply = Done;
    const NAME: &'static str = "do";

    fn class(&self) -> Class {
        self.class
    }
}

/// A read whose answer equal reads may share.
#[derive(Clone, Debug)]
pub struct Get {
    /// What is read; equal for equal messages.
    pub key: u64,
    /// Names this very message, to see who asked the backend.
    pub nonce: u64,
    /// How long the answer is kept; `None` for not at all.
    pub ttl: Option<Duration>,
    /// What happens.
    pub step: Step,
}

impl Get {
    /// A read that coalesces and takes `time`.
    #[must_use]
    pub fn slow(key: u64, nonce: u64, time: Duration) -> Self {
        Self { key, nonce, ttl: None, step: Step { after: time, ..Step::default() } }
    }

    /// Keeps the answer.
    #[must_use]
    pub fn cached(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

impl Message for Get {
    type Reply = Done;
    const NAME: &'static str = "get";

    fn class(&self) -> Class {
        Class::Read
    }

    fn sharing(&self) -> Option<Sharing<Done>> {
        let key = CallKey::new(self.key.to_le_bytes());
        Some(match self.ttl {
            Some(ttl) => Sharing::cache(key, ttl, ["fake"]),
            None => Sharing::coalesce(key),
        })
    }
}

/// A message of another type, to be sure that types do not mix.
#[derive(Clone, Copy, Debug)]
pub struct Other(pub u64);

impl Message for Other {
    type Reply = u64;
    const NAME: &'static str = "other";
}
