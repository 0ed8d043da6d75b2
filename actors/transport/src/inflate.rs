//! Collects a body under a limit, through gzip where it has that coding.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use flate2::write::MultiGzDecoder;

use crate::{body::BodyLimits, error::TransportError};

/// Below this many decoded bytes a body may have any ratio.
const RATIO_FREE: usize = 1024 * 1024;

/// How much of the wire is decoded at a time.
const SLICE: usize = 16 * 1024;

/// A body in the making.
pub(crate) enum Sink {
    Plain { body: BytesMut, limit: usize },
    Gzip { decoder: Box<MultiGzDecoder<Bounded>>, wire: u64 },
}

/// The decoded bytes, which stop at a limit and at a ratio.
pub(crate) struct Bounded {
    body: Vec<u8>,
    limits: BodyLimits,
    wire: u64,
    exceeded: Option<TransportError>,
}

/// The coding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
}

impl Coding {
    /// Reads `Content-Encoding`; nothing but one gzip was asked for, so nothing else is accepted.
    pub(crate) fn of<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Self, TransportError> {
        let Some(value) = values.next() else { return Ok(Self::Identity) };
        if values.next().is_some() {
            return Err(TransportError::Encoding("more than one coding".into()));
        }
        let value = value.trim_ascii();
        if value.is_empty() || value.eq_ignore_ascii_case(b"identity") {
            Ok(Self::Identity)
        } else if value.eq_ignore_ascii_case(b"gzip") || value.eq_ignore_ascii_case(b"x-gzip") {
            Ok(Self::Gzip)
        } else {
            let name: String = String::from_utf8_lossy(value).chars().take(32).collect();
            Err(TransportError::Encoding(format!("the coding {name:?} was not asked for")))
        }
    }
}

impl Sink {
    /// Starts a body; `hint` is its size on the wire, where that is known.
    pub(crate) fn new(coding: Coding, limits: BodyLimits, hint: Option<u64>) -> Self {
        match coding {
            Coding::Identity => {
                // a hint is only a promise: no more than 64 KiB are given on it
                let room = hint.map_or(0, |hint| usize::try_from(hint).unwrap_or(usize::MAX).min(64 * 1024));
                Self::Plain { body: BytesMut::with_capacity(room), limit: limits.max_bytes }
            }
            Coding::Gzip => {
                let bounded = Bounded { body: Vec::new(), limits, wire: 0, exceeded: None };
                Self::Gzip { decoder: Box::new(MultiGzDecoder::new(bounded)), wire: 0 }
            }
        }
    }

    /// Adds what came from the wire.
    pub(crate) fn push(&mut self, chunk: &Bytes) -> Result<(), TransportError> {
        match self {
            Self::Plain { body, limit } => {
                if body.len() + chunk.len() > *limit {
                    return Err(TransportError::BodyTooLarge { limit: *limit });
                }
                body.extend_from_slice(chunk);
                Ok(())
            }
            Self::Gzip { decoder, wire } => {
                for slice in chunk.chunks(SLICE) {
                    *wire += slice.len() as u64;
                    let limits = decoder.get_ref().limits;
                    if *wire > limits.max_bytes as u64 {
                        return Err(TransportError::BodyTooLarge { limit: limits.max_bytes });
                    }
                    decoder.get_mut().wire = *wire;
                    let written = decoder.write_all(slice);
                    written.map_err(|error| explain(decoder.get_mut(), &error))?;
                }
                Ok(())
            }
        }
    }

    /// Ends the body; `None` when the coding shows that something is missing.
    pub(crate) fn finish(self) -> Result<Option<Bytes>, TransportError> {
        match self {
            Self::Plain { body, .. } => Ok(Some(body.freeze())),
            Self::Gzip { wire: 0, .. } => Ok(Some(Bytes::new())),
            Self::Gzip { mut decoder, .. } => match (decoder.try_finish(), decoder.get_mut().exceeded.take())
            {
                (Ok(()), _) => Ok(Some(Bytes::from(std::mem::take(&mut decoder.get_mut().body)))),
                (Err(_), Some(exceeded)) => Err(exceeded),
                // a cut in the checksum at the end cannot be told from a wrong checksum
                (Err(_), None) => Ok(None),
            },
        }
    }
}

fn explain(bounded: &mut Bounded, error: &io::Error) -> TransportError {
    bounded.exceeded.take().unwrap_or_else(|| TransportError::Encoding(format!("damaged gzip: {error}")))
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let size = self.body.len() + bytes.len();
        let ratio = self.limits.max_ratio;
        let exceeded = if size > self.limits.max_bytes {
            TransportError::BodyTooLarge { limit: self.limits.max_bytes }
        } else if size > RATIO_FREE && size as u64 > self.wire.saturating_mul(ratio) {
            TransportError::Inflation { limit: ratio }
        } else {
            self.body.extend_from_slice(bytes);
            return Ok(bytes.len());
        };
        self.exceeded = Some(exceeded);
        Err(io::ErrorKind::FileTooLarge.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap().into()
    }

    fn decode(wire: &[u8], limits: BodyLimits) -> Result<Option<Bytes>, TransportError> {
        let mut sink = Sink::new(Coding::Gzip, limits, None);
        sink.push(&Bytes::copy_from_slice(wire))?;
        sink.finish()
    }

    #[test]
    fn gzip_is_decoded_and_members_are_joined() {
        let wire = [gzip(b"hello "), gzip(b"world")].concat();
        assert_eq!(decode(&wire, BodyLimits::default()).unwrap().unwrap(), "hello world");
    }

    #[test]
    fn every_cut_of_a_gzip_body_is_noticed() {
        let wire = gzip(b"hello world, this is a body of some length");
        for cut in 1..wire.len() {
            assert!(!matches!(decode(&wire[..cut], BodyLimits::default()), Ok(Some(_))), "cut at {cut}");
        }
    }

    #[test]
    fn a_bomb_ends_at_the_ratio_and_at_the_limit() {
        let bomb = gzip(&vec![0; 8 * 1024 * 1024]);
        assert!(matches!(
            decode(&bomb, BodyLimits::default()),
            Err(TransportError::Inflation { limit: 100 })
        ));
        let limits = BodyLimits { max_bytes: 1024, ..BodyLimits::default() };
        assert!(matches!(decode(&bomb, limits), Err(TransportError::BodyTooLarge { limit: 1024 })));
        let small = gzip(&vec![0; 512 * 1024]);
        assert_eq!(decode(&small, BodyLimits::default()).unwrap().unwrap().len(), 512 * 1024);
    }

    #[test]
    fn damage_is_never_a_body() {
        assert!(matches!(decode(b"no gzip at all", BodyLimits::default()), Err(TransportError::Encoding(_))));
        let whole = gzip(b"hello world");
        for at in 10..whole.len() {
            let mut wire = whole.to_vec();
            wire[at] ^= 0x10;
            // a bit that pads the last byte changes nothing
            let body = decode(&wire, BodyLimits::default()).ok().flatten();
            assert!(body.is_none_or(|body| body == "hello world"), "damage at {at}");
        }
    }

    #[test]
    fn only_one_known_coding_is_accepted() {
        let of = |values: &[&'static str]| Coding::of(values.iter().map(|value| value.as_bytes()));
        assert_eq!(of(&[]).unwrap(), Coding::Identity);
        assert_eq!(of(&["identity"]).unwrap(), Coding::Identity);
        assert_eq!(of(&["GZIP"]).unwrap(), Coding::Gzip);
        for values in [&["br"][..], &["deflate"], &["gzip, gzip"], &["gzip", "gzip"], &["zstd"]] {
            assert!(of(values).is_err(), "{values:?}");
        }
    }
}
