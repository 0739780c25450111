//! Connections between two requests. actix-http bounds how long the head of a connection's first request may take; from
//! then on one byte of a next head is enough, and nothing ends that connection any more. Here is what does: a connection on
//! which nothing was asked and nothing was sent for as long as an idle one is kept and a head may take, is ended.
//!
//! Hot: per request two cells are set.

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::http::Version;
use config::{QUIET_STREAM_MIN, Serve, UNSENT_BYTES_MAX, WRITE_TIMEOUT};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Connections are looked at this often within the time that they may be quiet.
const LOOKS: u32 = 4;
const LOOK_EVERY_MAX: Duration = Duration::from_secs(5);

/// Of all workers.
static OPEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Those of this worker. None: nobody looks at them yet.
    static CONNECTIONS: RefCell<Option<Vec<Weak<Connection>>>> = const { RefCell::new(None) };
}

/// One connection, as its requests know it.
pub struct Connection {
    socket: RawFd,
    peer: SocketAddr,
    state: Cell<State>,
}

#[derive(Clone, Copy)]
enum State {
    /// Its first request is still on the way, or one is being answered; or it is HTTP/2, which looks after itself.
    Busy,
    Answered {
        at: Instant,
        streams: bool,
    },
}

impl Connection {
    /// A request begins to be answered.
    pub fn begin(&self) {
        self.state.set(State::Busy);
    }

    /// It is answered, or its body begins to stream.
    pub fn end(&self, at: Instant, version: Version, streams: bool) {
        if version <= Version::HTTP_11 {
            self.state.set(State::Answered { at, streams });
        }
    }

    /// Whether nothing has been asked or sent for too long. `sent_ago` is asked only where it matters.
    fn is_quiet(&self, now: Instant, quiet_max: Duration, sent_ago: impl FnOnce() -> Option<Duration>) -> bool {
        let State::Answered { at, streams } = self.state.get() else { return false };
        let quiet_max = if streams { quiet_max.max(QUIET_STREAM_MIN) } else { quiet_max };
        now.saturating_duration_since(at) > quiet_max && sent_ago().is_some_and(|ago| ago > quiet_max)
    }

    /// How long ago the kernel sent data on it. None: it is gone, and its number may be another's.
    #[expect(unsafe_code, reason = "a connection's socket is known by number here, and rustix has no TCP_INFO")]
    fn sent_ago(&self) -> Option<Duration> {
        // SAFETY: nothing is kept of it, and whoever has the number now is looked at before it is believed.
        let socket = unsafe { BorrowedFd::borrow_raw(self.socket) };
        if rustix::net::getpeername(socket).ok()? != Some(self.peer.into()) {
            return None;
        }
        let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
        let mut size = size_of::<libc::tcp_info>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `size` bytes into `info`, all of whose values are valid.
        let told = unsafe {
            libc::getsockopt(self.socket, libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &mut size)
        };
        // SAFETY: it was zeroed, and perhaps written to.
        (told == 0).then(|| Duration::from_millis(unsafe { info.assume_init() }.tcpi_last_data_sent.into()))
    }

    #[expect(unsafe_code, reason = "a connection's socket is known by number here")]
    fn shut(&self) {
        // SAFETY: as above; it was looked at a moment ago, on the thread that alone closes it.
        let socket = unsafe { BorrowedFd::borrow_raw(self.socket) };
        let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
    }
}

/// To be called for each connection, on its worker, when it begins.
pub fn begin(io: &dyn Any, data: &mut Extensions, quiet_max: Duration) {
    let tls = io.downcast_ref::<TlsStream<TcpStream>>().map(|stream| stream.get_ref().0);
    let Some(stream) = io.downcast_ref::<TcpStream>().or(tls) else { return };
    bound_what_waits(stream);
    let Ok(peer) = stream.peer_addr() else { return };
    OPEN.fetch_add(1, Ordering::Relaxed);
    let connection = Rc::new(Connection { socket: stream.as_raw_fd(), peer, state: Cell::new(State::Busy) });
    CONNECTIONS.with_borrow_mut(|connections| {
        let looked_at = connections.get_or_insert_with(|| {
            actix_web::rt::spawn(look(quiet_max));
            Vec::new()
        });
        looked_at.push(Rc::downgrade(&connection));
    });
    data.insert(connection);
}

/// How many are open, of all workers.
pub fn open() -> usize {
    OPEN.load(Ordering::Relaxed)
}

impl Drop for Connection {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long a connection may be quiet between two requests.
pub fn quiet_max(config: &Serve) -> Duration {
    Duration::from_millis(config.keep_alive_ms + config.head_timeout_ms)
}

/// Ends the quiet ones of this worker, for as long as it runs.
async fn look(quiet_max: Duration) {
    let mut every = tokio::time::interval((quiet_max / LOOKS).min(LOOK_EVERY_MAX));
    loop {
        let now = every.tick().await.into_std();
        CONNECTIONS.with_borrow_mut(|connections| {
            connections.get_or_insert_default().retain(|connection| {
                let Some(connection) = connection.upgrade() else { return false };
                if connection.is_quiet(now, quiet_max, || connection.sent_ago()) {
                    connection.shut();
                }
                true
            });
        });
    }
}

/// Has the kernel end a connection whose other side takes nothing for too long, and keep little for it until then.
#[expect(unsafe_code, reason = "rustix has no TCP_NOTSENT_LOWAT")]
fn bound_what_waits(stream: &TcpStream) {
    // Without either nothing breaks.
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, WRITE_TIMEOUT.as_millis() as u32);
    let unsent: libc::c_uint = UNSENT_BYTES_MAX;
    let (value, size) = ((&raw const unsent).cast(), size_of_val(&unsent) as libc::socklen_t);
    // SAFETY: the descriptor is open as long as `stream` is; `value` points to `size` bytes.
    unsafe { libc::setsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, value, size) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_is_what_neither_asks_nor_is_sent_anything() {
        let start = Instant::now();
        let s = Duration::from_secs;
        let answered = |streams| State::Answered { at: start, streams };
        // State, seconds since then, seconds since the kernel sent something; with 85 s allowed.
        let table = [
            (State::Busy, 1_000, Some(1_000), false),
            (answered(false), 85, Some(85), false),
            (answered(false), 86, Some(86), true),
            (answered(false), 86, Some(3), false),
            (answered(false), 86, None, false),
            (answered(true), 1_000, Some(14), false),
            (answered(true), 1_000, Some(86), true),
        ];
        for (row, (state, passed, sent_ago, quiet)) in table.into_iter().enumerate() {
            let peer = ([127, 0, 0, 1], 1).into();
            let connection = Connection { socket: -1, peer, state: Cell::new(state) };
            assert_eq!(connection.is_quiet(start + s(passed), s(85), || sent_ago.map(s)), quiet, "row {row}");
        }
        // A short time is for requests: streams say something every now and then.
        let connection = Connection { socket: -1, peer: ([127, 0, 0, 1], 1).into(), state: Cell::new(answered(true)) };
        assert!(!connection.is_quiet(start + s(20), s(1), || Some(s(14))));
    }
}
