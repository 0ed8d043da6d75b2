//! Messages of one shape that wait at the same moment become one statement, each with its own reply.
//!
//! | shape | statement | slots |
//! |---|---|---|
//! | [`SelectOne`](backstop_sql::crud::SelectOne) by one key | the same look-up for each key of an array; `= ANY` where the key is unique | 1 |
//! | [`InsertOne`](backstop_sql::crud::InsertOne) that asks for no id | one array a column | 1 |
//!
//! The arrays stand in a sub-select, where the planner does not see their length: with the length it would plan short
//! ones anew each time.
//!
//! Self-clocked: a message that finds a free slot goes at once, and gives the slot up 50 ms after others began to wait
//! for it. While all slots are busy messages gather, and what has gathered goes together. A statement of many that the
//! server refuses has done nothing, and each of its messages is run by itself.

mod insert;
mod lookup;
mod unique;

use std::{
    cell::{Cell, OnceCell, RefCell},
    pin::pin,
    rc::Rc,
    time::Duration,
};

use backstop_core::{
    batch::{Merger, Place},
    call::{CallContext, Deadline, OpId},
    error::{Executed, Failure, FailureKind},
    planted::{self, Bug},
};
use backstop_sql::{Request, Sql, StatementError, memo::Memo};
use tokio::{sync::Notify, time::sleep};
use tokio_postgres::types::{Kind, Type};

pub(crate) use self::{insert::Insert, lookup::Lookup};
use crate::{autocommit::is_of_the_statement, shared::Core, statement::Known};

/// Statements of one shape under way that may hold many messages.
const CAP: usize = 256;
/// How long one message by itself keeps the others of its shape waiting. The time is taken only where others wait.
const SLOT_HELD: Duration = Duration::from_millis(50);

/// What messages of one shape have in common.
pub(crate) trait Shape: Sized + 'static {
    type Reply: 'static;
    /// How many statements may be under way.
    const SLOTS: usize;

    /// Says whether it is known that this table or this key cannot be asked so.
    fn is_always_alone(&self) -> bool;

    /// Runs one message as it is.
    ///
    /// # Errors
    /// As the message fails.
    async fn alone(&self, call: &CallContext, request: &Request) -> Result<Self::Reply, Failure>;

    /// Runs many as one statement; `None` where this table or this key cannot be asked so.
    ///
    /// # Errors
    /// What the one statement failed with.
    async fn together(&self, call: &CallContext, items: &[Item])
    -> Result<Option<Vec<Self::Reply>>, Failure>;
}

/// One message that waits.
pub(crate) struct Item {
    pub(crate) request: Request,
    deadline: Deadline,
    ride: Ride,
}

impl Item {
    /// Says whether nobody waits for it any more.
    pub(crate) fn is_left(&self) -> bool {
        // its passenger holds the other reference
        Rc::strong_count(&self.ride) == 1
    }
}

/// The statement that a message is part of, once it has begun.
type Ride = Rc<OnceCell<Rc<CallContext>>>;

/// What became of a message.
enum Verdict<T> {
    Done(Result<T, Failure>),
    /// It is to be run by itself.
    Alone(Request),
}

/// The messages of one shape.
pub(crate) struct Group<S: Shape> {
    shape: Rc<S>,
    merger: Merger<Item, Verdict<S::Reply>>,
    /// Told of each message that has to wait.
    crowd: Notify,
}

impl<S: Shape> Group<S> {
    fn new(shape: S) -> Rc<Self> {
        let shape = Rc::new(shape);
        let own = Rc::clone(&shape);
        let merger = Merger::new(S::SLOTS, CAP, move |items| {
            let shape = Rc::clone(&own);
            run(shape, items)
        });
        Rc::new(Self { shape, merger, crowd: Notify::new() })
    }

    /// Runs a message, alone or with others.
    ///
    /// # Errors
    /// As the message would fail by itself.
    ///
    /// # Cancel safety
    /// Dropped before its statement has left, it takes the message with it; later it leaves the statement to the
    /// others, and the server is asked to stop when all have left.
    pub(crate) async fn ask(&self, call: &CallContext, request: Request) -> Result<S::Reply, Failure> {
        let is_always_alone = self.shape.is_always_alone();
        let place = if is_always_alone { None } else { self.merger.enter() };
        if is_always_alone || place.is_some() {
            // each way is boxed, so that the other one carries no room for it
            return Box::pin(self.by_itself(place, call, &request)).await;
        }
        Box::pin(self.with_others(call, request)).await
    }

    async fn with_others(&self, call: &CallContext, request: Request) -> Result<S::Reply, Failure> {
        self.crowd.notify_waiters();
        let passenger = Passenger { call, ride: Rc::default(), has_left: Cell::new(false) };
        let item = Item { request, deadline: call.deadline(), ride: Rc::clone(&passenger.ride) };
        match self.merger.ask(item).await {
            Some(Verdict::Done(result)) => result,
            Some(Verdict::Alone(request)) => {
                passenger.has_left.set(true);
                self.by_itself(self.merger.enter(), call, &request).await
            }
            None => Err(Failure::new(FailureKind::Protocol, "the statement of many returned too little")
                .executed_is(Executed::Unknown)),
        }
    }
}

impl<S: Shape> Group<S> {
    /// Runs one message as it is; while it holds a slot the others of its shape wait for it a while.
    async fn by_itself(
        &self,
        place: Option<Place<Item, Verdict<S::Reply>>>,
        call: &CallContext,
        request: &Request,
    ) -> Result<S::Reply, Failure> {
        let mut statement = pin!(self.shape.alone(call, request));
        let crowded = async {
            self.crowd.notified().await;
            sleep(SLOT_HELD).await;
        };
        tokio::select! {
            biased;
            result = &mut statement => return result,
            () = crowded, if place.is_some() => drop(place),
        }
        statement.await
    }
}

/// Tells the call how far the statement came that it is part of.
struct Passenger<'c> {
    call: &'c CallContext,
    ride: Ride,
    /// It goes on by itself.
    has_left: Cell<bool>,
}

impl Drop for Passenger<'_> {
    fn drop(&mut self) {
        let Some(ride) = self.ride.get().filter(|_| !self.has_left.get()) else { return };
        self.call.enter(ride.phase());
        if ride.was_sent() {
            self.call.sending();
        }
    }
}

async fn run<S: Shape>(shape: Rc<S>, items: Vec<Item>) -> Vec<Verdict<S::Reply>> {
    let Some(latest) = items.iter().map(|item| item.deadline).max() else { return Vec::new() };
    let call = Rc::new(CallContext::new(OpId::next(), latest));
    for item in &items {
        // each item is in one statement only
        let _ = item.ride.set(Rc::clone(&call));
    }
    let alone = |items: Vec<Item>| items.into_iter().map(|item| Verdict::Alone(item.request)).collect();
    if items.len() == 1 {
        return alone(items);
    }
    match shape.together(&call, &items).await {
        Ok(Some(mut replies)) if planted::is(Bug::RepliesRotated) => {
            replies.rotate_left(1);
            replies.into_iter().map(|reply| Verdict::Done(Ok(reply))).collect()
        }
        Ok(Some(replies)) => replies.into_iter().map(|reply| Verdict::Done(Ok(reply))).collect(),
        Ok(None) => alone(items),
        Err(failure) if is_of_the_statement(&failure) => alone(items),
        Err(failure) => items.iter().map(|_| Verdict::Done(Err(failure.clone()))).collect(),
    }
}

/// The groups of a lane, by the text of the message that goes alone.
pub(crate) struct Groups<S: Shape>(RefCell<Memo<Rc<Group<S>>>>);

impl<S: Shape> Groups<S> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(RefCell::new(Memo::new(capacity)))
    }

    /// Finds the group of a text, or makes it.
    pub(crate) fn of(&self, request: &Request, shape: impl FnOnce() -> S) -> Rc<Group<S>> {
        let mut groups = self.0.borrow_mut();
        if let Some(group) = groups.get(request.sql.as_str()) {
            return group;
        }
        let group = Group::new(shape());
        groups.put(request.sql.clone(), Rc::clone(&group));
        group
    }
}

/// The statement of many, under the schema for which it was made; `None` in it where there is none.
#[derive(Default)]
struct Plan(RefCell<Option<(u64, Option<Rc<Known>>)>>);

impl Plan {
    fn get(&self, epoch: u64) -> Option<Option<Rc<Known>>> {
        self.0.borrow().as_ref().filter(|(made, _)| *made == epoch).map(|(_, known)| known.clone())
    }

    /// Keeps a statement, or that there is none.
    fn keep(
        &self,
        core: &Core,
        epoch: u64,
        text: Option<String>,
    ) -> Result<Option<Rc<Known>>, StatementError> {
        let known = |text: String| {
            let sql = Sql::from(text);
            Known::ours(sql.as_str()).map(|known| Rc::new(known.seen(&sql, &core.seen)))
        };
        let known = text.map(known).transpose()?;
        *self.0.borrow_mut() = Some((epoch, known.clone()));
        Ok(known)
    }
}

/// Says whether values of a type come out of an array as they went in, and compare as they do by themselves.
fn is_plain(ty: &Type) -> bool {
    matches!(ty.kind(), Kind::Simple) && ty.schema() == "pg_catalog"
}
