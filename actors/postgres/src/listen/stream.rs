//! What a listener reads, and the bounded buffer behind it.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;
use tokio::sync::mpsc::{self, error::TrySendError};

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A notification.
    Message {
        /// The channel it was sent to.
        channel: Box<str>,
        /// Its text; empty where NOTIFY gave none.
        payload: Box<str>,
    },
    /// Notifications may be missing here: read again whatever they tell of.
    Gap,
}

/// The notices of some channels, in order.
///
/// It ends only when the backend closes; while the server cannot be reached it is silent, and a
/// [`Notice::Gap`] follows. Dropping it closes its connection.
#[derive(Debug)]
pub struct NoticeStream {
    notices: mpsc::Receiver<Notice>,
}

impl NoticeStream {
    /// Returns the next notice; `None` when the backend has closed.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next_notice(&mut self) -> Option<Notice> {
        poll_fn(|context| self.notices.poll_recv(context)).await
    }
}

impl Stream for NoticeStream {
    type Item = Notice;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Notice>> {
        self.notices.poll_recv(context)
    }
}

/// The connection's end of a [`NoticeStream`].
#[derive(Debug)]
pub(super) struct Sink {
    notices: mpsc::Sender<Notice>,
    /// A gap that the buffer has no room for yet.
    owed: bool,
}

/// Makes a stream that holds at most `buffer` notices.
pub(super) fn channel(buffer: usize) -> (Sink, NoticeStream) {
    let (notices, receiver) = mpsc::channel(buffer);
    (Sink { notices, owed: false }, NoticeStream { notices: receiver })
}

impl Sink {
    /// Hands a notification over; where there is no room it becomes part of a gap.
    pub(super) fn hear(&mut self, channel: &str, payload: &str) {
        if self.owed {
            self.gap();
        }
        if !self.owed {
            let notice = Notice::Message { channel: channel.into(), payload: payload.into() };
            self.owed = self.is_refused(notice);
        }
    }

    /// Notes that something may be missing.
    pub(super) fn gap(&mut self) {
        self.owed = self.is_refused(Notice::Gap);
    }

    fn is_refused(&self, notice: Notice) -> bool {
        // a reader that has gone misses nothing
        matches!(self.notices.try_send(notice), Err(TrySendError::Full(_)))
    }

    /// Waits until the reader has gone; hands a gap over that is owed as soon as there is room.
    ///
    /// # Cancel safety
    /// A gap that was not handed over is still owed.
    pub(super) async fn settled(&mut self) {
        if self.owed
            && let Ok(room) = self.notices.reserve().await
        {
            room.send(Notice::Gap);
            self.owed = false;
        }
        self.closed().await;
    }

    /// Waits until the reader has gone.
    pub(super) async fn closed(&self) {
        self.notices.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &str) -> Notice {
        Notice::Message { channel: "c".into(), payload: payload.into() }
    }

    #[tokio::test]
    async fn what_finds_no_room_is_one_gap_at_its_place() {
        let (mut sink, mut stream) = channel(2);
        ["1", "2", "3", "4"].into_iter().for_each(|payload| sink.hear("c", payload));
        assert_eq!(stream.next_notice().await, Some(message("1")));
        sink.hear("c", "5");
        assert_eq!(stream.next_notice().await, Some(message("2")));
        assert_eq!(stream.next_notice().await, Some(Notice::Gap));
        let owed = tokio::select! {
            biased;
            () = sink.settled() => None,
            notice = stream.next_notice() => notice,
        };
        assert_eq!(owed, Some(Notice::Gap), "5 was lost after the first gap");
        sink.hear("c", "6");
        assert_eq!(stream.next_notice().await, Some(message("6")));
        drop(stream);
        sink.closed().await;
    }
}
