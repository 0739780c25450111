//! Disk, memory, files, clock.

use super::check::{Check, State};
use crate::serve::OPEN_FILES_BESIDES;
use ::config::{ReadModels, Serve};
use base::process_limits::raise_open_files;
use base::process_usage::{self, Room};
use base::report::Machine;
use eventlog::data_folder::DataFolder;
use eventlog::remote::Remote;
use indicatif::{BinaryBytes, HumanCount};
use rustix::fs::{FsWord, fstatfs};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a commit of a few purchases is.
const COMMIT_BYTES: usize = 4096;
/// The journal's files are written in place: so is this one.
const FILE_BYTES: u64 = 1 << 20;
const SYNCS: usize = 200;
/// Beside a server that runs: fewer, and with pauses, so that it does not notice.
const SYNCS_BESIDE: usize = 40;
const PAUSE_BESIDE: Duration = Duration::from_millis(10);
/// Every answer that changes something waits for a sync, about one and a half on average.
const SYNC_MEDIAN_GOOD: Duration = Duration::from_millis(5);
const SYNC_P99_GOOD: Duration = Duration::from_millis(20);
/// From here on people take it for an outage.
const SYNC_P99_MAX: Duration = Duration::from_millis(200);
const TMPFS_MAGIC: FsWord = 0x0102_1994;

/// Disk for each who comes (account, wallet, place in the queue, some holds; some 12 events of 151 bytes, and twice that again in
/// read models and snapshots) and for each place that is sold.
const PERSON_BYTES: u64 = 6 << 10;
const SEAT_BYTES: u64 = 2 << 10;
/// Memory: docs/performance.md has 181 bytes for each account with a wallet and 34 for each who waits; twice that.
const PERSON_MEMORY_BYTES: u64 = 430;
const SEAT_MEMORY_BYTES: u64 = 200;
/// Buffers of a connection.
const CONNECTION_MEMORY_BYTES: u64 = 24 << 10;
/// The program itself, sled's cache, the workers.
const BASE_MEMORY_BYTES: u64 = 400 << 20;

pub fn look(config: &Serve, seats: u64, people: u64) -> Vec<Check> {
    let connections = people.min(config.connections_max as u64);
    let memory = BASE_MEMORY_BYTES
        + 2 * config.journal_bytes
        + people * PERSON_MEMORY_BYTES
        + seats * SEAT_MEMORY_BYTES
        + connections * CONNECTION_MEMORY_BYTES;
    let tables = u64::from(config.read_models == ReadModels::Inside && config.postgres.is_none()) + 1;
    let disk = 2 * config.journal_bytes + tables * (people * PERSON_BYTES + seats * SEAT_BYTES) / 2;
    let folder = nearest(&config.data);
    let mut checks = vec![fsync(config, &folder), disk_room(&folder, disk), files(config), memory_room(memory)];
    checks.push(cores());
    checks.push(clock());
    checks
}

/// The folder, or the nearest one above it that is there.
fn nearest(data: &Path) -> PathBuf {
    let data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    data.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

fn fsync(config: &Serve, folder: &Path) -> Check {
    let name = "disk_sync";
    let running = Remote::connect(&DataFolder::socket(&config.data)).is_ok();
    let syncs = match syncs(folder, running) {
        Ok(syncs) => syncs,
        Err(error) => {
            let found = format!("{}: {error}", folder.display());
            return Check::new(name, State::Failure, found, "let the server's user write into the data folder");
        }
    };
    let at = |share: f64| syncs.times[((syncs.times.len() - 1) as f64 * share) as usize];
    let (median, p99, max) = (at(0.5), at(0.99), at(1.0));
    let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1000.0);
    let beside = if running { ", beside a running server" } else { "" };
    let found = format!(
        "{} writes of 4 KiB, each synced, in {}: median {}, p99 {}, worst {}{beside}",
        syncs.times.len(),
        folder.display(),
        ms(median),
        ms(p99),
        ms(max)
    );
    if syncs.in_memory {
        let todo = "the data folder is in memory: a restart of the machine loses all sales. Take a folder on a disk";
        return Check::new(name, State::Failure, found, todo);
    }
    let todo = "every purchase waits for it: take a local NVMe disk for the data folder, or a volume with more operations a \
                second, and nothing else on it";
    let state = match () {
        () if p99 > SYNC_P99_MAX => State::Failure,
        () if median > SYNC_MEDIAN_GOOD || p99 > SYNC_P99_GOOD => State::Warning,
        () => State::Ok,
    };
    Check::new(name, state, found, todo)
}

struct Syncs {
    /// Sorted.
    times: Vec<Duration>,
    in_memory: bool,
}

/// Writes into a file without a name, as the journal is written.
fn syncs(folder: &Path, running: bool) -> io::Result<Syncs> {
    let path = folder.join(format!(".onsale-doctor-{}", std::process::id()));
    let file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    file.write_all_at(&vec![0; FILE_BYTES as usize], 0)?;
    file.sync_all()?;
    let in_memory = fstatfs(&file)?.f_type == TMPFS_MAGIC;
    let mut times = Vec::new();
    let bytes = [0x5a; COMMIT_BYTES];
    for write in 0..if running { SYNCS_BESIDE } else { SYNCS } {
        let begun = Instant::now();
        file.write_all_at(&bytes, (write * COMMIT_BYTES) as u64 % FILE_BYTES)?;
        file.sync_data()?;
        times.push(begun.elapsed());
        if running {
            std::thread::sleep(PAUSE_BESIDE);
        }
    }
    times.sort_unstable();
    Ok(Syncs { times, in_memory })
}

fn disk_room(folder: &Path, wanted: u64) -> Check {
    let name = "disk_room";
    let free = match process_usage::room(folder) {
        Ok(Room { free_bytes, .. }) => free_bytes,
        Err(error) => {
            return Check::new(name, State::Skipped, format!("{}: {error}", folder.display()), "look by hand");
        }
    };
    let found = format!("{} free, the sale needs about {}", BinaryBytes(free), BinaryBytes(wanted));
    let todo = "when it is full the server stops: give it a larger disk, move old events away with onsale archive, or what \
                else is there";
    let state = match () {
        () if free < wanted => State::Failure,
        () if free < 3 * wanted => State::Warning,
        () => State::Ok,
    };
    Check::new(name, state, found, todo)
}

fn files(config: &Serve) -> Check {
    let wanted = (config.connections_max + OPEN_FILES_BESIDES) as u64;
    let limit = raise_open_files(wanted);
    let found = format!(
        "{} may be open, {} connections need {}",
        HumanCount(limit),
        HumanCount(config.connections_max as u64),
        HumanCount(wanted)
    );
    let todo = format!("raise the hard limit: LimitNOFILE={wanted} in the unit, or ulimit -Hn {wanted}");
    Check::new("open_files", if limit < wanted { State::Failure } else { State::Ok }, found, todo)
}

fn memory_room(wanted: u64) -> Check {
    let name = "memory";
    let Some(available) = available_memory() else {
        return Check::new(name, State::Skipped, "this machine does not tell", "look by hand");
    };
    let found = format!("{} available, the sale needs about {}", BinaryBytes(available), BinaryBytes(wanted));
    let todo = "take a machine (or a container limit) with more, or lower server.connections_max and streams.max";
    let state = match () {
        () if available < wanted => State::Failure,
        () if available < wanted * 3 / 2 => State::Warning,
        () => State::Ok,
    };
    Check::new(name, state, found, todo)
}

/// What this process may have, by the machine or by the container that it is in.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine = line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10;
    let number = |file: &str| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let container = number("/sys/fs/cgroup/memory.max")
        .map(|max| max.saturating_sub(number("/sys/fs/cgroup/memory.current").unwrap_or(0)));
    Some(container.map_or(machine, |container| machine.min(container)))
}

fn cores() -> Check {
    let Machine { cores, cpu, .. } = Machine::here();
    let load = std::fs::read_to_string("/proc/loadavg").ok();
    let load = load.and_then(|text| text.split(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0);
    let found = format!("{cores} cores ({cpu}), {load:.1} of them busy in the last minute");
    let todo = "see what else runs here; a sale wants the machine to itself";
    Check::new("processor", if load > cores as f64 / 2.0 { State::Warning } else { State::Ok }, found, todo)
}

#[expect(unsafe_code, reason = "rustix has no adjtimex")]
fn clock() -> Check {
    let name = "clock";
    // SAFETY: it is plain numbers, and zeros ask without setting anything.
    let mut asked: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `asked` is ours to read and write.
    let state = unsafe { libc::adjtimex(&mut asked) };
    let error_s = asked.maxerror as f64 / 1e6;
    if state < 0 {
        return Check::new(name, State::Skipped, "this machine does not tell whether it is kept right", "look by hand");
    }
    let todo = "sales open and holds end by it: let chrony or systemd-timesyncd keep it right. In a container the host's \
                clock counts";
    match state != libc::TIME_ERROR && asked.status & libc::STA_UNSYNC == 0 {
        true => Check::new(name, State::Ok, format!("kept right, by at most {error_s:.3} s off"), ""),
        false => Check::new(name, State::Warning, "nothing keeps it right, says the kernel", todo),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_little_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(nearest(&folder.path().join("not/yet")), folder.path());
        let rows = [
            (disk_room(folder.path(), 1), State::Ok),
            (disk_room(folder.path(), u64::MAX / 4), State::Failure),
            (memory_room(1), State::Ok),
            (memory_room(u64::MAX / 4), State::Failure),
        ];
        for (check, state) in rows {
            assert_eq!(check.state, state, "{check:?}");
            assert_eq!(check.todo.is_empty(), state == State::Ok, "{check:?}");
        }
        let syncs = syncs(folder.path(), false).unwrap();
        assert!(syncs.times.len() == SYNCS && syncs.times.is_sorted());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    }
}
