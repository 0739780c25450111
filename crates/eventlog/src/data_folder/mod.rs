//! The data folder: who may use it, which format it has, and whether what is in it belongs together.
//!
//! `lock` (held while in use), `format`, `log/` (journal and sled), `snapshots/`, `ledger` (sums, see `engine::ledger`),
//! `kafka` (see `kafka::checkpoint`), `read.sqlite` (read models, see `readmodels`), `log-id`, `checks` (see [`checks`]),
//! `log.sock` (a running server's log, for other processes), and what `security` keeps: `secret`, `operator`, `vault`,
//! `signing-keys`.

pub mod checks;

use crate::store::{Known, Store};
use crate::{archive, journal};
use base::durable::{sync_names, write_durably};
use checks::{Checks, KnownLog};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The format of a folder that this binary has opened: it has `checks`, which an earlier version would not keep up. A newer
/// one is refused. Before it were 1, 2 where a part of the log was in archive files, and 3 where sled had blocks of chunks.
pub const FORMAT: u32 = 4;

const LOG_ID: &str = "log-id";
/// What is only there once a log was. Without a log it tells that the log is missing.
const BESIDE_A_LOG: &[&str] =
    &[LOG_ID, "secret", "operator", "vault", "signing-keys", "ledger", "kafka", "snapshots", "read.sqlite"];
/// What is made again from the log where it is missing.
const DERIVED: &[&str] = &["ledger", "kafka", "snapshots", "read.sqlite"];

/// Why a data folder cannot be used; each is one clear line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} is in use by another onsale process; stop it first, or choose another folder with --data")]
    InUse(PathBuf),
    #[error("{path} has format {found}, this onsale reads up to {FORMAT}; use the newer onsale that wrote it")]
    NewerFormat { path: PathBuf, found: String },
    #[error("there is no folder {0}")]
    Missing(PathBuf),
    #[error("{0} is not a data folder of onsale")]
    NotADataFolder(PathBuf),
    #[error("{} {what}; put the file back, or write {FORMAT} into it", .path.join("format").display())]
    NoFormat { path: PathBuf, what: &'static str },
    #[error(
        "{} is missing, but {} is there: is a volume not mounted? Put the log back; for a new installation take an empty folder",
        .path.join("log").display(), .path.join(.beside).display()
    )]
    NoLog { path: PathBuf, beside: &'static str },
    #[error(
        "{} is of another folder: the log here is {found}, and {noted} was noted in {}. Put back the log that belongs here, \
         or the file that does not belong to this log's folder", .path.join("log").display(), .path.join(.by).display()
    )]
    AnotherLog { path: PathBuf, found: uuid::Uuid, noted: uuid::Uuid, by: &'static str },
    #[error("{0}")]
    Refused(std::io::Error),
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: std::io::Error },
}

/// A data folder that this process may use, until it is dropped.
pub struct DataFolder {
    path: PathBuf,
    checks: Arc<Checks>,
    /// `None` of a folder that is only read and has no such file.
    _lock: Option<File>,
}

impl DataFolder {
    /// Takes the folder, creating it if need be.
    pub fn create_or_open(path: &Path) -> Result<DataFolder, Error> {
        let io = |error| Error::Io { path: path.into(), error };
        std::fs::create_dir_all(path).map_err(io)?;
        let folder = DataFolder::lock(path)?;
        if !path.join("format").exists() {
            // The lock file is ours; anything else means that somebody else's files are here.
            let foreign = std::fs::read_dir(path).map_err(io)?.flatten().any(|entry| entry.file_name() != "lock");
            if foreign {
                return Err(without_format(path));
            }
            // A folder that has a format is one that a power cut leaves there.
            sync_names(path).map_err(io)?;
            folder.write_format().map_err(io)?;
        }
        folder.settled()
    }

    /// Takes a folder that is there.
    pub fn open(path: &Path) -> Result<DataFolder, Error> {
        expect_folder(path)?;
        DataFolder::lock(path)?.settled()
    }

    /// Takes a folder that is there to read it, with others who do the same, and changes nothing in it. Its files may be
    /// read-only. While one reads, no server starts on it; where it has no lock file, none has run on it, and nobody is kept
    /// from it.
    pub fn open_to_read(path: &Path) -> Result<DataFolder, Error> {
        expect_folder(path)?;
        let io = |error| Error::Io { path: path.into(), error };
        let lock = match File::open(path.join("lock")) {
            Ok(lock) => match lock.try_lock_shared() {
                Ok(()) => Some(lock),
                Err(TryLockError::WouldBlock) => return Err(Error::InUse(path.into())),
                Err(TryLockError::Error(error)) => return Err(io(error)),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(io(error)),
        };
        let folder = DataFolder::of(path, lock)?;
        folder.format()?;
        folder.check_log()?;
        Ok(folder)
    }

    fn lock(path: &Path) -> Result<DataFolder, Error> {
        let io = |error| Error::Io { path: path.into(), error };
        let lock = File::options().write(true).create(true).truncate(false).open(path.join("lock")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => DataFolder::of(path, Some(lock)),
            Err(TryLockError::WouldBlock) => Err(Error::InUse(path.into())),
            Err(TryLockError::Error(error)) => Err(io(error)),
        }
    }

    fn of(path: &Path, lock: Option<File>) -> Result<DataFolder, Error> {
        let checks = Checks::open(path).map_err(Error::Refused)?;
        Ok(DataFolder { path: path.into(), checks: Arc::new(checks), _lock: lock })
    }

    /// Looks at what it is before anything is written to it.
    fn settled(self) -> Result<DataFolder, Error> {
        let format = self.format()?;
        self.check_log()?;
        if format != FORMAT {
            // Durably, before anything is written that earlier versions cannot read.
            self.write_format().map_err(|error| Error::Io { path: self.path.clone(), error })?;
        }
        Ok(self)
    }

    fn format(&self) -> Result<u32, Error> {
        let io = |error| Error::Io { path: self.path.clone(), error };
        let found = std::fs::read(self.path.join("format")).map_err(io)?;
        let found = String::from_utf8_lossy(&found);
        match found.trim().parse::<u32>() {
            // It was always written with a line's end: without one it was cut.
            _ if !found.ends_with('\n') => Err(Error::NoFormat { path: self.path.clone(), what: "is damaged" }),
            Ok(format @ 1..=FORMAT) => Ok(format),
            Ok(1..) => Err(Error::NewerFormat { path: self.path.clone(), found: found.trim().into() }),
            _ => Err(Error::NoFormat { path: self.path.clone(), what: "is damaged" }),
        }
    }

    /// Refuses a folder whose log is not there, or is another one's, as far as that can be told without opening it.
    fn check_log(&self) -> Result<(), Error> {
        let path = self.path.clone();
        if !self.has_log() {
            let beside = BESIDE_A_LOG.iter().find(|name| self.path.join(name).exists());
            let noted = self.checks.log().map(|_| checks::FILE);
            return match beside.copied().or(noted) {
                Some(beside) => Err(Error::NoLog { path, beside }),
                None => Ok(()),
            };
        }
        let Some(found) = journal::id(&self.log()) else { return Ok(()) };
        let (noted, filed) = (self.checks.log().map(|log| log.id), DataFolder::log_id(&self.path));
        match (noted, filed) {
            (Some(noted), _) if noted != found => Err(Error::AnotherLog { path, found, noted, by: checks::FILE }),
            // What is noted in two places counts for more than the file alone, which is written again.
            (None, Some(noted)) if noted != found => Err(Error::AnotherLog { path, found, noted, by: LOG_ID }),
            _ => Ok(()),
        }
    }

    fn write_format(&self) -> std::io::Result<()> {
        write_durably(&self.path.join("format"), format!("{FORMAT}\n").as_bytes())
    }

    /// What its files were when they were written last.
    pub fn checks(&self) -> &Arc<Checks> {
        &self.checks
    }

    /// Whether a log was ever begun in it.
    pub fn has_log(&self) -> bool {
        let log = self.log();
        let names = journal::NAMES.iter().chain(archive::relocate::PLACES);
        names.map(|name| log.join(name)).any(|path| path.symlink_metadata().is_ok())
    }

    /// What the log is known to be: anything else in `log/` is refused.
    pub fn known_log(&self) -> Option<Known> {
        let filed = || DataFolder::log_id(&self.path).map(|id| Known { id, tip: None });
        self.checks.log().map(|KnownLog { id, tip }| Known { id, tip: Some(tip) }).or_else(filed)
    }

    /// Says what was there when the server stopped last, and has to be made again.
    pub fn warn_of_missing(&self) {
        for name in self.checks.missing_derived() {
            let path = self.path.join(name);
            tracing::warn!(path = %path.display(), "it was there when the server stopped, and is missing: it is made again");
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn log(&self) -> PathBuf {
        DataFolder::log_of(&self.path)
    }

    /// The log of a folder that may be another process'.
    pub fn log_of(path: &Path) -> PathBuf {
        path.join("log")
    }

    pub fn snapshots(&self) -> PathBuf {
        self.path.join("snapshots")
    }

    /// The ledger's copy.
    pub fn ledger(&self) -> PathBuf {
        self.path.join("ledger")
    }

    /// Notes which log it is: for processes that cannot open it while a server runs, and for the next start.
    pub fn note_log(&self, log: &Store) -> std::io::Result<()> {
        let (id, filed) = (log.id(), self.path.join(LOG_ID));
        if DataFolder::log_id(&self.path) != Some(id) {
            if filed.exists() || self.checks.log().is_some() {
                tracing::warn!(path = %filed.display(), %id, "the file was not what it was: it is written again");
            }
            write_durably(&filed, format!("{id}\n").as_bytes())?;
        }
        self.checks.note_log(KnownLog { id, tip: log.tip() })?;
        self.checks.note_derived(DERIVED)
    }

    /// Which log it is, once a server has run on it.
    pub fn log_id(path: &Path) -> Option<uuid::Uuid> {
        std::fs::read_to_string(path.join(LOG_ID)).ok()?.trim().parse().ok()
    }

    /// Read models, unless they are somewhere else.
    pub fn read_models(path: &Path) -> PathBuf {
        path.join("read.sqlite")
    }

    /// How far publishing to Kafka is.
    pub fn kafka(&self) -> PathBuf {
        self.path.join("kafka")
    }

    /// Where a running server serves its log to other processes.
    pub fn socket(path: &Path) -> PathBuf {
        path.join("log.sock")
    }
}

fn expect_folder(path: &Path) -> Result<(), Error> {
    if !path.exists() {
        return Err(Error::Missing(path.into()));
    }
    if !path.join("format").exists() {
        return Err(without_format(path));
    }
    Ok(())
}

/// Why a folder without the file `format` is refused.
fn without_format(path: &Path) -> Error {
    // `read.sqlite` and `log` are names that others use, too.
    let ours = ["vault", LOG_ID, checks::FILE, "log/journal-0", "log/sled"].iter().any(|name| path.join(name).exists());
    match ours {
        true => Error::NoFormat { path: path.into(), what: "is missing" },
        false => Error::NotADataFolder(path.into()),
    }
}
