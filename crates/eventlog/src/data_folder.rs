//! The data folder: who may use it, and which format it has.
//!
//! `lock` (held while in use), `format`, `log/` (journal and sled), `snapshots/`, `ledger` (sums, see `engine::ledger`),
//! `kafka` (see `kafka::checkpoint`), `read.sqlite` (read models, see `readmodels`), `log-id`,
//! `log.sock` (a running server's log, for other processes), and what `security::secrets` and `security::vault` keep.

use base::durable::{sync_names, write_durably};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// The format of a folder that this binary has opened: sled has blocks of chunks. A newer one is refused. Before it were 1,
/// and 2 where a part of the log was in archive files.
pub const FORMAT: u32 = 3;

const LOG_ID: &str = "log-id";

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
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: std::io::Error },
}

/// A data folder that this process may use, until it is dropped.
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
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
                return Err(Error::NotADataFolder(path.into()));
            }
            // A folder that has a format is one that a power cut leaves there.
            sync_names(path).map_err(io)?;
            folder.write_format().map_err(io)?;
        }
        folder.raise_format()?;
        Ok(folder)
    }

    /// Takes a folder that is there.
    pub fn open(path: &Path) -> Result<DataFolder, Error> {
        if !path.exists() {
            return Err(Error::Missing(path.into()));
        }
        if !path.join("format").exists() {
            return Err(Error::NotADataFolder(path.into()));
        }
        let folder = DataFolder::lock(path)?;
        folder.raise_format()?;
        Ok(folder)
    }

    fn lock(path: &Path) -> Result<DataFolder, Error> {
        let io = |error| Error::Io { path: path.into(), error };
        let lock = File::options().write(true).create(true).truncate(false).open(path.join("lock")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(DataFolder { path: path.into(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse(path.into())),
            Err(TryLockError::Error(error)) => Err(io(error)),
        }
    }

    /// Notes, durably and before anything is written that earlier versions cannot read, that it is this one's.
    fn raise_format(&self) -> Result<(), Error> {
        let io = |error| Error::Io { path: self.path.clone(), error };
        let found = std::fs::read_to_string(self.path.join("format")).map_err(io)?;
        match found.trim().parse::<u32>() {
            Ok(FORMAT) => Ok(()),
            Ok(1..FORMAT) => self.write_format().map_err(io),
            _ => Err(Error::NewerFormat { path: self.path.clone(), found: found.trim().into() }),
        }
    }

    fn write_format(&self) -> std::io::Result<()> {
        write_durably(&self.path.join("format"), format!("{FORMAT}\n").as_bytes())
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

    /// Notes which log it is, for processes that cannot open it while a server runs.
    pub fn note_log_id(&self, id: uuid::Uuid) -> std::io::Result<()> {
        if DataFolder::log_id(&self.path) == Some(id) {
            return Ok(());
        }
        write_durably(&self.path.join(LOG_ID), format!("{id}\n").as_bytes())
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
