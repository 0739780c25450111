//! Looks for chunks in sled's file, by themselves or in blocks, without sled: which events are still there, whatever sled
//! makes of the rest.
//!
//! sled takes damage near the end of what it wrote for a torn write, and overwrites everything behind it when it opens.
//! So its last segments are looked at before, and where it finds damage itself, this tells which events are gone.

use super::block;
use crate::Position;
use crate::frame::{CHUNK_BYTES_MAX, Chunk, u64_at};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// sled 0.34 writes segments of this size, which nothing here changes.
pub(super) const SEGMENT_BYTES: usize = 512 << 10;
/// A segment begins with CRC u32, and the log sequence number i64, masked.
const SEGMENT_HEADER_BYTES: usize = 4 + 8;
const LSN_MASK: u64 = i64::MAX as u64;
/// So many of the last segments are looked at: more than what sled may have under way at once.
const TAIL_SEGMENTS: usize = 16;
/// Read at once; whole segments.
const WINDOW_BYTES: usize = 8 * SEGMENT_BYTES;

/// A chunk or a block in the file, as its own header describes it.
#[derive(Clone, Copy)]
struct Found {
    first: Position,
    last: Position,
    len: usize,
    /// What is there of it is what was written, as far as one can see.
    intact: bool,
}

/// The first event after `base` up to `archived` of which the file has no intact copy, when its last segments have a broken
/// one. `None` also when there is no file.
pub fn lost(path: &Path, base: Position, archived: Position) -> io::Result<Option<Position>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut broken = false;
    let mut segment = vec![0; SEGMENT_BYTES];
    for at in last_segments(&file)? {
        let len = read_up_to(&file, &mut segment, at)?;
        each_found(&segment[..len], &mut |found| broken |= !found.intact && found.first <= archived);
    }
    if broken { first_missing(path, base, archived) } else { Ok(None) }
}

/// The first event after `base` up to `archived` of which the file has no intact copy. Reads the whole file.
pub fn first_missing(path: &Path, base: Position, archived: Position) -> io::Result<Option<Position>> {
    let file = File::open(path)?;
    let (mut spans, mut window, mut at) = (Vec::new(), vec![0; WINDOW_BYTES], 0);
    loop {
        let len = read_up_to(&file, &mut window, at)?;
        if len == 0 {
            break;
        }
        for segment in window[..len].chunks(SEGMENT_BYTES) {
            each_found(segment, &mut |found| {
                if found.intact && found.first <= archived {
                    spans.push((found.first, found.last));
                }
            });
        }
        at += len as u64;
    }
    spans.sort_unstable();
    let mut covered = base;
    for (first, last) in spans {
        if first.0 > covered.0 + 1 {
            break;
        }
        covered = covered.max(last);
    }
    Ok((covered < archived).then_some(Position(covered.0 + 1)))
}

/// Where the segments with the highest sequence numbers are.
fn last_segments(file: &File) -> io::Result<Vec<u64>> {
    let mut segments = Vec::new();
    let mut header = [0; SEGMENT_HEADER_BYTES];
    for at in (0..file.metadata()?.len()).step_by(SEGMENT_BYTES) {
        if read_up_to(file, &mut header, at)? == header.len() {
            segments.push((u64_at(&header, 4) ^ LSN_MASK, at));
        }
    }
    // A segment that was never used has a number that makes no sense.
    segments.retain(|(lsn, _)| *lsn <= LSN_MASK);
    segments.sort_unstable();
    let first = segments.len().saturating_sub(TAIL_SEGMENTS);
    Ok(segments[first..].iter().map(|(_, at)| *at).collect())
}

/// Calls `each` with every chunk and block that begins in `segment`. No value of sled's goes beyond its segment.
fn each_found(segment: &[u8], each: &mut dyn FnMut(Found)) {
    let mut at = 0;
    while at < segment.len() {
        let found = look(&segment[at..]);
        found.into_iter().for_each(&mut *each);
        // What is in a block may begin like a chunk.
        at += found.filter(|found| found.intact).map_or(1, |found| found.len);
    }
}

fn look(bytes: &[u8]) -> Option<Found> {
    if let Some(claim) = block::claim(bytes) {
        let intact = block::intact(bytes, &claim);
        return Some(Found { first: claim.first, last: claim.last, len: claim.len, intact });
    }
    let (first, last) = Chunk::claimed_span(bytes)?;
    let len = Chunk::len_of(bytes).ok()?;
    // Of a chunk in several values only the first is here: the rest is looked at when it is read.
    let large = len > CHUNK_BYTES_MAX;
    Some(Found { first, last, len: len.min(CHUNK_BYTES_MAX), intact: large || Chunk::split_first(bytes).is_ok() })
}

pub(super) fn read_up_to(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match file.read_at(&mut buffer[len..], at + len as u64)? {
            0 => break,
            read => len += read,
        }
    }
    Ok(len)
}
