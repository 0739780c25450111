//! What a data folder holds when it is opened: what of the journal is not archived yet, or where the log is damaged.

use super::failure::io_error;
use super::frame::{ChainTip, Chunk, Hash, damaged, u32_at, u64_at};
use super::journal::{self, Scan};
use super::{Error, Position};
use crate::sled::tier::Archive;
use std::io;
use std::path::Path;
use uuid::Uuid;

/// What opening a log found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovery {
    /// The log's identity, given to it when it was created.
    pub id: Uuid,
    /// The position of the first event: 1, or 0 when there is none.
    pub first: Position,
    /// The position of the last event.
    pub last: Position,
    /// The log's size on disk, with the journal's files.
    pub size_bytes: u64,
    /// The log was closed in order the last time, or is new.
    pub clean: bool,
    /// How many events were in the journal only and have been archived now.
    pub from_journal: u64,
    /// The archive was read whole and checked, for it is no larger than [`super::store::Options::verify_bytes_max`].
    pub verified: bool,
    /// The last write had not finished; its events had not been acknowledged and are gone.
    pub cut: Option<Cut>,
}

/// A write that a crash cut off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The last event that is kept.
    pub after: Position,
    /// The bytes that were cut, as far as the torn write tells.
    pub bytes: u64,
}

/// What is known of a log before it is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    pub id: Uuid,
    /// It was durable up to here. The hash is zeros where it was not known.
    pub tip: Option<ChainTip>,
}

/// Where the journal goes on after recovery.
pub struct Recovered {
    pub tip: ChainTip,
    pub id: Uuid,
    /// Which file is to be used next, and its generation.
    pub next: (usize, u64),
    pub clean: bool,
    pub from_journal: u64,
    pub cut: Option<Cut>,
}

/// The clean-shutdown marker: magic u64, position u64, hash 32 bytes, CRC u32.
const CLEAN: &str = "clean";
const CLEAN_MAGIC: u64 = 0x6e61_656c_635f_6c6f;
const CLEAN_BYTES: usize = 8 + 8 + 32 + 4;

/// How much is archived at once.
const BATCH_BYTES: usize = 1 << 20;

/// Reads the journal of `dir`, archives what `archive` does not have, and says where to go on. An error leaves both alone;
/// so does a log that is not the one that is `known`.
pub fn recover(dir: &Path, archive: &Archive, known: Option<Known>) -> Result<Recovered, Error> {
    examine(dir, archive, known, &mut |head, new| {
        archive.remove_after(head)?;
        archive_new(archive, new)
    })
}

/// Takes what is to be archived, with the end of what is archived before.
pub type Take<'a> = dyn FnMut(Position, &[New<'_>]) -> Result<(), Error> + 'a;

/// The same, but what is to be archived goes to `take`, with the end of what is archived before.
pub fn examine(
    dir: &Path,
    archive: &Archive,
    expected: Option<Known>,
    take: &mut Take<'_>,
) -> Result<Recovered, Error> {
    let head = archive.head()?;
    let clean = read_clean(dir)?;
    if let Some(clean) = clean.filter(|clean| *clean != head) {
        let missing = Position(clean.last.0.min(head.last.0) + 1);
        let what = format!("the archive ends at {}, but the log was closed at {}", head.last, clean.last);
        return Err(damaged(missing, what));
    }
    let journal_bytes = archive.journal_bytes()?;
    let mut files = Vec::new();
    for (index, name) in journal::NAMES.iter().enumerate() {
        let path = dir.join(name);
        let scan = if clean.is_some() { journal::scan_header(&path) } else { journal::scan(&path) };
        match scan? {
            Some(scan) => files.push((index, scan)),
            // A log that was never begun has no journal, one that was closed in order needs none.
            None if clean.is_some() || journal_bytes.is_none() => {}
            None => return Err(damaged(Position(head.last.0 + 1), format!("{name} is missing"))),
        }
    }
    let id = identity(archive, &files, expected)?;
    let newest = files.iter().filter_map(|(index, scan)| Some((scan.header?.generation, *index))).max();
    let known = archive.generation()?;
    // The other file than the newest is overwritten first: should that be cut short, the newest still tells the tale.
    let next = newest.map_or((0, known + 1), |(generation, index)| (1 - index, generation.max(known) + 1));
    if clean.is_some() {
        expect_tip(archive, head, &[], expected)?;
        return Ok(Recovered { tip: head, id, next, clean: true, from_journal: 0, cut: None });
    }
    for (index, scan) in &files {
        check_file(journal::NAMES[*index], scan, journal_bytes, head)?;
    }
    check_newest(&files, known, newest.map_or(0, |(generation, _)| generation), head)?;
    let durable = files.iter().map(|(_, scan)| scan.durable).max().unwrap_or_default();
    files.retain(|(_, scan)| scan.header.is_some());
    files.sort_by_key(|(_, scan)| scan.header.map(|header| header.generation));
    let mut walk = Walk { head, tip: head, new: Vec::new() };
    for (index, scan) in &files {
        walk.file(journal::NAMES[*index], scan)?;
    }
    let tip = walk.tip;
    if durable > tip.last {
        let what = format!("the log was durable up to {durable}, but its last records are not what was written");
        return Err(damaged(Position(tip.last.0 + 1), what));
    }
    let torn = files.last().and_then(|(_, scan)| Some((scan.torn?, scan)));
    // A torn record behind archived ones only can be one of those: it is not lost.
    let cut = torn.filter(|(_, scan)| reach(scan) == tip.last).map(|(bytes, _)| Cut { after: tip.last, bytes });
    expect_tip(archive, head, &walk.new, expected)?;
    // Nothing has been changed so far, and now nothing can be refused any more.
    take(head.last, &walk.new)?;
    let from_journal = tip.last.0 - head.last.0;
    Ok(Recovered { tip, id, next, clean: journal_bytes.is_none() && files.is_empty(), from_journal, cut })
}

/// Up to where the archive of `dir` surely reaches, as far as the files beside it tell.
pub fn archived_at_least(dir: &Path) -> Result<Position, Error> {
    let closed = read_clean(dir)?.map(|clean| clean.last);
    Ok(closed.unwrap_or_default().max(journal::archived_at_least(dir)))
}

/// The last position in a file, or what its records would continue.
fn reach(scan: &Scan) -> Position {
    let chunks = scan.records.last().map(|record| &scan.bytes[record.clone()]);
    let last = chunks.and_then(journal::last_position);
    last.or(scan.header.map(|header| header.base.last)).unwrap_or_default()
}

fn identity(archive: &Archive, files: &[(usize, Scan)], expected: Option<Known>) -> Result<Uuid, Error> {
    let known = archive.id()?;
    let mut ids = known.into_iter().chain(files.iter().filter_map(|(_, scan)| Some(scan.header?.id)));
    let first = ids.next();
    let id = first.unwrap_or_else(Uuid::new_v4);
    if let Some(other) = ids.find(|other| *other != id) {
        return Err(Error::Other(format!("the journal is of log {other}, the archive of log {id}")));
    }
    match expected {
        Some(expected) if first != Some(expected.id) => {
            let found = first.map_or("there is none".to_owned(), |id| format!("what is there is log {id}"));
            let expected = expected.id;
            Err(Error::Other(format!("this folder had log {expected}, and {found}; put the folder's own log back")))
        }
        _ => Ok(id),
    }
}

/// Refuses a log that ends before it was known to be durable, or has something else there.
fn expect_tip(archive: &Archive, head: ChainTip, new: &[New<'_>], expected: Option<Known>) -> Result<(), Error> {
    let Some(known) = expected.and_then(|expected| expected.tip) else { return Ok(()) };
    let end = new.last().map_or(head, |new| new.tip);
    let (missing, how) = if known.last > end.last {
        (Position(end.last.0 + 1), format!("ends at {}, but had events up to {}", end.last, known.last))
    } else if known.hash == Hash::default() {
        return Ok(());
    } else {
        let found = match new.iter().find(|new| new.tip.last == known.last) {
            Some(new) => Some(new.tip.hash),
            None if known.last > head.last => None,
            None => match archive.hash_at(known.last, head) {
                Ok(found) => found,
                // In an archive file that is somewhere else, which is no reason not to start.
                Err(Error::Away { .. }) => return Ok(()),
                Err(error) => return Err(error),
            },
        };
        if found == Some(known.hash) {
            return Ok(());
        }
        (known.last, format!("has other events at {} than it had", known.last))
    };
    let what = format!(
        "the log {how}: it is of another time than the other files of its folder. Put back the log that belongs to them, or all \
         files of one backup. If what is missing is lost for good, add the line 'accept log' to the folder's file 'checks'"
    );
    Err(damaged(missing, what))
}

/// Refuses a log that has a journal and not even a place for what was archived from it.
pub fn expect_archive(dir: &Path) -> Result<(), Error> {
    let sled = dir.join(crate::sled::SLED);
    match journal::NAMES.iter().any(|name| dir.join(name).exists()) && !sled.exists() {
        true => Err(Error::Other(format!("{} is missing; put it back from a backup of this folder", sled.display()))),
        false => Ok(()),
    }
}

/// Refuses a file that has lost what is not archived.
fn check_file(name: &str, scan: &Scan, journal_bytes: Option<u64>, head: ChainTip) -> Result<(), Error> {
    let missing = Position(head.last.0 + 1);
    if let Some(orphans) = scan.orphans.filter(|orphans| orphans.last > head.last) {
        return Err(damaged(missing, format!("{name} has lost its header, but has events up to {}", orphans.last)));
    }
    let (is, was) = (scan.bytes.len() as u64, journal_bytes.or(scan.header.map(|header| header.bytes)));
    match was {
        Some(was) if was != is => {
            let missing = Position(reach(scan).max(head.last).0 + 1);
            Err(damaged(missing, format!("{name} has {is} bytes of {was}")))
        }
        _ => Ok(()),
    }
}

/// Refuses when the file that was used last, in the generation `known` to the archive, has lost its header and does not
/// show by its records that all it had is archived.
fn check_newest(files: &[(usize, Scan)], known: u64, newest: u64, head: ChainTip) -> Result<(), Error> {
    let mut orphans = files.iter().filter_map(|(_, scan)| scan.orphans);
    if newest < known && !orphans.any(|orphans| orphans.generation >= known) {
        let what = format!("the journal's newest file, in its use number {known}, has lost its header");
        return Err(damaged(Position(head.last.0 + 1), what));
    }
    Ok(())
}

/// Goes through the records in order and finds what is to be archived.
struct Walk<'a> {
    head: ChainTip,
    tip: ChainTip,
    new: Vec<New<'a>>,
}

/// A chunk that is not archived.
pub struct New<'a> {
    pub chunk: Chunk<'a>,
    /// The chain with it.
    pub tip: ChainTip,
    /// Of the file that it is in.
    generation: u64,
}

impl<'a> Walk<'a> {
    fn file(&mut self, name: &str, scan: &'a Scan) -> Result<(), Error> {
        let Some(header) = scan.header else { return Ok(()) };
        self.meets(name, header.base)?;
        for record in &scan.records {
            let mut rest = &scan.bytes[record.clone()];
            while !rest.is_empty() {
                let missing = Position(self.tip.last.0 + 1);
                let (chunk, after) = Chunk::split_first(rest).map_err(|what| damaged(missing, what))?;
                rest = after;
                self.chunk(name, chunk, header.generation)?;
            }
        }
        Ok(())
    }

    fn chunk(&mut self, name: &str, chunk: Chunk<'a>, generation: u64) -> Result<(), Error> {
        if chunk.last() <= self.head.last {
            return self.meets(name, ChainTip { last: chunk.last(), hash: chunk.hash() });
        }
        self.tip = self.tip.extend(&chunk)?;
        self.new.push(New { chunk, tip: self.tip, generation });
        Ok(())
    }

    /// What the journal says about a place has to be what is known about it.
    fn meets(&self, name: &str, place: ChainTip) -> Result<(), Error> {
        let missing = Position(self.tip.last.0 + 1);
        if place.last > self.tip.last {
            return Err(damaged(missing, format!("{name} goes on after {} only", place.last)));
        }
        if [self.head, self.tip].iter().any(|known| known.last == place.last && known.hash != place.hash) {
            return Err(damaged(missing, format!("{name} and the archive differ up to there")));
        }
        Ok(())
    }
}

fn archive_new(archive: &Archive, mut new: &[New<'_>]) -> Result<(), Error> {
    while !new.is_empty() {
        let mut bytes = 0;
        let full = |new: &New<'_>| {
            bytes += new.chunk.bytes().len();
            bytes >= BATCH_BYTES
        };
        let (these, rest) = new.split_at(new.iter().position(full).map_or(new.len(), |last| last + 1));
        let last = these.last().expect("at least one");
        archive.put(these.iter().map(|new| new.chunk), last.tip, last.generation)?;
        new = rest;
    }
    Ok(())
}

/// The marker of a clean shutdown; a malformed one counts as none, for then the journal is looked at.
pub fn read_clean(dir: &Path) -> Result<Option<ChainTip>, Error> {
    let path = dir.join(CLEAN);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(&path, &error)),
    };
    if bytes.len() != CLEAN_BYTES
        || u64_at(&bytes, 0) != CLEAN_MAGIC
        || u32_at(&bytes, CLEAN_BYTES - 4) != crc32fast::hash(&bytes[..CLEAN_BYTES - 4])
    {
        tracing::warn!(path = %path.display(), "the marker of the clean shutdown is malformed; reading the journal");
        return Ok(None);
    }
    let mut hash = Hash::default();
    hash.copy_from_slice(&bytes[16..48]);
    Ok(Some(ChainTip { last: Position(u64_at(&bytes, 8)), hash }))
}

/// Says, durably, that all up to `tip` is archived and nothing comes after it.
pub fn write_clean(dir: &Path, tip: ChainTip) -> Result<(), Error> {
    let mut bytes = Vec::with_capacity(CLEAN_BYTES);
    bytes.extend_from_slice(&CLEAN_MAGIC.to_le_bytes());
    bytes.extend_from_slice(&tip.last.0.to_le_bytes());
    bytes.extend_from_slice(&tip.hash);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    let (path, unfinished) = (dir.join(CLEAN), dir.join("clean.tmp"));
    let attempt = || {
        std::fs::write(&unfinished, &bytes)?;
        std::fs::File::open(&unfinished)?.sync_all()?;
        std::fs::rename(&unfinished, &path)
    };
    attempt().map_err(|error| io_error(&path, &error))?;
    journal::sync_dir(dir)
}

/// Takes the marker away, durably: from now on the journal counts.
pub fn remove_clean(dir: &Path) -> Result<(), Error> {
    let path = dir.join(CLEAN);
    match std::fs::remove_file(&path) {
        Ok(()) => journal::sync_dir(dir),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error(&path, &error)),
    }
}
