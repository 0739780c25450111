//! What the operating system lets this process and its threads have.

/// The niceness of threads that nobody waits for, of 19: about a third of the processor time of the others while all want some.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

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

/// How long a thread has had a processor, and has waited for one.
#[derive(Default, Debug)]
pub struct Turns {
    ran_ns: u64,
    waited_ns: u64,
}

impl Turns {
    /// Whether this thread, since it last asked, has waited longer for a processor than it has had one: all of them are wanted
    /// by others, or this container has used up what it gets. Where the system does not say: no.
    pub fn are_rare(&mut self) -> bool {
        let Some((ran_ns, waited_ns)) = turns() else { return false };
        let rare = waited_ns - self.waited_ns.min(waited_ns) > ran_ns - self.ran_ns.min(ran_ns);
        *self = Turns { ran_ns, waited_ns };
        rare
    }
}

/// What Linux' scheduler says of this thread.
fn turns() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Raises the number of files and sockets that may be open as far as it goes, and gives it. Where the hard limit is below
/// `wanted` and the process may do so, that is raised, too.
pub fn raise_open_files(wanted: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is ours to fill, and lives through each call.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return 0;
        }
        if limit.rlim_max < wanted {
            let more = libc::rlimit { rlim_cur: wanted, rlim_max: wanted };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &more) == 0 {
                return wanted;
            }
        }
        let most = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &most) == 0 { most.rlim_cur } else { limit.rlim_cur }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_limit_is_as_high_as_it_may_be_and_stays_there() {
        let limit = super::raise_open_files(0);
        assert!(limit > 0);
        assert_eq!(super::raise_open_files(limit), limit);
    }

    /// With so many that always want to run, each has a processor a small part of the time.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_in_a_crowd_knows_that_turns_are_rare() {
        use std::sync::atomic::{AtomicBool, Ordering};
        if super::turns().is_none() {
            return; // a kernel without CONFIG_SCHED_INFO
        }
        let stop = AtomicBool::new(false);
        let busy = || {
            while !stop.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        };
        let many = 4 * std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..many {
                scope.spawn(busy);
            }
            let (mut turns, end) =
                (super::Turns::default(), std::time::Instant::now() + std::time::Duration::from_secs(20));
            turns.are_rare();
            let rare = loop {
                let until = std::time::Instant::now() + std::time::Duration::from_millis(200);
                while std::time::Instant::now() < until {
                    std::hint::spin_loop();
                }
                if turns.are_rare() {
                    break true;
                }
                if std::time::Instant::now() > end {
                    break false;
                }
            };
            stop.store(true, Ordering::Relaxed);
            assert!(rare);
        });
    }
}
