//! Sets of asks: tuples of different ones, lists of equal ones.

use std::time::Duration;

use backstop_core::error::CallError;
use futures_util::{FutureExt, future::BoxFuture};

use super::{Member, contained, list};

/// A tuple of up to eight asks, or a `Vec` of asks.
pub trait Gatherable: Send + 'static {
    /// One `Result` for each member, in request order.
    type Output: Send + 'static;

    /// Asks all members and waits for all of them.
    fn gather(self, within: Option<Duration>) -> BoxFuture<'static, Self::Output>;
}

impl<F: Member> Gatherable for Vec<F> {
    type Output = Vec<Result<F::Reply, CallError>>;

    fn gather(self, within: Option<Duration>) -> BoxFuture<'static, Self::Output> {
        list::race(self, within, |_| false).map(list::Gathered::into_results).boxed()
    }
}

pub(super) fn limited<F: Member>(member: F, within: Option<Duration>) -> F {
    match within {
        Some(timeout) => member.limited(timeout),
        None => member,
    }
}

macro_rules! tuple {
    ($($member:ident)+) => {
        impl<$($member: Member),+> Gatherable for ($($member,)+) {
            type Output = ($(Result<$member::Reply, CallError>,)+);

            #[allow(non_snake_case)]
            fn gather(self, within: Option<Duration>) -> BoxFuture<'static, Self::Output> {
                let ($($member,)+) = self;
                Box::pin(async move { tokio::join!($(contained(limited($member, within))),+) })
            }
        }
    };
}

tuple!(A);
tuple!(A B);
tuple!(A B C);
tuple!(A B C D);
tuple!(A B C D E);
tuple!(A B C D E F);
tuple!(A B C D E F G);
tuple!(A B C D E F G H);
