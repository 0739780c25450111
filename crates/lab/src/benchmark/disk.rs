//! How far the log is from what the disk allows: durable events/s beside a plain file, in groups of the same size.

use super::goals::figure;
use super::online::ROUNDS;
use super::{BenchmarkArgs, FigureFilter, Progress};
use crate::server::{Scratch, off_thread};
use crate::stats::median;
use anyhow::{Context, anyhow};
use base::id::{Category, StreamId};
use base::report::Figure;
use eventlog::store::{Options, Store};
use eventlog::{Batch, Log};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The figures of this file: for each group the file's and the log's.
pub const NAMES: [&str; 6] =
    ["raw_fdatasync_1", "log_append_1", "raw_fdatasync_100", "log_append_100", "raw_fdatasync_1000", "log_append_1000"];
/// Events that become durable together.
const GROUPS: [u32; 3] = [1, 100, 1_000];
/// JSON of one event: as much as a hold of two seats has, and as like others.
const EVENT_BYTES: usize = 240;
/// The file is written from its beginning again when it is full, like the journal.
const FILE_BYTES: u64 = 64 << 20;

/// Steps of the progress bar.
pub fn steps(wanted: &FigureFilter) -> u64 {
    NAMES.chunks_exact(2).map(|names| u64::from(wanted.any(names))).sum()
}

/// Measures what is wanted, file and log in turns.
pub async fn measure(
    wanted: &FigureFilter,
    args: &BenchmarkArgs,
    scratch: &Scratch,
    progress: &Progress,
) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let window = Duration::from_secs_f64(args.seconds() / f64::from(ROUNDS));
    for (group, names) in GROUPS.into_iter().zip(NAMES.chunks_exact(2)) {
        if !wanted.any(names) {
            continue;
        }
        progress.says(names[1]);
        let folder = scratch.path().join("disk");
        std::fs::create_dir_all(&folder)?;
        let (raw, log) = off_thread(move || rounds(&folder, group, window)).await?;
        scratch.clear("disk");
        figures.push(figure(names[0], Some(raw), None));
        figures.push(figure(names[1], Some(log), Some(raw)));
        progress.step();
    }
    Ok(figures)
}

/// Events/s of a plain file and of the log.
fn rounds(folder: &Path, group: u32, window: Duration) -> anyhow::Result<(f64, f64)> {
    let file = preallocated(&folder.join("plain"))?;
    let (store, _) = Store::open(&folder.join("log"), Options::default())?;
    let (mut raw, mut log) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        raw.push(plain(&file, group, window)?);
        log.push(appended(&store, group, window)?);
    }
    store.close()?;
    Ok((median(&raw), median(&log)))
}

fn preallocated(path: &Path) -> anyhow::Result<File> {
    let mut file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let zeroes = vec![0; 1 << 20];
    for _ in 0..FILE_BYTES >> 20 {
        file.write_all(&zeroes)?;
    }
    file.sync_all()?;
    Ok(file)
}

fn plain(file: &File, group: u32, window: Duration) -> anyhow::Result<f64> {
    let bytes = vec![b'x'; EVENT_BYTES * group as usize];
    let (started, mut at, mut events) = (Instant::now(), 0, 0);
    while started.elapsed() < window {
        if at + bytes.len() as u64 > FILE_BYTES {
            at = 0;
        }
        file.write_all_at(&bytes, at)?;
        file.sync_data()?;
        at += bytes.len() as u64;
        events += u64::from(group);
    }
    Ok(events as f64 / started.elapsed().as_secs_f64())
}

/// The next group is appended when the one before is durable.
fn appended(log: &impl Log, group: u32, window: Duration) -> anyhow::Result<f64> {
    let stream = StreamId { category: Category::Wallet, key: uuid::Uuid::from_u128(7) };
    let data: Vec<String> = (0..GROUPS[2]).map(event).collect();
    let (durable, done) = mpsc::channel();
    let (started, mut version, mut events) = (Instant::now(), log.appended().0, 0);
    while started.elapsed() < window {
        let mut batch = Batch::with_capacity((EVENT_BYTES + 64) * group as usize);
        for _ in 0..group {
            version += 1;
            let data = &data[version as usize % data.len()];
            batch.push(stream, version, 0, "Measured.v1", |out| out.extend_from_slice(data.as_bytes()));
        }
        let durable = durable.clone();
        log.append(batch, Some(Box::new(move |outcome| drop(durable.send(outcome)))))?;
        done.recv().map_err(|_| anyhow!("the log gave up"))??;
        events += u64::from(group);
    }
    Ok(events as f64 / started.elapsed().as_secs_f64())
}

/// The log keeps events compressed: they are no more alike than holds of one performance.
fn event(number: u32) -> String {
    let [reservation, user] = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
    let (row, seat, at) = (number / 50, number % 50, 1_795_261_807_330_u64 + u64::from(number) * 7);
    let json = format!(
        r#"{{"reservation_id":"{reservation}","user_id":"{user}","places":{{"seats":["A-{row}-{seat}","A-{row}-{}"]}},"points":{},"expires_at_ms":{at},"key":""#,
        seat + 1,
        (number % 4 + 1) * 70_000,
    );
    let key = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let end = r#""}"#;
    format!("{json}{}{end}", &key[..EVENT_BYTES - json.len() - end.len()])
}
