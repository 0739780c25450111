//! Listening sockets that somebody else made and keeps: systemd's socket activation (`sd_listen_fds(3)`). While one process ends and
//! the next one starts, who connects waits in the socket's queue and is not refused.

use anyhow::{Context, bail};
use rustix::io::{FdFlags, fcntl_setfd};
use std::net::TcpListener;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The first of them; the others follow.
const FIRST: RawFd = 3;
/// Sockets that are taken; more are a mistake.
const COUNT_MAX: usize = 16;

/// Those that are for this process; none where nobody made any. To be called once, before anything else opens files.
pub fn take() -> anyhow::Result<Vec<TcpListener>> {
    let variable = |name: &str| std::env::var(name).ok();
    let count = count(variable("LISTEN_PID").as_deref(), variable("LISTEN_FDS").as_deref(), std::process::id())?;
    (FIRST..FIRST + count as RawFd).map(listener).collect()
}

/// How many there are, for the process `own`.
fn count(pid: Option<&str>, fds: Option<&str>, own: u32) -> anyhow::Result<usize> {
    let (Some(pid), Some(fds)) = (pid, fds) else { return Ok(0) };
    // Of a parent that handed its environment on, but not its sockets.
    if pid != own.to_string() {
        return Ok(0);
    }
    match fds.parse::<usize>() {
        Ok(count) if count <= COUNT_MAX => Ok(count),
        _ => bail!("LISTEN_FDS={fds:?}: a number up to {COUNT_MAX} is expected"),
    }
}

#[expect(unsafe_code, reason = "a file that is handed down is a number until somebody says whose it is")]
fn listener(number: RawFd) -> anyhow::Result<TcpListener> {
    // SAFETY: whoever set LISTEN_FDS says that it is open; if it is not, this says so and nothing else is done with it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let cannot = || format!("LISTEN_FDS: file {number} is no listening TCP socket");
    // Children do not get it. An error, too, where it is not open.
    fcntl_setfd(borrowed, FdFlags::CLOEXEC).with_context(cannot)?;
    // SAFETY: it is open, and ours by the protocol; nobody else here knows of it.
    let listener = TcpListener::from(unsafe { OwnedFd::from_raw_fd(number) });
    listener.local_addr().with_context(cannot)?;
    listener.set_nonblocking(true).with_context(cannot)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_for_this_process_is_taken() {
        let rows = [
            (None, None, Some(0)),
            (Some("7"), None, Some(0)),
            (Some("7"), Some("2"), Some(2)),
            (Some("8"), Some("2"), Some(0)),
            (Some("7"), Some("many"), None),
            (Some("7"), Some("17"), None),
        ];
        for (pid, fds, expected) in rows {
            assert_eq!(count(pid, fds, 7).ok(), expected, "{pid:?} {fds:?}");
        }
        assert!(listener(987).is_err(), "it is not open");
    }
}
