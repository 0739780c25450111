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
}
