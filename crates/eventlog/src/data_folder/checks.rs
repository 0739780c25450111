//! The file `checks`: what the data folder's other files were when they were written last, so that none that is missing,
//! damaged or of another folder is taken for a new one.
//!
//! ```text
//! onsale checks 1
//! secret 9f86d081…                    BLAKE3 of the file; while it is being replaced, of the old and of the new one
//! log 0190aaaa-… 123456 af1349b9…     the log's identity, a position that was durable, the hash of the chunk that ends there
//! derived ledger read.sqlite          what was there when the server stopped, and can be made again
//! accept vault                        written by hand: take that file as it is, or do without it
//! ```
//!
//! Every line but those written by hand ends with a CRC of its own. A line that is damaged, and a file that is missing or
//! of before, say nothing: the others are taken as they are and noted.

use crate::frame::Hash;
use crate::{Position, frame::ChainTip};
use base::durable::write_secret;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// The file's name.
pub const FILE: &str = "checks";
const FIRST_LINE: &str = "onsale checks 1";
const LOG: &str = "log";
const DERIVED: &str = "derived";
const ACCEPT: &str = "accept";

/// What the files of a data folder were.
#[derive(Debug)]
pub struct Checks {
    folder: PathBuf,
    known: Mutex<Known>,
}

/// The log as it was last seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KnownLog {
    pub id: Uuid,
    /// Everything up to here was durable. The hash is zeros where it was not known.
    pub tip: ChainTip,
}

#[derive(Clone, Default, PartialEq, Debug)]
struct Known {
    files: BTreeMap<String, Vec<Hash>>,
    log: Option<KnownLog>,
    derived: BTreeSet<String>,
    accepted: BTreeSet<String>,
}

impl Checks {
    /// Reads what was noted in `folder`.
    pub fn open(folder: &Path) -> io::Result<Checks> {
        let path = folder.join(FILE);
        let known = match std::fs::read(&path) {
            Ok(bytes) => {
                let (known, damaged) = parse(&String::from_utf8_lossy(&bytes));
                if damaged {
                    tracing::warn!(
                        path = %path.display(),
                        "the file is damaged: what it does not say any more is noted again, from the files as they are"
                    );
                }
                known
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Known::default(),
            Err(error) => return Err(io::Error::other(format!("{}: {error}", path.display()))),
        };
        Ok(Checks { folder: folder.to_owned(), known: Mutex::new(known) })
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the file `name` was ever noted.
    pub fn has(&self, name: &str) -> bool {
        self.known().files.contains_key(name)
    }

    /// The file `name`; `None` when there is none and never was. An error, in one line that says what to do, when it is
    /// not what was written last. `without` says what it means to do without it.
    pub fn read(&self, name: &str, without: &str) -> io::Result<Option<Vec<u8>>> {
        let path = self.folder.join(name);
        let found = match std::fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(io::Error::other(format!("cannot read {}: {error}", path.display()))),
        };
        let known = self.known();
        let Some(hashes) = known.files.get(name).filter(|_| !known.accepted.contains(name)) else { return Ok(found) };
        match found {
            Some(bytes) if hashes.contains(blake3::hash(&bytes).as_bytes()) => Ok(Some(bytes)),
            Some(_) => {
                let what =
                    format!("is not the file that was written here last, says {}", self.folder.join(FILE).display());
                Err(self.refuse(name, &what, without))
            }
            None => Err(self.refuse(name, "is missing", without)),
        }
    }

    /// Replaces the file `name`, which only its owner may read. After a crash anywhere in between, the old one or the new
    /// one is there and is taken.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut known = self.known();
        let new = *blake3::hash(bytes).as_bytes();
        if let Some(hashes) = known.files.get(name).filter(|hashes| !hashes.contains(&new)) {
            let both = hashes.iter().copied().chain([new]).collect();
            self.store(&mut known, |known| drop(known.files.insert(name.into(), both)))?;
        }
        write_secret(&self.folder.join(name), bytes)?;
        self.store(&mut known, |known| settle(known, name, new))
    }

    /// Notes the file `name` as it is: `bytes`.
    pub fn note(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let hash = *blake3::hash(bytes).as_bytes();
        self.store(&mut self.known(), |known| settle(known, name, hash))
    }

    /// Whether somebody wrote that the file `name` is to be taken as it is.
    pub fn is_accepted(&self, name: &str) -> bool {
        self.known().accepted.contains(name)
    }

    /// The log as it was last seen; `None` also when somebody wrote that it is to be taken as it is.
    pub fn log(&self) -> Option<KnownLog> {
        let known = self.known();
        known.log.filter(|_| !known.accepted.contains(LOG))
    }

    /// Notes the log as it is now.
    pub fn note_log(&self, log: KnownLog) -> io::Result<()> {
        self.store(&mut self.known(), |known| {
            known.log = Some(log);
            known.accepted.remove(LOG);
        })
    }

    /// What can be made again, was there when the server stopped, and is not there now.
    pub fn missing_derived(&self) -> Vec<String> {
        self.known().derived.iter().filter(|name| !is_there(&self.folder.join(name))).cloned().collect()
    }

    /// Notes which of `names` are there.
    pub fn note_derived(&self, names: &[&str]) -> io::Result<()> {
        let there = names.iter().filter(|name| is_there(&self.folder.join(name)));
        let there = there.map(|name| (*name).to_owned()).collect();
        self.store(&mut self.known(), |known| known.derived = there)
    }

    /// An error that says what to do about the file `name`.
    pub fn refuse(&self, name: &str, what: &str, without: &str) -> io::Error {
        let (path, checks) = (self.folder.join(name), self.folder.join(FILE));
        io::Error::other(format!(
            "{} {what}: put it back from a backup of this folder. If it is lost for good, add the line '{ACCEPT} {name}' to \
             {}: {without}",
            path.display(),
            checks.display(),
        ))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On disk first, and only if anything changes.
    fn store(&self, known: &mut Known, change: impl FnOnce(&mut Known)) -> io::Result<()> {
        let mut changed = known.clone();
        change(&mut changed);
        if changed != *known || !self.folder.join(FILE).exists() {
            write_secret(&self.folder.join(FILE), render(&changed).as_bytes())?;
            *known = changed;
        }
        Ok(())
    }
}

fn settle(known: &mut Known, name: &str, hash: Hash) {
    known.accepted.remove(name);
    known.files.insert(name.into(), vec![hash]);
}

/// A folder counts when there is something in it.
fn is_there(path: &Path) -> bool {
    match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => path.exists(),
    }
}

/// What a text notes, and whether a part of it is not to be understood.
fn parse(text: &str) -> (Known, bool) {
    let (mut known, mut lines) = (Known::default(), text.lines());
    let mut damaged = lines.next() != Some(FIRST_LINE);
    for line in text.lines().filter(|line| *line != FIRST_LINE && !line.trim().is_empty()) {
        if let Some(name) = line.strip_prefix(ACCEPT).filter(|name| name.starts_with(' ')) {
            known.accepted.insert(name.trim().into());
            continue;
        }
        let understood = line.rsplit_once(" #").and_then(|(line, crc)| {
            (u32::from_str_radix(crc, 16) == Ok(crc32fast::hash(line.as_bytes()))).then_some(())?;
            take(&mut known, line)
        });
        damaged |= understood.is_none();
    }
    (known, damaged)
}

fn take(known: &mut Known, line: &str) -> Option<()> {
    let mut words = line.split(' ');
    match words.next()? {
        LOG => {
            let (id, last, hash) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?);
            known.log = Some(KnownLog { id, tip: ChainTip { last: Position(last), hash: from_hex(hash)? } });
        }
        DERIVED => known.derived = words.map(str::to_owned).collect(),
        name => {
            let hashes = words.map(from_hex).collect::<Option<Vec<Hash>>>()?;
            known.files.insert(name.into(), hashes);
        }
    }
    Some(())
}

fn render(known: &Known) -> String {
    let mut lines = Vec::new();
    for (name, hashes) in &known.files {
        let hashes: Vec<String> = hashes.iter().map(to_hex).collect();
        lines.push(format!("{name} {}", hashes.join(" ")));
    }
    if let Some(KnownLog { id, tip }) = known.log {
        lines.push(format!("{LOG} {id} {} {}", tip.last, to_hex(&tip.hash)));
    }
    if !known.derived.is_empty() {
        lines.push(known.derived.iter().fold(DERIVED.to_owned(), |line, name| line + " " + name));
    }
    let mut text = format!("{FIRST_LINE}\n");
    for line in lines {
        let _ = writeln!(text, "{line} #{:08x}", crc32fast::hash(line.as_bytes()));
    }
    for name in &known.accepted {
        let _ = writeln!(text, "{ACCEPT} {name}");
    }
    text
}

fn to_hex(hash: &Hash) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}

fn from_hex(text: &str) -> Option<Hash> {
    blake3::Hash::from_hex(text).ok().map(|hash| *hash.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_refused_when_it_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Checks::open(folder.path()).unwrap();
        let path = folder.path().join("secret");
        assert_eq!(open().read("secret", "").unwrap(), None);
        open().write("secret", b"one").unwrap();
        assert_eq!(open().read("secret", "").unwrap().as_deref(), Some(&b"one"[..]));
        for (bytes, what) in [(Some(&b"onf"[..]), "is not the file"), (Some(b""), "is not the file"), (None, "missing")]
        {
            match bytes {
                Some(bytes) => std::fs::write(&path, bytes).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            let error = open().read("secret", "nobody is known").unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("accept secret") && !error.contains('\n'), "{error}");
        }
        let checks = folder.path().join(FILE);
        let text = std::fs::read_to_string(&checks).unwrap();
        std::fs::write(&checks, text.clone() + "accept secret\n").unwrap();
        assert_eq!(open().read("secret", "").unwrap(), None);
        open().write("secret", b"two").unwrap();
        assert!(!open().is_accepted("secret"));
        assert_eq!(open().read("secret", "").unwrap().as_deref(), Some(&b"two"[..]));
    }

    #[test]
    fn a_crash_between_any_two_writes_refuses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let checks = Checks::open(folder.path()).unwrap();
        checks.write("keys", b"one").unwrap();
        // Both are noted, and one of them is there.
        let (one, two) = (*blake3::hash(b"one").as_bytes(), *blake3::hash(b"two").as_bytes());
        checks.store(&mut checks.known(), |known| drop(known.files.insert("keys".into(), vec![one, two]))).unwrap();
        for bytes in [b"one", b"two"] {
            std::fs::write(folder.path().join("keys"), bytes).unwrap();
            let again = Checks::open(folder.path()).unwrap();
            assert_eq!(again.read("keys", "").unwrap().as_deref(), Some(&bytes[..]));
            again.write("keys", b"new").unwrap();
            assert_eq!(again.known().files["keys"].len(), 1);
            again.store(&mut again.known(), |known| drop(known.files.insert("keys".into(), vec![one, two]))).unwrap();
        }
    }

    #[test]
    fn a_damaged_line_says_nothing_and_the_others_hold() {
        let mut known = Known::default();
        known.files.insert("secret".into(), vec![[7; 32]]);
        known.files.insert("operator".into(), vec![[8; 32], [9; 32]]);
        known.log = Some(KnownLog { id: Uuid::from_u128(5), tip: ChainTip { last: Position(77), hash: [1; 32] } });
        known.derived = ["ledger".to_owned(), "kafka".to_owned()].into();
        known.accepted = ["vault".to_owned()].into();
        let text = render(&known);
        assert_eq!(parse(&text), (known.clone(), false));
        for at in 0..text.len() - "accept vault\n".len() {
            let mut flipped = text.clone().into_bytes();
            flipped[at] ^= 1;
            let (found, damaged) = parse(&String::from_utf8_lossy(&flipped));
            assert!(damaged, "byte {at}");
            // What is there is what was written.
            assert!(found.files.iter().all(|(name, hashes)| known.files.get(name) == Some(hashes)), "byte {at}");
            assert!(found.log.is_none_or(|log| Some(log) == known.log), "byte {at}");
        }
        assert!(parse("").1);
    }
}
