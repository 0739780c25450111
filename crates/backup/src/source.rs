//! The log that is shipped: of a running server from within or through its socket, or of none.

use anyhow::{Context, bail};
use eventlog::data_folder::{self, DataFolder};
use eventlog::frame::Chunk;
use eventlog::reader::Reader;
use eventlog::remote::Remote;
use eventlog::{Chunks, Error, Position};
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

/// Where chunks come from.
pub enum Source {
    /// This process' own log.
    Own(Arc<dyn Chunks>),
    /// A running server's, through its socket.
    Running(Remote),
    /// Of a folder on which no server runs; none starts on it meanwhile.
    Stopped { log: Box<Reader>, _folder: DataFolder },
}

impl Source {
    /// The log of the folder `data`, and which one it is. An error in one line when it cannot be read.
    pub fn open(data: &Path) -> anyhow::Result<(Uuid, Source)> {
        let folder = match DataFolder::open_to_read(data) {
            Ok(folder) => folder,
            Err(data_folder::Error::InUse(_)) => {
                let running = Remote::connect(&DataFolder::socket(data)).with_context(|| {
                    format!("{} is in use, and its log cannot be read through its socket (yet)", data.display())
                })?;
                let id = DataFolder::log_id(data)
                    .with_context(|| format!("{} does not say which log it is (yet)", data.display()))?;
                return Ok((id, Source::Running(running)));
            }
            Err(error) => return Err(error.into()),
        };
        if !folder.has_log() {
            bail!("{} has no log yet", data.display());
        }
        let log = Box::new(Reader::open(&folder.log(), folder.known_log())?);
        Ok((log.id(), Source::Stopped { log, _folder: folder }))
    }

    /// Calls `each` with the chunks from the one that holds the event after `after` on, until it returns false: those that are
    /// durable now. CRC, contiguity and hash chain are checked on the way. Gives up to where the log was durable, which is the
    /// end of a commit.
    pub fn read_chunks(&self, after: Position, each: &mut dyn FnMut(Chunk<'_>) -> bool) -> Result<Position, Error> {
        let log: &dyn Chunks = match self {
            Source::Running(remote) => return remote.read_chunks(after, each),
            Source::Own(log) => &**log,
            Source::Stopped { log, .. } => &**log,
        };
        let durable = log.durable();
        if after < durable {
            log.read_chunks(after, &mut |chunk| chunk.first <= durable && each(chunk))?;
        }
        Ok(durable)
    }
}
