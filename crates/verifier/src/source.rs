//! The log of a data folder, whether a server runs on it or not.

use anyhow::{Context, bail};
use eventlog::data_folder::{self, DataFolder};
use eventlog::reader::Reader;
use eventlog::remote::{Remote, Step};
use eventlog::{Log, Position, Recorded};
use std::path::Path;

/// Where events can be read.
pub enum Source {
    /// No server runs: the log itself, which no server can use meanwhile. Nothing is written to it, and it need not be
    /// writable.
    Stopped { log: Box<Reader>, _folder: DataFolder },
    /// A server runs: its socket.
    Running(Remote),
}

impl Source {
    /// An error in one line when there is no log, or none that can be read.
    pub fn open(dir: &Path) -> anyhow::Result<Source> {
        let folder = match DataFolder::open_to_read(dir) {
            Ok(folder) => folder,
            Err(data_folder::Error::InUse(_)) => {
                let socket = DataFolder::socket(dir);
                let remote = Remote::connect(&socket).with_context(|| {
                    format!("{} is in use, and its log cannot be read through its socket (yet)", dir.display())
                })?;
                return Ok(Source::Running(remote));
            }
            Err(error) => return Err(error.into()),
        };
        if !folder.has_log() {
            bail!("{} has no log yet", dir.display());
        }
        let log = Reader::open(&folder.log(), folder.known_log())?;
        Ok(Source::Stopped { log: Box::new(log), _folder: folder })
    }

    /// How many events there are, where that is known beforehand.
    pub fn events(&self) -> Option<u64> {
        match self {
            Source::Stopped { log, .. } => Some(log.durable().0),
            Source::Running(_) => None,
        }
    }

    /// Calls `each` with every event after `after` that is durable now, until it returns false. Bytes and chain are
    /// checked on the way.
    pub fn read(
        &self,
        after: Position,
        each: &mut dyn FnMut(Recorded<'_>) -> bool,
    ) -> Result<Position, eventlog::Error> {
        match self {
            Source::Stopped { log, .. } => log.read_from(after, each),
            Source::Running(remote) => remote.read_from(after, false, &mut |step| match step {
                Step::Event(event) => each(event),
                Step::CaughtUp => true,
            }),
        }
    }
}
