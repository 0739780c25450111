//! Reads the log of a running server from another process: the other end of [`super::tail`].

use super::failure::io_error;
use super::frame::{CHUNK_HEADER_BYTES, ChainTip, Chunk, EVENT_BYTES_MAX, damaged, u32_at, u64_at};
use super::tail::{FAILED, HEARTBEAT, REASON_BYTES_MAX};
use super::{Error, Position, Recorded};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A server that is silent for longer than this is gone. It can be busy reading, so it is not a few heartbeats only.
const PATIENCE: Duration = Duration::from_secs(30 * HEARTBEAT.as_secs());
const BUFFER_BYTES: usize = 256 << 10;

/// A connection that nothing was asked on for longer than this is not used: the server may have closed it.
const FRESH: Duration = Duration::from_secs(10);

/// The log of a running server. Every reading has a connection of its own.
pub struct Remote {
    path: PathBuf,
    /// The connection that showed that the server is there, for the first reading: servers have few to give.
    first: Mutex<Option<(UnixStream, Instant)>>,
}

/// How far a reading has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step<'a> {
    /// An event.
    Event(Recorded<'a>),
    /// Everything that was durable a moment ago has been given. When following, this comes at least every second or so.
    CaughtUp,
}

/// What the server sends.
enum Part<'a> {
    Chunk(Chunk<'a>),
    CaughtUp,
}

impl Remote {
    /// An error when there is no server at `path`, the socket that [`super::tail::serve`] was given.
    pub fn connect(path: &Path) -> Result<Remote, Error> {
        let stream = UnixStream::connect(path).map_err(|error| io_error(path, &error))?;
        Ok(Remote { path: path.to_owned(), first: Mutex::new(Some((stream, Instant::now()))) })
    }

    /// Calls `each` with the events after `after`, in order, until it returns false: those that are durable now, or with
    /// `follow` for ever. CRC, contiguity and hash chain are checked on the way. Gives the position of the last event
    /// given (`after` when there was none). An error also when the server goes away before everything was sent.
    pub fn read_from(
        &self,
        after: Position,
        follow: bool,
        each: &mut dyn FnMut(Step<'_>) -> bool,
    ) -> Result<Position, Error> {
        let mut at = after;
        self.receive(after, follow, &mut |part| match part {
            Part::CaughtUp => Ok(each(Step::CaughtUp)),
            Part::Chunk(chunk) => {
                let (last, more) = chunk.deliver(at, &mut |event| each(Step::Event(event)))?;
                at = last.unwrap_or(at);
                Ok(more)
            }
        })?;
        Ok(at)
    }

    /// Calls `each` with the chunks from the one that holds the event after `after` on, in order, until it returns false:
    /// those that are durable now. The same is checked. Gives the position that was durable, which is the end of a commit.
    pub fn read_chunks(&self, after: Position, each: &mut dyn FnMut(Chunk<'_>) -> bool) -> Result<Position, Error> {
        self.receive(after, false, &mut |part| match part {
            Part::CaughtUp => Ok(true),
            Part::Chunk(chunk) => Ok(each(chunk)),
        })
    }

    /// Takes what the server sends until `each` returns false. Gives the position that was durable when it was asked.
    fn receive(
        &self,
        after: Position,
        follow: bool,
        each: &mut dyn FnMut(Part<'_>) -> Result<bool, Error>,
    ) -> Result<Position, Error> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::Other(format!("{}: the server has gone", self.path.display())),
            _ => io_error(&self.path, &error),
        };
        let mut input = self.request(after, follow).map_err(failed)?;
        let mut durable = [0; 8];
        input.read_exact(&mut durable).map_err(failed)?;
        let durable = Position(u64_at(&durable, 0));
        let (mut tip, mut bytes) = (None::<ChainTip>, Vec::new());
        loop {
            let at = tip.map_or(after, |tip| tip.last);
            let mut len = [0; 4];
            input.read_exact(&mut len).map_err(failed)?;
            let len = u32_at(&len, 0) as usize;
            if len == 0 {
                if at < durable {
                    return Err(damaged(Position(at.0 + 1), format!("the server sent no more of {durable}")));
                }
                if !each(Part::CaughtUp)? || !follow {
                    return Ok(durable);
                }
                continue;
            }
            let missing = Position(at.0.saturating_add(1));
            if len == FAILED as usize {
                return Err(read_failure(&mut input).map_err(failed)?);
            }
            if len > CHUNK_HEADER_BYTES + EVENT_BYTES_MAX {
                return Err(damaged(missing, "the chunk's length makes no sense"));
            }
            bytes.resize(len, 0);
            input.read_exact(&mut bytes).map_err(failed)?;
            let chunk = Chunk::parse(&bytes).map_err(|what| damaged(missing, what))?;
            // The first chunk may begin before what was asked for, and what it continues is not known here.
            if tip.is_none() && (chunk.first > missing || chunk.last() < missing) {
                return Err(damaged(missing, format!("the server began with {}", chunk.first)));
            }
            let before = tip.unwrap_or(ChainTip { last: Position(chunk.first.0 - 1), hash: chunk.prev });
            tip = Some(before.extend(&chunk)?);
            if !each(Part::Chunk(chunk))? {
                return Ok(durable);
            }
        }
    }

    /// The position of the server's last durable event.
    pub fn durable(&self) -> Result<Position, Error> {
        let read = || {
            let mut durable = [0; 8];
            self.request(Position(u64::MAX), false)?.read_exact(&mut durable)?;
            Ok(Position(u64_at(&durable, 0)))
        };
        read().map_err(|error: io::Error| io_error(&self.path, &error))
    }

    fn request(&self, after: Position, follow: bool) -> io::Result<BufReader<UnixStream>> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let first = first.filter(|(_, since)| since.elapsed() < FRESH).map(|(stream, _)| stream);
        let mut stream = first.map_or_else(|| UnixStream::connect(&self.path), Ok)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut request = [0; 9];
        request[..8].copy_from_slice(&after.0.to_le_bytes());
        request[8] = u8::from(follow);
        stream.write_all(&request)?;
        Ok(BufReader::with_capacity(BUFFER_BYTES, stream))
    }
}

/// What a server could not read.
fn read_failure(input: &mut impl Read) -> io::Result<Error> {
    let mut head = [0; 12];
    input.read_exact(&mut head)?;
    let mut what = vec![0; (u32_at(&head, 8) as usize).min(REASON_BYTES_MAX)];
    input.read_exact(&mut what)?;
    let what = String::from_utf8_lossy(&what).into_owned();
    Ok(match u64_at(&head, 0) {
        0 => Error::Other(what),
        position => damaged(Position(position), what),
    })
}
