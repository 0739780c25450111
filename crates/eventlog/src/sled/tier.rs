//! The archive: the chunks in sled, where they stay until `onsale archive` moves the first ones to files ([`crate::archive`]).
//!
//! sled 0.34 has to be used with care: its `flush` does not fsync on Linux (its issue 1452), values from about 8 KiB on
//! go to files that it never syncs, ids and asynchronous flushes can deadlock (1308, 1241, 1357), and a damaged
//! database may panic where it should return an error.

use super::block::{self, VALUE_BYTES_MAX};
use crate::archive::Cold;
use crate::archive::file::ReadTo;
use crate::failure::{Fault, Op, consult, io_error, panic_text};
use crate::frame::{ChainTip, Chunk, Hash, damaged, u64_at};
use crate::journal::sync_dir;
use crate::sled::{file, salvage};
use crate::{Error, Position};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};
use uuid::Uuid;

pub const FILE: &str = "db";
const SETTINGS: &str = "conf";
const TREE: &str = "log";
/// Sorts behind all positions.
const HEAD: &[u8] = b"head";
const ID: &[u8] = b"log-id";
/// The length of the journal's files, once there are any: then their absence is damage.
const JOURNAL_BYTES: &[u8] = b"journal-bytes";
/// The generation of the journal's file that the last archived events came from: should that file lose all it has, it is
/// known that it was in use.
const GENERATION: &[u8] = b"journal-generation";

/// How long another opener of the same database may take to let go: sled's threads end a moment after its handle.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// How often a chunk that was read is looked at again. sled's cache hears of accesses in lots of 64, for each of its 256
/// parts, and lets go of nodes only then. Reading a log from end to end has one access per node: 16,000 nodes, 400 MB,
/// would stay whatever the cache may hold. With these it is a quarter of that, and reading is faster for it.
const TOUCHES: usize = 3;

pub struct Archive {
    database: Database,
    /// What comes before the chunks in sled.
    cold: Cold,
    fault: Option<Fault>,
}

/// How the database is had.
enum Database {
    /// `file` is our own handle to its file, to sync it with.
    Open { db: sled::Db, tree: sled::Tree, file: File },
    /// Its file alone, which nothing is written to. A database that was just made has no trees.
    Read { database: file::Database, tree: Option<file::Tree>, default: Option<file::Tree> },
}

impl Archive {
    /// Opens the archive in `dir`, which has at least everything up to `archived`. Where that is broken near the end of
    /// its file, the file is left as it is.
    pub fn open(dir: &Path, cache_bytes: u64, fault: Option<Fault>, archived: Position) -> Result<Archive, Error> {
        std::fs::create_dir_all(dir).map_err(|error| io_error(dir, &error))?;
        let path = dir.join(FILE);
        let cold = Cold::open(dir)?;
        if let Some(position) =
            salvage::lost(&path, cold.end().last, archived).map_err(|error| io_error(&path, &error))?
        {
            return Err(damaged(position, "no intact copy of it is left in the archive"));
        }
        move_unfinished_aside(dir)?;
        let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).flush_every_ms(None);
        let db = open_sled(&config, dir)?;
        let tree = guard(Position(0), || db.open_tree(TREE))?;
        guard(Position(0), || db.flush())?;
        let file = File::open(&path).map_err(|error| io_error(&path, &error))?;
        file.sync_all().map_err(|error| io_error(&path, &error))?;
        // sled does not sync its settings, and without them it does not open what it has.
        let settings = dir.join(SETTINGS);
        let synced = File::open(&settings).and_then(|settings| settings.sync_all());
        synced.map_err(|error| io_error(&settings, &error))?;
        sync_dir(dir)?;
        if let Some(parent) = dir.parent() {
            sync_dir(parent)?;
        }
        Ok(Archive { database: Database::Open { db, tree, file }, cold, fault })
    }

    /// The same, for who only reads: nothing in `dir` is changed, and none of it need be writable.
    pub fn open_to_read(dir: &Path, archived: Position) -> Result<Archive, Error> {
        let path = dir.join(FILE);
        let cold = Cold::open(dir)?;
        let lost = salvage::lost(&path, cold.end().last, archived).map_err(|error| io_error(&path, &error))?;
        if let Some(position) = lost {
            return Err(damaged(position, "no intact copy of it is left in the archive"));
        }
        let database = file::Database::open(&path)?;
        let (tree, default) = (database.tree(TREE.as_bytes())?, database.tree(file::DEFAULT_TREE)?);
        Ok(Archive { database: Database::Read { database, tree, default }, cold, fault: None })
    }

    /// The value of `key` among the log's, or among those that describe it.
    fn get(&self, key: &[u8], describes: bool) -> Result<Option<Vec<u8>>, Error> {
        match &self.database {
            Database::Open { db, .. } if describes => {
                Ok(guard(Position(0), || db.get(key))?.map(|value| value.to_vec()))
            }
            Database::Open { tree, .. } => Ok(guard(Position(0), || tree.get(key))?.map(|value| value.to_vec())),
            Database::Read { database, tree, default } => {
                let tree = if describes { default } else { tree };
                tree.as_ref().map_or(Ok(None), |tree| tree.get(database, key))
            }
        }
    }

    /// sled itself, for who writes.
    fn sled(&self) -> Result<(&sled::Db, &sled::Tree, &File), Error> {
        match &self.database {
            Database::Open { db, tree, file } => Ok((db, tree, file)),
            Database::Read { .. } => Err(Error::Other("the log was opened to be read only".into())),
        }
    }

    /// The end of what is archived.
    pub fn head(&self) -> Result<ChainTip, Error> {
        let Some(value) = self.get(HEAD, false)? else {
            // Of a new log, or of one whose first events were being archived: then the journal has them all, or recovery
            // misses them.
            let base = self.cold.end().last;
            let new = base == Position(0);
            return if new {
                Ok(ChainTip::default())
            } else {
                Err(damaged(Position(base.0 + 1), "the archive has lost its head"))
            };
        };
        let hash = value.get(8..).filter(|_| value.len() == 40).and_then(|hash| Hash::try_from(hash).ok());
        let hash = hash.ok_or_else(|| damaged(Position(1), "the archive's head is malformed"))?;
        let next = u64_at(&value, 0);
        Ok(ChainTip { last: Position(next.saturating_sub(1)), hash })
    }

    pub fn id(&self) -> Result<Option<Uuid>, Error> {
        Ok(self.get(ID, true)?.and_then(|id| Uuid::from_slice(&id).ok()))
    }

    pub fn journal_bytes(&self) -> Result<Option<u64>, Error> {
        let value = self.get(JOURNAL_BYTES, true)?;
        Ok(value.filter(|value| value.len() == 8).map(|value| u64_at(&value, 0)))
    }

    /// See [`Archive::put`]; 0 when nothing was archived.
    pub fn generation(&self) -> Result<u64, Error> {
        let value = self.get(GENERATION, false)?;
        Ok(value.filter(|value| value.len() == 8).map_or(0, |value| u64_at(&value, 0)))
    }

    /// Records whose archive this is and how long the journal's files are (`None`: there are none that count), durably.
    pub fn describe(&self, id: Uuid, journal_bytes: Option<u64>) -> Result<(), Error> {
        let (db, tree, _) = self.sled()?;
        guard(Position(0), || {
            db.insert(ID, id.as_bytes())?;
            match journal_bytes {
                Some(bytes) => db.insert(JOURNAL_BYTES, &bytes.to_le_bytes())?,
                None => {
                    tree.remove(GENERATION)?;
                    db.remove(JOURNAL_BYTES)?
                }
            };
            Ok(())
        })?;
        self.sync(Position(0))
    }

    /// Archives `chunks`, the last of which makes `tip` the head and comes from the journal's file in its use number
    /// `generation`. Durable when it returns. Broken off anywhere, the head is what it was, and what is there beyond it is
    /// for [`Archive::remove_after`].
    ///
    /// The head goes last, for sled brings back what was written first. A batch of sled's would not do: when it fails
    /// half way, say for want of memory, the half that was written stays.
    pub fn put<'a>(
        &self,
        chunks: impl Iterator<Item = Chunk<'a>>,
        tip: ChainTip,
        generation: u64,
    ) -> Result<(), Error> {
        let (_, tree, _) = self.sled()?;
        let insert = |key: &[u8], value: &[u8]| {
            consult(&self.fault, Op::ArchiveWrite).map_err(|error| Error::Failed(format!("archive: {error}")))?;
            guard(tip.last, || tree.insert(key, value)).map(|_| ())
        };
        block::pack(chunks, &mut |first, part, value| insert(&key(first, part), value))?;
        insert(GENERATION, &generation.to_le_bytes())?;
        let mut head = [0; 40];
        head[..8].copy_from_slice(&(tip.last.0 + 1).to_le_bytes());
        head[8..].copy_from_slice(&tip.hash);
        insert(HEAD, &head)?;
        self.sync(tip.last)
    }

    /// Removes what a broken-off [`Archive::put`] left behind the head at `head`: it is in the journal, and may be divided
    /// into other values the next time.
    pub fn remove_after(&self, head: Position) -> Result<(), Error> {
        let (_, tree, _) = self.sled()?;
        let first = key(Position(head.0 + 1), 0);
        let left = guard(head, || tree.range(&first[..]..HEAD).keys().collect::<sled::Result<Vec<_>>>())?;
        left.into_iter().try_for_each(|key| guard(head, || tree.remove(key)).map(|_| ()))
    }

    fn sync(&self, last: Position) -> Result<(), Error> {
        let (db, _, file) = self.sled()?;
        guard(last, || db.flush())?;
        consult(&self.fault, Op::ArchiveSync)
            .and_then(|()| file.sync_data())
            .map_err(|error| Error::Failed(format!("syncing the archive: {error}")))
    }

    /// Where the events before the first chunk in sled are.
    pub fn cold(&self) -> &Cold {
        &self.cold
    }

    /// Calls `each` with the chunks from the one that holds `from` to the one that `tip` ends with, in archive files and in
    /// sled, until it returns false; checks CRC, contiguity and chain.
    pub fn read(
        &self,
        from: Position,
        tip: ChainTip,
        each: &mut dyn FnMut(Chunk<'_>) -> bool,
    ) -> Result<ReadTo, Error> {
        let base = self.cold.end();
        if from <= base.last && self.cold.read(from, each)? == ReadTo::Stopped {
            return Ok(ReadTo::Stopped);
        }
        self.read_sled(from.max(Position(base.last.0 + 1)), tip, each)
    }

    /// The hash of the chunk that ends with the event at `position`, of those up to `tip`; `None` when none does.
    pub fn hash_at(&self, position: Position, tip: ChainTip) -> Result<Option<Hash>, Error> {
        let known = [ChainTip::default(), self.cold.end(), tip];
        if let Some(known) = known.iter().find(|known| known.last == position) {
            return Ok(Some(known.hash));
        }
        let mut hash = None;
        self.read(position, tip, &mut |chunk| {
            hash = (chunk.last() == position).then(|| chunk.hash());
            false
        })?;
        Ok(hash)
    }

    fn read_sled(
        &self,
        from: Position,
        tip: ChainTip,
        each: &mut dyn FnMut(Chunk<'_>) -> bool,
    ) -> Result<ReadTo, Error> {
        let last_before = key(from, u16::MAX);
        match &self.database {
            Database::Open { tree, .. } => {
                let before = guard(from, || tree.range(..=last_before).next_back().transpose())?;
                let first = before.as_ref().and_then(|(key, _)| parse_key(key)).map_or(from, |(first, _)| first);
                let mut entries = tree.range(key(first, 0)..);
                let next = &mut |missing| guard(missing, || entries.next().transpose());
                self.walk((from, first, tip), next, &|first| touch(tree, first), each)
            }
            Database::Read { database, tree: Some(tree), .. } => {
                let before = tree.last_key_up_to(database, &last_before)?;
                let first = before.as_ref().and_then(|key| parse_key(key)).map_or(from, |(first, _)| first);
                let mut entries = tree.entries_from(database, &key(first, 0));
                self.walk((from, first, tip), &mut |_| entries.next().transpose(), &|_| Ok(()), each)
            }
            Database::Read { tree: None, .. } if from <= tip.last => {
                Err(damaged(from, "the archive has no chunk there"))
            }
            Database::Read { tree: None, .. } => Ok(ReadTo::End),
        }
    }

    /// Reads the chunks from the one that holds `from` on, and begins at `first`, that `next` gives the values of.
    fn walk<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        (from, first, tip): (Position, Position, ChainTip),
        next_entry: &mut dyn FnMut(Position) -> Result<Option<(K, V)>, Error>,
        touch: &dyn Fn(Position) -> Result<(), Error>,
        each: &mut dyn FnMut(Chunk<'_>) -> bool,
    ) -> Result<ReadTo, Error> {
        let base = self.cold.end();
        let (mut at, mut whole, mut unpacked) = (None::<ChainTip>, Vec::new(), Vec::new());
        loop {
            let next = at.map_or(first, |at| Position(at.last.0 + 1));
            if next > tip.last {
                break;
            }
            let missing = if at.is_none() { from } else { next };
            let value = next_entry(missing)?;
            let Some((_, value)) = value.filter(|(found, _)| *found.as_ref() == key(next, 0)) else {
                return Err(damaged(missing, "the archive has no chunk there"));
            };
            let mut rest = block::chunks(value.as_ref(), &mut unpacked).map_err(|what| damaged(missing, what))?;
            let len = Chunk::len_of(rest).map_err(|what| damaged(missing, what))?;
            if len > rest.len() {
                whole.clear();
                whole.extend_from_slice(rest);
                for part in 1..len.div_ceil(VALUE_BYTES_MAX) {
                    let value = next_entry(missing)?;
                    let value = value.filter(|(found, _)| *found.as_ref() == key(next, part as u16));
                    let (_, value) = value.ok_or_else(|| damaged(missing, "the archive lacks a part of the chunk"))?;
                    whole.extend_from_slice(value.as_ref());
                }
                rest = &whole;
            }
            while !rest.is_empty() {
                let last = at.map_or(Position(first.0 - 1), |at| at.last);
                let missing = from.max(Position(last.0 + 1));
                let (chunk, after) = Chunk::split_first(rest).map_err(|what| damaged(missing, what))?;
                rest = after;
                // The first chunk's predecessor is not read; its place is known nevertheless.
                let before = at.unwrap_or(if last == base.last { base } else { ChainTip { last, hash: chunk.prev } });
                let after = before.extend(&chunk)?;
                at = Some(after);
                if after.last == tip.last && after.hash != tip.hash {
                    return Err(damaged(chunk.first, "the last archived chunk is not the one that was archived"));
                }
                if after.last > tip.last {
                    return Err(damaged(chunk.first, "a chunk reaches beyond the archive's end"));
                }
                if after.last >= from && !each(chunk) {
                    return Ok(ReadTo::Stopped);
                }
            }
            if at.is_some_and(|at| at.last < from) {
                return Err(damaged(from, "the archive has no chunk there"));
            }
            touch(next)?;
        }
        Ok(ReadTo::End)
    }

    pub fn size_bytes(&self) -> u64 {
        self.sled().map_or(0, |(db, ..)| db.size_on_disk().unwrap_or(0))
    }
}

/// Looks at what was read some times more, so that sled's cache keeps to its size: see [`TOUCHES`].
fn touch(tree: &sled::Tree, first: Position) -> Result<(), Error> {
    for _ in 0..TOUCHES {
        guard(first, || tree.contains_key(key(first, 0)))?;
    }
    Ok(())
}

fn key(first: Position, part: u16) -> [u8; 10] {
    let mut key = [0; 10];
    key[..8].copy_from_slice(&first.0.to_be_bytes());
    key[8..].copy_from_slice(&part.to_be_bytes());
    key
}

fn parse_key(key: &[u8]) -> Option<(Position, u16)> {
    let key: [u8; 10] = key.try_into().ok()?;
    let (first, part) = key.split_at(8);
    Some((Position(u64::from_be_bytes(first.try_into().ok()?)), u16::from_be_bytes(part.try_into().ok()?)))
}

/// Calls sled; an error and a panic in it both mean damage at `position` (0: somewhere) unless it was the disk.
fn guard<T>(position: Position, call: impl FnOnce() -> sled::Result<T>) -> Result<T, Error> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) => Err(Error::Failed(format!("sled: {error}"))),
        Ok(Err(error)) => Err(damaged(position, format!("sled: {error}"))),
        Err(panic) => Err(damaged(position, format!("sled: {}", panic_text(panic.as_ref())))),
    }
}

/// Says where damage is that sled could not place (position 0) in an archive in `dir` that has at least everything up to
/// `archived`.
pub fn locate(error: Error, dir: &Path, archived: Position) -> Error {
    let Error::Damaged { position: Position(0), what } = error else { return error };
    let base = Cold::open(dir).map_or(Position(0), |cold| cold.end().last);
    let first = Position(base.0 + 1);
    match salvage::first_missing(&dir.join(FILE), base, archived) {
        Ok(Some(missing)) => damaged(missing, what),
        Ok(None) if archived > base => {
            let whole = "whose bytes are all there, but not in order";
            damaged(first, format!("{what}; somewhere in the archive, between {first} and {archived}, {whole}"))
        }
        _ => damaged(first, format!("{what}; somewhere in the archive")),
    }
}

/// Opens what another had open a moment ago: sled lets go of its file a little after its last handle is dropped.
pub(super) fn open_sled(config: &sled::Config, dir: &Path) -> Result<sled::Db, Error> {
    let start = Instant::now();
    loop {
        match catch_unwind(AssertUnwindSafe(|| config.open())) {
            // sled tells that the file is locked in words only.
            Ok(Err(sled::Error::Io(error))) if error.to_string().contains("could not acquire lock") => {
                if start.elapsed() > LOCK_PATIENCE {
                    return Err(Error::InUse);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(Err(sled::Error::Io(error))) => return Err(io_error(dir, &error)),
            other => return guard(Position(0), || other.unwrap_or_else(|panic| std::panic::resume_unwind(panic))),
        }
    }
}

/// A snapshot that sled was writing when it was killed makes it fail (its issue 1527).
fn move_unfinished_aside(dir: &Path) -> Result<(), Error> {
    let attempt = || {
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with("snap.") && name.ends_with(".generating") {
                tracing::info!(path = %path.display(), "moving an unfinished sled snapshot aside");
                std::fs::rename(&path, dir.join("unfinished-snapshot"))?;
            }
        }
        Ok(())
    };
    attempt().map_err(|error| io_error(dir, &error))
}
