//! Reads sled's file without sled, which writes when it opens: for tools that only read, also where nothing can be written.
//!
//! sled 0.34 keeps a log of pages in segments. A segment is a header (CRC, its sequence number, up to where everything was on
//! disk) and messages; a message is a page anew, a change of one, or that one is free. In the order of their sequence numbers
//! they give every page as it was last. From a tree's root its first leaf is found, and each leaf names the next one.
//!
//! What sled does with the end of a file after a crash is done here, too: what is behind the first message there that is not
//! whole is not looked at.

use super::salvage::{SEGMENT_BYTES, read_up_to};
use crate::failure::io_error;
use crate::frame::{damaged, u32_at, u64_at};
use crate::{Error, Position};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const SEGMENT_HEADER_BYTES: usize = 4 + 8 + 8;
/// No message begins in so many bytes at a segment's end.
const RED_ZONE_BYTES: usize = 32;
/// Sequence numbers are stored with these bits turned over.
const LSN_MASK: u64 = i64::MAX as u64;
/// The page that says where trees have their roots.
const ROOTS: u64 = 0;
/// The tree that has no name.
pub const DEFAULT_TREE: &[u8] = b"__sled__default";

/// Kinds of messages. Others say nothing about a page.
mod kind {
    pub const CORRUPTED: u8 = 0;
    pub const CANCELED: u8 = 1;
    pub const CAP: u8 = 2;
    pub const BATCH_MANIFEST: u8 = 3;
    pub const FREE: u8 = 4;
    pub const COUNTER: u8 = 5;
    pub const META: u8 = 6;
    pub const NODE: u8 = 8;
    pub const LINK: u8 = 10;
}

/// Where a message's body is in the file.
#[derive(Clone, Copy)]
struct Place {
    at: u64,
    len: u32,
}

/// A page as it was written last, and what was changed in it since.
struct Page {
    base: Place,
    changes: Vec<Place>,
}

/// A database, as its file was when it was opened.
pub struct Database {
    file: File,
    path: PathBuf,
    pages: HashMap<u64, Page>,
}

/// One tree of it.
pub struct Tree {
    /// The least key that each leaf can have, and its page; in order.
    leaves: Vec<(Vec<u8>, u64)>,
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

struct Segment {
    lsn: u64,
    at: u64,
}

/// A message in a segment's bytes.
struct Message {
    kind: u8,
    page: u64,
    /// Its body, and where the next message begins.
    body: std::ops::Range<usize>,
}

impl Database {
    /// Reads the file at `path` once; one that is not there is empty.
    pub fn open(path: &Path) -> Result<Database, Error> {
        let named = |error: io::Error| io_error(path, &error);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::open("/dev/null").map_err(named)?,
            Err(error) => return Err(named(error)),
        };
        let mut database = Database { file, path: path.to_owned(), pages: HashMap::new() };
        let (segments, tail) = database.segments().map_err(named)?;
        let end = database.end(&segments, tail).map_err(named)?;
        let mut bytes = vec![0; SEGMENT_BYTES];
        for segment in segments.iter().take_while(|segment| segment.lsn <= end) {
            let len = read_up_to(&database.file, &mut bytes, segment.at).map_err(named)?;
            let mut offset = SEGMENT_HEADER_BYTES;
            while segment.lsn + (offset as u64) <= end
                && let Some(message) = message(&bytes[..len], offset, segment.lsn)
            {
                offset = message.body.end;
                let place = Place { at: segment.at + message.body.start as u64, len: message.body.len() as u32 };
                database.take(&message, place)?;
                if message.kind == kind::CAP {
                    break;
                }
            }
        }
        Ok(database)
    }

    /// All segments in the order of their sequence numbers, and up to which of these everything was on disk.
    fn segments(&self) -> io::Result<(Vec<Segment>, u64)> {
        let (mut segments, mut stable) = (Vec::new(), 0);
        let mut header = [0; SEGMENT_HEADER_BYTES];
        for at in (0..self.file.metadata()?.len()).step_by(SEGMENT_BYTES) {
            if read_up_to(&self.file, &mut header, at)? < header.len()
                || u32_at(&header, 0) ^ u32::MAX != crc32fast::hash(&header[4..])
            {
                continue;
            }
            let lsn = u64_at(&header, 4) ^ LSN_MASK;
            if lsn <= LSN_MASK && lsn.is_multiple_of(SEGMENT_BYTES as u64) {
                // Of a database in which nothing is known to be on disk the number is below zero.
                stable = stable.max((u64_at(&header, 12) ^ LSN_MASK) as i64);
                segments.push(Segment { lsn, at });
            }
        }
        segments.sort_unstable_by_key(|segment| segment.lsn);
        Ok((segments, stable as u64))
    }

    /// The sequence number behind which nothing counts: from what was surely on disk on, the segments have to follow each
    /// other, and their messages have to be whole.
    fn end(&self, segments: &[Segment], stable: u64) -> io::Result<u64> {
        let mut expected = stable / SEGMENT_BYTES as u64 * SEGMENT_BYTES as u64;
        let (mut end, mut bytes) = (expected, vec![0; SEGMENT_BYTES]);
        let first = segments.partition_point(|segment| segment.lsn < expected);
        for segment in &segments[first..] {
            if segment.lsn != expected {
                break;
            }
            let len = read_up_to(&self.file, &mut bytes, segment.at)?;
            let mut offset = SEGMENT_HEADER_BYTES;
            end = segment.lsn + offset as u64;
            let mut closed = false;
            while let Some(message) = message(&bytes[..len], offset, segment.lsn) {
                closed = message.kind == kind::CAP;
                if closed {
                    break;
                }
                offset = message.body.end;
                end = segment.lsn + offset as u64;
            }
            if !closed && offset + RED_ZONE_BYTES <= SEGMENT_BYTES {
                break;
            }
            expected += SEGMENT_BYTES as u64;
        }
        // The last message begins before its end.
        Ok(end.saturating_sub(1))
    }

    fn take(&mut self, message: &Message, place: Place) -> Result<(), Error> {
        match message.kind {
            kind::NODE | kind::META | kind::COUNTER => {
                self.pages.insert(message.page, Page { base: place, changes: Vec::new() });
            }
            kind::LINK => {
                // Without a page it is of one that was written again later.
                if let Some(page) = self.pages.get_mut(&message.page) {
                    page.changes.push(place);
                }
            }
            kind::FREE => drop(self.pages.remove(&message.page)),
            kind::CANCELED | kind::CAP | kind::BATCH_MANIFEST => {}
            other => return Err(self.damaged(&format!("a message of kind {other} is not to be read without sled"))),
        }
        Ok(())
    }

    /// The tree called `name`; `None` when there is none.
    pub fn tree(&self, name: &[u8]) -> Result<Option<Tree>, Error> {
        let Some(roots) = self.pages.get(&ROOTS) else { return Ok(None) };
        let roots = self.read(roots.base)?;
        let root = root_of(&roots, name).ok_or_else(|| self.damaged("the list of trees makes no sense"))?;
        let Some(mut at) = root else { return Ok(None) };
        let mut leaves = Vec::new();
        // No page is visited twice, in a database that makes sense.
        for _ in 0..=self.pages.len() {
            let page = self.pages.get(&at).ok_or_else(|| self.damaged(&format!("page {at} is missing")))?;
            let bytes = self.read(page.base)?;
            let node = Node::parse(&bytes).ok_or_else(|| self.damaged(&format!("page {at} makes no sense")))?;
            match node.content {
                Content::Index { first_child } => at = first_child,
                Content::Leaf { .. } => {
                    leaves.push((node.lo.to_vec(), at));
                    match node.next {
                        Some(next) => at = next,
                        None => return Ok(Some(Tree { leaves })),
                    }
                }
            }
        }
        Err(self.damaged("its pages lead in a circle"))
    }

    /// The entries of a leaf, in order.
    fn entries(&self, page: u64) -> Result<Vec<Entry>, Error> {
        let nonsense = || self.damaged(&format!("page {page} makes no sense"));
        let Some(Page { base, changes }) = self.pages.get(&page) else { return Err(nonsense()) };
        let bytes = self.read(*base)?;
        let node = Node::parse(&bytes).ok_or_else(nonsense)?;
        let prefix = node.lo.get(..node.prefix_len).ok_or_else(nonsense)?;
        let Content::Leaf { mut entries } = node.content else { return Err(nonsense()) };
        let changes = changes.iter().map(|place| self.read(*place)).collect::<Result<Vec<_>, Error>>()?;
        for change in &changes {
            match Change::parse(change).ok_or_else(nonsense)? {
                Change::Set(key, value) => match entries.binary_search_by_key(&key, |(key, _)| *key) {
                    Ok(found) => entries[found].1 = value,
                    Err(next) => entries.insert(next, (key, value)),
                },
                Change::Remove(key) => {
                    if let Ok(found) = entries.binary_search_by_key(&key, |(key, _)| *key) {
                        entries.remove(found);
                    }
                }
                Change::OfStructure => {}
            }
        }
        Ok(entries.into_iter().map(|(key, value)| ([prefix, key].concat(), value.to_vec())).collect())
    }

    fn read(&self, place: Place) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; place.len as usize];
        self.file.read_exact_at(&mut bytes, place.at).map_err(|error| io_error(&self.path, &error))?;
        Ok(bytes)
    }

    fn damaged(&self, what: &str) -> Error {
        damaged(Position(0), format!("{}: {what}", self.path.display()))
    }
}

impl Tree {
    /// The value of `key`.
    pub fn get(&self, database: &Database, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let Some((_, page)) = self.leaves[..self.leaf_of(key)].last() else { return Ok(None) };
        let entries = database.entries(*page)?;
        Ok(entries.into_iter().find(|(found, _)| found == key).map(|(_, value)| value))
    }

    /// The last key up to `key`.
    pub fn last_key_up_to(&self, database: &Database, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        for (_, page) in self.leaves[..self.leaf_of(key)].iter().rev() {
            let entries = database.entries(*page)?;
            if let Some((found, _)) = entries.into_iter().rev().find(|(found, _)| **found <= *key) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The entries from `key` on, in order. Nothing follows an error.
    pub fn entries_from<'a>(
        &'a self,
        database: &'a Database,
        key: &[u8],
    ) -> impl Iterator<Item = Result<Entry, Error>> + 'a {
        let key = key.to_vec();
        let leaves = &self.leaves[self.leaf_of(&key).saturating_sub(1)..];
        let entries = leaves.iter().flat_map(|(_, page)| {
            let (entries, error) = match database.entries(*page) {
                Ok(entries) => (entries, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            entries.into_iter().map(Ok).chain(error)
        });
        entries.skip_while(move |entry| entry.as_ref().is_ok_and(|(found, _)| *found < key))
    }

    /// How many leaves begin at or before `key`.
    fn leaf_of(&self, key: &[u8]) -> usize {
        self.leaves.partition_point(|(lo, _)| **lo <= *key)
    }
}

/// The message at `offset` of the segment `bytes` whose number is `lsn`; `None` when there is no whole one.
fn message(bytes: &[u8], offset: usize, lsn: u64) -> Option<Message> {
    if offset + RED_ZONE_BYTES > SEGMENT_BYTES {
        return None;
    }
    let header = bytes.get(offset..)?;
    let mut rest = header.get(5..)?;
    let (crc, kind) = (u32_at(header, 0), header[4]);
    let [len, segment, page] = [number(&mut rest)?, number(&mut rest)?, number(&mut rest)?];
    let header = &header[..header.len() - rest.len()];
    let body = rest.get(..usize::try_from(len).ok()?)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(body);
    hasher.update(&header[4..]);
    let whole = kind != kind::CORRUPTED && hasher.finalize() ^ u32::MAX == crc && segment == lsn / SEGMENT_BYTES as u64;
    let start = offset + header.len();
    whole.then_some(Message { kind, page, body: start..start + body.len() })
}

/// sled's form of a number.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let first = u64::from(*bytes.first()?);
    let byte = |at: usize| bytes.get(at).copied().map(u64::from);
    let (value, len) = match first {
        0..=240 => (first, 1),
        241..=248 => (240 + 256 * (first - 241) + byte(1)?, 2),
        249 => (2288 + 256 * byte(1)? + byte(2)?, 3),
        _ => {
            let len = first as usize - 247;
            let mut value = [0; 8];
            value[..len].copy_from_slice(bytes.get(1..=len)?);
            (u64::from_le_bytes(value), len + 1)
        }
    };
    *bytes = &bytes[len..];
    Some(value)
}

/// Bytes with their length before them.
fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(number(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(text)
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

/// The root of the tree `name`, by the page that lists them.
fn root_of(mut bytes: &[u8], name: &[u8]) -> Option<Option<u64>> {
    let mut root = None;
    while !bytes.is_empty() {
        let (found, page) = (text(&mut bytes)?, number(&mut bytes)?);
        if found == name {
            root = Some(page);
        }
    }
    Some(root)
}

/// A page of a tree.
struct Node<'a> {
    next: Option<u64>,
    /// So many bytes of `lo` are what all keys in it begin with; they are left out of them.
    prefix_len: usize,
    lo: &'a [u8],
    content: Content<'a>,
}

enum Content<'a> {
    Leaf { entries: Vec<(&'a [u8], &'a [u8])> },
    Index { first_child: u64 },
}

impl<'a> Node<'a> {
    fn parse(mut bytes: &'a [u8]) -> Option<Node<'a>> {
        let bytes = &mut bytes;
        let next = number(bytes)?;
        let (_merging_child, _merging) = (number(bytes)?, byte(bytes)?);
        let prefix_len = usize::from(byte(bytes)?);
        let (lo, _hi) = (text(bytes)?, text(bytes)?);
        let (is_index, count) = (byte(bytes)?, usize::try_from(number(bytes)?).ok()?);
        let keys = (0..count).map(|_| text(bytes)).collect::<Option<Vec<_>>>()?;
        let content = match is_index {
            0 => {
                Content::Leaf { entries: keys.into_iter().map(|key| Some((key, text(bytes)?))).collect::<Option<_>>()? }
            }
            1 => Content::Index { first_child: number(bytes)? },
            _ => return None,
        };
        Some(Node { next: (next > 0).then_some(next), prefix_len, lo, content })
    }
}

/// What was changed in a page.
enum Change<'a> {
    Set(&'a [u8], &'a [u8]),
    Remove(&'a [u8]),
    /// Pages become one; no entry changes by it.
    OfStructure,
}

impl<'a> Change<'a> {
    fn parse(mut bytes: &'a [u8]) -> Option<Change<'a>> {
        let bytes = &mut bytes;
        match byte(bytes)? {
            0 => Some(Change::Set(text(bytes)?, text(bytes)?)),
            1 => Some(Change::Remove(text(bytes)?)),
            2..=4 => Some(Change::OfStructure),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sled::tier::open_sled;
    use proptest::prelude::*;

    fn all(path: &Path, tree: &[u8]) -> Option<Vec<Entry>> {
        let database = Database::open(&path.join("db")).unwrap();
        let tree = database.tree(tree).unwrap()?;
        Some(tree.entries_from(&database, &[]).map(Result::unwrap).collect())
    }

    fn by_sled(db: &sled::Db, tree: &str) -> Vec<Entry> {
        let tree = db.open_tree(tree).unwrap();
        tree.iter().map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whatever was done to a database, it is read as sled reads it: while it is open and flushed, after it was closed, and
        /// after it was opened again and again.
        #[test]
        fn what_sled_has_is_read(
            rounds in prop::collection::vec(
                prop::collection::vec((0u64..400, 0usize..6_200, any::<bool>()), 1..250), 1..4),
        ) {
            let folder = tempfile::tempdir().unwrap();
            prop_assert!(all(folder.path(), b"log").is_none());
            for (round, steps) in rounds.iter().enumerate() {
                let config = sled::Config::new().path(folder.path()).flush_every_ms(None);
                let db = open_sled(&config, folder.path()).unwrap();
                let tree = db.open_tree("log").unwrap();
                for (number, (key, len, remove)) in steps.iter().enumerate() {
                    // Most keys come in order, as a log's do.
                    let key = if *remove { *key } else { (round * 250 + number) as u64 };
                    let key = [&key.to_be_bytes()[..], &[0, 0]].concat();
                    if *remove && len % 2 == 0 {
                        tree.remove(&key).unwrap();
                    } else {
                        tree.insert(&key, vec![(number % 251) as u8; *len]).unwrap();
                    }
                    tree.insert("head", &number.to_le_bytes()[..]).unwrap();
                }
                db.insert("log-id", &[round as u8; 16][..]).unwrap();
                db.flush().unwrap();
                let expected = by_sled(&db, "log");
                prop_assert_eq!(all(folder.path(), b"log").unwrap(), expected.clone());
                prop_assert_eq!(all(folder.path(), DEFAULT_TREE).unwrap(), by_sled(&db, "__sled__default"));
                let database = Database::open(&folder.path().join("db")).unwrap();
                let tree = database.tree(b"log").unwrap().unwrap();
                for (at, (key, value)) in expected.iter().enumerate() {
                    prop_assert!(tree.get(&database, key).unwrap().as_ref() == Some(value));
                    let before = [&key[..], &[0]].concat();
                    prop_assert!(tree.last_key_up_to(&database, &before).unwrap().as_ref() == Some(key));
                    let next = tree.entries_from(&database, &before).next().map(|entry| entry.unwrap().0);
                    prop_assert_eq!(next.as_ref(), expected.get(at + 1).map(|(key, _)| key));
                }
                drop((db, expected));
            }
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (Node::parse(&bytes).is_some(), Change::parse(&bytes).is_some(), root_of(&bytes, b"log"));
            let _ = message(&bytes, 0, 0).is_some();
        }
    }
}
