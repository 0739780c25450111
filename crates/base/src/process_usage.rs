//! What this process uses of the machine, as Linux counts it.

use rustix::process::{Resource, getrlimit};
use std::path::Path;
use std::{fs, io};

/// At one moment.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Usage {
    /// Processor time of all threads since the start, s.
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    pub threads: u64,
    /// When the process was started, s since 1970.
    pub started_at_s: f64,
    /// Files and sockets.
    pub open_files: u64,
    pub open_files_max: u64,
}

/// Room of the file system that a folder is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// What this process may still write.
    pub free_bytes: u64,
    pub all_bytes: u64,
}

impl Usage {
    /// `None` where the system does not say.
    pub fn now() -> Option<Usage> {
        let process = fs::read_to_string("/proc/self/stat").ok()?;
        let machine = fs::read_to_string("/proc/stat").ok()?;
        let counted = Counted::of(&process)?;
        let ticks_per_s = rustix::param::clock_ticks_per_second() as f64;
        Some(Usage {
            cpu_seconds: counted.cpu_ticks as f64 / ticks_per_s,
            resident_bytes: counted.resident_pages * rustix::param::page_size() as u64,
            threads: counted.threads,
            started_at_s: booted_at_s(&machine)? as f64 + counted.started_ticks as f64 / ticks_per_s,
            open_files: open_files()?,
            open_files_max: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        })
    }
}

/// An error where the folder is not there.
pub fn room(folder: &Path) -> io::Result<Room> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(Room { free_bytes: found.f_bavail * found.f_frsize, all_bytes: found.f_blocks * found.f_frsize })
}

/// Newer kernels say how many there are without naming each.
fn open_files() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    match fs::metadata(FOLDER).ok()?.len() {
        0 => Some(fs::read_dir(FOLDER).ok()?.count() as u64),
        known => Some(known),
    }
}

#[derive(PartialEq, Eq, Debug)]
struct Counted {
    cpu_ticks: u64,
    threads: u64,
    /// Since the machine began.
    started_ticks: u64,
    resident_pages: u64,
}

impl Counted {
    /// Of `/proc/self/stat`, see proc_pid_stat(5). The name, which is the second field, may have anything in it.
    fn of(text: &str) -> Option<Counted> {
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Counted from 1 in the manual; here the third is the first.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Counted {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            started_ticks: field(22)?,
            resident_pages: field(24)?,
        })
    }
}

fn booted_at_s(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let text = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 500 70 0 0 20 0 12 0 9000 123456 400 18446744073709551615\n";
        let expected = Counted { cpu_ticks: 570, threads: 12, started_ticks: 9_000, resident_pages: 400 };
        assert_eq!(Counted::of(text), Some(expected));
        assert_eq!(Counted::of("7 (a) S 1 2"), None);
        assert_eq!(booted_at_s("cpu 1\nbtime 1700000000\n"), Some(1_700_000_000));
        assert_eq!(booted_at_s("cpu 1\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_there() {
        let before = Usage::now().unwrap();
        let kept = [(); 3].map(|()| fs::File::open("/dev/null").unwrap());
        let now = Usage::now().unwrap();
        assert!(before.resident_bytes > 0 && before.threads > 0, "{before:?}");
        assert!(now.open_files >= kept.len() as u64 && now.open_files <= now.open_files_max, "{now:?}");
        assert!(now.cpu_seconds >= before.cpu_seconds && now.started_at_s == before.started_at_s);
        let since_1970_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        assert!((0.0..86_400.0).contains(&(since_1970_s - now.started_at_s)), "{now:?}");
        let room = room(&std::env::temp_dir()).unwrap();
        assert!(room.free_bytes <= room.all_bytes && room.all_bytes > 0);
        assert_eq!(super::room(Path::new("/nowhere")).ok(), None);
    }
}
