//! What the operating system lets this process and its threads have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::{Duration, Instant};

/// The niceness of threads that nobody waits for, of 19: about a third of the processor time of the others while all want some.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;
/// What part of their time they are idle, at most, when all are wanted: somebody waits for a disk now and then.
const IDLE_MAX: f64 = 0.25;
/// How long unhurried work goes on, …
const PIECE: Duration = Duration::from_micros(500);
/// … how many times as long it rests then, …
const REST: u32 = 3;
/// … and what no rest is longer than.
const REST_MAX: Duration = Duration::from_millis(20);

/// Makes this thread give way to those that somebody waits for.
#[cfg(target_os = "linux")]
pub fn yield_to_others() {
    // On Linux a priority is the calling thread's; elsewhere it would be the process's.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread runs with the priority of the others");
    }
}

#[cfg(not(target_os = "linux"))]
pub fn yield_to_others() {}

/// Work that nobody waits for, in short pieces with a rest behind each: a thread that runs on may keep somebody from a
/// processor for milliseconds, whatever its priority.
pub struct BackgroundThrottle {
    since: Instant,
}

impl Default for BackgroundThrottle {
    fn default() -> Self {
        BackgroundThrottle { since: Instant::now() }
    }
}

impl BackgroundThrottle {
    /// To be called often while working; rests when a piece is done.
    pub fn step(&mut self) {
        let worked = self.since.elapsed();
        if worked >= PIECE {
            std::thread::sleep((worked * REST).min(REST_MAX));
            self.since = Instant::now();
        }
    }
}

/// Whether all processors are wanted.
pub struct Processors {
    /// As they were when it was last asked.
    times: Option<Times>,
}

/// What Linux counts since the machine began, in its own unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Times {
    idle: u64,
    all: u64,
}

impl Default for Processors {
    fn default() -> Self {
        Processors { times: times() }
    }
}

impl Processors {
    /// Whether the machine has had little to spare since it was last asked, which should be some tenths of a second ago: it is
    /// counted in hundredths. Where the system does not say: no.
    pub fn are_wanted(&mut self) -> bool {
        let now = times();
        let before = std::mem::replace(&mut self.times, now);
        before.zip(now).is_some_and(|(before, now)| is_busy(before, now))
    }
}

fn is_busy(before: Times, now: Times) -> bool {
    now.idle.saturating_sub(before.idle) as f64 <= IDLE_MAX * now.all.saturating_sub(before.all) as f64
}

fn times() -> Option<Times> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    times_of(&text)
}

/// `cpu user nice system idle iowait …`: who waits for a disk does not want a processor.
fn times_of(text: &str) -> Option<Times> {
    let numbers = text.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
    let times: Vec<u64> = numbers.map(str::parse).collect::<Result<_, _>>().ok()?;
    let [_, _, _, idle, waiting, ..] = times[..] else { return None };
    // The last two, of guests, are in the first two already.
    Some(Times { idle: idle + waiting, all: times.iter().take(8).sum() })
}

/// Raises the number of files and sockets that may be open as far as it goes, and gives it. Where the hard limit is below
/// `wanted` and the process may do so, that is raised, too.
pub fn raise_open_files(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < wanted) {
        let more = Rlimit { current: Some(wanted), maximum: Some(wanted) };
        if setrlimit(Resource::Nofile, more).is_ok() {
            return wanted;
        }
    }
    let most = Rlimit { current: limit.maximum, ..limit };
    let raised = setrlimit(Resource::Nofile, most).is_ok();
    (if raised { limit.maximum } else { limit.current }).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn the_limit_is_as_high_as_it_may_be_and_stays_there() {
        let limit = raise_open_files(0);
        assert!(limit > 0);
        assert_eq!(raise_open_files(limit), limit);
    }

    #[test]
    fn unhurried_work_is_mostly_rest() {
        let (begun, mut pace, mut worked) = (Instant::now(), BackgroundThrottle::default(), Duration::ZERO);
        while worked < PIECE * 4 {
            let since = Instant::now();
            while since.elapsed() < PIECE / 2 {}
            worked += PIECE / 2;
            pace.step();
        }
        assert!(begun.elapsed() >= PIECE * 4 * (1 + REST), "{:?}", begun.elapsed());
    }

    #[test]
    fn processors_are_wanted_when_none_is_idle() {
        let text = "cpu  100 20 30 800 50 0 0 0 7 7\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        let before = times_of(text).unwrap();
        assert_eq!(before, Times { idle: 850, all: 1_000 });
        assert_eq!(times_of("cpu 1 2 3 4"), None);
        assert_eq!(times_of("intr 5"), None);
        assert!(is_busy(before, Times { idle: 875, all: 1_100 }));
        assert!(!is_busy(before, Times { idle: 876, all: 1_100 }));
    }

    /// However busy the machine is otherwise: with a thread for each processor nothing is left.
    #[test]
    #[cfg(target_os = "linux")]
    fn who_uses_all_processors_finds_them_wanted() {
        let may_use = std::thread::available_parallelism().map_or(1, usize::from);
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        if text.lines().filter(|line| line.starts_with("cpu")).count() != may_use + 1 {
            return; // a container that gets a part of the machine
        }
        let stop = AtomicBool::new(false);
        let wanted = std::thread::scope(|scope| {
            for _ in 0..2 * may_use {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let (mut processors, end) = (Processors::default(), Instant::now() + Duration::from_secs(20));
            let mut wanted = false;
            while !wanted && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(250));
                wanted = processors.are_wanted();
            }
            stop.store(true, Ordering::Relaxed);
            wanted
        });
        assert!(wanted);
    }
}
