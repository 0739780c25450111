//! A data folder of a backup.

use crate::keys;
use crate::manifest::{self, Manifest, Mark};
use crate::place::Place;
use crate::segment;
use anyhow::{Context, bail, ensure};
use base::durable::{write_durably, write_secret};
use base::id::Millis;
use eventlog::archive::refill::Refill;
use eventlog::data_folder::{DataFolder, FORMAT};
use eventlog::frame::Chunk;
use eventlog::store::{Options, Store};
use eventlog::{Log, Position};
use security::vault::{Found, SLOT_BYTES};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use uuid::Uuid;

/// How much is put back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Everything.
    End,
    /// Events up to this position; fewer where that would cut a command in two.
    Position(Position),
    /// Everything before the first event that was recorded later.
    Time(Millis),
}

/// What was put back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    pub log_id: Uuid,
    /// The last event that is there; the hash is zeros where the log was cut.
    pub last: Mark,
    /// The last event that the backup has, and when it was compared with the log last.
    pub backup: Mark,
    pub looked_ms: Millis,
    /// Keys of the vault, destroyed ones among them.
    pub key_slots: u64,
}

/// The backup in `place`.
pub fn manifest(place: &Place) -> anyhow::Result<Manifest> {
    let bytes = place.get(manifest::NAME)?;
    let bytes = bytes.with_context(|| format!("{place} has no backup: there is no {}", manifest::NAME))?;
    Manifest::decode(&bytes).with_context(|| place.to_string())
}

/// Makes a data folder at `to`, which is empty or not there. `progress` hears how far it is. Broken off, `to` is a folder that no
/// server takes: delete it.
pub fn restore(place: &Place, to: &Path, until: Until, progress: &mut dyn FnMut(Position)) -> anyhow::Result<Restored> {
    let manifest = manifest(place)?;
    ensure!(manifest.sent.position > 0, "{place} has no event yet: there is nothing to put back");
    ensure!(
        manifest.end.position > 0,
        "{place} is not complete: a first backup got to event {}, but has not finished",
        manifest.sent.position
    );
    prepare(to)?;
    let mut events = Events {
        place,
        manifest: &manifest,
        until,
        refill: Refill::create(&DataFolder::log_of(to))?,
        held: Vec::new(),
        last_at_ms: 0,
        released_at_ms: 0,
        done: false,
    };
    events.read(progress)?;
    let at_ms = events.released_at_ms;
    let tip = events.refill.finish(manifest.log_id)?;
    let key_slots = write_vault(place, &manifest, to)?;
    for (file, name) in &manifest.files {
        let bytes = get(place, &format!("secrets/{name}"))?;
        let hash = blake3::hash(&bytes).to_hex();
        ensure!(name.ends_with(&hash[..32]), "{place}/secrets/{name} is damaged");
        write_secret(&to.join(file), &bytes)?;
    }
    // From here on a server takes the folder: everything is there.
    write_durably(&to.join("format"), format!("{FORMAT}\n").as_bytes())?;
    note(to, &manifest)?;
    Ok(Restored {
        log_id: manifest.log_id,
        last: Mark { position: tip.last.0, hash: tip.hash, at_ms },
        backup: manifest.end,
        looked_ms: manifest.looked_ms,
        key_slots,
    })
}

fn get(place: &Place, name: &str) -> anyhow::Result<Vec<u8>> {
    place.get(name)?.with_context(|| format!("{place}/{name} is missing"))
}

fn prepare(to: &Path) -> anyhow::Result<()> {
    let named = || to.display().to_string();
    DirBuilder::new().recursive(true).mode(0o700).create(to).with_context(named)?;
    if std::fs::read_dir(to).with_context(named)?.next().is_some() {
        bail!("{} is not empty: a backup is put back into a folder of its own", to.display());
    }
    base::durable::sync_names(to).with_context(named)
}

/// Opens what was made as a start does, reads it from end to end, and notes what its files are.
fn note(to: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    let folder = DataFolder::open(to)?;
    for file in manifest.files.keys() {
        folder.checks().note(file, &std::fs::read(to.join(file))?)?;
    }
    if !manifest.keys.is_empty() {
        Found::read(to)?.open(folder.checks(), &[])?;
    }
    let (store, _) = Store::open(&folder.log(), Options::default())?;
    let last = store.verify_chain(Position(1))?;
    ensure!(last == store.durable(), "the log that was made ends at {last}, not at {}", store.durable());
    folder.note_log(&store)?;
    Ok(store.close()?)
}

fn write_vault(place: &Place, manifest: &Manifest, to: &Path) -> anyhow::Result<u64> {
    if manifest.keys.is_empty() {
        return Ok(0);
    }
    let path = to.join(security::vault::FILE);
    let attempt = || -> anyhow::Result<u64> {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        let mut written = 0;
        for (block, name) in manifest.keys.iter().enumerate() {
            let bytes = get(place, &format!("keys/{name}"))?;
            let whole = keys::is_named(&bytes, name) && keys::fits(block, manifest.keys.len(), bytes.len());
            ensure!(whole, "{place}/keys/{name} is damaged: without it {} accounts are lost", keys::BLOCK_SLOTS);
            file.write_all(&bytes)?;
            written += bytes.len() as u64;
        }
        file.sync_all()?;
        Ok(written / SLOT_BYTES)
    };
    attempt().with_context(|| path.display().to_string())
}

/// Events on their way into a log.
struct Events<'a> {
    place: &'a Place,
    manifest: &'a Manifest,
    until: Until,
    refill: Refill,
    /// Chunks that may have to be cut: those since the last in which the time changes, which comes first.
    held: Vec<Vec<u8>>,
    last_at_ms: Millis,
    /// When the last event was recorded that is in the log for good.
    released_at_ms: Millis,
    done: bool,
}

impl Events<'_> {
    fn read(&mut self, progress: &mut dyn FnMut(Position)) -> anyhow::Result<()> {
        let mut names = Names::of(
            self.place.list("segments")?.into_iter().map(|object| object.name),
            Position(self.manifest.end.position),
        );
        let mut tip = self.refill.tip();
        while !self.done && tip.last.0 < self.manifest.end.position {
            let Some((first, last)) = names.next(tip.last) else {
                // What was asked for ends here, but whether a command does is not known.
                if self.until == Until::Position(tip.last) && tip.last > Position(0) {
                    self.done = true;
                    self.release_up_to(tip.last)?;
                    break;
                }
                return Err(self.missing(&names, tip.last));
            };
            let name = format!("segments/{}", segment::name(first, last));
            let read = get(self.place, &name).and_then(|bytes| {
                let checked = segment::check(&bytes)?;
                ensure!(checked.before == tip, "it does not continue what comes before it");
                Ok((bytes, checked))
            });
            match read {
                Ok((bytes, header)) => {
                    segment::read(&bytes, self.manifest.log_id, tip, &mut |chunk| self.take(&chunk))
                        .with_context(|| format!("{}/{name}", self.place))?;
                    tip = header.end;
                    progress(tip.last);
                    if header.commit && !self.done {
                        self.release()?;
                        self.done = self.until == Until::Position(tip.last);
                    }
                }
                // The same events may be in another one, which a backup that was broken off left.
                Err(error) => names.give_up(first, last, format!("{}/{name}: {error:#}", self.place)),
            }
        }
        if !self.done {
            ensure!(tip == self.manifest.end.tip(), "the segments of {} are not those of its manifest", self.place);
            self.release()?;
        }
        Ok(())
    }

    fn missing(&self, names: &Names, at: Position) -> anyhow::Error {
        let what = match names.given_up.last() {
            Some(what) => what.clone(),
            None => format!("{}/segments/{:020}-… is missing", self.place, at.0 + 1),
        };
        let end = self.manifest.end.position;
        match at.0 {
            0 => anyhow::anyhow!("{what}. Nothing can be put back"),
            _ => anyhow::anyhow!(
                "{what}. Events {} to {end} cannot be put back; what comes before can: --until {}",
                at.0 + 1,
                at.0
            ),
        }
    }

    /// Takes a chunk; gives whether more is wanted.
    fn take(&mut self, chunk: &Chunk<'_>) -> anyhow::Result<bool> {
        let Some(cut) = self.cut_in(chunk)? else {
            self.hold(chunk)?;
            return Ok(true);
        };
        self.done = true;
        self.held.push(chunk.bytes().to_vec());
        self.release_up_to(cut)?;
        ensure!(self.refill.tip().last > Position(0), "there is nothing before that: the backup begins later");
        Ok(false)
    }

    /// The last event that is wanted, if it is in this chunk or before it and more follows.
    fn cut_in(&self, chunk: &Chunk<'_>) -> anyhow::Result<Option<Position>> {
        match self.until {
            Until::End => Ok(None),
            Until::Position(last) if last.0 >= self.manifest.end.position => Ok(None),
            Until::Position(last) => Ok((last < chunk.last()).then_some(last)),
            Until::Time(until_ms) => {
                for event in chunk.events() {
                    let event = event?;
                    if event.at_ms > until_ms {
                        return Ok(Some(Position(event.position.0 - 1)));
                    }
                }
                Ok(None)
            }
        }
    }

    /// Keeps a chunk until it is known that it need not be cut.
    fn hold(&mut self, chunk: &Chunk<'_>) -> anyhow::Result<()> {
        if self.until == Until::End {
            self.refill.put(chunk)?;
            for event in chunk.events() {
                self.last_at_ms = event?.at_ms;
            }
            return Ok(());
        }
        let (mut at_ms, mut changes) = (self.last_at_ms, false);
        for event in chunk.events() {
            let event = event?;
            changes |= event.at_ms != at_ms;
            at_ms = event.at_ms;
        }
        if changes {
            self.release()?;
        }
        self.held.push(chunk.bytes().to_vec());
        self.last_at_ms = at_ms;
        Ok(())
    }

    /// Takes what was held for good.
    fn release(&mut self) -> anyhow::Result<()> {
        for bytes in self.held.drain(..) {
            self.refill.put(&Chunk::parse(&bytes).map_err(anyhow::Error::msg)?)?;
        }
        self.released_at_ms = self.last_at_ms;
        Ok(())
    }

    /// Takes what was held up to `cut`, or less: no command is cut in two, and all of a command's events have one time.
    fn release_up_to(&mut self, cut: Position) -> anyhow::Result<()> {
        let held = std::mem::take(&mut self.held);
        let chunks = held.iter().map(|bytes| Chunk::parse(bytes).map_err(anyhow::Error::msg));
        let chunks = chunks.collect::<anyhow::Result<Vec<_>>>()?;
        let (mut end, mut at_ms) = (self.refill.tip().last, self.released_at_ms);
        for event in chunks.iter().flat_map(Chunk::events) {
            let event = event?;
            if event.at_ms != at_ms {
                (end, self.released_at_ms) = (Position(event.position.0 - 1), at_ms);
            }
            at_ms = event.at_ms;
            if event.position > cut {
                break;
            }
        }
        for chunk in chunks.iter().filter(|chunk| chunk.first <= end) {
            self.refill.put_up_to(chunk, end)?;
        }
        Ok(())
    }
}

/// Which segments lead to the end, longest first: backups that were broken off leave some that overlap.
struct Names {
    end: Position,
    /// By their first position, the last ones.
    last: BTreeMap<u64, BTreeSet<u64>>,
    /// By their first position, how far they and what follows them lead. Made once: a backup of weeks has a million segments.
    reach: BTreeMap<u64, u64>,
    given_up: Vec<String>,
}

impl Names {
    fn of(names: impl Iterator<Item = String>, end: Position) -> Names {
        let mut last: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for (first, to) in names.filter_map(|name| segment::positions(&name)).filter(|(_, to)| *to <= end) {
            last.entry(first.0).or_default().insert(to.0);
        }
        let mut names = Names { end, last, reach: BTreeMap::new(), given_up: Vec::new() };
        names.find_reach();
        names
    }

    fn give_up(&mut self, first: Position, last: Position, why: String) {
        self.last.entry(first.0).or_default().remove(&last.0);
        self.given_up.push(why);
        self.find_reach();
    }

    /// From the end back, so that what follows is known.
    fn find_reach(&mut self) {
        self.reach.clear();
        for (first, lasts) in self.last.iter().rev() {
            if let Some(to) = lasts.iter().map(|last| self.furthest(*last)).max() {
                self.reach.insert(*first, to);
            }
        }
    }

    /// How far what follows a segment that ends at `last` leads.
    fn furthest(&self, last: u64) -> u64 {
        self.reach.get(&(last + 1)).copied().unwrap_or(last)
    }

    /// The segment to read after `at`: one from which the end can be reached, or else the one that leads furthest.
    fn next(&self, at: Position) -> Option<(Position, Position)> {
        let lasts = self.last.get(&(at.0 + 1))?;
        let best = lasts.iter().rev().copied().max_by_key(|last| (self.furthest(*last), *last))?;
        debug_assert!(best <= self.end.0);
        Some((Position(at.0 + 1), Position(best)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which segments there are, and which of them are read to get to 9.
    #[test]
    fn segments_that_overlap_are_read_once() {
        type Segments = &'static [(u64, u64)];
        let rows: &[(Segments, Segments)] = &[
            (&[(1, 4), (5, 9)], &[(1, 4), (5, 9)]),
            (&[(1, 4), (1, 6), (5, 9)], &[(1, 4), (5, 9)]),
            (&[(1, 4), (1, 6), (5, 9), (7, 9)], &[(1, 6), (7, 9)]),
            (&[(1, 4), (1, 12), (5, 9), (10, 12)], &[(1, 4), (5, 9)]),
            (&[(1, 4), (6, 9)], &[(1, 4)]),
            (&[(2, 9)], &[]),
        ];
        for (there, expected) in rows {
            let names = there.iter().map(|(first, last)| segment::name(Position(*first), Position(*last)));
            let names = Names::of(names, Position(9));
            let (mut at, mut read) = (Position(0), Vec::new());
            while let Some((first, last)) = names.next(at) {
                read.push((first.0, last.0));
                at = last;
            }
            assert_eq!(read.as_slice(), *expected, "{there:?}");
        }
    }
}
