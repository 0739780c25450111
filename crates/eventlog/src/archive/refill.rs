//! A log that is made of another one's chunks: what a backup is put back into.
//!
//! It is then as one that was closed in order: everything is archived, and its journal has not begun. The chunks stay as they
//! are, so the hash chain is the other log's, but where it is cut within a chunk.

use super::relocate::{sync_all, wait_until_closed};
use crate::failure::io_error;
use crate::frame::{self, CHUNK_HEADER_BYTES, ChainTip, Chunk, damaged, u32_at};
use crate::journal::sync_dir;
use crate::recover;
use crate::sled::SLED;
use crate::sled::tier::Archive;
use crate::{Error, Position};
use std::path::{Path, PathBuf};
use uuid::Uuid;

const CACHE_BYTES: u64 = 32 << 20;
/// What is written to sled at once.
const BATCH_BYTES: usize = 4 << 20;
/// Chunks of before the first use of a journal's file.
const GENERATION: u64 = 0;

/// A log on its way. Dropped unfinished, what it leaves is none.
pub struct Refill {
    dir: PathBuf,
    archive: Archive,
    tip: ChainTip,
    waiting: Vec<u8>,
}

impl Refill {
    /// Begins the log in `dir`, which must not have one.
    pub fn create(dir: &Path) -> Result<Refill, Error> {
        std::fs::create_dir_all(dir).map_err(|error| io_error(dir, &error))?;
        let sled = dir.join(SLED);
        if sled.exists() {
            return Err(Error::Other(format!("{} is there already", sled.display())));
        }
        let archive = Archive::open(&sled, CACHE_BYTES, None, Position(0))?;
        Ok(Refill { dir: dir.to_owned(), archive, tip: ChainTip::default(), waiting: Vec::new() })
    }

    /// The end of what it has.
    pub fn tip(&self) -> ChainTip {
        self.tip
    }

    /// Adds the next chunk, which must continue the chain.
    pub fn put(&mut self, chunk: &Chunk<'_>) -> Result<(), Error> {
        self.tip = self.tip.extend(chunk)?;
        self.waiting.extend_from_slice(chunk.bytes());
        self.write(BATCH_BYTES)
    }

    /// Adds the events of the next chunk up to `last` only: what comes after that cannot be added any more.
    pub fn put_up_to(&mut self, chunk: &Chunk<'_>, last: Position) -> Result<(), Error> {
        if last >= chunk.last() {
            return self.put(chunk);
        }
        self.tip.extend(chunk)?;
        let frames = &chunk.bytes()[CHUNK_HEADER_BYTES..];
        let mut len = 0;
        for _ in chunk.first.0..=last.0 {
            let left = frames.get(len..).filter(|left| left.len() >= 4);
            let left = left.ok_or_else(|| damaged(chunk.first, "the chunk has fewer events than it says"))?;
            len += 4 + u32_at(left, 0) as usize;
        }
        let frames = frames.get(..len).ok_or_else(|| damaged(last, "the event is cut short"))?;
        self.tip = frame::pack(frames, self.tip, &mut self.waiting);
        self.write(BATCH_BYTES)
    }

    /// Makes it the log `id`, durably. Gives its end.
    pub fn finish(mut self, id: Uuid) -> Result<ChainTip, Error> {
        self.write(1)?;
        self.archive.describe(id, None)?;
        if self.archive.head()? != self.tip {
            return Err(Error::Other("what was written to sled is not what was given".into()));
        }
        let (dir, tip, sled) = (self.dir, self.tip, self.archive);
        drop(sled);
        let sled = dir.join(SLED);
        wait_until_closed(&sled)?;
        sync_all(&sled)?;
        recover::write_clean(&dir, tip)?;
        sync_dir(&dir)?;
        Ok(tip)
    }

    /// Writes what waits, if it is so much.
    fn write(&mut self, at_least: usize) -> Result<(), Error> {
        if self.waiting.len() < at_least {
            return Ok(());
        }
        let mut rest = &self.waiting[..];
        let chunks = std::iter::from_fn(|| {
            let (chunk, behind) = Chunk::split_first(rest).ok()?;
            rest = behind;
            Some(chunk)
        });
        self.archive.put(chunks, self.tip, GENERATION)?;
        self.waiting.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Options, Store};
    use crate::{Batch, Chunks, Log};
    use base::id::{Category, StreamId};

    fn filled(dir: &Path, events: u64) -> Store {
        let store = Store::open(dir, Options { journal_bytes: 1 << 20, ..Options::default() }).unwrap().0;
        let stream = StreamId { category: Category::Wallet, key: Uuid::from_u128(4) };
        let mut batch = Batch::new();
        for version in 1..=events {
            batch.push(stream, version, 1_000 + version, "Tested.v1", |out| out.resize(out.len() + 700, b' '));
        }
        let last = store.append(batch, None).unwrap();
        while store.durable() < last {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        store
    }

    fn positions(log: &dyn Log) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        log.read_from(Position(0), &mut |event| {
            found.push((event.position.0, event.at_ms));
            true
        })
        .unwrap();
        found
    }

    #[test]
    fn a_log_of_anothers_chunks_is_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let was = filled(&folder.path().join("was"), 100);
        for cut in [0, 1, 7, 50, 99, 100, 200] {
            let dir = folder.path().join(format!("is-{cut}"));
            let mut refill = Refill::create(&dir).unwrap();
            let mut done = cut == 0;
            was.read_chunks(Position(0), &mut |chunk| {
                if !done {
                    refill.put_up_to(&chunk, Position(cut)).unwrap();
                    done = chunk.last().0 >= cut;
                }
                !done
            })
            .unwrap();
            let end = refill.finish(was.id()).unwrap();
            let (is, recovery) = Store::open(&dir, Options { journal_bytes: 1 << 20, ..Options::default() }).unwrap();
            assert_eq!((is.id(), is.tip(), recovery.clean), (was.id(), end, true), "{cut}");
            assert_eq!(positions(&is), positions(&was)[..cut.min(100) as usize], "{cut}");
            assert_eq!(is.verify_chain(Position(1)).unwrap(), end.last);
            if cut >= 100 {
                assert_eq!(is.tip(), was.tip(), "the chain is the same");
            }
            // It goes on like any other.
            let stream = StreamId { category: Category::Wallet, key: Uuid::from_u128(5) };
            let mut batch = Batch::new();
            batch.push(stream, 1, 9_000, "Tested.v1", |out| out.extend(b"{}"));
            is.append(batch, None).unwrap();
            is.close().unwrap();
        }
        let error = Refill::create(&folder.path().join("is-7")).err().unwrap().to_string();
        assert!(error.contains("is there already"), "{error}");
    }
}
