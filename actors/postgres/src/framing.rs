//! Watches the lengths that the server announces, so that no message of it is collected past a bound.
//!
//! The driver keeps a message in memory until its last byte is there, and looks at no limit: one value of a gigabyte,
//! or a length that lies, would be read whole before anybody can refuse it.

use std::io;

/// So much longer than a whole reply may one message be: its row is then cut off as any other, and the connection
/// stays.
const BEYOND_A_REPLY: usize = 16 << 20;

/// A message of the server was announced that is longer than any may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of {length} bytes was announced, and {longest} is the most")]
pub(crate) struct TooLong {
    length: usize,
    longest: usize,
}

impl TooLong {
    /// Says whether this is why a connection ended.
    pub(crate) fn ended(error: &tokio_postgres::Error) -> bool {
        let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
        cause.and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<Self>())
    }
}

/// Where one connection is in the messages that it reads.
#[derive(Debug)]
pub(crate) struct Framing {
    longest: usize,
    /// The begin of a message: its tag and its length.
    head: Vec<u8>,
    /// Bytes that are still to come of a message.
    rest: usize,
}

impl Framing {
    /// Allows messages of a reply of `bytes_max` bytes, and somewhat longer ones.
    pub(crate) fn for_replies_of(bytes_max: usize) -> Self {
        Self { longest: bytes_max.saturating_add(BEYOND_A_REPLY), head: Vec::with_capacity(HEAD), rest: 0 }
    }

    /// Follows the bytes that were read next.
    ///
    /// # Errors
    /// [`TooLong`], as the error of a stream.
    pub(crate) fn follow(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (skipped, after) = bytes.split_at(self.rest.min(bytes.len()));
            self.rest -= skipped.len();
            let (head, after) = after.split_at(after.len().min(HEAD - self.head.len()));
            self.head.extend_from_slice(head);
            bytes = after;
            if let [_, length @ ..] = self.head.as_slice()
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                if length > self.longest {
                    return Err(io::Error::other(TooLong { length, longest: self.longest }));
                }
                // the length counts itself; the driver refuses one that is shorter
                self.rest = length.saturating_sub(4);
                self.head.clear();
            }
        }
        Ok(())
    }
}

/// The tag and the length.
const HEAD: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u32) -> Vec<u8> {
        let mut bytes = vec![b'D'];
        bytes.extend(length.to_be_bytes());
        bytes.resize(1 + usize::try_from(length).unwrap().max(4), b'x');
        bytes
    }

    fn framing(longest: usize) -> Framing {
        Framing { longest, ..Framing::for_replies_of(0) }
    }

    #[test]
    fn messages_up_to_the_bound_pass_however_they_are_cut() {
        let bytes: Vec<u8> = [4, 100, 5, 4, 99, 100].into_iter().flat_map(message).collect();
        for size in 1..bytes.len() {
            let mut framing = framing(100);
            bytes.chunks(size).for_each(|piece| framing.follow(piece).unwrap());
            assert_eq!((framing.rest, framing.head.len()), (0, 0), "in pieces of {size}");
        }
    }

    #[test]
    fn a_longer_message_ends_the_stream_at_its_first_five_bytes_wherever_it_stands() {
        let mut bytes = message(100);
        let before = bytes.len();
        bytes.extend(&message(101)[..HEAD]);
        for size in 1..bytes.len() {
            let mut framing = framing(100);
            let failed = bytes.chunks(size).position(|piece| framing.follow(piece).is_err());
            assert_eq!(failed, Some((before + HEAD - 1) / size), "in pieces of {size}");
        }
        let error = framing(100).follow(&message(101)).unwrap_err();
        let inner = error.get_ref().unwrap().downcast_ref::<TooLong>();
        assert_eq!(inner, Some(&TooLong { length: 101, longest: 100 }));
    }

    #[test]
    fn a_length_below_its_own_is_left_to_the_driver() {
        framing(100).follow(&[b'D', 0, 0, 0, 0, b'D', 0, 0, 0, 4]).unwrap();
    }
}
