//! Streams of events, read as they come.

use super::{PATIENCE, Request, Server};
use lab::watch::events::{End, Event, Events};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

/// What came: name, id, data.
pub type Seen = (String, u64, Value);

/// A stream that is open, or was.
pub struct Stream {
    stream: TcpStream,
    events: Events,
    pub seen: Vec<Seen>,
}

impl Stream {
    pub fn open(server: &Server, request: &Request) -> Stream {
        let mut stream = server.connect();
        stream.write_all(&request.bytes("keep-alive")).unwrap();
        Stream { stream, events: Events::default(), seen: Vec::new() }
    }

    /// One that somebody has by a token; an empty one is none.
    pub fn of(server: &Server, path: &str, token: &str) -> Stream {
        Stream::open(server, &Request::new("GET", path).token(token))
    }

    /// Reads once; false at the end of the connection.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 16 << 10];
        let len = self.stream.read(&mut bytes).expect("something to read");
        let seen = &mut self.seen;
        let each = &mut |event: Event<'_>| {
            seen.push((event.name.to_owned(), event.id, serde_json::from_str(event.data).unwrap()));
        };
        self.events.feed(&bytes[..len], each).unwrap();
        len > 0
    }

    /// Reads until something came.
    #[track_caller]
    pub fn until(&mut self, what: impl Fn(&Seen) -> bool) -> Seen {
        let (until, mut looked_at) = (Instant::now() + PATIENCE, 0);
        loop {
            if let Some(found) = self.seen[looked_at..].iter().find(|seen| what(seen)) {
                return found.clone();
            }
            looked_at = self.seen.len();
            assert!(self.read() && Instant::now() < until, "it never came: {:?}", self.seen);
        }
    }

    /// Reads to the end of the stream, which has to be in good order; gives what the last event said.
    #[track_caller]
    pub fn end(&mut self) -> End {
        let until = Instant::now() + PATIENCE;
        while !self.events.ended_well() {
            assert!(self.read() && Instant::now() < until, "it did not end: {:?}", self.seen);
        }
        assert_eq!(self.seen.last().map(|(name, ..)| name.as_str()), Some("end"), "{:?}", self.seen);
        self.events.end().expect("a reason").clone()
    }

    /// It ends for good, for this reason.
    #[track_caller]
    pub fn ends_for_good(&mut self, reason: &str) {
        assert_eq!(self.end(), End { reason: reason.into(), reconnect: false }, "{:?}", self.seen);
        let (_, id, data) = self.seen.last().unwrap();
        assert!(data["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{data}");
        assert_eq!(*id, END_ID);
    }
}

/// What a client that comes back by itself sends after a stream that ended for good.
pub const END_ID: u64 = 9_007_199_254_740_991;

/// A request as EventSource sends it that was told that its stream ended for good, and comes back all the same.
pub fn again(path: &str, token: &str) -> Request {
    Request::new("GET", path).token(token).header("Last-Event-ID", &END_ID.to_string())
}
