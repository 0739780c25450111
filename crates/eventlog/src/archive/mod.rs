//! What `onsale archive` moved out of sled: the log's first events, in compressed files.
//!
//! - [`mod@file`]: one archive file
//! - [`refill`]: a log that is made of another one's chunks
//! - [`relocate`]: moves events out of sled and back, whole or not at all
//!
//! The files and sled are one log: a list of the files lies in sled's folder, so that one rename changes both, and says of
//! each which events it has and the chain's hash before and after them. A file cannot be exchanged or left out unnoticed.

pub mod file;
pub mod refill;
pub mod relocate;
#[cfg(test)]
mod tests;

use super::failure::io_error;
use super::frame::{ChainTip, Chunk, damaged};
use super::{Error, Position};
use crate::sled::SLED;
pub use file::Part;
use file::ReadTo;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The list, in sled's folder.
const LIST: &str = "before";
/// What it starts with; a CRC follows, then the list.
const LIST_MAGIC: &[u8; 16] = b"onsale-before 1\n";
/// The files' folder, beside sled's; it may be a link to another disk.
const FOLDER: &str = "archive";

#[derive(Default, Serialize, Deserialize)]
struct List {
    id: Uuid,
    parts: Vec<Part>,
}

/// The archive files of a log.
pub struct Cold {
    folder: PathBuf,
    id: Uuid,
    parts: Vec<Part>,
}

impl Cold {
    /// Those that the list in sled's folder `sled` names; none without a list. The files are not looked at.
    pub fn open(sled: &Path) -> Result<Cold, Error> {
        let folder = folder(sled.parent().unwrap_or(Path::new(".")));
        let path = sled.join(LIST);
        let List { id, parts } = match std::fs::read(&path) {
            Ok(bytes) => parse(&bytes).ok_or_else(|| {
                damaged(Position(1), format!("{}, the list of archive files, is damaged", path.display()))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => List::default(),
            Err(error) => return Err(io_error(&path, &error)),
        };
        Ok(Cold { folder, id, parts })
    }

    /// The end of what is in the files; sled goes on from there.
    pub fn end(&self) -> ChainTip {
        self.parts.last().map_or(ChainTip::default(), Part::end)
    }

    /// In the order of their events.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub fn path(&self, part: &Part) -> PathBuf {
        self.folder.join(part.name())
    }

    /// Those whose file is not there, or not of the length that it had. Nothing is read.
    pub fn away(&self) -> impl Iterator<Item = &Part> {
        let len = |part: &Part| std::fs::metadata(self.path(part)).map(|found| found.len());
        self.parts.iter().filter(move |part| len(part).ok() != Some(part.file_bytes))
    }

    /// Calls `each` with the chunks from the one that holds `from` to the last one in a file, until it returns false;
    /// checks everything on the way.
    pub fn read(&self, from: Position, each: &mut dyn FnMut(Chunk<'_>) -> bool) -> Result<ReadTo, Error> {
        let start = self.parts.partition_point(|part| part.last < from);
        for part in &self.parts[start..] {
            let path = self.path(part);
            let reader = file::Reader::open(&path, part, self.id)?;
            if reader.read(from, each)? == ReadTo::Stopped {
                return Ok(ReadTo::Stopped);
            }
        }
        Ok(ReadTo::End)
    }
}

/// Where the archive files of the log in `dir` are; it may be a link.
pub fn folder(dir: &Path) -> PathBuf {
    dir.join(FOLDER)
}

/// The archive files of the log in the folder `dir`, whether a server runs on it or not, each with its path and whether it
/// is there in its full length.
pub fn list(dir: &Path) -> Result<Vec<(Part, PathBuf, bool)>, Error> {
    let cold = Cold::open(&dir.join(SLED))?;
    let away: Vec<&Part> = cold.away().collect();
    Ok(cold.parts.iter().map(|part| (part.clone(), cold.path(part), !away.contains(&part))).collect())
}

fn parse(bytes: &[u8]) -> Option<List> {
    let rest = bytes.strip_prefix(LIST_MAGIC)?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*crc) != crc32fast::hash(rest) {
        return None;
    }
    let list: List = postcard::from_bytes(rest).ok()?;
    let mut at = ChainTip::default();
    for part in &list.parts {
        if part.first.0 != at.last.0 + 1 || part.prev != at.hash || part.last < part.first {
            return None;
        }
        at = part.end();
    }
    Some(list)
}

/// The list's bytes.
fn render(id: Uuid, parts: &[Part]) -> Vec<u8> {
    let list = List { id, parts: parts.to_vec() };
    let list = postcard::to_stdvec(&list).expect("numbers and hashes are plain data");
    [&LIST_MAGIC[..], &crc32fast::hash(&list).to_le_bytes(), &list].concat()
}
