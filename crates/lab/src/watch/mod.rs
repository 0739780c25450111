//! Watchers: thousands of streams of events, read by one thread.
//!
//! - [`events`]: bytes → events
//! - [`picture`]: events → what a seat map shows
//!
//! Cheap on purpose: a watcher shares the machine with the server that it watches. One epoll, looked at every
//! [`PAUSE`] for all who have something (which makes what they see that much later, at most, and waking this thread far
//! less often), one read each. Those whose events nobody wants are not waited for: once in [`DISCARD_EVERY`] the kernel
//! discards what they have received. Elsewhere their reading would not be this machine's work at all.

pub mod events;
pub mod picture;

use anyhow::{Context, bail, ensure};
use base::clock::thread_time;
use base::process_limits::raise_open_files;
use events::{Event, Events};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::time::Timespec;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long one who connects waits for the head of the answer.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// Whether the watchers are to end is looked at this often, ms.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
const EVENTS_AT_ONCE: usize = 512;
/// How long more is waited for when few have something.
const PAUSE: Duration = Duration::from_millis(4);
const READ_BYTES: usize = 256 << 10;
/// What comes meanwhile has to fit into a socket's buffer.
const DISCARD_EVERY: Duration = Duration::from_millis(640);
/// Parts in which that is done, so that nobody else waits for all of them.
const DISCARD_PARTS: u32 = 32;
/// Files and sockets of this process beside the watchers'.
const OTHER_FILES: u64 = 1_000;

/// What is done with what a watcher receives.
pub trait Reader: Send {
    /// An event that `watcher` received, at `at`.
    fn event(&mut self, watcher: usize, at: Instant, event: Event<'_>);

    /// Whether the events of this watcher are wanted; those of the others are only received.
    fn wants(&self, _watcher: usize) -> bool {
        true
    }
}

/// Watchers at work on a thread of their own.
pub struct Watchers<R> {
    thread: std::thread::JoinHandle<anyhow::Result<(R, Duration)>>,
    stop: Arc<AtomicBool>,
}

/// What a watcher asks for.
pub struct Ask {
    pub path: String,
    pub token: Option<String>,
}

struct Watcher {
    stream: TcpStream,
    events: Option<Events>,
}

impl<R: Reader + 'static> Watchers<R> {
    /// Connects `count` watchers, each to `path` of the server at `address`. Blocks until all have the head of an answer.
    pub fn connect(address: SocketAddr, path: &str, count: usize, reader: R) -> anyhow::Result<Watchers<R>> {
        let asks: Vec<Ask> = (0..count).map(|_| Ask { path: path.to_owned(), token: None }).collect();
        Watchers::connect_each(address, &asks, reader)
    }

    /// The same, each to what it asks for.
    pub fn connect_each(address: SocketAddr, asks: &[Ask], reader: R) -> anyhow::Result<Watchers<R>> {
        raise_open_files(asks.len() as u64 + OTHER_FILES);
        let mut watchers = Vec::with_capacity(asks.len());
        for (number, Ask { path, token }) in asks.iter().enumerate() {
            let stream = TcpStream::connect(address).with_context(|| format!("watcher {number} cannot connect"))?;
            let token = token.as_ref().map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
            let request = format!(
                "GET {path} HTTP/1.1\r\nhost: {address}\r\n{token}accept: text/event-stream\r\n\
                accept-encoding: gzip\r\n\r\n"
            );
            (&stream).write_all(request.as_bytes())?;
            watchers.push(Watcher { stream, events: reader.wants(number).then(Events::default) });
        }
        for (number, watcher) in watchers.iter_mut().enumerate() {
            check_answer(&watcher.stream).with_context(|| format!("watcher {number}"))?;
            watcher.stream.set_nonblocking(true)?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::Builder::new().name("watchers".into()).spawn(move || run(watchers, reader, &told))?;
        Ok(Watchers { thread, stop })
    }

    /// Ends them. Gives the reader back, and the processor time that reading took.
    pub fn stop(self) -> anyhow::Result<(R, Duration)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the watchers' thread panicked"))?
    }

    /// Whether one of them lost its stream.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}

/// The answer has begun, and it is a stream. Nothing is taken from it.
fn check_answer(stream: &TcpStream) -> anyhow::Result<()> {
    const OK: &[u8] = b"HTTP/1.1 200";
    stream.set_read_timeout(Some(CONNECT_WITHIN))?;
    let mut head = [0; 512];
    let len = stream.peek(&mut head).context("no answer")?;
    ensure!(head[..len].starts_with(OK), "{}", String::from_utf8_lossy(&head[..len]));
    Ok(())
}

fn run<R: Reader>(watchers: Vec<Watcher>, mut reader: R, stop: &AtomicBool) -> anyhow::Result<(R, Duration)> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let (mut wanted, mut unwanted): (Vec<_>, Vec<_>) =
        (0..).zip(watchers).partition(|(_, watcher): &(usize, Watcher)| watcher.events.is_some());
    for (index, (_, watcher)) in wanted.iter().enumerate() {
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&epoll, &watcher.stream, data, epoll::EventFlags::IN | epoll::EventFlags::RDHUP)?;
    }
    let mut ready = Vec::with_capacity(EVENTS_AT_ONCE);
    let mut bytes = vec![0; READ_BYTES];
    let mut parts = Parts::default();
    while !stop.load(Ordering::Relaxed) {
        ready.clear();
        match epoll::wait(&epoll, spare_capacity(&mut ready), Some(&LOOK)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let at = Instant::now();
        for event in &ready {
            let data = event.data;
            let (number, Watcher { stream, events }) = &mut wanted[data.u64() as usize];
            let read = stream.read(&mut bytes);
            if matches!(read, Ok(0)) && events.as_ref().is_some_and(is_over) {
                // Nothing more comes from there.
                epoll::delete(&epoll, &*stream)?;
                continue;
            }
            let Some(len) = received(*number, read)? else { continue };
            if let Some(events) = events {
                events.feed(&bytes[..len], &mut |event| reader.event(*number, at, event))?;
            }
        }
        for (number, watcher) in parts.due(&mut unwanted) {
            received(*number, discard(&watcher.stream, &mut bytes))?;
        }
        if ready.len() < EVENTS_AT_ONCE / 2 {
            std::thread::sleep(PAUSE);
        }
    }
    Ok((reader, thread_time()))
}

/// Whether the stream ended in good order, and for good.
fn is_over(events: &Events) -> bool {
    events.ended_well() && events.end().is_some_and(|end| !end.reconnect)
}

/// How much a watcher received; none when nothing was there.
fn received(number: usize, read: std::io::Result<usize>) -> anyhow::Result<Option<usize>> {
    match read {
        Ok(0) => bail!("the stream of watcher {number} ended"),
        Ok(len) => Ok(Some(len)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => bail!("the stream of watcher {number}: {error}"),
    }
}

/// Goes round in parts.
struct Parts {
    next: usize,
    at: Instant,
}

impl Default for Parts {
    fn default() -> Self {
        Parts { next: 0, at: Instant::now() }
    }
}

impl Parts {
    /// The next part of `all`, when it is its time.
    fn due<'a, T>(&mut self, all: &'a mut [T]) -> &'a mut [T] {
        if self.at.elapsed() < DISCARD_EVERY / DISCARD_PARTS {
            return &mut [];
        }
        self.at = Instant::now();
        let len = all.len().div_ceil(DISCARD_PARTS as usize);
        let from = if self.next < all.len() { self.next } else { 0 };
        self.next = from + len;
        let to = self.next.min(all.len());
        &mut all[from..to]
    }
}

/// Takes what has come, at most as much as `room` is long, without copying it.
fn discard(stream: &TcpStream, room: &mut [u8]) -> std::io::Result<usize> {
    let (_, len) = rustix::net::recv(stream, room, RecvFlags::TRUNC)?;
    Ok(len)
}
