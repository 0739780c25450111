//! What a backup has. It is written last and replaced whole, so whoever reads it finds everything that it names.

use anyhow::{Context, ensure};
use base::id::Millis;
use eventlog::Position;
use eventlog::frame::{ChainTip, Hash};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Its name.
pub const NAME: &str = "manifest";
const FORMAT: u32 = 1;

/// What a backup has.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub log_id: Uuid,
    /// Up to here it is whole: the end of a commit.
    pub end: Mark,
    /// Segments go so far, while a first backup is under way.
    pub sent: Mark,
    /// When `end` was last compared with the log, by the clock of the machine.
    pub looked_ms: Millis,
    /// Events before `end` and the bytes of their segments.
    pub segment_bytes: u64,
    pub segments: u64,
    /// Blocks of the vault, in their order; a block that is all zeros stays as it is.
    pub keys: Vec<String>,
    /// Objects of files of the data folder, by the file's name.
    pub files: BTreeMap<String, String>,
    /// What is named no more, and until when it stays.
    pub unused: Vec<Unused>,
}

/// A place in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Mark {
    pub position: u64,
    #[serde(with = "hex")]
    pub hash: Hash,
    /// When the event there was recorded.
    pub at_ms: Millis,
}

impl Mark {
    pub fn tip(&self) -> ChainTip {
        ChainTip { last: Position(self.position), hash: self.hash }
    }
}

/// An object that is deleted once its time has come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unused {
    pub name: String,
    pub until_ms: Millis,
}

#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    /// BLAKE3 of the manifest's text.
    blake3: String,
    #[serde(borrow)]
    manifest: &'a RawValue,
}

impl Manifest {
    /// Of a backup that has nothing yet.
    pub fn new(log_id: Uuid) -> Manifest {
        Manifest {
            format: FORMAT,
            log_id,
            end: Mark::default(),
            sent: Mark::default(),
            looked_ms: 0,
            segment_bytes: 0,
            segments: 0,
            keys: Vec::new(),
            files: BTreeMap::new(),
            unused: Vec::new(),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let text = serde_json::value::to_raw_value(self).expect("numbers and names are JSON");
        let sealed = Sealed { blake3: blake3::hash(text.get().as_bytes()).to_string(), manifest: &text };
        let mut bytes = serde_json::to_vec(&sealed).expect("numbers and names are JSON");
        bytes.push(b'\n');
        bytes
    }

    /// An error when it is damaged, or of a version to come.
    pub fn decode(bytes: &[u8]) -> anyhow::Result<Manifest> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let sealed: Sealed = serde_json::from_slice(bytes).context("the manifest is damaged")?;
        let text = sealed.manifest.get();
        ensure!(blake3::hash(text.as_bytes()).to_string() == sealed.blake3, "the manifest is damaged");
        let Format { format } = serde_json::from_str(text).context("the manifest is damaged")?;
        ensure!(format <= FORMAT, "the backup has format {format}, this onsale reads {FORMAT}; use the newer one");
        serde_json::from_str(text).context("the manifest makes no sense")
    }
}

/// Hashes as 64 hexadecimal digits.
mod hex {
    use eventlog::frame::Hash;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(blake3::Hash::from_bytes(*hash).to_hex().as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        let text = String::deserialize(deserializer)?;
        blake3::Hash::from_hex(text).map(Into::into).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_or_not_at_all() {
        let mut manifest = Manifest::new(Uuid::from_u128(3));
        manifest.end = Mark { position: 7, hash: [9; 32], at_ms: 12 };
        manifest.keys = vec!["00000000-aa".into()];
        manifest.unused = vec![Unused { name: "keys/x".into(), until_ms: 5 }];
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes).unwrap(), manifest);
        for at in 0..bytes.len() - 1 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Manifest::decode(&damaged).is_err(), "byte {at}");
        }
        manifest.format = 2;
        let error = Manifest::decode(&manifest.encode()).unwrap_err().to_string();
        assert!(error.contains("use the newer one"), "{error}");
    }
}
