//! The bytes of a stream's answer → events: head, chunks, gzip, lines.

use anyhow::{Context, ensure};
use flate2::{Decompress, FlushDecompress, Status};
use serde::Deserialize;

/// Room that is made for what comes out of compressed bytes.
const READ_BYTES: usize = 16 << 10;

/// One event. `id` is its version.
#[derive(Debug, PartialEq)]
pub struct Event<'a> {
    pub name: &'a str,
    pub id: u64,
    pub data: &'a str,
}

/// What the last event of a stream says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct End {
    pub reason: String,
    /// Whether to open it again.
    pub reconnect: bool,
}

/// Reads a stream as it comes, in pieces of any size.
#[derive(Default)]
pub struct Events {
    in_body: bool,
    /// What was received and not yet taken apart.
    raw: Vec<u8>,
    /// What was in chunks.
    text: Text,
    ended: bool,
    end: Option<End>,
}

#[derive(Default)]
struct Text {
    /// Up to the last whole event.
    plain: Vec<u8>,
    gzip: Option<Box<Gzip>>,
}

/// A gzip member with a head of ten bytes, as the server sends it.
struct Gzip {
    inflate: Decompress,
    sum: crc32fast::Hasher,
    len: u32,
    head: usize,
    tail: Option<Vec<u8>>,
}

impl Text {
    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match &mut self.gzip {
            None => self.plain.extend_from_slice(bytes),
            Some(gzip) => gzip.take(bytes, &mut self.plain)?,
        }
        Ok(())
    }
}

impl Gzip {
    fn new() -> Gzip {
        Gzip { inflate: Decompress::new(false), sum: crc32fast::Hasher::new(), len: 0, head: 10, tail: None }
    }

    fn take(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> anyhow::Result<()> {
        let head = self.head.min(bytes.len());
        self.head -= head;
        let mut bytes = &bytes[head..];
        while !bytes.is_empty() && self.tail.is_none() {
            let (read, start) = (self.inflate.total_in(), plain.len());
            plain.reserve(READ_BYTES);
            let status = self.inflate.decompress_vec(bytes, plain, FlushDecompress::Sync)?;
            bytes = &bytes[(self.inflate.total_in() - read) as usize..];
            self.sum.update(&plain[start..]);
            self.len = self.len.wrapping_add((plain.len() - start) as u32);
            // What is in there may be more than there was room for.
            while plain.len() == plain.capacity() {
                let start = plain.len();
                plain.reserve(READ_BYTES);
                self.inflate.decompress_vec(&[], plain, FlushDecompress::Sync)?;
                self.sum.update(&plain[start..]);
                self.len = self.len.wrapping_add((plain.len() - start) as u32);
            }
            if status == Status::StreamEnd {
                self.tail = Some(Vec::new());
            }
        }
        if let Some(tail) = &mut self.tail {
            tail.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Whether this is the end, and the checksum is right.
    fn ended_well(&self) -> bool {
        let tail = [self.sum.clone().finalize().to_le_bytes(), self.len.to_le_bytes()].concat();
        self.tail == Some(tail)
    }
}

impl Events {
    /// Takes `bytes` and tells each event that is whole with them.
    pub fn feed(&mut self, bytes: &[u8], each: &mut dyn FnMut(Event<'_>)) -> anyhow::Result<()> {
        self.raw.extend_from_slice(bytes);
        if !self.in_body {
            let Some(end) = find(&self.raw, b"\r\n\r\n") else { return Ok(()) };
            if find(&self.raw[..end].to_ascii_lowercase(), b"\r\ncontent-encoding: gzip").is_some() {
                self.text.gzip = Some(Box::new(Gzip::new()));
            }
            self.raw.drain(..end + 4);
            self.in_body = true;
        }
        self.unpack()?;
        let text = &mut self.text.plain;
        let mut start = 0;
        while let Some(len) = find(&text[start..], b"\n\n") {
            let end = &mut self.end;
            tell(std::str::from_utf8(&text[start..start + len])?, &mut |event| {
                if event.name == "end" {
                    *end = serde_json::from_str(event.data).ok();
                }
                each(event);
            })?;
            start += len + 2;
        }
        text.drain(..start);
        Ok(())
    }

    /// Whether the stream came to its end in good order: the last chunk, and the checksum if there is one.
    pub fn ended_well(&self) -> bool {
        self.ended
    }

    /// What the last event said, once it came.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Moves whole chunks from `raw` to `text`.
    fn unpack(&mut self) -> anyhow::Result<()> {
        let mut start = 0;
        while let Some(line) = find(&self.raw[start..], b"\r\n") {
            let size = std::str::from_utf8(&self.raw[start..start + line])?;
            let size = usize::from_str_radix(size, 16).with_context(|| format!("{size:?} is no chunk's size"))?;
            let (from, to) = (start + line + 2, start + line + 2 + size);
            let Some(end) = self.raw.get(to..to + 2) else { break };
            ensure!(end == b"\r\n", "a chunk is longer than it says");
            self.text.take(&self.raw[from..to]).context("the compressed stream")?;
            if size == 0 {
                ensure!(self.text.gzip.as_ref().is_none_or(|gzip| gzip.ended_well()), "a checksum is wrong");
            }
            self.ended |= size == 0;
            start = to + 2;
        }
        self.raw.drain(..start);
        Ok(())
    }
}

fn tell(block: &str, each: &mut dyn FnMut(Event<'_>)) -> anyhow::Result<()> {
    let mut event = Event { name: "", id: 0, data: "" };
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("event", name)) => event.name = name,
            Some(("id", id)) => event.id = id.parse().with_context(|| format!("{id:?} is no version"))?,
            Some(("data", data)) => event.data = data,
            _ => {}
        }
    }
    if !event.data.is_empty() {
        each(event);
    }
    Ok(())
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn events_are_read_from_pieces_of_any_size() {
        let text = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nd\r\nretry: 5000\n\n\r\n\
            1f\r\nevent: full\nid: 7\ndata: {\"a\":1}\r\n2\r\n\n\n\r\n3\r\n:\n\n\r\n\
            23\r\nevent: delta\nid: 9\ndata: {\"b\":22}\n\n\r\n";
        let body = "retry: 1\n\nevent: full\nid: 7\ndata: {\"a\":1}\n\n:\n\nevent: delta\nid: 9\ndata: {\"b\":22}\n\n";
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(body.as_bytes()).unwrap();
        let mut compressed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n".to_vec();
        for chunk in gzip.finish().unwrap().chunks(11) {
            compressed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            compressed.extend_from_slice(chunk);
            compressed.extend_from_slice(b"\r\n");
        }
        compressed.extend_from_slice(b"0\r\n\r\n");
        for (bytes, ends) in [(text.as_bytes(), false), (&compressed, true)] {
            for size in [1, 2, 3, 7, bytes.len()] {
                let (mut events, mut seen) = (Events::default(), Vec::new());
                for piece in bytes.chunks(size) {
                    let each = &mut |event: Event<'_>| seen.push(format!("{} {} {}", event.name, event.id, event.data));
                    events.feed(piece, each).unwrap();
                }
                assert_eq!(seen, ["full 7 {\"a\":1}", "delta 9 {\"b\":22}"], "pieces of {size}");
                assert!(events.raw.is_empty() && events.ended_well() == ends);
            }
        }
        let mut events = Events::default();
        assert!(events.feed(b"HTTP/1.1 200 OK\r\n\r\nxyz\r\n", &mut |_| {}).is_err());
    }
}
