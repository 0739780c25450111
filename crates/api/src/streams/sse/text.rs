//! What is sent, as it is and compressed; made once, however many streams send it.
//!
//! Compressed, a stream is one gzip member (RFC 1952) that stays open. Each text is a piece of it that ends on a byte and
//! refers to nothing before it (RFC 1951, a "sync flush" of a compressor that knows nothing else), so that any text may
//! follow any other, and all streams share the pieces whenever they began. As no two texts share a window, what is
//! personal in one says nothing by its length about another.

use bytes::Bytes;
use crc32fast::Hasher;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::io::Write;
use std::sync::{Arc, OnceLock};

/// Deflate, no time, no name, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// The last block, which is empty.
const LAST_BLOCK: [u8; 2] = [3, 0];
/// What a stored block can hold.
const STORED_BYTES_MAX: usize = 0xffff;
/// Up to here a text is made as small as it gets; above it the time counts.
const SMALL_BYTES_MAX: usize = 64 << 10;

/// Whole events. A clone shares the bytes.
#[derive(Clone, Debug)]
pub struct Text(Arc<Both>);

#[derive(Debug)]
struct Both {
    plain: Bytes,
    packed: OnceLock<Packed>,
}

#[derive(Debug)]
struct Packed {
    bytes: Bytes,
    /// Of what is in there.
    sum: Hasher,
}

impl<T: Into<Bytes>> From<T> for Text {
    fn from(plain: T) -> Text {
        Text(Arc::new(Both { plain: plain.into(), packed: OnceLock::new() }))
    }
}

impl Text {
    /// Bytes of it, not compressed.
    pub fn plain(&self) -> &Bytes {
        &self.0.plain
    }

    fn packed(&self) -> &Packed {
        self.0.packed.get_or_init(|| {
            let plain = &self.0.plain;
            let level = if plain.len() > SMALL_BYTES_MAX { Compression::fast() } else { Compression::default() };
            let mut encoder = DeflateEncoder::new(Vec::with_capacity(plain.len() / 4 + 32), level);
            encoder.write_all(plain).and_then(|()| encoder.flush()).expect("a Vec takes every byte");
            let bytes = std::mem::take(encoder.get_mut()).into();
            Packed { bytes, sum: sum_of(plain) }
        })
    }
}

/// The coding of one stream.
pub enum Coding {
    Identity,
    /// With the checksum of all that was sent.
    Gzip(Hasher),
}

impl Coding {
    pub fn of(gzip: bool) -> Coding {
        if gzip { Coding::Gzip(Hasher::new()) } else { Coding::Identity }
    }

    /// The first bytes of a stream, which begins with `text`: at most 64 KiB, and different for each stream.
    pub fn begin(&mut self, text: String) -> Bytes {
        match self {
            Coding::Identity => text.into(),
            Coding::Gzip(sum) => {
                sum.update(text.as_bytes());
                assert!(text.len() <= STORED_BYTES_MAX);
                let len = (text.len() as u16).to_le_bytes();
                let not_len = (!(text.len() as u16)).to_le_bytes();
                [&HEADER[..], &[0], &len, &not_len, text.as_bytes()].concat().into()
            }
        }
    }

    /// What is sent for `text`, after what was sent before.
    pub fn code(&mut self, text: &Text) -> Bytes {
        match self {
            Coding::Identity => text.plain().clone(),
            Coding::Gzip(sum) => {
                let packed = text.packed();
                sum.combine(&packed.sum);
                packed.bytes.clone()
            }
        }
    }

    /// The last bytes of a stream that is ended in good order.
    pub fn end(&self, bytes_sent: u64) -> Bytes {
        match self {
            Coding::Identity => Bytes::new(),
            Coding::Gzip(sum) => {
                let sum = sum.clone().finalize().to_le_bytes();
                // As RFC 1952 has it, modulo 2^32.
                let len = (bytes_sent as u32).to_le_bytes();
                [&LAST_BLOCK[..], &sum, &len].concat().into()
            }
        }
    }
}

fn sum_of(bytes: &[u8]) -> Hasher {
    let mut sum = Hasher::new();
    sum.update(bytes);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn texts_in_any_order_make_one_gzip_member() {
        let texts: Vec<Text> =
            ["data: 1\n\n".repeat(3000), ":\n\n".into(), "data: 좌석\n\n".into(), "x".repeat(200_000)]
                .map(Text::from)
                .into();
        for order in [&[0, 1, 2, 3][..], &[3, 3, 0], &[2, 1, 1, 2], &[]] {
            let mut coding = Coding::of(true);
            let (mut sent, mut plain) = (coding.begin("retry: 1234\n\n".into()).to_vec(), b"retry: 1234\n\n".to_vec());
            for &index in order {
                sent.extend_from_slice(&coding.code(&texts[index]));
                plain.extend_from_slice(texts[index].plain());
                // All is there to be read before the next one is sent.
                let mut so_far = flate2::write::GzDecoder::new(Vec::new());
                so_far.write_all(&sent).and_then(|()| so_far.flush()).unwrap();
                assert_eq!(so_far.get_ref(), &plain);
            }
            sent.extend_from_slice(&coding.end(plain.len() as u64));
            let mut read = Vec::new();
            flate2::read::GzDecoder::new(&*sent).read_to_end(&mut read).expect("a checksum that is right");
            assert_eq!(read, plain);
        }
    }
}
