//! The figures about size: replay, recovery, memory. Their data is generated, not bought.

use super::goals::figure;
use super::{BenchmarkArgs, FigureFilter, Progress, generate};
use crate::server::{Scratch, Server, off_thread};
use crate::stats::median;
use anyhow::ensure;
use base::report::Figure;
use eventlog::data_folder::DataFolder;
use std::path::Path;
use std::time::Duration;

/// Wallets and performances behind the log that is replayed; the performances sell while the events last.
const REPLAY_WALLETS: u64 = 100_000;
const REPLAY_PERFORMANCES: u64 = 1_000;
/// How old the snapshot is, in events, when the server is killed: half of what it lets pass between two.
const SNAPSHOT_BEFORE_EVENTS: u64 = 250_000;
const MILLION: u64 = 1_000_000;
/// A generous guess of what an event takes on disk, twice: in the log and while sled rewrites it.
const EVENT_BYTES_GUESS: u64 = 800;
/// A start without a snapshot replays everything; at this time it has failed.
const READY_WITHIN: Duration = Duration::from_secs(300);
/// Starts of which the median counts.
const STARTS: u32 = 3;

/// Steps of the progress bar.
pub fn steps(wanted: &FigureFilter) -> u64 {
    let groups: [(&[&str], u64); 4] = [
        (&["replay", "recovery_snapshot", "disk_per_event"], 1),
        (&["replay", "disk_per_event"], 1),
        (&["recovery_snapshot"], 1),
        (&["memory_million"], 2),
    ];
    groups.iter().filter(|(names, _)| wanted.any(names)).map(|(_, steps)| steps).sum()
}

/// Measures what is wanted. A figure that could not be measured says why in its note.
pub async fn measure(
    wanted: &FigureFilter,
    args: &BenchmarkArgs,
    scratch: &Scratch,
    progress: &Progress,
) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    if wanted.any(&["replay", "recovery_snapshot", "disk_per_event"]) {
        figures.extend(of_the_log(wanted, args, scratch, progress).await);
        scratch.clear("log");
    }
    if wanted.any(&["memory_million"]) {
        figures.extend(or_missing(&["memory_million"], memory(scratch, progress).await));
        scratch.clear("million");
    }
    Ok(figures)
}

fn or_missing(names: &[&'static str], measured: anyhow::Result<Vec<Figure>>) -> Vec<Figure> {
    measured.unwrap_or_else(|error| {
        let missing =
            |name: &&'static str| Figure { note: format!("not measured: {error:#}"), ..figure(name, None, None) };
        names.iter().map(missing).collect()
    })
}

async fn of_the_log(
    wanted: &FigureFilter,
    args: &BenchmarkArgs,
    scratch: &Scratch,
    progress: &Progress,
) -> Vec<Figure> {
    let data = scratch.path().join("log");
    if let Err(error) = generate_log(&data, args.recovery_events(), scratch, progress).await {
        return or_missing(&["replay", "disk_per_event", "recovery_snapshot"], Err(error));
    }
    let mut figures = Vec::new();
    if wanted.any(&["replay", "disk_per_event"]) {
        figures.extend(or_missing(&["replay", "disk_per_event"], replay(&data, progress).await));
    }
    if wanted.any(&["recovery_snapshot"]) {
        figures.extend(or_missing(&["recovery_snapshot"], recovery(&data, progress).await));
    }
    figures
}

async fn generate_log(data: &Path, events: u64, scratch: &Scratch, progress: &Progress) -> anyhow::Result<()> {
    progress.says("generating events");
    let room = events * EVENT_BYTES_GUESS;
    ensure!(scratch.has_room(room), "{events} events need {} GB free on disk", room * 2 / 1_000_000_000 + 1);
    let to = data.to_owned();
    let wanted = generate::LogSize {
        wallets: REPLAY_WALLETS,
        performances: REPLAY_PERFORMANCES,
        events,
        snapshot_before: Some((events / 10).min(SNAPSHOT_BEFORE_EVENTS)),
    };
    off_thread(move || generate::generate(&to, &wanted)).await?;
    progress.step();
    Ok(())
}

async fn replay(data: &Path, progress: &Progress) -> anyhow::Result<Vec<Figure>> {
    progress.says("replay");
    let bytes = size_of(data);
    let from = data.to_owned();
    let (read, seconds) = off_thread(move || generate::replay(&from)).await?;
    let mut replay = figure("replay", Some(read as f64 / seconds.max(1e-9)), None);
    replay.note = format!("{read} events in {seconds:.2} s");
    let disk = figure("disk_per_event", Some(bytes as f64 / read.max(1) as f64), None);
    progress.step();
    Ok(vec![replay, disk])
}

async fn recovery(data: &Path, progress: &Progress) -> anyhow::Result<Vec<Figure>> {
    progress.says("recovery");
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let server = Server::start(data, &[], READY_WITHIN).await?;
        starts.push(server.ready_after.as_secs_f64() * 1e3);
        server.stop().await?;
    }
    let mut recovery = figure("recovery_snapshot", Some(median(&starts)), None);
    recovery.note = format!("{STARTS} starts");
    progress.step();
    Ok(vec![recovery])
}

async fn memory(scratch: &Scratch, progress: &Progress) -> anyhow::Result<Vec<Figure>> {
    progress.says("generating wallets");
    let room = 4 * MILLION * EVENT_BYTES_GUESS;
    ensure!(scratch.has_room(room), "a million wallets need {} GB free on disk", room * 2 / 1_000_000_000 + 1);
    let data = scratch.path().join("million");
    let to = data.clone();
    let wanted =
        generate::LogSize { wallets: MILLION, performances: REPLAY_PERFORMANCES, events: 0, snapshot_before: Some(0) };
    off_thread(move || generate::generate(&to, &wanted)).await?;
    progress.step();

    progress.says("memory_million");
    // AggregateStore that come from a snapshot and states that come from a replay may take different room: the larger counts.
    let (loaded, _) = memory_when_ready(&data).await?;
    std::fs::remove_dir_all(DataFolder::open(&data)?.snapshots())?;
    let (replayed, peak) = memory_when_ready(&data).await?;
    let mut memory = figure("memory_million", Some(loaded.max(replayed) as f64), None);
    let mb = |bytes: u64| bytes / 1_000_000;
    let (loaded, replayed, peak) = (mb(loaded), mb(replayed), mb(peak));
    memory.note =
        format!("{loaded} MB from a snapshot, {replayed} MB from a replay, for which it takes up to {peak} MB");
    progress.step();
    Ok(vec![memory])
}

async fn memory_when_ready(data: &Path) -> anyhow::Result<(u64, u64)> {
    let server = Server::start(data, &[], READY_WITHIN).await?;
    let memory = server.memory_bytes()?;
    server.stop().await?;
    Ok(memory)
}

/// Bytes of all files in `folder`.
fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size_of(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_short_and_says_why() {
        let figures = or_missing(&["replay", "recovery_snapshot"], Err(anyhow::anyhow!("no room")));
        assert_eq!(figures.len(), 2);
        for figure in figures {
            assert_eq!((figure.value, figure.ok, figure.note.as_str()), (None, Some(false), "not measured: no room"));
        }
    }

    #[test]
    fn sizes_are_those_of_all_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/b"), [0; 300]).unwrap();
        std::fs::write(folder.path().join("c"), [0; 44]).unwrap();
        assert_eq!(size_of(folder.path()), 344);
    }
}
