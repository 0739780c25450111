//! How far publishing was, in the file `kafka` of the data folder. It saves reading the log from its start, and tells a
//! partition that never had an event from one that lost its records. Without it everything is found out from Kafka.

use base::durable::write_durably;
use eventlog::Position;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// What was known to be in Kafka.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The log that this is about.
    pub log_id: Uuid,
    /// Every event up to here was acknowledged.
    pub position: Position,
    /// By name.
    pub topics: BTreeMap<String, Topic>,
}

/// What is in the file. Versions before wrote no check value.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(flatten)]
    checkpoint: Checkpoint,
    /// CRC of the checkpoint as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crc: Option<u32>,
}

impl Checkpoint {
    fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and names are JSON")
    }

    /// What of it holds for the topics `names`: nothing of what was published under other names.
    pub fn about(mut self, names: &[String]) -> Checkpoint {
        self.topics.retain(|name, _| names.contains(name));
        if self.topics.is_empty() {
            self.position = Position(0);
        }
        self
    }
}

/// One topic: an item per partition that is used, each the offset behind the last record that was acknowledged (0: none).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Topic {
    pub next_offsets: Vec<i64>,
}

impl Topic {
    /// How many partitions are used.
    pub fn partitions(&self) -> u32 {
        self.next_offsets.len() as u32
    }
}

/// The file.
pub struct File {
    path: PathBuf,
    written: Option<Checkpoint>,
}

impl File {
    pub fn at(path: &Path) -> File {
        File { path: path.to_owned(), written: None }
    }

    /// What was written last for this log, or that nothing is known.
    pub fn read(&mut self, log_id: Uuid) -> Checkpoint {
        let nothing = Checkpoint { log_id, ..Checkpoint::default() };
        let Ok(bytes) = std::fs::read(&self.path) else { return nothing };
        match serde_json::from_slice::<Written>(&bytes) {
            Ok(Written { checkpoint, crc })
                if checkpoint.log_id == log_id && crc.is_none_or(|crc| crc == crc32fast::hash(&checkpoint.json())) =>
            {
                checkpoint
            }
            _ => {
                tracing::warn!(path = %self.path.display(), "not of use: what is in Kafka is found out from Kafka");
                nothing
            }
        }
    }

    /// Writes it, if it is another one. A failure costs time at the next start, no more.
    pub fn write(&mut self, checkpoint: &Checkpoint) {
        if self.written.as_ref() == Some(checkpoint) {
            return;
        }
        let crc = Some(crc32fast::hash(&checkpoint.json()));
        let written = Written { checkpoint: checkpoint.clone(), crc };
        let bytes = serde_json::to_vec(&written).expect("numbers and names are JSON");
        match write_durably(&self.path, &bytes) {
            Ok(()) => self.written = Some(checkpoint.clone()),
            Err(error) => tracing::warn!(%error, path = %self.path.display(), "cannot be written"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_for_the_same_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kafka");
        let log_id = Uuid::from_u128(1);
        let topic = Topic { next_offsets: vec![0, 7] };
        let checkpoint = Checkpoint { log_id, position: Position(9), topics: [("a".to_owned(), topic)].into() };
        assert_eq!(File::at(&path).read(log_id).position, Position(0));
        File::at(&path).write(&checkpoint);
        assert_eq!(File::at(&path).read(log_id), checkpoint);
        assert_eq!(checkpoint.clone().about(&["a".to_owned(), "b".to_owned()]), checkpoint);
        let nothing = Checkpoint { log_id, ..Checkpoint::default() };
        assert_eq!(checkpoint.clone().about(&["b".to_owned()]), nothing, "published under another name");
        assert_eq!(File::at(&path).read(Uuid::from_u128(2)).position, Position(0), "another log's");
        std::fs::write(&path, "{").unwrap();
        assert_eq!(File::at(&path).read(log_id), nothing);
        // One of a version before, and one that is not what was written.
        std::fs::write(&path, checkpoint.json()).unwrap();
        assert_eq!(File::at(&path).read(log_id), checkpoint);
        File::at(&path).write(&checkpoint);
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, flipped).unwrap();
            let found = File::at(&path).read(log_id);
            assert!(found == nothing || found == checkpoint, "byte {at}: {found:?}");
        }
    }
}
