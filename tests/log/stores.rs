//! Durable logs to do something to, and what is read from them afterwards.

use base::id::{Category, StreamId};
use eventlog::store::{Options, Recovery, Store};
use eventlog::{Batch, Error, Log, Position};
use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;
use uuid::Uuid;

pub const JOURNAL_BYTES: u64 = 256 << 10;
pub const JOURNAL_HEADER_BYTES: usize = 8192;
pub const RECORD_HEADER_BYTES: usize = 32;

/// A generator of numbers that are the same for the same seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

pub fn options() -> Options {
    Options { journal_bytes: JOURNAL_BYTES, cache_bytes: 4 << 20, ..Options::default() }
}

/// Nothing is archived but to make room in the journal and at close.
pub fn lazy() -> Options {
    Options { archive_bytes: usize::MAX, archive_after: Duration::from_secs(3600), ..options() }
}

pub fn batch(first: u64, count: usize, size: usize) -> Batch {
    let stream = StreamId { category: Category::Performance, key: Uuid::from_u128(5) };
    let mut batch = Batch::new();
    for position in first..first + count as u64 {
        // Half of it is noise, which does not get smaller.
        let mut random = Random(position);
        batch.push(stream, position, 1, "Noted.v1", |out| {
            out.extend_from_slice(format!("{position} ").as_bytes());
            out.extend((0..size / 2).map(|_| b'!' + random.below(90) as u8));
            out.resize(out.len() + size - size / 2, b' ');
        });
    }
    batch
}

/// Appends events of `size` bytes and waits until they are durable.
pub fn append(store: &Store, count: usize, size: usize) -> Result<Position, Error> {
    let (done, wait) = mpsc::channel();
    let batch = batch(store.appended().0 + 1, count, size);
    let position = store.append(batch, Some(Box::new(move |outcome| done.send(outcome).unwrap())))?;
    wait.recv_timeout(Duration::from_secs(20)).expect("an answer")?;
    Ok(position)
}

/// Reads everything, checking that each event is the one that was written; gives the last position.
pub fn read_all(store: &Store) -> Result<u64, Error> {
    let mut last = 0;
    store.read_from(Position(0), &mut |event| {
        last += 1;
        assert_eq!((event.position.0, event.version), (last, last));
        let text = std::str::from_utf8(event.data).unwrap();
        assert_eq!(text.split(' ').next(), Some(last.to_string().as_str()));
        true
    })?;
    store.verify_chain(Position(1))?;
    Ok(last)
}

pub fn open_and_read(dir: &Path) -> Result<(u64, Recovery), Error> {
    let (store, recovery) = Store::open(dir, options())?;
    let last = read_all(&store)?;
    assert_eq!(recovery.last.0, last);
    Ok((last, recovery))
}

pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Where the records of a journal file are, by their headers.
pub fn records(journal: &[u8]) -> Vec<(usize, usize)> {
    let (mut records, mut at) = (Vec::new(), JOURNAL_HEADER_BYTES);
    while at + RECORD_HEADER_BYTES < journal.len() && journal[at] != 0 {
        let len = u32::from_le_bytes(journal[at + 24..at + 28].try_into().unwrap()) as usize;
        records.push((at, len));
        at = (at + len).next_multiple_of(8);
    }
    records
}

pub fn flip(path: &Path, bit: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(path, bytes).unwrap();
}

/// A log of a few hundred events that were acknowledged, most of them in the journal only; dropped, not closed.
pub fn crashed(dir: &Path) -> u64 {
    let (store, _) = Store::open(dir, lazy()).unwrap();
    for round in 0..100 {
        append(&store, 1 + round % 5, 100 + 37 * round % 900).unwrap();
    }
    store.durable().0
}

/// A log with everything archived.
pub fn closed(dir: &Path) -> u64 {
    let (store, _) = Store::open(dir, options()).unwrap();
    for round in 0..100 {
        append(&store, 1 + round % 5, 100 + 37 * round % 900).unwrap();
    }
    store.close().unwrap();
    store.durable().0
}
