//! Follows a chunked body over the wire without copying it, to know where it ends.

/// Reads along a chunked body.
#[derive(Debug, Default)]
pub(crate) struct ChunkScan {
    state: State,
    data: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the size of the next chunk.
    #[default]
    SizeStart,
    /// In the size; its value so far.
    Size(u64),
    /// In an extension behind the size.
    Extension(u64),
    /// Before the LF behind the size.
    SizeEnd(u64),
    /// In the data, with this many bytes to come.
    Data(u64),
    /// Before the CR behind the data.
    DataEnd,
    /// Before the LF behind the data.
    DataLineEnd,
    /// At the start of a line of the trailer.
    TrailerStart,
    /// In a line of the trailer.
    Trailer,
    /// Before the LF of a line of the trailer.
    TrailerEnd,
    /// Before the very last LF.
    LastLineEnd,
    /// Behind the body.
    Done,
    /// Not chunked at all; awc will say so.
    Broken,
}

impl ChunkScan {
    /// Reads along `bytes` and returns how many of them belong to the body.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() && !matches!(self.state, State::Done) {
            match self.state {
                State::Broken => return bytes.len(),
                State::Data(left) => {
                    let available = bytes.len() - at;
                    let step = usize::try_from(left).unwrap_or(usize::MAX).min(available);
                    at += step;
                    self.data += step as u64;
                    let left = left - step as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                }
                state => {
                    self.state = step(state, bytes[at]);
                    at += 1;
                }
            }
        }
        at
    }

    /// Counts the bytes of data so far, without sizes, line ends and trailer.
    pub(crate) fn data(&self) -> u64 {
        self.data
    }

    /// Says whether the last chunk and the trailer have passed.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }
}

/// Strict about CR LF, as awc is: where the two might disagree, this one never comes to an end.
fn step(state: State, byte: u8) -> State {
    match (state, byte) {
        (State::SizeStart | State::Size(_), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
            let size = if let State::Size(size) = state { size } else { 0 };
            let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
            size.checked_mul(16).and_then(|size| size.checked_add(digit)).map_or(State::Broken, State::Size)
        }
        (State::Size(size), b';' | b' ' | b'\t') => State::Extension(size),
        (State::Size(size) | State::Extension(size), b'\r') => State::SizeEnd(size),
        (State::SizeEnd(0), b'\n') => State::TrailerStart,
        (State::SizeEnd(size), b'\n') => State::Data(size),
        (State::Extension(_), b'\n') => State::Broken,
        (State::Extension(size), _) => State::Extension(size),
        (State::DataEnd, b'\r') => State::DataLineEnd,
        (State::DataLineEnd, b'\n') => State::SizeStart,
        (State::TrailerStart, b'\r') => State::LastLineEnd,
        (State::TrailerStart | State::Trailer, b'\n') => State::Broken,
        (State::Trailer, b'\r') => State::TrailerEnd,
        (State::TrailerStart | State::Trailer, _) => State::Trailer,
        (State::TrailerEnd, b'\n') => State::TrailerStart,
        (State::LastLineEnd, b'\n') => State::Done,
        _ => State::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_at_every_split() {
        let body = b"4\r\nabcd\r\nA;x=y\r\n0123456789\r\n0\r\nt: v\r\n\r\nHTTP/1.1 extra";
        let end = body.len() - b"HTTP/1.1 extra".len();
        for split in 0..body.len() {
            let mut scan = ChunkScan::default();
            let first = scan.advance(&body[..split]);
            let second = scan.advance(&body[split..]);
            assert!(scan.is_done(), "split at {split}");
            assert_eq!((first + second, scan.data()), (end, 14), "split at {split}");
        }
    }

    #[test]
    fn a_cut_body_is_never_done() {
        let body = b"4\r\nabcd\r\n0\r\n\r\n";
        for cut in 0..body.len() {
            let mut scan = ChunkScan::default();
            scan.advance(&body[..cut]);
            assert!(!scan.is_done(), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_not_chunked_is_never_done() {
        for body in
            [&b"hello"[..], b"\r\n", b"fffffffffffffffff\r\n", b"1\r\nab\r\n0\r\n\r\n", b"1\na\n0\n\n"]
        {
            let mut scan = ChunkScan::default();
            scan.advance(body);
            assert!(!scan.is_done(), "{body:?}");
        }
    }
}
