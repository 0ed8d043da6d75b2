//! How much of a response is to come.

use crate::{chunks::ChunkScan, exchange::Exchange, head::Framing};

/// What is to come of a response.
pub(crate) enum Tail {
    /// This many bytes.
    Length(u64),
    /// What the chunks say.
    Chunked(ChunkScan),
    /// Everything up to the end of the stream.
    Close,
    /// Nothing; awc is told that the stream has ended.
    Done,
}

impl Tail {
    /// Starts behind the head.
    pub(crate) fn of(framing: Framing, exchange: &Exchange) -> Self {
        match framing {
            Framing::Empty | Framing::Length(0) => {
                exchange.set_complete();
                Self::Done
            }
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(ChunkScan::default()),
            Framing::Close => Self::Close,
        }
    }

    /// Takes note that the stream has ended, which is the proper end of one kind of body alone.
    pub(crate) fn end(&self, exchange: &Exchange) {
        exchange.set_ended();
        if matches!(self, Self::Close) {
            exchange.set_complete();
        }
    }

    /// Counts bytes that arrived and returns how many of them belong to the response.
    pub(crate) fn account(&mut self, bytes: &[u8], exchange: &Exchange) -> usize {
        let kept = match self {
            Self::Length(left) => {
                let kept = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= kept as u64;
                exchange.add_received(kept, kept as u64);
                if *left == 0 {
                    exchange.set_complete();
                    *self = Self::Done;
                }
                kept
            }
            Self::Chunked(scan) => {
                let before = scan.data();
                let kept = scan.advance(bytes);
                exchange.add_received(kept, scan.data() - before);
                if scan.is_done() {
                    exchange.set_complete();
                    *self = Self::Done;
                }
                kept
            }
            Self::Close => {
                exchange.add_received(bytes.len(), bytes.len() as u64);
                bytes.len()
            }
            Self::Done => 0,
        };
        if kept < bytes.len() {
            exchange.set_tainted();
        }
        kept
    }
}
