//! A run of the log's chunks, as they are, compressed. Integers are little-endian.
//!
//! ```text
//! header   magic [8], the log's id [16], first and last position u64, the chain's hash before the first chunk [32] and of the
//!          last one [32], when the last event was recorded u64 ms, 1 if it ends with a commit u8
//! blocks   each: length of its chunks u32, length compressed u32, an LZ4 block
//! footer   BLAKE3 of everything before [32]
//! ```

use anyhow::{Context, bail, ensure};
use base::id::Millis;
use eventlog::Position;
use eventlog::frame::{ChainTip, Chunk, Hash};
use uuid::Uuid;

const MAGIC: &[u8; 8] = b"onsale-s";
const HEADER_BYTES: usize = 8 + 16 + 8 + 8 + 32 + 32 + 8 + 1;
const HASH_BYTES: usize = 32;
/// A block is closed when its chunks have so many bytes: what LZ4 compresses well.
const BLOCK_BYTES: usize = 256 << 10;
/// A chunk has at most one event of 16 MiB; a block ends with the chunk that fills it.
const BLOCK_BYTES_MAX: usize = BLOCK_BYTES + (16 << 20) + 4096;

/// What a segment has, as its header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    pub log_id: Uuid,
    pub before: ChainTip,
    pub end: ChainTip,
    /// When its last event was recorded.
    pub at_ms: Millis,
    /// What comes after it is of another commit.
    pub commit: bool,
}

/// The name of the segment of these positions.
pub fn name(first: Position, last: Position) -> String {
    format!("{:020}-{:020}", first.0, last.0)
}

/// The positions that a name says.
pub fn positions(name: &str) -> Option<(Position, Position)> {
    let (first, last) = name.split_once('-')?;
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.len() == 20);
    let (first, last) = (number(first)?, number(last)?);
    (0 < first && first <= last).then_some((Position(first), Position(last)))
}

/// A segment on its way.
pub struct Writer {
    header: Header,
    bytes: Vec<u8>,
    open: Vec<u8>,
    chunk_bytes: usize,
}

impl Writer {
    /// Begins the segment of what comes after `before`.
    pub fn new(log_id: Uuid, before: ChainTip) -> Writer {
        let header = Header { log_id, before, end: before, at_ms: 0, commit: false };
        Writer { header, bytes: vec![0; HEADER_BYTES], open: Vec::with_capacity(BLOCK_BYTES), chunk_bytes: 0 }
    }

    /// Adds the next chunk, which must continue the chain and whose last event was recorded at `at_ms`.
    pub fn put(&mut self, chunk: &Chunk<'_>, at_ms: Millis) -> Result<(), eventlog::Error> {
        self.header.end = self.header.end.extend(chunk)?;
        self.header.at_ms = at_ms;
        self.open.extend_from_slice(chunk.bytes());
        self.chunk_bytes += chunk.bytes().len();
        if self.open.len() >= BLOCK_BYTES {
            self.close_block();
        }
        Ok(())
    }

    /// Bytes of the chunks so far.
    pub fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    /// What it has so far.
    pub fn header(&self) -> Header {
        self.header
    }

    /// The segment's bytes; `commit` says that it ends with one.
    pub fn finish(mut self, commit: bool) -> Vec<u8> {
        self.close_block();
        let Header { log_id, before, end, at_ms, .. } = self.header;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(log_id.as_bytes());
        header.extend_from_slice(&(before.last.0 + 1).to_le_bytes());
        header.extend_from_slice(&end.last.0.to_le_bytes());
        header.extend_from_slice(&before.hash);
        header.extend_from_slice(&end.hash);
        header.extend_from_slice(&at_ms.to_le_bytes());
        header.push(u8::from(commit));
        self.bytes[..HEADER_BYTES].copy_from_slice(&header);
        let hash = blake3::hash(&self.bytes);
        self.bytes.extend_from_slice(hash.as_bytes());
        self.bytes
    }

    fn close_block(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let packed = lz4_flex::block::compress(&self.open);
        self.bytes.extend_from_slice(&(self.open.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&packed);
        self.open.clear();
    }
}

/// Reads a segment, which must be what it says and continue `before`, and calls `each` with its chunks until that returns false.
pub fn read(
    bytes: &[u8],
    log_id: Uuid,
    before: ChainTip,
    each: &mut dyn FnMut(Chunk<'_>) -> anyhow::Result<bool>,
) -> anyhow::Result<Header> {
    let header = check(bytes)?;
    ensure!(header.log_id == log_id, "it is of log {}, not of {log_id}", header.log_id);
    ensure!(header.before == before, "it does not continue what comes before it");
    let mut rest = &bytes[HEADER_BYTES..bytes.len() - HASH_BYTES];
    let mut tip = before;
    while !rest.is_empty() {
        let (head, body) = rest.split_at_checked(8).context("a block is cut short")?;
        let [len, packed] = [0, 4].map(|at| u32::from_le_bytes(head[at..at + 4].try_into().expect("4 bytes")) as usize);
        ensure!(len <= BLOCK_BYTES_MAX, "a block's length makes no sense");
        let (packed, behind) = body.split_at_checked(packed).context("a block is cut short")?;
        let chunks = lz4_flex::block::decompress(packed, len).context("a block cannot be unpacked")?;
        let mut chunks = &chunks[..];
        while !chunks.is_empty() {
            let (chunk, after) = Chunk::split_first(chunks).map_err(anyhow::Error::msg)?;
            tip = tip.extend(&chunk)?;
            if !each(chunk)? {
                return Ok(header);
            }
            chunks = after;
        }
        rest = behind;
    }
    ensure!(tip == header.end, "it does not end where it says");
    Ok(header)
}

/// The header of a segment that is whole.
pub fn check(bytes: &[u8]) -> anyhow::Result<Header> {
    if bytes.len() < HEADER_BYTES + HASH_BYTES || bytes[..8] != *MAGIC {
        bail!("it is no segment");
    }
    let (content, hash) = bytes.split_at(bytes.len() - HASH_BYTES);
    ensure!(blake3::hash(content).as_bytes()[..] == *hash, "it is damaged");
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    let hash = |at: usize| Hash::try_from(&bytes[at..at + HASH_BYTES]).expect("32 bytes");
    let (first, last) = (number(24), number(32));
    ensure!(0 < first && first <= last, "its positions make no sense");
    Ok(Header {
        log_id: Uuid::from_slice(&bytes[8..24]).expect("16 bytes"),
        before: ChainTip { last: Position(first - 1), hash: hash(40) },
        end: ChainTip { last: Position(last), hash: hash(72) },
        at_ms: number(104),
        commit: bytes[112] != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::id::{Category, StreamId};
    use eventlog::frame::{pack, write_event};
    use proptest::prelude::*;

    const ID: Uuid = Uuid::from_u128(8);

    fn segment(sizes: &[usize]) -> (Vec<u8>, Header) {
        let (mut frames, mut chunks) = (Vec::new(), Vec::new());
        let stream = StreamId { category: Category::Wallet, key: Uuid::from_u128(9) };
        for (index, size) in sizes.iter().enumerate() {
            write_event(&mut frames, stream, index as u64 + 1, 5, "A.v1", |out| out.resize(out.len() + size, b'x'));
        }
        pack(&frames, ChainTip::default(), &mut chunks);
        let mut writer = Writer::new(ID, ChainTip::default());
        let mut rest = &chunks[..];
        while !rest.is_empty() {
            let (chunk, behind) = Chunk::split_first(rest).unwrap();
            writer.put(&chunk, 7).unwrap();
            rest = behind;
        }
        let header = Header { commit: true, ..writer.header() };
        (writer.finish(true), header)
    }

    #[test]
    fn what_is_written_is_read() {
        let sizes = [1, 5_000, 0, 300_000, 100, 3_000_000, 12];
        let (bytes, header) = segment(&sizes);
        assert!(bytes.len() < 100_000, "it is compressed");
        let mut found = Vec::new();
        let read = read(&bytes, ID, ChainTip::default(), &mut |chunk| {
            found.extend(chunk.events().map(|event| event.unwrap().data.len()));
            Ok(true)
        });
        assert_eq!((read.unwrap(), found.as_slice()), (header, &sizes[..]));
        assert_eq!((header.end.last, header.at_ms), (Position(7), 7));
    }

    #[test]
    fn names_say_positions() {
        let name = name(Position(1), Position(4711));
        assert_eq!(name, "00000000000000000001-00000000000000004711");
        assert_eq!(positions(&name), Some((Position(1), Position(4711))));
        for other in ["manifest", "1-2", "00000000000000000003-00000000000000000002", ".tmp"] {
            assert_eq!(positions(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn damage_is_seen(bit in 0usize..1 << 20, cut in 0usize..4000) {
            let (mut bytes, _) = segment(&[100, 2000, 300]);
            let bit = bit % (8 * bytes.len());
            let mut short = bytes.clone();
            short.truncate(cut.min(bytes.len() - 1));
            bytes[bit / 8] ^= 1 << (bit % 8);
            for bytes in [bytes, short] {
                prop_assert!(read(&bytes, ID, ChainTip::default(), &mut |_| Ok(true)).is_err());
            }
        }
    }
}
