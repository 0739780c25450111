//! The bytes of the log. All integers are little-endian.
//!
//! Events are *framed*; frames are packed into *chunks*; every chunk names the hash of the one before it, so that a
//! log is one chain from its first event to its last. The durable log, the memory log and the feed to other processes
//! all carry the same chunks.

use super::{Error, Position, Recorded};
use base::id::{Category, Millis, StreamId};
use uuid::Uuid;

/// The largest frame of one event. A seating chart reaches 2 MB; what is larger is a mistake.
pub const EVENT_BYTES_MAX: usize = 16 << 20;

/// The largest chunk of more than one event: sled spills values from about 8 KiB on to files that it never syncs.
pub const CHUNK_BYTES_MAX: usize = 6 << 10;

/// The bytes of a chunk before its frames.
pub const CHUNK_HEADER_BYTES: usize = 56;

/// Not UTF-8, so that no event's text is mistaken for a chunk.
pub(crate) const CHUNK_MAGIC: u32 = 0xfbc5_a1e1;

/// The bytes of a frame but its length, name and JSON.
const FRAME_FIXED_BYTES: usize = 1 + 16 + 8 + 8 + 1;

/// The blake3 hash of a chunk's bytes.
pub type Hash = [u8; 32];

/// Appends one framed event: `len u32` (of what follows), `category u8`, `key [16]`, `version u64`, `at_ms u64`,
/// `name_len u8`, name, JSON. Panics on a name of more than 255 bytes: names are constants of ours.
pub fn write_event(
    out: &mut Vec<u8>,
    stream: StreamId,
    version: u64,
    at_ms: Millis,
    name: &str,
    write: impl FnOnce(&mut Vec<u8>),
) {
    assert!(name.len() <= usize::from(u8::MAX), "an event's name has at most 255 bytes, not {name:?}");
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(stream.category as u8);
    out.extend_from_slice(stream.key.as_bytes());
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&at_ms.to_le_bytes());
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
    write(out);
    // Saturating: a frame that large is refused by its size before its length is ever read.
    let len = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

/// The end of a chain: the last event's position and the last chunk's hash. The default is the empty log's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChainTip {
    pub last: Position,
    pub hash: Hash,
}

impl ChainTip {
    /// The tip after `chunk`, which must continue the chain.
    pub fn extend(self, chunk: &Chunk<'_>) -> Result<ChainTip, Error> {
        let missing = Position(self.last.0 + 1);
        if chunk.first != missing {
            return Err(damaged(missing, format!("the next chunk starts at {}", chunk.first)));
        }
        if chunk.prev != self.hash {
            return Err(damaged(missing, "the chunk does not continue the hash chain"));
        }
        Ok(ChainTip { last: chunk.last(), hash: chunk.hash() })
    }
}

/// A chunk whose length and CRC have been checked; its frames are checked as they are read.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    pub first: Position,
    /// How many events it has; at least 1.
    pub count: u32,
    /// The hash of the chunk before it.
    pub prev: Hash,
    bytes: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// The chunk that is exactly `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Chunk<'a>, &'static str> {
        match Chunk::split_first(bytes)? {
            (chunk, []) => Ok(chunk),
            _ => Err("bytes follow the chunk"),
        }
    }

    /// The chunk that `bytes` starts with, and what follows it.
    pub fn split_first(bytes: &'a [u8]) -> Result<(Chunk<'a>, &'a [u8]), &'static str> {
        let len = Chunk::len_of(bytes)?;
        if bytes.len() < len {
            return Err("the chunk is cut short");
        }
        let (bytes, rest) = bytes.split_at(len);
        if u32_at(bytes, 8) != crc32fast::hash(&bytes[12..]) {
            return Err("the chunk's CRC does not match");
        }
        let (first, count) = (u64_at(bytes, 12), u32_at(bytes, 20));
        if first == 0 || count == 0 || first.checked_add(u64::from(count)).is_none() {
            return Err("the chunk's positions make no sense");
        }
        let mut prev = Hash::default();
        prev.copy_from_slice(&bytes[24..56]);
        Ok((Chunk { first: Position(first), count, prev, bytes }, rest))
    }

    /// The length in bytes that a chunk claims in its first bytes. It is plausible, no more.
    pub fn len_of(bytes: &[u8]) -> Result<usize, &'static str> {
        if bytes.len() < CHUNK_HEADER_BYTES || u32_at(bytes, 0) != CHUNK_MAGIC {
            return Err("no chunk starts here");
        }
        let len = u32_at(bytes, 4) as usize;
        if !(CHUNK_HEADER_BYTES..=CHUNK_HEADER_BYTES + EVENT_BYTES_MAX).contains(&len) {
            return Err("the chunk's length makes no sense");
        }
        Ok(len)
    }

    /// The first and last position that a chunk claims in its first bytes. They are plausible, no more.
    pub(crate) fn claimed_span(bytes: &[u8]) -> Option<(Position, Position)> {
        Chunk::len_of(bytes).ok()?;
        let (first, count) = (u64_at(bytes, 12), u64::from(u32_at(bytes, 20)));
        (first > 0 && count > 0).then_some(())?;
        Some((Position(first), Position(first.checked_add(count)? - 1)))
    }

    pub fn last(&self) -> Position {
        Position(self.first.0 + u64::from(self.count) - 1)
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn hash(&self) -> Hash {
        *blake3::hash(self.bytes).as_bytes()
    }

    /// Its events, in order. An error is the last item.
    pub fn events(&self) -> Events<'a> {
        Events { position: self.first, left: self.count, frames: &self.bytes[CHUNK_HEADER_BYTES..] }
    }

    /// Calls `each` with the events after `after` until it returns false. Gives the position of the last event it was
    /// called with, if any, and whether it wants more.
    pub fn deliver(
        &self,
        after: Position,
        each: &mut dyn FnMut(Recorded<'_>) -> bool,
    ) -> Result<(Option<Position>, bool), Error> {
        let mut last = None;
        for event in self.events() {
            let event = event?;
            if event.position > after {
                last = Some(event.position);
                if !each(event) {
                    return Ok((last, false));
                }
            }
        }
        Ok((last, true))
    }
}

/// The events of a chunk.
pub struct Events<'a> {
    position: Position,
    left: u32,
    frames: &'a [u8],
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Recorded<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let rest = std::mem::take(&mut self.frames);
            return (!rest.is_empty()).then(|| Err(damaged(self.position, "bytes follow the chunk's last event")));
        }
        match read_event(self.frames, self.position) {
            Ok((event, rest)) => {
                (self.left, self.frames) = (self.left - 1, rest);
                self.position.0 += 1;
                Some(Ok(event))
            }
            Err(what) => {
                (self.left, self.frames) = (0, &[]);
                Some(Err(damaged(self.position, what)))
            }
        }
    }
}

fn read_event(frames: &[u8], position: Position) -> Result<(Recorded<'_>, &[u8]), &'static str> {
    let (len, rest) = frames.split_at_checked(4).ok_or("the event is cut short")?;
    let (body, rest) = rest.split_at_checked(u32_at(len, 0) as usize).ok_or("the event is cut short")?;
    let (fixed, text) = body.split_at_checked(FRAME_FIXED_BYTES).ok_or("the event is cut short")?;
    let category = Category::from_code(fixed[0]).ok_or("the event's category is unknown")?;
    let key = Uuid::from_slice(&fixed[1..17]).map_err(|_| "the event's key is no UUID")?;
    let (name, data) = text.split_at_checked(usize::from(fixed[33])).ok_or("the event's name is cut short")?;
    let name = std::str::from_utf8(name).map_err(|_| "the event's name is not UTF-8")?;
    let stream = StreamId { category, key };
    Ok((Recorded { position, stream, version: u64_at(fixed, 17), at_ms: u64_at(fixed, 25), name, data }, rest))
}

/// Packs `frames`, whole frames as [`write_event`] makes them, into chunks after `tip`, appended to `out`. Gives the
/// new tip. A chunk has at most [`CHUNK_BYTES_MAX`] bytes unless it is of one event.
pub fn pack(mut frames: &[u8], mut tip: ChainTip, out: &mut Vec<u8>) -> ChainTip {
    while !frames.is_empty() {
        let (mut len, mut count) = (0, 0u32);
        while len < frames.len() {
            let frame = 4 + u32_at(frames, len) as usize;
            if count > 0 && CHUNK_HEADER_BYTES + len + frame > CHUNK_BYTES_MAX {
                break;
            }
            (len, count) = (len + frame, count + 1);
        }
        let (these, rest) = frames.split_at(len);
        let start = out.len();
        out.extend_from_slice(&CHUNK_MAGIC.to_le_bytes());
        out.extend_from_slice(&((CHUNK_HEADER_BYTES + len) as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(tip.last.0 + 1).to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&tip.hash);
        out.extend_from_slice(these);
        let crc = crc32fast::hash(&out[start + 12..]);
        out[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
        tip.last.0 += u64::from(count);
        tip.hash = *blake3::hash(&out[start..]).as_bytes();
        frames = rest;
    }
    tip
}

/// How many bytes [`pack`] makes of `bytes` of frames, at most: two neighbouring chunks together are fuller than one.
pub fn packed_bytes_max(bytes: usize) -> usize {
    bytes + CHUNK_HEADER_BYTES * (2 * bytes / (CHUNK_BYTES_MAX - CHUNK_HEADER_BYTES) + 2)
}

pub(crate) fn damaged(position: Position, what: impl Into<String>) -> Error {
    Error::Damaged { position, what: what.into() }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: StreamId = StreamId { category: Category::Wallet, key: Uuid::from_u128(9) };

    fn frames(sizes: &[usize]) -> Vec<u8> {
        let mut frames = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            write_event(&mut frames, STREAM, index as u64 + 1, 5, "A.v1", |out| out.resize(out.len() + size, b'x'));
        }
        frames
    }

    #[test]
    fn what_is_packed_reads_back() {
        let sizes = [0, 10, 3000, 3000, 100, 7000, 1, 2_000_000, 5];
        let frames = frames(&sizes);
        let mut packed = Vec::new();
        let end = pack(&frames, ChainTip::default(), &mut packed);
        assert!(packed.len() <= packed_bytes_max(frames.len()));
        let (mut rest, mut tip, mut read) = (packed.as_slice(), ChainTip::default(), Vec::new());
        while !rest.is_empty() {
            let (chunk, after) = Chunk::split_first(rest).unwrap();
            assert!(chunk.count == 1 || chunk.bytes().len() <= CHUNK_BYTES_MAX);
            tip = tip.extend(&chunk).unwrap();
            read.extend(chunk.events().map(|event| event.unwrap().data.len()));
            rest = after;
        }
        assert_eq!((tip, read.as_slice()), (end, sizes.as_slice()));
        assert_eq!(end.last, Position(sizes.len() as u64));
    }

    #[test]
    fn a_chunk_belongs_to_its_place() {
        let mut packed = Vec::new();
        let tip = pack(&frames(&[5]), ChainTip::default(), &mut packed);
        let chunk = Chunk::parse(&packed).unwrap();
        assert!(matches!(tip.extend(&chunk), Err(Error::Damaged { position: Position(2), .. })));
        let other = ChainTip { last: Position(0), hash: [1; 32] };
        assert!(matches!(other.extend(&chunk), Err(Error::Damaged { position: Position(1), .. })));
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_seen(bit in 0usize..8 * 1000) {
            let mut packed = Vec::new();
            pack(&frames(&[100, 200, 300]), ChainTip::default(), &mut packed);
            let bit = bit % (8 * packed.len());
            packed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Chunk::parse(&packed).is_err());
        }

        #[test]
        fn garbage_frames_are_errors_not_panics(frames in prop::collection::vec(any::<u8>(), 0..200), count in 1u32..5) {
            let mut bytes = Vec::new();
            bytes.extend_from_slice(&CHUNK_MAGIC.to_le_bytes());
            bytes.extend_from_slice(&((CHUNK_HEADER_BYTES + frames.len()) as u32).to_le_bytes());
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&1u64.to_le_bytes());
            bytes.extend_from_slice(&count.to_le_bytes());
            bytes.extend_from_slice(&[0; 32]);
            bytes.extend_from_slice(&frames);
            let crc = crc32fast::hash(&bytes[12..]);
            bytes[8..12].copy_from_slice(&crc.to_le_bytes());
            let events: Vec<_> = Chunk::parse(&bytes).unwrap().events().collect();
            prop_assert!(events.len() <= count as usize + 1);
        }
    }
}
