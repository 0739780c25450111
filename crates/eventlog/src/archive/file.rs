//! One archive file: a run of chunks as they are in the log, compressed in blocks. Integers are little-endian.
//!
//! ```text
//! header   magic u64, format u32, the log's id [16], first and last position u64, the chain's hash before the first
//!          chunk [32] and of the last one [32], CRC u32
//! blocks   each a gzip member of whole chunks, one after another
//! index    of each block: first position u64, offset u64, length u32, length of its chunks u32, CRC of the block u32
//! footer   offset of the index u64, number of blocks u64, CRC u32 over index and these two, magic u64
//! ```
//!
//! Every byte is under a CRC, the chunks by their own and the log's hash chain besides. A file is written under another
//! name, synced and renamed: under its name it is there whole.

use crate::failure::{Fault, Op, consult, io_error};
use crate::frame::{CHUNK_HEADER_BYTES, ChainTip, Chunk, EVENT_BYTES_MAX, Hash, damaged, u32_at, u64_at};
use crate::journal::sync_dir;
use crate::{Error, Position};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use uuid::Uuid;

const MAGIC: u64 = 0xf16e_6f73_2d63_7261;
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 8 + 4 + 16 + 8 + 8 + 32 + 32 + 4;
const ENTRY_BYTES: usize = 8 + 8 + 4 + 4 + 4;
const FOOTER_BYTES: usize = 8 + 8 + 4 + 8;
/// A block is closed when it has so many bytes of chunks: what is read to find one event, and what compresses well.
const BLOCK_BYTES: usize = 1 << 20;
/// A block with its last chunk.
const BLOCK_BYTES_MAX: usize = BLOCK_BYTES + CHUNK_HEADER_BYTES + EVENT_BYTES_MAX;
/// Higher ones take twice the time for a few percent.
const LEVEL: u32 = 5;
const UNFINISHED: &str = "events.tmp";

/// An archive file as the log knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part {
    pub first: Position,
    pub last: Position,
    /// The hash of the chunk before its first one, and of its last one.
    pub prev: Hash,
    pub hash: Hash,
    /// Bytes of its chunks, as they were in the log.
    pub chunk_bytes: u64,
    /// The file's length.
    pub file_bytes: u64,
}

impl Part {
    /// The file's name, e.g. `events-00000000000000000001-00000000000000500000`.
    pub fn name(&self) -> String {
        format!("events-{:020}-{:020}", self.first.0, self.last.0)
    }

    pub fn events(&self) -> u64 {
        self.last.0 - self.first.0 + 1
    }

    pub(crate) fn before(&self) -> ChainTip {
        ChainTip { last: Position(self.first.0 - 1), hash: self.prev }
    }

    pub(crate) fn end(&self) -> ChainTip {
        ChainTip { last: self.last, hash: self.hash }
    }
}

/// How a reading of the archive ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadTo {
    End,
    /// The reader wanted no more.
    Stopped,
}

#[derive(Clone, Copy)]
struct Block {
    first: Position,
    offset: u64,
    bytes: u32,
    chunk_bytes: u32,
    crc: u32,
}

impl Block {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.first.0.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.extend_from_slice(&self.chunk_bytes.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    fn decode(entry: &[u8]) -> Block {
        Block {
            first: Position(u64_at(entry, 0)),
            offset: u64_at(entry, 8),
            bytes: u32_at(entry, 16),
            chunk_bytes: u32_at(entry, 20),
            crc: u32_at(entry, 24),
        }
    }
}

fn header(id: Uuid, before: ChainTip, end: ChainTip) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(&MAGIC.to_le_bytes());
    header.extend_from_slice(&FORMAT.to_le_bytes());
    header.extend_from_slice(id.as_bytes());
    header.extend_from_slice(&(before.last.0 + 1).to_le_bytes());
    header.extend_from_slice(&end.last.0.to_le_bytes());
    header.extend_from_slice(&before.hash);
    header.extend_from_slice(&end.hash);
    let crc = crc32fast::hash(&header);
    header.extend_from_slice(&crc.to_le_bytes());
    header
}

/// Writes a file. Dropped unfinished, it leaves nothing that counts.
pub struct Writer<'a> {
    folder: &'a Path,
    id: Uuid,
    fault: &'a Option<Fault>,
    file: File,
    before: ChainTip,
    tip: ChainTip,
    /// Where the next block goes.
    at: u64,
    /// Chunks that are in no block yet, and their first position.
    open: Vec<u8>,
    open_first: Position,
    index: Vec<Block>,
    chunk_bytes: u64,
}

impl<'a> Writer<'a> {
    /// Begins the file of what comes after `before`. One at a time in a folder.
    pub fn create(folder: &'a Path, id: Uuid, before: ChainTip, fault: &'a Option<Fault>) -> Result<Writer<'a>, Error> {
        let path = folder.join(UNFINISHED);
        let file = File::create(&path).map_err(|error| io_error(&path, &error))?;
        let (at, open_first) = (HEADER_BYTES as u64, Position(before.last.0 + 1));
        let (open, index) = (Vec::with_capacity(BLOCK_BYTES), Vec::new());
        Ok(Writer { folder, id, fault, file, before, tip: before, at, open, open_first, index, chunk_bytes: 0 })
    }

    /// Bytes of the chunks so far.
    pub fn chunk_bytes(&self) -> u64 {
        self.chunk_bytes
    }

    /// The end of what it has.
    pub fn tip(&self) -> ChainTip {
        self.tip
    }

    /// Adds the next chunk, which must continue the chain.
    pub fn put(&mut self, chunk: &Chunk<'_>) -> Result<(), Error> {
        self.tip = self.tip.extend(chunk)?;
        self.open.extend_from_slice(chunk.bytes());
        self.chunk_bytes += chunk.bytes().len() as u64;
        if self.open.len() >= BLOCK_BYTES { self.close_block() } else { Ok(()) }
    }

    fn close_block(&mut self) -> Result<(), Error> {
        let failed = |error: io::Error| io_error(&self.folder.join(UNFINISHED), &error);
        consult(self.fault, Op::Shift).map_err(failed)?;
        let mut gzip = GzEncoder::new(Vec::with_capacity(BLOCK_BYTES / 4), Compression::new(LEVEL));
        let packed = gzip.write_all(&self.open).and_then(|()| gzip.finish()).map_err(failed)?;
        self.file.write_all_at(&packed, self.at).map_err(failed)?;
        self.index.push(Block {
            first: self.open_first,
            offset: self.at,
            bytes: packed.len() as u32,
            chunk_bytes: self.open.len() as u32,
            crc: crc32fast::hash(&packed),
        });
        self.at += packed.len() as u64;
        self.open.clear();
        self.open_first = Position(self.tip.last.0 + 1);
        Ok(())
    }

    /// Makes the file durable under its name, and reads it again.
    pub fn finish(mut self) -> Result<Part, Error> {
        if !self.open.is_empty() {
            self.close_block()?;
        }
        let mut rest = Vec::with_capacity(self.index.len() * ENTRY_BYTES + FOOTER_BYTES);
        self.index.iter().for_each(|block| block.encode(&mut rest));
        rest.extend_from_slice(&self.at.to_le_bytes());
        rest.extend_from_slice(&(self.index.len() as u64).to_le_bytes());
        let crc = crc32fast::hash(&rest);
        rest.extend_from_slice(&crc.to_le_bytes());
        rest.extend_from_slice(&MAGIC.to_le_bytes());
        let part = Part {
            first: Position(self.before.last.0 + 1),
            last: self.tip.last,
            prev: self.before.hash,
            hash: self.tip.hash,
            chunk_bytes: self.chunk_bytes,
            file_bytes: self.at + rest.len() as u64,
        };
        let (unfinished, path) = (self.folder.join(UNFINISHED), self.folder.join(part.name()));
        let attempt = || {
            self.file.write_all_at(&rest, self.at)?;
            self.file.write_all_at(&header(self.id, self.before, self.tip), 0)?;
            consult(self.fault, Op::Shift)?;
            self.file.sync_all()
        };
        attempt().map_err(|error| io_error(&unfinished, &error))?;
        Reader::open(&unfinished, &part, self.id)?.read(part.first, &mut |_| true)?;
        let named = consult(self.fault, Op::Shift).and_then(|()| std::fs::rename(&unfinished, &path));
        named.map_err(|error| io_error(&path, &error))?;
        sync_dir(self.folder)?;
        Ok(part)
    }
}

/// A file whose header and index are right.
pub struct Reader<'a> {
    path: &'a Path,
    part: &'a Part,
    file: File,
    index: Vec<Block>,
}

impl<'a> Reader<'a> {
    /// Opens the file of `part` of the log `id`. [`Error::Away`] when it is not there, damage when it is another one.
    pub fn open(path: &'a Path, part: &'a Part, id: Uuid) -> Result<Reader<'a>, Error> {
        let wrong = |what: String| wrong(path, part.first, &what);
        let file = File::open(path).map_err(|error| away(path, part, &error))?;
        let len = file.metadata().map_err(|error| away(path, part, &error))?.len();
        if len != part.file_bytes {
            return Err(wrong(format!("has {len} bytes of {}", part.file_bytes)));
        }
        let mut head = [0; HEADER_BYTES];
        read_at(&file, &mut head, 0, path, part)?;
        if head[..] != header(id, part.before(), part.end())[..] {
            return Err(wrong("does not begin as the file of these events does".into()));
        }
        let mut footer = [0; FOOTER_BYTES];
        let end = len.saturating_sub(FOOTER_BYTES as u64);
        read_at(&file, &mut footer, end, path, part)?;
        let (index_at, blocks) = (u64_at(&footer, 0), u64_at(&footer, 8));
        let index_bytes =
            end.checked_sub(index_at).filter(|bytes| Some(*bytes) == blocks.checked_mul(ENTRY_BYTES as u64));
        let Some(index_bytes) = index_bytes.filter(|_| u64_at(&footer, 20) == MAGIC) else {
            return Err(wrong("has a damaged end".into()));
        };
        let mut index = vec![0; index_bytes as usize];
        read_at(&file, &mut index, index_at, path, part)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&index);
        crc.update(&footer[..16]);
        if crc.finalize() != u32_at(&footer, 16) {
            return Err(wrong("has a damaged index".into()));
        }
        Ok(Reader { path, part, file, index: index.chunks_exact(ENTRY_BYTES).map(Block::decode).collect() })
    }

    /// Calls `each` with the chunks from the one that holds `from`, or from the first one, until it returns false.
    pub fn read(&self, from: Position, each: &mut dyn FnMut(Chunk<'_>) -> bool) -> Result<ReadTo, Error> {
        let start = self.index.partition_point(|block| block.first <= from).saturating_sub(1);
        let mut at = (start == 0).then(|| self.part.before());
        let mut chunks = Vec::new();
        for block in &self.index[start..] {
            self.unpack(block, &mut chunks)?;
            let mut rest = chunks.as_slice();
            while !rest.is_empty() {
                let missing = at.map_or(block.first, |at: ChainTip| Position(at.last.0 + 1));
                let split = Chunk::split_first(rest).map_err(|what| self.bad_chunk(missing, what));
                let (chunk, after) = split?;
                rest = after;
                // What a block in the middle continues is not known here.
                let before = at.unwrap_or(ChainTip { last: Position(block.first.0 - 1), hash: chunk.prev });
                let tip = before
                    .extend(&chunk)
                    .map_err(|_| self.bad_chunk(missing, "it does not continue the hash chain"))?;
                at = Some(tip);
                if tip.last >= from && !each(chunk) {
                    return Ok(ReadTo::Stopped);
                }
            }
        }
        match at == Some(self.part.end()) {
            true => Ok(ReadTo::End),
            false => Err(wrong(self.path, self.part.last, "does not end with the chunk that it should")),
        }
    }

    fn bad_chunk(&self, position: Position, what: &str) -> Error {
        wrong(self.path, position, &format!("has a chunk that is not as it was: {what}"))
    }

    fn unpack(&self, block: &Block, chunks: &mut Vec<u8>) -> Result<(), Error> {
        let wrong = |what: &str| wrong(self.path, block.first, what);
        let (bytes, chunk_bytes) = (block.bytes as usize, block.chunk_bytes as usize);
        if bytes as u64 > self.part.file_bytes || chunk_bytes > BLOCK_BYTES_MAX {
            return Err(wrong("has a damaged index"));
        }
        let mut packed = vec![0; bytes];
        read_at(&self.file, &mut packed, block.offset, self.path, self.part)?;
        if crc32fast::hash(&packed) != block.crc {
            return Err(wrong("has a block whose CRC does not match"));
        }
        chunks.clear();
        let unpacked = GzDecoder::new(packed.as_slice()).take(chunk_bytes as u64 + 1).read_to_end(chunks);
        match unpacked {
            Ok(len) if len == chunk_bytes => Ok(()),
            _ => Err(wrong("has a block that cannot be unpacked")),
        }
    }
}

fn read_at(file: &File, buffer: &mut [u8], at: u64, path: &Path, part: &Part) -> Result<(), Error> {
    file.read_exact_at(buffer, at).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => wrong(path, part.first, "is cut short"),
        _ => io_error(path, &error),
    })
}

fn wrong(path: &Path, position: Position, what: &str) -> Error {
    let name = path.display();
    damaged(position, format!("the archive file {name} {what}; put back a good copy of it"))
}

fn away(path: &Path, part: &Part, error: &io::Error) -> Error {
    let what = match error.kind() {
        io::ErrorKind::NotFound => "which is not there".to_owned(),
        _ => format!("which cannot be read: {error}"),
    };
    Error::Away { first: part.first, last: part.last, path: path.to_owned(), what }
}
