//! The log of a data folder, whether a server runs on it or not.

use anyhow::{Context, bail};
use eventlog::data_folder::{self, DataFolder};
use eventlog::remote::{Remote, Step};
use eventlog::store::{Options, Store};
use eventlog::{Log, Position, Recorded};
use std::path::Path;

/// Where events can be read.
pub enum Source {
    /// No server runs: the log itself, which nobody else can use meanwhile. Opening it does what a server's start does:
    /// what a crash left half written is cut off.
    Stopped { store: Box<Store>, _folder: DataFolder },
    /// A server runs: its socket.
    Running(Remote),
}

impl Source {
    /// An error in one line when there is no log, or none that can be read.
    pub fn open(dir: &Path) -> anyhow::Result<Source> {
        let folder = match DataFolder::open(dir) {
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
        if !folder.log().is_dir() {
            bail!("{} has no log yet", dir.display());
        }
        let on_failure = Box::new(|what| eprintln!("onsale: {what}"));
        let (store, _) = Store::open(&folder.log(), Options { on_failure, ..Options::default() })?;
        Ok(Source::Stopped { store: Box::new(store), _folder: folder })
    }

    /// How many events there are, where that is known beforehand.
    pub fn events(&self) -> Option<u64> {
        match self {
            Source::Stopped { store, .. } => Some(store.durable().0),
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
            Source::Stopped { store, .. } => store.read_from(after, each),
            Source::Running(remote) => remote.read_from(after, false, &mut |step| match step {
                Step::Event(event) => each(event),
                Step::CaughtUp => true,
            }),
        }
    }

    /// Leaves the log as a clean shutdown does.
    pub fn close(self) -> Result<(), eventlog::Error> {
        match self {
            Source::Stopped { store, .. } => store.close(),
            Source::Running(_) => Ok(()),
        }
    }
}
