//! What is new goes to the backup.

use crate::keys;
use crate::manifest::{self, Manifest, Mark, Unused};
use crate::merge::{Run, Tail};
use crate::place::Place;
use crate::segment::{self, Writer};
use crate::source::Source;
use anyhow::{Context, bail};
use base::clock::Clock;
use base::id::Millis;
use eventlog::frame::{ChainTip, Chunk};
use eventlog::{Error, Position};
use security::FILES;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A segment has about so many bytes of chunks, at most: so much is in memory.
pub const SEGMENT_BYTES_MAX: usize = 8 << 20;
/// A first backup says how far it is after so many segments, so that another run goes on from there.
const SEGMENTS_SAID: usize = 8;
/// The vault is looked at from end to end this often at least; otherwise where keys are new.
const VAULT_EVERY: Duration = Duration::from_secs(60);
/// And this often at most, when people are erased.
const VAULT_ERASED_EVERY: Duration = Duration::from_secs(5);
/// With this a key was destroyed.
const ERASED: &str = "AccountErased";

/// [`Settings::keys_keep_ms`] of the setting, which is in hours.
pub fn keys_keep_ms(hours: u32) -> Millis {
    Millis::from(hours) * 3_600_000
}

/// How a backup is kept.
pub struct Settings {
    /// The data folder.
    pub data: PathBuf,
    /// How long keys and files stay that were replaced.
    pub keys_keep_ms: Millis,
    pub clock: Arc<dyn Clock>,
}

/// Ships one log to one place. One at a time.
pub struct Shipper {
    place: Place,
    settings: Settings,
    manifest: Manifest,
    /// The manifest's bytes as they were written or read last.
    written: Option<Vec<u8>>,
    vault_read: Option<Instant>,
    erased: bool,
    tail: Tail,
}

/// What a pass has shipped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shipped {
    pub events: u64,
    pub segments: u64,
    /// Of everything that was written, but the manifest.
    pub bytes: u64,
    pub key_blocks: u64,
    /// When the first of the events was recorded.
    pub first_at_ms: Option<Millis>,
    pub end: Mark,
}

impl Shipper {
    /// Looks at what `place` has. An error when that is of another log.
    pub fn open(place: Place, log_id: Uuid, settings: Settings) -> anyhow::Result<Shipper> {
        let written = place.get(manifest::NAME)?;
        let manifest = match &written {
            Some(bytes) => Manifest::decode(bytes).with_context(|| place.to_string())?,
            None => Manifest::new(log_id),
        };
        if manifest.log_id != log_id {
            let of = manifest.log_id;
            bail!("{place} is a backup of log {of}, and this is log {log_id}: name another place");
        }
        let mut tail = Tail::of(&place.list("segments")?, Position(manifest.sent.position));
        for name in tail.unread() {
            let whole = place.get(&format!("segments/{name}"))?.is_some_and(|bytes| segment::check(&bytes).is_ok());
            if !whole {
                tracing::warn!("{place}/segments/{name} is damaged; what it was made of stays");
                tail.keep_replaced();
                break;
            }
        }
        Ok(Shipper { place, settings, manifest, written, vault_read: None, erased: false, tail })
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Ships everything of `source` that is durable now and not there, then the keys that belong to it. `progress` hears how far
    /// it is. An error leaves the backup as it was, or further than it was.
    pub fn pass(&mut self, source: &Source, progress: &mut dyn FnMut(Position)) -> anyhow::Result<Shipped> {
        let mut shipped = Shipped::default();
        let before = self.manifest.clone();
        self.ship_events(source, &mut shipped, progress)?;
        let moved = self.manifest != before;
        // Keys after events: of every account that has events there is one, unless it was erased.
        self.ship_keys(&mut shipped)?;
        self.ship_files(&mut shipped)?;
        let now = self.settings.clock.machine();
        let expired = self.take_expired(now);
        if moved || self.manifest != before || self.written.is_none() || now > before.looked_ms + 60_000 {
            self.manifest.looked_ms = now;
            self.write_manifest()?;
        }
        // Only what no manifest names any more.
        for name in expired {
            self.place.delete(&name)?;
        }
        // With the next manifest it counts; until then nothing is missing.
        self.merge(source)?;
        shipped.end = self.manifest.end;
        Ok(shipped)
    }

    /// Makes one segment of the newest small ones, where they are enough, and deletes some that were replaced.
    fn merge(&mut self, source: &Source) -> anyhow::Result<()> {
        let now = self.settings.clock.machine();
        if let Some(run) = self.tail.run() {
            match self.one_of(source, run) {
                Some(writer) => {
                    let bytes = writer.finish(true);
                    let len = bytes.len() as u64;
                    self.place.put(&format!("segments/{}", segment::name(run.first, run.last)), bytes)?;
                    self.tail.merged(run, len, now);
                    self.manifest.segments = self.manifest.segments.saturating_sub(run.count - 1);
                    self.manifest.segment_bytes = (self.manifest.segment_bytes + len).saturating_sub(run.bytes);
                }
                // They are archived away, or are not as the log has them: they stay as they are.
                None => self.tail.leave(),
            }
        }
        for name in self.tail.take_replaced(now) {
            if let Err(error) = self.place.delete(&format!("segments/{name}")) {
                // Where events may not be deleted they are there twice, which does no harm.
                tracing::warn!("small segments of the backup stay beside those that were made of them: {error:#}");
                self.tail.keep_replaced();
                break;
            }
        }
        Ok(())
    }

    /// The events of `run`, which ends where the backup does, as the log has them.
    fn one_of(&self, source: &Source, run: Run) -> Option<Writer> {
        let before = Position(run.first.0 - 1);
        let mut writer = (before == Position(0)).then(|| Writer::new(self.manifest.log_id, ChainTip::default()));
        let mut whole = true;
        // The chunk that ends before it comes along, for its hash.
        let read = source.read_chunks(Position(before.0.saturating_sub(1)), &mut |chunk| {
            whole = match &mut writer {
                None if chunk.last() == before => {
                    writer = Some(Writer::new(self.manifest.log_id, ChainTip { last: before, hash: chunk.hash() }));
                    true
                }
                None => false,
                Some(writer) => match chunk.events().last() {
                    Some(Ok(event)) => writer.put(&chunk, event.at_ms).is_ok(),
                    _ => false,
                },
            };
            whole && chunk.last() < run.last
        });
        writer.filter(|writer| read.is_ok() && whole && writer.header().end == self.manifest.sent.tip())
    }

    fn ship_events(
        &mut self,
        source: &Source,
        shipped: &mut Shipped,
        progress: &mut dyn FnMut(Position),
    ) -> anyhow::Result<()> {
        let from = self.manifest.sent.tip();
        // The chunk that ends there comes along, to be compared.
        let after = Position(from.last.0.saturating_sub(1));
        let (mut open, mut failed, mut met) = (None, None, from.last == Position(0));
        let durable = source.read_chunks(after, &mut |chunk| {
            let taken = if chunk.first <= from.last {
                met = ChainTip { last: chunk.last(), hash: chunk.hash() } == from;
                if met { Ok(()) } else { Err(self.other_history(from)) }
            } else {
                self.take(&mut open, &chunk, shipped, progress)
            };
            failed = taken.err();
            failed.is_none()
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let durable = match durable {
            Err(error @ Error::Away { .. }) => {
                bail!("{error}: what is not in the backup yet has to be there while it is made")
            }
            durable => durable?,
        };
        if durable < from.last || !met {
            return Err(self.other_history(from));
        }
        if let Some(open) = open {
            self.put_segment(open, true, shipped)?;
        }
        if self.manifest.sent.position != durable.0 {
            bail!("the log is durable up to {durable}, and its chunks end at {}", self.manifest.sent.position);
        }
        self.manifest.end = self.manifest.sent;
        progress(durable);
        Ok(())
    }

    fn other_history(&self, at: ChainTip) -> anyhow::Error {
        let place = &self.place;
        anyhow::anyhow!(
            "{place} has events up to {}, which this log does not have as they are there: was it put back from a backup? \
             Name another place; what is there stays as it is",
            at.last
        )
    }

    fn take(
        &mut self,
        open: &mut Option<Writer>,
        chunk: &Chunk<'_>,
        shipped: &mut Shipped,
        progress: &mut dyn FnMut(Position),
    ) -> anyhow::Result<()> {
        let mut at_ms = 0;
        for event in chunk.events() {
            let event = event?;
            at_ms = event.at_ms;
            shipped.first_at_ms.get_or_insert(at_ms);
            self.erased |= event.name.starts_with(ERASED);
        }
        let mut writer = open.take().unwrap_or_else(|| Writer::new(self.manifest.log_id, self.manifest.sent.tip()));
        writer.put(chunk, at_ms)?;
        shipped.events += u64::from(chunk.count);
        if writer.chunk_bytes() < SEGMENT_BYTES_MAX {
            *open = Some(writer);
            return Ok(());
        }
        self.put_segment(writer, false, shipped)?;
        progress(chunk.last());
        if shipped.segments.is_multiple_of(SEGMENTS_SAID as u64) {
            self.write_manifest()?;
        }
        Ok(())
    }

    fn put_segment(&mut self, writer: Writer, commit: bool, shipped: &mut Shipped) -> anyhow::Result<()> {
        let header = writer.header();
        let bytes = writer.finish(commit);
        let len = bytes.len() as u64;
        let name = segment::name(Position(header.before.last.0 + 1), header.end.last);
        self.place.put(&format!("segments/{name}"), bytes)?;
        self.manifest.sent = Mark { position: header.end.last.0, hash: header.end.hash, at_ms: header.at_ms };
        self.tail.wrote(Position(header.before.last.0 + 1), header.end.last, len);
        self.manifest.segments += 1;
        self.manifest.segment_bytes += len;
        shipped.segments += 1;
        shipped.bytes += len;
        Ok(())
    }

    fn ship_keys(&mut self, shipped: &mut Shipped) -> anyhow::Result<()> {
        let since = self.vault_read.map_or(Duration::MAX, |read| read.elapsed());
        let whole = since >= VAULT_EVERY || (self.erased && since >= VAULT_ERASED_EVERY);
        let known = self.manifest.keys.clone();
        let from = if whole { 0 } else { known.len().saturating_sub(1) };
        let data = self.settings.data.clone();
        keys::changed(&data, &known, from, &mut |block, name, bytes| {
            shipped.bytes += bytes.len() as u64;
            shipped.key_blocks += 1;
            // Of one that has only got more keys nothing is worth keeping.
            let extends = known.get(block).is_some_and(|before| keys::extends(&bytes, before));
            let keep_ms = if extends { 0 } else { self.settings.keys_keep_ms };
            self.place.put(&format!("keys/{name}"), bytes)?;
            match self.manifest.keys.get_mut(block) {
                Some(before) => {
                    let before = std::mem::replace(before, name);
                    self.retire(format!("keys/{before}"), keep_ms);
                }
                None => self.manifest.keys.push(name),
            }
            Ok(())
        })?;
        if whole {
            (self.vault_read, self.erased) = (Some(Instant::now()), false);
        }
        Ok(())
    }

    fn ship_files(&mut self, shipped: &mut Shipped) -> anyhow::Result<()> {
        for file in FILES {
            let path = self.settings.data.join(file);
            let bytes = match std::fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).with_context(|| path.display().to_string()),
            };
            let name = format!("{file}-{}", &blake3::hash(&bytes).to_hex()[..32]);
            if self.manifest.files.get(file) != Some(&name) {
                shipped.bytes += bytes.len() as u64;
                self.place.put(&format!("secrets/{name}"), bytes)?;
                if let Some(before) = self.manifest.files.insert(file.into(), name) {
                    self.retire(format!("secrets/{before}"), self.settings.keys_keep_ms);
                }
            }
        }
        Ok(())
    }

    /// What is named no more stays for a while.
    fn retire(&mut self, name: String, keep_ms: Millis) {
        let until_ms = self.settings.clock.machine() + keep_ms;
        self.manifest.unused.push(Unused { name, until_ms });
    }

    /// Takes what has stayed long enough off the manifest, also when it is kept shorter now than it was then.
    fn take_expired(&mut self, now: Millis) -> Vec<String> {
        let keep_ms = self.settings.keys_keep_ms;
        let manifest = &self.manifest;
        let named = |name: &str| {
            let (folder, name) = name.split_once('/').unwrap_or(("", name));
            match folder {
                "keys" => manifest.keys.iter().any(|named| named == name),
                _ => manifest.files.values().any(|named| named == name),
            }
        };
        let (stay, gone): (Vec<Unused>, Vec<Unused>) = manifest
            .unused
            .iter()
            // What came back is in use again.
            .filter(|unused| !named(&unused.name))
            .cloned()
            .map(|unused| Unused { until_ms: unused.until_ms.min(now + keep_ms), ..unused })
            .partition(|unused| unused.until_ms > now);
        self.manifest.unused = stay;
        gone.into_iter().map(|unused| unused.name).collect()
    }

    fn write_manifest(&mut self) -> anyhow::Result<()> {
        if self.place.get(manifest::NAME)? != self.written {
            bail!("somebody else has written to {} meanwhile: one backup at a time", self.place);
        }
        let bytes = self.manifest.encode();
        self.place.put(manifest::NAME, bytes.clone())?;
        self.written = Some(bytes);
        Ok(())
    }
}
