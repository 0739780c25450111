//! The ledger's copy on disk. Of no value by itself: what is damaged, of another log or of another format is ignored, and
//! the sums are made from the log again.

use super::sums::Sums;
use base::durable::write_durably;
use domain::Fingerprint;
use eventlog::{Log, Position};
use std::path::PathBuf;
use uuid::Uuid;

/// What it starts with. Another number with any change of [`Sums`] or of what is summed.
pub(crate) const MAGIC: &[u8; 16] = b"onsale-ledger 1\n";

/// Where the copy is, and of which log.
pub struct Copy {
    pub path: PathBuf,
    pub log_id: Uuid,
}

impl Copy {
    /// The sums that were written, if they are this log's.
    pub fn read(&self, log: &dyn Log) -> Option<Sums> {
        let bytes = std::fs::read(&self.path).ok()?;
        let found = self.parse(&bytes, log);
        if found.is_none() {
            tracing::warn!(
                path = %self.path.display(),
                "the ledger's copy is damaged, or of another log or version: its sums are made anew"
            );
        }
        found
    }

    /// Writes the sums. A failure costs the next start time, no more.
    pub fn write(&self, sums: &Sums, log: &dyn Log) {
        let Some(bytes) = self.render(sums, log) else { return };
        if let Err(error) = write_durably(&self.path, &bytes) {
            tracing::warn!(%error, path = %self.path.display(), "the ledger's copy cannot be written");
        }
    }

    /// Magic, CRC of what follows, the log's identity, the mark of the last event, the sums.
    fn render(&self, sums: &Sums, log: &dyn Log) -> Option<Vec<u8>> {
        let mark = mark_at(sums.position, log)?;
        let head = [&MAGIC[..], &[0; 4], self.log_id.as_bytes(), &mark.to_le_bytes()].concat();
        let mut bytes = postcard::to_extend(sums, head).expect("sums are plain data, and a Vec takes every byte");
        let crc = crc32fast::hash(&bytes[20..]);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        Some(bytes)
    }

    fn parse(&self, bytes: &[u8], log: &dyn Log) -> Option<Sums> {
        let (magic, rest) = bytes.split_at_checked(16)?;
        let (crc, rest) = rest.split_at_checked(4)?;
        let (log_id, marked) = rest.split_at_checked(16)?;
        let (mark, sums) = marked.split_at_checked(16)?;
        if magic != MAGIC || crc != crc32fast::hash(rest).to_le_bytes() || log_id != self.log_id.as_bytes() {
            return None;
        }
        let sums: Sums = postcard::from_bytes(sums).ok()?;
        // A log that was put back from a copy has another event there, or none.
        (mark_at(sums.position, log)?.to_le_bytes() == mark).then_some(sums)
    }
}

/// What tells the event at `position` from any other; `None` when there is none.
fn mark_at(position: Position, log: &dyn Log) -> Option<u128> {
    if position == Position(0) || position > log.durable() {
        return None;
    }
    let mut mark = None;
    let read = log.read_from(Position(position.0 - 1), &mut |event| {
        let (version, at_ms) = (event.version.to_le_bytes(), event.at_ms.to_le_bytes());
        let key = event.stream.key.as_bytes();
        mark = Some(Fingerprint::of(&[key, &version, &at_ms, event.name.as_bytes(), event.data]).0);
        false
    });
    read.ok().and(mark)
}
