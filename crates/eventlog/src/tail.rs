//! Serves a running log to other processes, over a Unix socket in the data folder: the raw chunks, which the reader
//! checks as if they came from the disk.
//!
//! A client sends `after u64, follow u8`. The answer is the durable position at that moment, u64, and then chunks with
//! their length, u32, before each. Length 0 means: everything up to that position has been sent; when following, it
//! also comes once a second, so that either side notices when the other is gone. A length of 2^32 - 1 means that the log
//! could not be read any further: the position of the damage follows, u64 (0: of another kind), and the reason with its length.

use super::{Chunks, Error, Position};
use std::fs::Permissions;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// More clients than this are turned away: their connection is closed at once.
pub const CLIENTS_MAX: usize = 8;
/// How long a client may take to ask, and to take what it is sent.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);
const BUFFER_BYTES: usize = 64 << 10;
/// In place of a length: no more can be read.
pub(crate) const FAILED: u32 = u32::MAX;
pub(crate) const REASON_BYTES_MAX: usize = 4096;

/// A log that is served; no longer when this is dropped.
pub struct Tail {
    path: PathBuf,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    log: Arc<dyn Chunks>,
    stopped: AtomicBool,
    clients: Mutex<Vec<Client>>,
}

struct Client {
    stream: UnixStream,
    thread: JoinHandle<()>,
}

/// Serves `log` at `path`, for processes of the same user. A socket that is there is taken for left over and replaced:
/// the caller holds the data folder's lock. Unix sockets need paths below about 100 bytes.
pub fn serve(log: Arc<dyn Chunks>, path: &Path) -> io::Result<Tail> {
    // The socket appears under its name only when nobody else can open it.
    let unfinished = PathBuf::from(format!("{}.tmp", path.display()));
    if let Err(error) = std::fs::remove_file(&unfinished)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let listener = UnixListener::bind(&unfinished)?;
    std::fs::set_permissions(&unfinished, Permissions::from_mode(0o600))?;
    std::fs::rename(&unfinished, path)?;
    let shared = Arc::new(Shared { log, stopped: AtomicBool::new(false), clients: Mutex::default() });
    let accepting = shared.clone();
    let acceptor = std::thread::Builder::new().name("log-tail".into()).spawn(move || accepting.accept(&listener))?;
    Ok(Tail { path: path.to_owned(), shared, acceptor: Some(acceptor) })
}

/// Tells a reader why there is no more: [`FAILED`], the position of the damage or 0, and the reason with its length.
fn failure(error: &Error) -> Vec<u8> {
    let (position, what) = match error {
        Error::Damaged { position, what } => (position.0, what.clone()),
        other => (0, other.to_string()),
    };
    let what: String = what.chars().take(REASON_BYTES_MAX / 4).collect();
    let mut bytes = FAILED.to_le_bytes().to_vec();
    bytes.extend_from_slice(&position.to_le_bytes());
    bytes.extend_from_slice(&(what.len() as u32).to_le_bytes());
    bytes.extend_from_slice(what.as_bytes());
    bytes
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the acceptor. When nothing can connect it ends with the process.
        let woken = UnixStream::connect(&self.path).is_ok();
        if let Some(acceptor) = self.acceptor.take().filter(|_| woken) {
            // Its panic, if any, has been told by the panic hook; so below.
            let _ = acceptor.join();
        }
        let _ = std::fs::remove_file(&self.path);
        for client in self.shared.clients().drain(..) {
            // Fails when the client has gone already.
            let _ = client.stream.shutdown(std::net::Shutdown::Both);
            let _ = client.thread.join();
        }
    }
}

impl Shared {
    fn clients(&self) -> std::sync::MutexGuard<'_, Vec<Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: Arc<Self>, listener: &UnixListener) {
        while !self.stopped.load(Ordering::SeqCst) {
            let accepted = listener.accept();
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            if let Err(error) = accepted.and_then(|(stream, _)| self.start(stream)) {
                tracing::warn!(%error, "a reader of the log could not be served");
                // Out of file descriptors, say: it will not be better at once.
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    fn start(self: &Arc<Self>, stream: UnixStream) -> io::Result<()> {
        let mut clients = self.clients();
        clients.retain(|client| !client.thread.is_finished());
        if clients.len() >= CLIENTS_MAX {
            tracing::warn!(CLIENTS_MAX, "too many readers of the log; turning one away");
            return Ok(());
        }
        let (shared, own) = (self.clone(), stream.try_clone()?);
        let thread = std::thread::Builder::new().name("log-tail-client".into()).spawn(move || {
            if let Err(error) = shared.client(own) {
                tracing::debug!(%error, "a reader of the log is gone");
            }
        })?;
        clients.push(Client { stream, thread });
        Ok(())
    }

    fn client(&self, mut stream: UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut request = [0; 9];
        stream.read_exact(&mut request)?;
        let (mut after, follow) = (Position(super::frame::u64_at(&request, 0)), request[8] != 0);
        let mut durable = self.log.durable();
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, stream);
        out.write_all(&durable.0.to_le_bytes())?;
        loop {
            after = self.send(after, durable, &mut out)?;
            out.write_all(&0u32.to_le_bytes())?;
            out.flush()?;
            if !follow {
                return Ok(());
            }
            let start = Instant::now();
            while self.log.durable() <= after && start.elapsed() < HEARTBEAT {
                if self.stopped.load(Ordering::SeqCst) {
                    return Ok(());
                }
                std::thread::sleep(POLL);
            }
            durable = self.log.durable();
        }
    }

    /// Sends the chunks with the events after `after`, up to `durable`, which is the end of a chunk.
    fn send(&self, after: Position, durable: Position, out: &mut impl Write) -> io::Result<Position> {
        let (mut at, mut written) = (after, Ok(()));
        if after >= durable {
            return Ok(after);
        }
        let read = self.log.read_chunks(after, &mut |chunk| {
            if chunk.first > durable || self.stopped.load(Ordering::SeqCst) {
                return false;
            }
            let len = (chunk.bytes().len() as u32).to_le_bytes();
            written = out.write_all(&len).and_then(|()| out.write_all(chunk.bytes()));
            at = chunk.last();
            written.is_ok()
        });
        written?;
        if let Err(error) = read {
            tracing::warn!(%error, "the log could not be read for another process");
            out.write_all(&failure(&error))?;
            out.flush()?;
            return Err(io::Error::other(error.to_string()));
        }
        Ok(at)
    }
}
