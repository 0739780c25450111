//! The log of a data folder that no server has open, for who only reads: nothing in the folder is changed, and nothing in it
//! need be writable.
//!
//! What a server's start does with what a crash left is done in memory: events that are only in the journal are read from
//! there, and a write that had not finished is left out. What a start refuses is refused, with the same words.

use super::archive::file::ReadTo;
use super::archive::relocate;
use super::frame::{ChainTip, Chunk, Hash};
use super::recover::{self, Known};
use super::sled::tier::{self, Archive};
use super::{Batch, Chunks, Error, Log, OnDurable, Position, Recorded};
use std::path::Path;
use uuid::Uuid;

/// A log as it was when it was opened.
pub struct Reader {
    id: Uuid,
    archive: Archive,
    /// The end of what is archived.
    head: ChainTip,
    /// Chunks behind that, from the journal, one after another.
    unarchived: Vec<u8>,
    tip: ChainTip,
}

impl Reader {
    /// Opens the log in `dir`. The caller sees to it that nobody writes to it meanwhile. Reads sled's file and the journal
    /// once; archived chunks are read and checked as they are asked for.
    pub fn open(dir: &Path, known: Option<Known>) -> Result<Reader, Error> {
        let sled = relocate::settled(dir);
        let archived = recover::archived_at_least(dir)?;
        let located = |error| tier::locate(error, &sled, archived);
        let archive = Archive::open_to_read(&sled, archived).map_err(located)?;
        let head = archive.head().map_err(located)?;
        let mut unarchived = Vec::new();
        let found = recover::examine(dir, &archive, known, &mut |_, new| {
            new.iter().for_each(|new| unarchived.extend_from_slice(new.chunk.bytes()));
            Ok(())
        });
        let found = found.map_err(located)?;
        Ok(Reader { id: found.id, archive, head, unarchived, tip: found.tip })
    }

    /// The log's identity.
    pub fn id(&self) -> Uuid {
        self.id
    }
}

impl Log for Reader {
    fn append(&self, _: Batch, _: Option<OnDurable>) -> Result<Position, Error> {
        Err(Error::Other("the log was opened to be read only".into()))
    }

    fn durable(&self) -> Position {
        self.tip.last
    }

    fn appended(&self) -> Position {
        self.tip.last
    }

    fn has_room(&self) -> bool {
        false
    }

    fn read_from(&self, after: Position, each: &mut dyn FnMut(Recorded<'_>) -> bool) -> Result<Position, Error> {
        super::log::read_events(self, after, each)
    }
}

impl Chunks for Reader {
    fn hash_at(&self, position: Position) -> Result<Option<Hash>, Error> {
        match position > self.head.last {
            true => super::log::hash_at(self, position),
            false => self.archive.hash_at(position, self.head),
        }
    }

    fn read_chunks(&self, after: Position, each: &mut dyn FnMut(Chunk<'_>) -> bool) -> Result<(), Error> {
        if after >= self.tip.last {
            return Ok(());
        }
        if after < self.head.last && self.archive.read(Position(after.0 + 1), self.head, each)? == ReadTo::Stopped {
            return Ok(());
        }
        // Checked when it was opened.
        let mut rest = &self.unarchived[..];
        while let Ok((chunk, behind)) = Chunk::split_first(rest) {
            rest = behind;
            if chunk.last() > after && !each(chunk) {
                return Ok(());
            }
        }
        Ok(())
    }
}
