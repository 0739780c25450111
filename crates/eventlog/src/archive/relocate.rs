//! Moves the log's first events out of sled into archive files, and back.
//!
//! sled gives no room back for what is deleted. So what stays is written to a second database beside the first one, and
//! then they change places:
//!
//! 1. archive files are written, synced, read again and renamed to their names
//! 2. `sled.next` is filled with what stays and the list of files, synced, and read again
//! 3. `sled` becomes `sled.last`, `sled.next` becomes `sled`: the second rename is the moment from which the files count
//! 4. `sled.last` is deleted
//!
//! A crash before 3 leaves the log as it was, and files that nobody asks for; one after it is gone on from by [`settle`].

use super::file::ReadTo;
use super::file::Writer;
use super::{Part, render};
use crate::failure::{Fault, Op, consult, io_error};
use crate::frame::{ChainTip, Chunk};
use crate::journal::sync_dir;
use crate::sled::SLED;
use crate::sled::tier::Archive;
use crate::{Error, Position, recover};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const NEXT: &str = "sled.next";
const LAST: &str = "sled.last";
/// The names under which a log's database can be found.
pub(crate) const PLACES: &[&str] = &[SLED, NEXT, LAST];
/// A file is closed when its chunks have so many bytes: some tens of MB to copy, check or put back by itself.
pub const PART_BYTES: u64 = 256 << 20;
/// What sled is given at once.
const BATCH_BYTES: usize = 2 << 20;
const CACHE_BYTES: u64 = 32 << 20;
/// sled's threads end a moment after its handle.
const CLOSING_PATIENCE: Duration = Duration::from_secs(10);

/// How events are moved.
pub struct Options {
    /// The length at which an archive file is closed, in bytes of chunks.
    pub part_bytes: u64,
    /// Told up to where events have been written, now and then.
    pub progress: Box<dyn Fn(Position)>,
    /// Asked before every step. For tests.
    pub fault: Option<Fault>,
}

impl Default for Options {
    fn default() -> Options {
        Options { part_bytes: PART_BYTES, progress: Box::new(|_| {}), fault: None }
    }
}

/// What was moved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shifted {
    /// The files that were written, or are not part of the log any more.
    pub parts: Vec<Part>,
    /// Bytes of sled's folder before and after.
    pub before_bytes: u64,
    pub after_bytes: u64,
}

/// Moves the chunks of the log in `dir` that end at or before `up_to` into archive files; the log's last chunk always
/// stays. The log must have been [closed](crate::store::Store::close), and nobody may open it meanwhile. Broken off
/// anywhere, the log is whole; what is left of the attempt is for [`settle`].
pub fn archive(dir: &Path, up_to: Position, options: &Options) -> Result<Shifted, Error> {
    let log = Closed::open(dir)?;
    let folder = log.archive.cold().folder.clone();
    let made = |error| io_error(&folder, &error);
    // A link to a folder that is away must not be taken for none.
    if folder.symlink_metadata().is_err() {
        std::fs::create_dir(&folder).map_err(made)?;
        sync_dir(dir)?;
    }
    let kept = log.archive.cold().parts().len();
    let (at, parts) = (log.archive.cold().end(), log.archive.cold().parts().to_vec());
    let mut files = Files { folder: &folder, id: log.id, options, at, open: None, parts };
    let mut outcome = Ok(());
    log.archive.read(Position(at.last.0 + 1), log.head, &mut |chunk| {
        if chunk.last() > up_to || chunk.last() == log.head.last {
            return false;
        }
        outcome = files.put(&chunk);
        outcome.is_ok()
    })?;
    outcome?;
    let parts = files.finish()?;
    let new = parts[kept..].to_vec();
    if new.is_empty() {
        let bytes = folder_bytes(&dir.join(SLED));
        return Ok(Shifted { parts: new, before_bytes: bytes, after_bytes: bytes });
    }
    let (before_bytes, after_bytes) = log.replace(&parts, options)?;
    Ok(Shifted { parts: new, before_bytes, after_bytes })
}

/// Chunks on their way into files.
struct Files<'a> {
    folder: &'a Path,
    id: uuid::Uuid,
    options: &'a Options,
    /// The end of what is in files.
    at: ChainTip,
    open: Option<Writer<'a>>,
    parts: Vec<Part>,
}

impl Files<'_> {
    fn put(&mut self, chunk: &Chunk<'_>) -> Result<(), Error> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Writer::create(self.folder, self.id, self.at, &self.options.fault)?,
        };
        open.put(chunk)?;
        self.at = open.tip();
        match open.chunk_bytes() >= self.options.part_bytes {
            true => self.parts.push(open.finish()?),
            false => self.open = Some(open),
        }
        (self.options.progress)(self.at.last);
        Ok(())
    }

    /// All files of the log.
    fn finish(mut self) -> Result<Vec<Part>, Error> {
        if let Some(open) = self.open.take() {
            self.parts.push(open.finish()?);
        }
        Ok(self.parts)
    }
}

/// Moves everything from the archive file that begins at `from` on back into the log in `dir`; the same holds as for
/// [`archive`]. The files stay where they are, and are no part of the log any more.
pub fn restore(dir: &Path, from: Position, options: &Options) -> Result<Shifted, Error> {
    let log = Closed::open(dir)?;
    let all = log.archive.cold().parts();
    let kept = all.partition_point(|part| part.first < from);
    let (stay, back) = (all[..kept].to_vec(), all[kept..].to_vec());
    if back.is_empty() {
        let bytes = folder_bytes(&dir.join(SLED));
        return Ok(Shifted { parts: back, before_bytes: bytes, after_bytes: bytes });
    }
    let (before_bytes, after_bytes) = log.replace(&stay, options)?;
    Ok(Shifted { parts: back, before_bytes, after_bytes })
}

/// Goes on where a crash left a change of places, and removes what is left of it. To be called before sled is opened.
pub fn settle(dir: &Path) -> Result<(), Error> {
    let [sled, next, last] = [SLED, NEXT, LAST].map(|name| dir.join(name));
    let there = |path: &PathBuf| path.symlink_metadata().is_ok();
    if there(&last) && !there(&sled) {
        // What is next was complete before the first of the two renames.
        let complete = if there(&next) { &next } else { &last };
        rename(complete, &sled)?;
        sync_dir(dir)?;
    }
    for left in [next, last].iter().filter(|path| there(path)) {
        std::fs::remove_dir_all(left).map_err(|error| io_error(left, &error))?;
        sync_dir(dir)?;
    }
    Ok(())
}

/// The folder that [`settle`] would make sled's, for who changes nothing.
pub(crate) fn settled(dir: &Path) -> PathBuf {
    let [sled, next, last] = [SLED, NEXT, LAST].map(|name| dir.join(name));
    let there = |path: &PathBuf| path.symlink_metadata().is_ok();
    match there(&last) && !there(&sled) {
        true if there(&next) => next,
        true => last,
        false => sled,
    }
}

/// A log that nobody has open and that has nothing in the journal.
struct Closed {
    dir: PathBuf,
    archive: Archive,
    head: ChainTip,
    id: uuid::Uuid,
    journal_bytes: Option<u64>,
    generation: u64,
}

impl Closed {
    fn open(dir: &Path) -> Result<Closed, Error> {
        settle(dir)?;
        let archive = Archive::open(&dir.join(SLED), CACHE_BYTES, None, recover::archived_at_least(dir)?)?;
        let head = archive.head()?;
        if recover::read_clean(dir)? != Some(head) {
            return Err(Error::Other("the log was not closed in order: events can be moved only then".into()));
        }
        let id = archive.id()?.ok_or_else(|| Error::Other("the log has no identity yet".into()))?;
        let (journal_bytes, generation) = (archive.journal_bytes()?, archive.generation()?);
        Ok(Closed { dir: dir.to_owned(), archive, head, id, journal_bytes, generation })
    }

    /// Makes the log one whose first events are in `parts` and the others in sled. Gives the bytes before and after.
    fn replace(self, parts: &[Part], options: &Options) -> Result<(u64, u64), Error> {
        let [sled, next, last] = [SLED, NEXT, LAST].map(|name| self.dir.join(name));
        let dir = self.dir.clone();
        let step = |path: &Path| consult(&options.fault, Op::Shift).map_err(|error| io_error(path, &error));
        step(&next)?;
        self.fill(&next, parts, options)?;
        drop(self.archive);
        wait_until_closed(&sled)?;
        wait_until_closed(&next)?;
        let bytes = (folder_bytes(&sled), folder_bytes(&next));
        step(&next)?;
        sync_all(&next)?;
        sync_dir(&dir)?;
        step(&sled)?;
        rename(&sled, &last)?;
        sync_dir(&dir)?;
        step(&sled)?;
        rename(&next, &sled)?;
        sync_dir(&dir)?;
        step(&last)?;
        settle(&dir)?;
        Ok(bytes)
    }

    /// A database in `next` of everything after `parts`, which it names, and reads it again.
    fn fill(&self, next: &Path, parts: &[Part], options: &Options) -> Result<(), Error> {
        std::fs::create_dir(next).map_err(|error| io_error(next, &error))?;
        let list = next.join(super::LIST);
        if !parts.is_empty() {
            std::fs::write(&list, render(self.id, parts)).map_err(|error| io_error(&list, &error))?;
        }
        let filled = Archive::open(next, CACHE_BYTES, None, Position(0))?;
        let tip = filled.cold().end();
        let from = Position(tip.last.0 + 1);
        let mut copy = Copy { log: self, filled: &filled, options, tip, waiting: Vec::new() };
        let mut outcome = Ok(());
        let read = self.archive.read(from, self.head, &mut |chunk| {
            outcome = copy.put(&chunk);
            outcome.is_ok()
        });
        outcome?;
        read?;
        filled.describe(self.id, self.journal_bytes)?;
        if filled.head()? != self.head || filled.read(from, self.head, &mut |_| true)? != ReadTo::End {
            return Err(Error::Other("what was written to sled is not what was read; the log is as it was".into()));
        }
        Ok(())
    }
}

/// Chunks on their way into another database.
struct Copy<'a> {
    log: &'a Closed,
    filled: &'a Archive,
    options: &'a Options,
    tip: ChainTip,
    waiting: Vec<u8>,
}

impl Copy<'_> {
    fn put(&mut self, chunk: &Chunk<'_>) -> Result<(), Error> {
        self.tip = self.tip.extend(chunk)?;
        self.waiting.extend_from_slice(chunk.bytes());
        if self.waiting.len() >= BATCH_BYTES || self.tip.last == self.log.head.last {
            consult(&self.options.fault, Op::Shift).map_err(|error| io_error(&self.log.dir, &error))?;
            self.filled.put(chunks_of(&self.waiting), self.tip, self.log.generation)?;
            self.waiting.clear();
            (self.options.progress)(self.tip.last);
        }
        Ok(())
    }
}

fn chunks_of(mut bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    std::iter::from_fn(move || {
        let (chunk, rest) = Chunk::split_first(bytes).ok()?;
        bytes = rest;
        Some(chunk)
    })
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::rename(from, to).map_err(|error| io_error(from, &error))
}

/// Waits until sled has let go of the database in `dir`: what it still writes must not go astray.
pub(crate) fn wait_until_closed(dir: &Path) -> Result<(), Error> {
    let path = dir.join(crate::sled::tier::FILE);
    let file = File::options().read(true).write(true).open(&path).map_err(|error| io_error(&path, &error))?;
    let start = Instant::now();
    while file.try_lock().is_err() {
        if start.elapsed() > CLOSING_PATIENCE {
            return Err(Error::InUse);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Makes a folder and everything in it durable: sled itself does not sync all of its files.
pub(crate) fn sync_all(dir: &Path) -> Result<(), Error> {
    let attempt = || -> io::Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false => File::open(entry.path())?.sync_all()?,
            }
        }
        Ok(folders)
    };
    let folders = attempt().map_err(|error| io_error(dir, &error))?;
    folders.iter().try_for_each(|folder| sync_all(folder))?;
    sync_dir(dir)
}

/// The bytes of the files in `dir`.
fn folder_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).filter(|found| found.is_file()).map(|found| found.len()).sum()
}
