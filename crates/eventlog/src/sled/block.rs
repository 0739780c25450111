//! Values of sled: chunks, as many in one value as fit when they are compressed.
//!
//! ```text
//! block   magic u32, length of the whole u32, CRC of what follows u32, first and last position u64,
//!         length of the chunks u32, the chunks, one after another, as an LZ4 block
//! ```
//!
//! sled writes a value some five times (it has 16 in a leaf, and rewrites leaves), and takes its time for each: bytes count,
//! and so do values. A chunk that fills a value by itself, and one that does not get smaller, are values as they are.

use crate::frame::{CHUNK_BYTES_MAX, Chunk, u32_at, u64_at};
use crate::{Error, Position};
use std::ops::Range;

/// The largest value: sled spills values from about 8 KiB on to files that it never syncs.
pub const VALUE_BYTES_MAX: usize = CHUNK_BYTES_MAX;

const HEADER_BYTES: usize = 4 + 4 + 4 + 8 + 8 + 4;
/// Not UTF-8, so that no event's text is mistaken for a block.
const MAGIC: u32 = 0xfbc5_b10c;
/// What a block has of chunks at most: so much is unpacked to read one event.
const CHUNKS_BYTES_MAX: usize = 64 << 10;

/// Takes a value: the first position in it, the number of its part where a chunk takes several values, and its bytes.
pub type Write<'a> = dyn FnMut(Position, u16, &[u8]) -> Result<(), Error> + 'a;

/// Calls `write` with the values that `chunks` become.
pub fn pack<'a>(chunks: impl Iterator<Item = Chunk<'a>>, write: &mut Write<'_>) -> Result<(), Error> {
    let mut open = Open { bytes: Vec::new(), chunks: Vec::new(), aim: VALUE_BYTES_MAX, packed: Vec::new() };
    for chunk in chunks {
        let bytes = chunk.bytes();
        if bytes.len() > VALUE_BYTES_MAX {
            open.close(write)?;
            for (part, bytes) in bytes.chunks(VALUE_BYTES_MAX).enumerate() {
                write(chunk.first, part as u16, bytes)?;
            }
            continue;
        }
        if open.bytes.len() + bytes.len() > open.aim {
            open.close(write)?;
        }
        let start = open.bytes.len();
        open.bytes.extend_from_slice(bytes);
        open.chunks.push(Span { first: chunk.first, last: chunk.last(), bytes: start..open.bytes.len() });
    }
    open.close(write)
}

/// Chunks that are in no value yet.
struct Open {
    bytes: Vec<u8>,
    chunks: Vec<Span>,
    /// So many bytes of chunks are expected to fit into a value, going by the last one.
    aim: usize,
    packed: Vec<u8>,
}

struct Span {
    first: Position,
    last: Position,
    /// In the bytes of the open chunks.
    bytes: Range<usize>,
}

impl Open {
    fn close(&mut self, write: &mut Write<'_>) -> Result<(), Error> {
        self.write(0..self.chunks.len(), write)?;
        self.bytes.clear();
        self.chunks.clear();
        Ok(())
    }

    /// Writes these chunks as one value; where they do not fit, each half of them.
    fn write(&mut self, which: Range<usize>, write: &mut Write<'_>) -> Result<(), Error> {
        let these = &self.chunks[which.clone()];
        let [Some(begin), Some(end)] = [these.first(), these.last()] else { return Ok(()) };
        let (first, last, chunks) = (begin.first, end.last, begin.bytes.start..end.bytes.end);
        self.seal(first, last, chunks.clone());
        self.aim =
            (chunks.len() * VALUE_BYTES_MAX / self.packed.len() * 7 / 8).clamp(VALUE_BYTES_MAX, CHUNKS_BYTES_MAX);
        if which.len() == 1 && self.packed.len() >= chunks.len() {
            return write(first, 0, &self.bytes[chunks]);
        }
        if self.packed.len() <= VALUE_BYTES_MAX {
            return write(first, 0, &self.packed);
        }
        let middle = which.start + which.len() / 2;
        self.write(which.start..middle, write)?;
        self.write(middle..which.end, write)
    }

    /// Makes `packed` the block of these chunks.
    fn seal(&mut self, first: Position, last: Position, chunks: Range<usize>) {
        let chunks = &self.bytes[chunks];
        self.packed.clear();
        self.packed.resize(HEADER_BYTES + lz4_flex::block::get_maximum_output_size(chunks.len()), 0);
        let len = lz4_flex::block::compress_into(chunks, &mut self.packed[HEADER_BYTES..]);
        self.packed.truncate(HEADER_BYTES + len.expect("there is room for the worst case"));
        let len = self.packed.len() as u32;
        self.packed[..4].copy_from_slice(&MAGIC.to_le_bytes());
        self.packed[4..8].copy_from_slice(&len.to_le_bytes());
        self.packed[12..20].copy_from_slice(&first.0.to_le_bytes());
        self.packed[20..28].copy_from_slice(&last.0.to_le_bytes());
        self.packed[28..32].copy_from_slice(&(chunks.len() as u32).to_le_bytes());
        let crc = crc32fast::hash(&self.packed[12..]);
        self.packed[8..12].copy_from_slice(&crc.to_le_bytes());
    }
}

/// The chunks in a value that is not a part of one only; those of a block are unpacked into `unpacked`. Their own CRCs are
/// not checked.
pub fn chunks<'a>(value: &'a [u8], unpacked: &'a mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    let Some(claim) = claim(value) else { return Ok(value) };
    if claim.len != value.len() {
        return Err("the block has another length than it says");
    }
    if !intact(value, &claim) {
        return Err("the block's CRC does not match");
    }
    let len = u32_at(value, 28) as usize;
    if len > CHUNKS_BYTES_MAX {
        return Err("the block's length makes no sense");
    }
    unpacked.clear();
    unpacked.resize(len, 0);
    match lz4_flex::block::decompress_into(&value[HEADER_BYTES..], unpacked) {
        Ok(found) if found == len => Ok(unpacked),
        _ => Err("the block cannot be unpacked"),
    }
}

/// What a block claims in its first bytes. It is plausible, no more.
#[derive(Clone, Copy)]
pub struct Claim {
    pub first: Position,
    pub last: Position,
    pub len: usize,
}

/// The block that `bytes` start with, if it looks like one.
pub fn claim(bytes: &[u8]) -> Option<Claim> {
    if bytes.len() < HEADER_BYTES || u32_at(bytes, 0) != MAGIC {
        return None;
    }
    let claim =
        Claim { first: Position(u64_at(bytes, 12)), last: Position(u64_at(bytes, 20)), len: u32_at(bytes, 4) as usize };
    let plausible =
        claim.first.0 > 0 && claim.last >= claim.first && (HEADER_BYTES..=VALUE_BYTES_MAX).contains(&claim.len);
    plausible.then_some(claim)
}

/// Whether the block that `bytes` start with is there as it was written.
pub fn intact(bytes: &[u8], claim: &Claim) -> bool {
    bytes.get(12..claim.len).is_some_and(|rest| u32_at(bytes, 8) == crc32fast::hash(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{self, ChainTip};
    use base::id::{Category, StreamId};
    use proptest::prelude::*;
    use uuid::Uuid;

    /// Chunks of events of these sizes, each random or not.
    fn packed(events: &[(usize, bool)]) -> Vec<u8> {
        let (mut frames, mut random) = (Vec::new(), 7u64);
        let stream = StreamId { category: Category::Wallet, key: Uuid::from_u128(9) };
        let mut all = Vec::new();
        let mut tip = ChainTip::default();
        for (index, (size, noise)) in events.iter().enumerate() {
            frames.clear();
            frame::write_event(&mut frames, stream, index as u64 + 1, 5, "A.v1", |out| {
                for _ in 0..*size {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    out.push(if *noise { (random >> 56) as u8 } else { b'x' });
                }
            });
            tip = frame::pack(&frames, tip, &mut all);
        }
        all
    }

    fn split(mut bytes: &[u8]) -> Vec<Chunk<'_>> {
        let mut chunks = Vec::new();
        while !bytes.is_empty() {
            let (chunk, rest) = Chunk::split_first(bytes).unwrap();
            (chunks, bytes) = ([chunks, vec![chunk]].concat(), rest);
        }
        chunks
    }

    fn values(chunks: &[u8]) -> Vec<(Position, u16, Vec<u8>)> {
        let mut values = Vec::new();
        let write = &mut |first, part, value: &[u8]| {
            values.push((first, part, value.to_vec()));
            Ok(())
        };
        pack(split(chunks).into_iter(), write).unwrap();
        values
    }

    fn unpack(values: &[(Position, u16, Vec<u8>)]) -> Vec<u8> {
        let (mut all, mut scratch) = (Vec::new(), Vec::new());
        for (_, part, value) in values {
            let bytes = if *part == 0 { chunks(value, &mut scratch).unwrap() } else { value.as_slice() };
            all.extend_from_slice(bytes);
        }
        all
    }

    #[test]
    fn chunks_share_a_value_and_come_back() {
        let bytes = packed(&[(300, false); 500]);
        let values = values(&bytes);
        assert!(values.len() < 10, "{}", values.len());
        assert!(values.iter().map(|(.., value)| value.len()).sum::<usize>() * 5 < bytes.len());
        assert_eq!(unpack(&values), bytes);
    }

    #[test]
    fn what_does_not_get_smaller_is_as_it_was() {
        let bytes = packed(&[(5_000, true); 20]);
        let values = values(&bytes);
        assert_eq!(values.len(), 20);
        assert_eq!(values.iter().flat_map(|(.., value)| value.clone()).collect::<Vec<u8>>(), bytes);
    }

    #[test]
    fn a_flipped_bit_is_seen() {
        let (.., value) = values(&packed(&[(300, false); 9])).swap_remove(0);
        let whole = claim(&value).unwrap();
        assert!(intact(&value, &whole));
        for bit in 0..8 * value.len() {
            let mut value = value.clone();
            value[bit / 8] ^= 1 << (bit % 8);
            let mut scratch = Vec::new();
            // With another magic it is no block, and then no chunk.
            let found = chunks(&value, &mut scratch).map(|bytes| Chunk::split_first(bytes).is_ok());
            assert!(!matches!(found, Ok(true)), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_packed_comes_back(events in prop::collection::vec((0usize..9_000, any::<bool>()), 0..60)) {
            let bytes = packed(&events);
            let values = values(&bytes);
            prop_assert_eq!(unpack(&values), bytes);
            let mut next = 1;
            for (first, part, value) in &values {
                prop_assert!(value.len() <= VALUE_BYTES_MAX);
                prop_assert!(*part > 0 || first.0 == next);
                let last = claim(value).map(|claim| claim.last).or(Chunk::claimed_span(value).map(|(_, last)| last));
                next = last.map_or(next, |last| last.0 + 1);
            }
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(rest in prop::collection::vec(any::<u8>(), 0..200), len in any::<u32>()) {
            let mut value = vec![0; HEADER_BYTES];
            value.extend_from_slice(&rest);
            let whole = value.len() as u32;
            value[..4].copy_from_slice(&MAGIC.to_le_bytes());
            value[4..8].copy_from_slice(&whole.to_le_bytes());
            value[12..20].copy_from_slice(&1u64.to_le_bytes());
            value[20..28].copy_from_slice(&1u64.to_le_bytes());
            value[28..32].copy_from_slice(&len.to_le_bytes());
            let crc = crc32fast::hash(&value[12..]);
            value[8..12].copy_from_slice(&crc.to_le_bytes());
            let mut unpacked = Vec::new();
            if let Ok(bytes) = chunks(&value, &mut unpacked) {
                prop_assert_eq!(bytes.len(), len as usize);
            }
        }
    }
}
