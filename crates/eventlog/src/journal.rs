//! The journal: two preallocated files, used in turn, that commits are written to and synced. What is in a file has to
//! be archived before the file is used again.
//!
//! A file is a page of 4 KiB with the header, twice so that one bad sector does not lose the file, a page with the stamp,
//! and then records. A record is one commit, and so it is there whole or not at all. Every use of a file has a new
//! *generation*; what an earlier one left behind is told from records by that.
//!
//! The stamp says up to where the log was durable a moment ago. It is written beside a record, at most every
//! [`STAMP_EVERY`], and reaches the disk with the record's sync. After a crash it tells a write that had not finished
//! from acknowledged records that were lost.

use super::failure::{Fault, Op, consult, io_error};
use super::frame::{self, ChainTip, Hash, u32_at, u64_at};
use super::{Error, Position};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The header's page and the stamp's.
pub const HEADER_BYTES: usize = 2 * PAGE_BYTES;
const PAGE_BYTES: usize = 4096;
const HEADER_COPIES_AT: [usize; 2] = [0, 2048];
const HEADER_USED_BYTES: usize = 8 + 4 + 4 + 16 + 8 + 8 + 8 + 32 + 8 + 4;
const HEADER_MAGIC: u64 = 0xf1a7_6f6e_7361_6c65;
const FORMAT: u32 = 2;
/// What versions before the stamp wrote, and is still read: no `archived`, no stamp, records right behind the header.
const OLD_FORMAT: u32 = 1;
const OLD_HEADER_USED_BYTES: usize = HEADER_USED_BYTES - 8;

/// The stamp: magic u64, generation u64, durable position u64, CRC u32. A page of its own, which no header is lost with.
const STAMP_AT: usize = PAGE_BYTES;
const STAMP_BYTES: usize = 8 + 8 + 8 + 4;
const STAMP_MAGIC: u64 = 0xf1a7_6f6e_7374_616d;
/// One more page for the disk to write now and then, not with every commit.
const STAMP_EVERY: Duration = Duration::from_millis(10);

/// Record header: magic u64, generation u64, first position u64, length u32 (header and chunks), CRC u32 over the rest.
pub const RECORD_HEADER_BYTES: usize = 32;
/// Not UTF-8, so that no event's text is mistaken for a record.
const RECORD_MAGIC: u64 = 0xfe63_6f6d_6d69_74ff;
const ALIGN: usize = 8;

pub const NAMES: [&str; 2] = ["journal-0", "journal-1"];

/// The start of a file's use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    pub id: Uuid,
    pub generation: u64,
    /// The file's length.
    pub bytes: u64,
    /// What the file's records continue.
    pub base: ChainTip,
    /// Up to where the log was archived when the file's use began.
    pub archived: Position,
    /// No generation used the file before: what no record explains is a torn write.
    pub fresh: bool,
    /// Where the file's records begin.
    records_at: usize,
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut one = Vec::with_capacity(HEADER_USED_BYTES);
        one.extend_from_slice(&HEADER_MAGIC.to_le_bytes());
        one.extend_from_slice(&FORMAT.to_le_bytes());
        one.extend_from_slice(&u32::from(self.fresh).to_le_bytes());
        one.extend_from_slice(self.id.as_bytes());
        one.extend_from_slice(&self.generation.to_le_bytes());
        one.extend_from_slice(&self.bytes.to_le_bytes());
        one.extend_from_slice(&self.base.last.0.to_le_bytes());
        one.extend_from_slice(&self.base.hash);
        one.extend_from_slice(&self.archived.0.to_le_bytes());
        one.extend_from_slice(&crc32fast::hash(&one).to_le_bytes());
        let mut all = vec![0; HEADER_BYTES];
        for at in HEADER_COPIES_AT {
            all[at..at + one.len()].copy_from_slice(&one);
        }
        all
    }

    fn decode(file: &[u8]) -> Option<Header> {
        HEADER_COPIES_AT.iter().find_map(|at| {
            let all = file.get(*at..*at + HEADER_USED_BYTES)?;
            let (used, records_at) = match u32_at(all, 8) {
                FORMAT => (HEADER_USED_BYTES, HEADER_BYTES),
                OLD_FORMAT => (OLD_HEADER_USED_BYTES, PAGE_BYTES),
                _ => return None,
            };
            let (body, crc) = all[..used].split_at(used - 4);
            if u64_at(body, 0) != HEADER_MAGIC || u32_at(crc, 0) != crc32fast::hash(body) {
                return None;
            }
            Some(Header {
                fresh: u32_at(body, 12) == 1,
                id: Uuid::from_slice(&body[16..32]).ok()?,
                generation: u64_at(body, 32),
                bytes: u64_at(body, 40),
                base: ChainTip { last: Position(u64_at(body, 48)), hash: Hash::try_from(&body[56..88]).ok()? },
                archived: if records_at == HEADER_BYTES { Position(u64_at(body, 88)) } else { Position(0) },
                records_at,
            })
        })
    }
}

fn encode_stamp(generation: u64, durable: Position) -> [u8; STAMP_BYTES] {
    let mut stamp = [0; STAMP_BYTES];
    stamp[..8].copy_from_slice(&STAMP_MAGIC.to_le_bytes());
    stamp[8..16].copy_from_slice(&generation.to_le_bytes());
    stamp[16..24].copy_from_slice(&durable.0.to_le_bytes());
    let crc = crc32fast::hash(&stamp[..24]);
    stamp[24..].copy_from_slice(&crc.to_le_bytes());
    stamp
}

/// The stamp's generation and durable position.
fn decode_stamp(file: &[u8]) -> Option<(u64, Position)> {
    let stamp = file.get(STAMP_AT..STAMP_AT + STAMP_BYTES)?;
    let valid = u64_at(stamp, 0) == STAMP_MAGIC && u32_at(stamp, 24) == crc32fast::hash(&stamp[..24]);
    valid.then(|| (u64_at(stamp, 8), Position(u64_at(stamp, 16))))
}

/// Makes `record` a record: its first [`RECORD_HEADER_BYTES`] are the header's, the chunks follow. Pads it.
pub fn seal(record: &mut Vec<u8>, generation: u64, first: Position) {
    let len = record.len();
    record[..8].copy_from_slice(&RECORD_MAGIC.to_le_bytes());
    record[8..16].copy_from_slice(&generation.to_le_bytes());
    record[16..24].copy_from_slice(&first.0.to_le_bytes());
    record[24..28].copy_from_slice(&(len as u32).to_le_bytes());
    let crc = record_crc(record);
    record[28..32].copy_from_slice(&crc.to_le_bytes());
    record.resize(len.next_multiple_of(ALIGN), 0);
}

fn record_crc(record: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&record[..28]);
    crc.update(&record[RECORD_HEADER_BYTES..]);
    crc.finalize()
}

/// The two files, open for writing.
pub struct Journal {
    files: [File; 2],
    current: usize,
    /// Where the next record goes in the current file.
    offset: u64,
    bytes: u64,
    generation: u64,
    /// When the current file's stamp was written last.
    stamped: Option<Instant>,
    id: Uuid,
    fault: Option<Fault>,
}

impl Journal {
    /// Opens the files of `bytes` each in `dir` and starts `generation` in file `current` after `tip`, up to where all is
    /// archived. Whatever the files held is given up; a file of another size, or none, is made anew.
    pub fn start(
        dir: &Path,
        id: Uuid,
        bytes: u64,
        (current, generation): (usize, u64),
        tip: ChainTip,
        fault: Option<Fault>,
    ) -> Result<Journal, Error> {
        let (first, fresh_0) = open_or_create(&dir.join(NAMES[0]), bytes)?;
        let (second, fresh_1) = open_or_create(&dir.join(NAMES[1]), bytes)?;
        sync_dir(dir)?;
        let mut journal = Journal {
            files: [first, second],
            current: 1 - current,
            offset: bytes,
            bytes,
            generation: generation - 1,
            stamped: None,
            id,
            fault,
        };
        let fresh = [fresh_0, fresh_1][current];
        journal.start_generation(tip, tip.last, fresh).map_err(|error| io_error(&dir.join(NAMES[current]), &error))?;
        Ok(journal)
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn fits(&self, record: usize) -> bool {
        self.offset + record.next_multiple_of(ALIGN) as u64 <= self.bytes
    }

    /// Goes on in the other file after `tip`. Everything in that has to be archived, and everything up to `archived` is.
    pub fn rotate(&mut self, tip: ChainTip, archived: Position) -> io::Result<()> {
        self.start_generation(tip, archived, false)
    }

    fn start_generation(&mut self, tip: ChainTip, archived: Position, fresh: bool) -> io::Result<()> {
        let (next, generation) = (1 - self.current, self.generation + 1);
        let header =
            Header { id: self.id, generation, bytes: self.bytes, base: tip, archived, fresh, records_at: HEADER_BYTES };
        consult(&self.fault, Op::JournalHeader)?;
        self.files[next].write_all_at(&header.encode(), 0)?;
        // Synced by itself: a valid record behind a torn header would otherwise not be told from damage.
        consult(&self.fault, Op::JournalSync)?;
        self.files[next].sync_data()?;
        (self.current, self.generation, self.offset) = (next, generation, HEADER_BYTES as u64);
        self.stamped = None;
        Ok(())
    }

    /// Writes a sealed record, for which there [must be room](Journal::fits), and syncs it. `durable` is the position
    /// before it. Gives the sync's duration.
    pub fn write(&mut self, record: &[u8], durable: Position) -> io::Result<Duration> {
        let file = &self.files[self.current];
        consult(&self.fault, Op::JournalWrite)?;
        file.write_all_at(record, self.offset)?;
        let start = Instant::now();
        if self.stamped.is_none_or(|stamped| start - stamped >= STAMP_EVERY) {
            file.write_all_at(&encode_stamp(self.generation, durable), STAMP_AT as u64)?;
            self.stamped = Some(start);
        }
        consult(&self.fault, Op::JournalSync)?;
        file.sync_data()?;
        self.offset += record.len() as u64;
        Ok(start.elapsed())
    }
}

/// How many bytes of frames a record can have at most in a file of `bytes`.
pub fn frames_max(bytes: u64) -> usize {
    let room = (bytes as usize).saturating_sub(HEADER_BYTES + RECORD_HEADER_BYTES + ALIGN);
    let guess = room / 100 * 97;
    if frame::packed_bytes_max(guess) <= room { guess } else { 0 }
}

/// What a journal file holds.
pub struct Scan {
    pub header: Option<Header>,
    /// The chunks of each valid record of the header's generation, as ranges of `bytes`, in order.
    pub records: Vec<std::ops::Range<usize>>,
    /// The bytes of a write behind the last record that did not finish.
    pub torn: Option<u64>,
    /// What the file says to have been durable, by its stamp or because a record was begun after it; valid records or
    /// not.
    pub durable: Position,
    /// Without a header: the valid records of any generation, if there are any.
    pub orphans: Option<Orphans>,
    pub bytes: Vec<u8>,
}

/// Records in a file that has lost its header.
#[derive(Clone, Copy, Debug)]
pub struct Orphans {
    /// The last position they reach.
    pub last: Position,
    /// The newest of their generations.
    pub generation: u64,
}

/// Reads the file at `path`; `None` when there is none.
pub fn scan(path: &Path) -> Result<Option<Scan>, Error> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path, &error)),
    };
    let Some(header) = Header::decode(&bytes) else { return Ok(Some(headerless(bytes))) };
    let mut records = Vec::new();
    let mut at = header.records_at;
    // Past a bad record the next valid one is looked for: whether anything is missing is for the positions to say.
    while let Some(record) = next_record(&bytes, at, Some(header.generation)) {
        at = record.end.next_multiple_of(ALIGN);
        records.push(record);
    }
    let torn = torn_bytes(&bytes, at, &header);
    let stamped = decode_stamp(&bytes).filter(|(generation, _)| *generation == header.generation);
    // Only one record is being written at a time: one that begins behind the torn one was begun when that was durable.
    let behind = begun_behind(&bytes, at, header.generation);
    let durable = stamped.map(|(_, durable)| durable).max(behind).unwrap_or_default();
    Ok(Some(Scan { header: Some(header), records, torn, durable, orphans: None, bytes }))
}

/// The header of the file at `path` alone, for a log that was closed in order; `None` when there is no file.
pub fn scan_header(path: &Path) -> Result<Option<Scan>, Error> {
    let mut bytes = Vec::with_capacity(PAGE_BYTES);
    let read = File::open(path).and_then(|file| file.take(PAGE_BYTES as u64).read_to_end(&mut bytes));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path, &error)),
    }
    let header = Header::decode(&bytes);
    Ok(Some(Scan { header, records: Vec::new(), torn: None, durable: Position(0), orphans: None, bytes }))
}

fn headerless(bytes: Vec<u8>) -> Scan {
    let mut orphans = None::<Orphans>;
    let mut at = PAGE_BYTES;
    while let Some(record) = next_record(&bytes, at, None) {
        let generation = u64_at(&bytes, record.start - RECORD_HEADER_BYTES + 8);
        let last = last_position(&bytes[record.clone()]).unwrap_or_default();
        let before = orphans.unwrap_or(Orphans { last, generation });
        orphans = Some(Orphans { last: last.max(before.last), generation: generation.max(before.generation) });
        at = record.end.next_multiple_of(ALIGN);
    }
    let durable = decode_stamp(&bytes).map(|(_, durable)| durable).unwrap_or_default();
    Scan { header: None, records: Vec::new(), torn: None, durable, orphans, bytes }
}

/// The position before the last record of `generation` that begins behind `at`, valid or not.
fn begun_behind(bytes: &[u8], at: usize, generation: u64) -> Option<Position> {
    let starts = (at + ALIGN..bytes.len().saturating_sub(RECORD_HEADER_BYTES)).step_by(ALIGN);
    let starts = starts.filter(|at| is_start(bytes, *at, Some(generation)));
    starts.map(|at| Position(u64_at(bytes, at + 16).saturating_sub(1))).max()
}

/// Whether a record of `generation`, or of any, begins at `at`, valid or not.
fn is_start(bytes: &[u8], at: usize, generation: Option<u64>) -> bool {
    u64_at(bytes, at) == RECORD_MAGIC && generation.is_none_or(|wanted| u64_at(bytes, at + 8) == wanted)
}

/// What the archive surely has, by the headers of the journal's files in `dir`. Reads no more than those.
pub fn archived_at_least(dir: &Path) -> Position {
    let archived = |name| {
        let mut page = [0; PAGE_BYTES];
        File::open(dir.join(name)).and_then(|file| file.read_exact_at(&mut page, 0)).ok()?;
        Some(Header::decode(&page)?.archived)
    };
    NAMES.into_iter().filter_map(archived).max().unwrap_or_default()
}

/// Which log the journal in `dir` is of, by the first header that is whole.
pub fn id(dir: &Path) -> Option<Uuid> {
    NAMES.into_iter().find_map(|name| scan_header(&dir.join(name)).ok()??.header.map(|header| header.id))
}

/// The chunks of the first valid record at or after `at`.
fn next_record(bytes: &[u8], at: usize, generation: Option<u64>) -> Option<std::ops::Range<usize>> {
    (at..bytes.len().saturating_sub(RECORD_HEADER_BYTES)).step_by(ALIGN).find_map(|at| {
        if !is_start(bytes, at, generation) {
            return None;
        }
        let len = u32_at(bytes, at + 24) as usize;
        let record = bytes.get(at..at.checked_add(len)?)?;
        let valid = len > RECORD_HEADER_BYTES && record_crc(record) == u32_at(record, 28);
        valid.then_some(at + RECORD_HEADER_BYTES..at + len)
    })
}

/// The last position in a run of chunks.
pub fn last_position(mut chunks: &[u8]) -> Option<Position> {
    let mut last = None;
    while let Ok((chunk, rest)) = frame::Chunk::split_first(chunks) {
        (last, chunks) = (Some(chunk.last()), rest);
    }
    last
}

/// Whether a record was begun at `at`, which is no valid one, and its bytes.
fn torn_bytes(bytes: &[u8], at: usize, header: &Header) -> Option<u64> {
    let rest = bytes.get(at..)?;
    if rest.len() >= RECORD_HEADER_BYTES && is_start(rest, 0, Some(header.generation)) {
        return Some(u64::from(u32_at(rest, 24)).min(rest.len() as u64));
    }
    let used = rest.iter().rposition(|byte| *byte != 0);
    used.filter(|_| header.fresh).map(|last| last as u64 + 1)
}

fn open_or_create(path: &Path, bytes: u64) -> Result<(File, bool), Error> {
    let attempt = || {
        let as_it_is = OpenOptions::new().write(true).open(path);
        match as_it_is {
            Ok(file) if file.metadata()?.len() == bytes => return Ok((file, false)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Zeros are written, not just promised: a sync then has no block to allocate and no size to record.
        let unfinished = PathBuf::from(format!("{}.tmp", path.display()));
        let file = File::create(&unfinished)?;
        let zeros = vec![0; 1 << 20];
        let mut at = 0;
        while at < bytes {
            let len = (bytes - at).min(zeros.len() as u64);
            file.write_all_at(&zeros[..len as usize], at)?;
            at += len;
        }
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        Ok((file, true))
    };
    attempt().map_err(|error| io_error(path, &error))
}

/// Makes the names in `dir` durable.
pub fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| io_error(dir, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_format_before_is_read() {
        let header = Header {
            id: Uuid::from_u128(7),
            generation: 3,
            bytes: 1 << 16,
            base: ChainTip { last: Position(4), hash: [5; 32] },
            archived: Position(0),
            fresh: true,
            records_at: HEADER_BYTES,
        };
        let mut old = header.encode()[..OLD_HEADER_USED_BYTES - 4].to_vec();
        old[8..12].copy_from_slice(&OLD_FORMAT.to_le_bytes());
        let crc = crc32fast::hash(&old);
        old.extend_from_slice(&crc.to_le_bytes());
        old.resize(PAGE_BYTES, 0);
        let mut record = vec![9; RECORD_HEADER_BYTES + 50];
        seal(&mut record, 3, Position(5));
        old.extend_from_slice(&record);
        old.resize(1 << 16, 0);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), old).unwrap();

        let found = scan(file.path()).unwrap().unwrap();
        assert_eq!(found.header, Some(Header { records_at: PAGE_BYTES, ..header }));
        let start = PAGE_BYTES + RECORD_HEADER_BYTES;
        assert_eq!(found.records.first(), Some(&(start..start + 50)));
        assert_eq!(found.records.len(), 1);
        assert_eq!((found.torn, found.durable), (None, Position(0)));
    }
}
