//! Files of aggregate states at a position. A snapshot only saves time: one that is missing or invalid is replaced by
//! replaying the log.
//!
//! A file is a header, the entries in the order of `put`, an index of them sorted by key, the keys that are flagged, and
//! a footer with a CRC over the whole file. In memory there is one key of every 128 only.

use super::failure::io_error;
use super::frame::{Hash, u32_at, u64_at};
use super::journal::sync_dir;
use super::{Chunks, Error, Position};
use base::id::Category;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A state has at most so many bytes, 4 GiB: fifty million people in a queue take one or two.
pub const STATE_BYTES_MAX: usize = u32::MAX as usize;

const MAGIC: u64 = 0xf370_616e_735f_6c6f;
const FORMAT: u32 = 1;
/// magic u64, format u32, schema u32, position u64, hash 32 bytes.
const HEADER_BYTES: u64 = 8 + 4 + 4 + 8 + 32;
/// category u8, key 16 bytes, flags u8, version u64, last position u64, length u32; the state follows.
const ENTRY_BYTES: usize = 1 + 16 + 1 + 8 + 8 + 4;
/// category u8, key 16 bytes, flags u8, offset of the entry u64.
const ROW_BYTES: usize = 1 + 16 + 1 + 8;
/// offset of the index u64, entries u64, flagged entries u64, magic u64, CRC u32 over everything before.
const FOOTER_BYTES: u64 = 8 + 8 + 8 + 8 + 4;
/// Every so many rows of the index, one is in memory.
const SPARSE: u64 = 128;
const BUFFER_BYTES: usize = 1 << 20;
const KEPT: usize = 2;
const PREFIX: &str = "snapshot-";
const UNFINISHED: &str = "snapshot.tmp";

/// What names an entry.
type Key = (u8, [u8; 16]);

/// An aggregate's state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The version of the aggregate's last event in it.
    pub version: u64,
    /// That event's position.
    pub last_position: Position,
    /// For the writer to say what it likes; entries with any are listed by [`Snapshot::iter_flagged`].
    pub flags: u8,
    pub bytes: Vec<u8>,
}

/// Writes a snapshot. It needs 32 bytes of memory for each entry. Dropping it unfinished leaves the older ones alone.
pub struct Writer {
    dir: PathBuf,
    position: Position,
    out: Hashing<BufWriter<File>>,
    rows: Vec<Row>,
}

#[derive(Clone, Copy)]
struct Row {
    key: Key,
    flags: u8,
    offset: u64,
}

impl Row {
    fn encode(&self) -> [u8; ROW_BYTES] {
        let mut row = [0; ROW_BYTES];
        row[0] = self.key.0;
        row[1..17].copy_from_slice(&self.key.1);
        row[17] = self.flags;
        row[18..].copy_from_slice(&self.offset.to_le_bytes());
        row
    }

    fn decode(row: &[u8]) -> Row {
        Row { key: (row[0], row[1..17].try_into().expect("sixteen bytes")), flags: row[17], offset: u64_at(row, 18) }
    }
}

/// Counts and sums what goes through it.
struct Hashing<T> {
    inner: T,
    crc: crc32fast::Hasher,
    bytes: u64,
}

impl<T: Write> Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.bytes += bytes.len() as u64;
        self.inner.write_all(bytes)
    }
}

impl Writer {
    /// Begins the snapshot of the states after the event at `position`; `hash` is the log's chain there, if it is known.
    /// `schema` says how states are encoded. One at a time in a folder, which is created if need be.
    pub fn create(dir: &Path, position: Position, hash: Option<Hash>, schema: u32) -> Result<Writer, Error> {
        let attempt = || {
            std::fs::create_dir_all(dir)?;
            let file = File::create(dir.join(UNFINISHED))?;
            let inner = BufWriter::with_capacity(BUFFER_BYTES, file);
            let mut out = Hashing { inner, crc: crc32fast::Hasher::new(), bytes: 0 };
            out.write(&MAGIC.to_le_bytes())?;
            out.write(&FORMAT.to_le_bytes())?;
            out.write(&schema.to_le_bytes())?;
            out.write(&position.0.to_le_bytes())?;
            out.write(&hash.unwrap_or_default())?;
            Ok(out)
        };
        let out = attempt().map_err(|error| io_error(dir, &error))?;
        Ok(Writer { dir: dir.to_owned(), position, out, rows: Vec::new() })
    }

    /// Adds a state. The order is free; a key must not come twice.
    pub fn put(
        &mut self,
        category: Category,
        key: Uuid,
        version: u64,
        last_position: Position,
        flags: u8,
        bytes: &[u8],
    ) -> Result<(), Error> {
        if bytes.len() > STATE_BYTES_MAX {
            return Err(Error::Other(format!("a state of {} bytes: at most {STATE_BYTES_MAX} fit", bytes.len())));
        }
        let row = Row { key: (category as u8, *key.as_bytes()), flags, offset: self.out.bytes };
        let mut head = [0; ENTRY_BYTES];
        head[0] = row.key.0;
        head[1..17].copy_from_slice(&row.key.1);
        head[17] = flags;
        head[18..26].copy_from_slice(&version.to_le_bytes());
        head[26..34].copy_from_slice(&last_position.0.to_le_bytes());
        head[34..].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        let written = self.out.write(&head).and_then(|()| self.out.write(bytes));
        written.map_err(|error| io_error(&self.dir, &error))?;
        self.rows.push(row);
        Ok(())
    }

    /// Makes the snapshot durable and deletes all but the newest two. Gives its path.
    pub fn finish(mut self) -> Result<PathBuf, Error> {
        self.rows.sort_unstable_by_key(|row| row.key);
        if let Some(twice) = self.rows.windows(2).find(|rows| rows[0].key == rows[1].key) {
            return Err(Error::Other(format!("{} is in the snapshot twice", Uuid::from_bytes(twice[0].key.1))));
        }
        let path = self.dir.join(format!("{PREFIX}{:020}", self.position.0));
        let dir = self.dir.clone();
        self.write_rest(&path).map_err(|error| io_error(&path, &error))?;
        sync_dir(&dir)?;
        for (_, old) in list(&dir)?.into_iter().skip(KEPT) {
            std::fs::remove_file(&old).map_err(|error| io_error(&old, &error))?;
        }
        Ok(path)
    }

    fn write_rest(mut self, path: &Path) -> io::Result<()> {
        let index = self.out.bytes;
        for row in &self.rows {
            self.out.write(&row.encode())?;
        }
        let flagged = self.rows.iter().filter(|row| row.flags != 0);
        for row in flagged.clone() {
            self.out.write(&row.encode())?;
        }
        let (count, flagged) = (self.rows.len() as u64, flagged.count() as u64);
        for number in [index, count, flagged, MAGIC] {
            self.out.write(&number.to_le_bytes())?;
        }
        let Hashing { mut inner, crc, .. } = self.out;
        inner.write_all(&crc.finalize().to_le_bytes())?;
        let file = inner.into_inner()?;
        file.sync_all()?;
        std::fs::rename(self.dir.join(UNFINISHED), path)
    }
}

/// The snapshots in `dir`, newest first.
fn list(dir: &Path) -> Result<Vec<(Position, PathBuf)>, Error> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(io_error(dir, &error)),
    };
    for entry in entries {
        let path = entry.map_err(|error| io_error(dir, &error))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(PREFIX));
        if let Some(position) = name.and_then(|digits| digits.parse().ok()) {
            found.push((Position(position), path));
        }
    }
    found.sort_unstable_by(|left, right| right.cmp(left));
    Ok(found)
}

/// A snapshot whose bytes have been checked. It may be read by several threads at once, and after it was deleted.
pub struct Snapshot {
    file: File,
    path: PathBuf,
    position: Position,
    hash: Option<Hash>,
    index: u64,
    count: u64,
    flagged: u64,
    /// The key of every [`SPARSE`]th row.
    sparse: Vec<Key>,
}

/// Whether a snapshot is one to begin with, or why it is passed over.
type IsWanted<'a> = dyn FnMut(&Snapshot) -> Result<Result<(), String>, Error> + 'a;

impl Snapshot {
    /// The newest valid snapshot of `schema` in `dir` that is not later than `max_position`, if any. Invalid ones are
    /// told and passed over. Reads the whole file, to check it.
    pub fn open_latest(dir: &Path, schema: u32, max_position: Position) -> Result<Option<Snapshot>, Error> {
        Snapshot::open_newest(dir, schema, max_position, &mut |_| Ok(Ok(())))
    }

    /// The same of those that were made of `log`: of its events up to there, and no others. One that is later than the log
    /// is damage.
    pub fn open_latest_of(dir: &Path, schema: u32, log: &dyn Chunks) -> Result<Option<Snapshot>, Error> {
        Snapshot::open_newest(dir, schema, Position(u64::MAX), &mut |snapshot| {
            let (position, durable) = (snapshot.position, log.durable());
            if position > durable {
                let path = snapshot.path.display();
                let what = format!(
                    "the log ends at {durable}, but {path} was made at {position}. Put back the log that it was made of; if it is of \
                     another folder, delete it"
                );
                return Err(Error::Damaged { position: Position(durable.0 + 1), what });
            }
            let Some(hash) = snapshot.hash else {
                return Ok(Err("an earlier version made it, which did not note of which log".to_owned()));
            };
            match log.hash_at(position) {
                Ok(found) if found == Some(hash) => Ok(Ok(())),
                Ok(_) => Ok(Err("it was made of another log".to_owned())),
                // Nobody can tell while the archive file is somewhere else, which is no reason not to start.
                Err(Error::Away { .. }) => Ok(Ok(())),
                Err(error) => Err(error),
            }
        })
    }

    /// The newest valid one that `is_wanted`, or for which it does not say why it is passed over.
    fn open_newest(
        dir: &Path,
        schema: u32,
        max_position: Position,
        is_wanted: &mut IsWanted<'_>,
    ) -> Result<Option<Snapshot>, Error> {
        for (position, path) in list(dir)? {
            if position > max_position {
                continue;
            }
            match Snapshot::open(&path, position, schema) {
                Ok(Some(snapshot)) => match is_wanted(&snapshot)? {
                    Ok(()) => return Ok(Some(snapshot)),
                    Err(why) => tracing::warn!(path = %path.display(), %why, "not using a snapshot"),
                },
                Ok(None) => {}
                Err(error) => tracing::warn!(path = %path.display(), %error, "ignoring an invalid snapshot"),
            }
        }
        Ok(None)
    }

    /// `None` when it is of another schema.
    fn open(path: &Path, position: Position, schema: u32) -> io::Result<Option<Snapshot>> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        if len < HEADER_BYTES + FOOTER_BYTES {
            return Err(invalid("it is cut short"));
        }
        let (mut header, mut footer) = ([0; HEADER_BYTES as usize], [0; FOOTER_BYTES as usize]);
        file.read_exact_at(&mut header, 0)?;
        file.read_exact_at(&mut footer, len - FOOTER_BYTES)?;
        if u64_at(&header, 0) != MAGIC || u64_at(&footer, 24) != MAGIC || u32_at(&header, 8) != FORMAT {
            return Err(invalid("it is no snapshot, or not a whole one"));
        }
        if u32_at(&header, 12) != schema {
            return Ok(None);
        }
        if u64_at(&header, 16) != position.0 {
            return Err(invalid("it is not of the position that its name says"));
        }
        let [index, count, flagged] = [0, 8, 16].map(|at| u64_at(&footer, at));
        let rows = count.checked_add(flagged).and_then(|rows| rows.checked_mul(ROW_BYTES as u64));
        let end = rows.and_then(|bytes| bytes.checked_add(index));
        if index < HEADER_BYTES || end != Some(len - FOOTER_BYTES) {
            return Err(invalid("its lengths make no sense"));
        }
        if file_crc(&file, len - 4)? != u32_at(&footer, 32) {
            return Err(invalid("its CRC does not match"));
        }
        let hash = Hash::try_from(&header[24..56]).ok().filter(|hash| *hash != Hash::default());
        let path = path.to_owned();
        let mut snapshot = Snapshot { file, path, position, hash, index, count, flagged, sparse: Vec::new() };
        for row in (0..count).step_by(SPARSE as usize) {
            snapshot.sparse.push(snapshot.rows(row, 1)?[0].key);
        }
        Ok(Some(snapshot))
    }

    /// The position of the last event that the states contain.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The log's chain hash there, if the writer knew it.
    pub fn hash(&self) -> Option<Hash> {
        self.hash
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of entries.
    pub fn len(&self) -> u64 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The state of one aggregate: two reads of the file.
    pub fn get(&self, category: Category, key: Uuid) -> Result<Option<Entry>, Error> {
        let wanted = (category as u8, *key.as_bytes());
        let attempt = || {
            let Some(block) = self.sparse.partition_point(|key| *key <= wanted).checked_sub(1) else { return Ok(None) };
            let start = block as u64 * SPARSE;
            let rows = self.rows(start, SPARSE.min(self.count - start))?;
            let Ok(found) = rows.binary_search_by_key(&wanted, |row| row.key) else { return Ok(None) };
            self.entry(&rows[found]).map(Some)
        };
        attempt().map_err(|error: io::Error| io_error(&self.path, &error))
    }

    /// All entries, in the order in which they were put, in one pass over the file.
    pub fn iter(&self) -> impl Iterator<Item = Result<(Category, Uuid, Entry), Error>> + '_ {
        let from = At { file: &self.file, at: HEADER_BYTES, end: self.index };
        let mut input = BufReader::with_capacity(BUFFER_BYTES, from);
        let mut left = self.count;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let entry = read_entry(&mut input, self.index);
            if entry.is_err() {
                left = 0;
            }
            Some(entry.map_err(|error| io_error(&self.path, &error)))
        })
    }

    /// The keys and flags of the entries that have any, sorted by key, without reading their states.
    pub fn iter_flagged(&self) -> impl Iterator<Item = Result<(Category, Uuid, u8), Error>> + '_ {
        let blocks = (0..self.flagged).step_by(SPARSE as usize);
        blocks.flat_map(move |start| {
            let rows = self.rows(self.count + start, SPARSE.min(self.flagged - start));
            let listed = rows.and_then(|rows| rows.into_iter().map(|row| Ok((category(row.key.0)?, row))).collect());
            let listed: Result<Vec<_>, Error> = listed.map_err(|error: io::Error| io_error(&self.path, &error));
            let (rows, error) = match listed {
                Ok(rows) => (rows, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            let rows = rows.into_iter().map(|(category, row)| Ok((category, Uuid::from_bytes(row.key.1), row.flags)));
            rows.chain(error)
        })
    }

    /// The keys of all entries of `category`, sorted, without reading their states.
    pub fn keys(&self, wanted: Category) -> impl Iterator<Item = Result<Uuid, Error>> + '_ {
        let first = self.sparse.partition_point(|key| key.0 < wanted as u8).saturating_sub(1) as u64 * SPARSE;
        let blocks = (first..self.count).step_by(SPARSE as usize).map(move |start| {
            let rows = self.rows(start, SPARSE.min(self.count - start));
            rows.map_err(|error| io_error(&self.path, &error))
        });
        // Sorted by category first: behind it there is none.
        let blocks = blocks.take_while(move |rows| {
            rows.as_ref().map_or(true, |rows| rows.first().is_some_and(|row| row.key.0 <= wanted as u8))
        });
        blocks.flat_map(move |rows| {
            let (rows, error) = match rows {
                Ok(rows) => (rows, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            let rows = rows.into_iter().filter(move |row| row.key.0 == wanted as u8);
            rows.map(|row| Ok(Uuid::from_bytes(row.key.1))).chain(error)
        })
    }

    /// Rows of the index; behind its `count` rows are the flagged ones.
    fn rows(&self, start: u64, count: u64) -> io::Result<Vec<Row>> {
        let mut bytes = vec![0; count as usize * ROW_BYTES];
        self.file.read_exact_at(&mut bytes, self.index + start * ROW_BYTES as u64)?;
        Ok(bytes.chunks_exact(ROW_BYTES).map(Row::decode).collect())
    }

    fn entry(&self, row: &Row) -> io::Result<Entry> {
        if row.offset < HEADER_BYTES || row.offset >= self.index {
            return Err(invalid("an entry is outside of the file"));
        }
        let from = At { file: &self.file, at: row.offset, end: self.index };
        // One read does for most states.
        let (category, key, entry) = read_entry(&mut BufReader::with_capacity(4096, from), self.index - row.offset)?;
        if (category as u8, *key.as_bytes()) != row.key {
            return Err(invalid("the index leads to another entry"));
        }
        Ok(entry)
    }
}

/// The entry that comes next, which has no more than so many bytes.
fn read_entry(input: &mut impl Read, bytes_max: u64) -> io::Result<(Category, Uuid, Entry)> {
    let mut head = [0; ENTRY_BYTES];
    input.read_exact(&mut head)?;
    let len = u32_at(&head, 34) as usize;
    if len as u64 > bytes_max {
        return Err(invalid("a state's length makes no sense"));
    }
    let mut bytes = vec![0; len];
    input.read_exact(&mut bytes)?;
    let key = Uuid::from_slice(&head[1..17]).map_err(|_| invalid("a key is no UUID"))?;
    let (version, last_position) = (u64_at(&head, 18), Position(u64_at(&head, 26)));
    Ok((category(head[0])?, key, Entry { version, last_position, flags: head[17], bytes }))
}

fn category(code: u8) -> io::Result<Category> {
    Category::from_code(code).ok_or_else(|| invalid("a category is unknown"))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A part of a file, read with an offset of its own, so that readers do not disturb each other.
struct At<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.end.saturating_sub(self.at).min(buffer.len() as u64) as usize;
        let read = self.file.read_at(&mut buffer[..len], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

fn file_crc(file: &File, len: u64) -> io::Result<u32> {
    let mut from = At { file, at: 0, end: len };
    let (mut crc, mut buffer) = (crc32fast::Hasher::new(), vec![0; BUFFER_BYTES]);
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(crc.finalize()),
            read => crc.update(&buffer[..read]),
        }
    }
}
