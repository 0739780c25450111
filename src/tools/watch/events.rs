//! The bytes of a stream's answer → events: head, chunks, lines.

use anyhow::{Context, ensure};

/// One event. `id` is its version.
#[derive(Debug, PartialEq)]
pub struct Event<'a> {
    pub name: &'a str,
    pub id: u64,
    pub data: &'a str,
}

/// Reads a stream as it comes, in pieces of any size.
#[derive(Default)]
pub struct Events {
    in_body: bool,
    /// What was received and not yet taken apart.
    raw: Vec<u8>,
    /// What was in chunks, up to the last whole event.
    text: Vec<u8>,
}

impl Events {
    /// Takes `bytes` and tells each event that is whole with them.
    pub fn feed(&mut self, bytes: &[u8], each: &mut dyn FnMut(Event<'_>)) -> anyhow::Result<()> {
        self.raw.extend_from_slice(bytes);
        if !self.in_body {
            let Some(end) = find(&self.raw, b"\r\n\r\n") else { return Ok(()) };
            self.raw.drain(..end + 4);
            self.in_body = true;
        }
        self.unpack()?;
        let mut start = 0;
        while let Some(len) = find(&self.text[start..], b"\n\n") {
            tell(std::str::from_utf8(&self.text[start..start + len])?, each)?;
            start += len + 2;
        }
        self.text.drain(..start);
        Ok(())
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
            self.text.extend_from_slice(&self.raw[from..to]);
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

    #[test]
    fn events_are_read_from_pieces_of_any_size() {
        let text = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nd\r\nretry: 5000\n\n\r\n\
            1f\r\nevent: full\nid: 7\ndata: {\"a\":1}\r\n2\r\n\n\n\r\n3\r\n:\n\n\r\n\
            23\r\nevent: delta\nid: 9\ndata: {\"b\":22}\n\n\r\n";
        for size in [1, 2, 3, 7, text.len()] {
            let (mut events, mut seen) = (Events::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                let each = &mut |event: Event<'_>| seen.push(format!("{} {} {}", event.name, event.id, event.data));
                events.feed(piece, each).unwrap();
            }
            assert_eq!(seen, ["full 7 {\"a\":1}", "delta 9 {\"b\":22}"], "pieces of {size}");
            assert!(events.raw.is_empty() && events.text.is_empty());
        }
        let mut events = Events::default();
        assert!(events.feed(b"HTTP/1.1 200 OK\r\n\r\nxyz\r\n", &mut |_| {}).is_err());
    }
}
