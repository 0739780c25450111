//! Slowloris and its relatives: many connections that take their time on purpose, while others ask as usual.

use crate::api::manners::start;
use crate::common::{PATIENCE, Request, Server, read_answer};
use serde_json::json;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Of each kind.
const SLOW: usize = 60;
const FLAGS: [&str; 6] = ["--head-timeout-ms", "1000", "--body-timeout-ms", "1000", "--keep-alive-ms", "1000"];
/// A byte now and then: far more often than any timer asks for a sign of life.
const DRIP_EVERY: Duration = Duration::from_millis(100);
/// What an honest request may take meanwhile.
const HONEST_WITHIN: Duration = Duration::from_secs(2);

/// How a connection takes its time: what it begins with, whether that is answered, and what it goes on with.
struct Kind {
    name: &'static str,
    begin: &'static str,
    answered: bool,
    drip: &'static str,
}

const KINDS: [Kind; 8] = [
    Kind { name: "nothing at all", begin: "", answered: false, drip: "" },
    Kind { name: "a head", begin: "GET /livez HTTP/1.1\r\nHost: t\r\nX-Slow: ", answered: false, drip: "a" },
    Kind { name: "headers", begin: "GET /livez HTTP/1.1\r\nHost: t\r\n", answered: false, drip: "A: b\r\n" },
    Kind {
        name: "a body",
        begin: "POST /v1/users HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n{",
        answered: false,
        drip: " ",
    },
    Kind {
        name: "chunks",
        begin: "POST /v1/users HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n",
        answered: false,
        drip: "1\r\n \r\n",
    },
    Kind { name: "nothing after an answer", begin: "GET /livez HTTP/1.1\r\nHost: t\r\n\r\n", answered: true, drip: "" },
    Kind { name: "the next head", begin: "GET /livez HTTP/1.1\r\nHost: t\r\n\r\n", answered: true, drip: "G" },
    Kind {
        name: "half of the next head, and nothing",
        begin: "GET /livez HTTP/1.1\r\nHost: t\r\n\r\nGET /livez HTTP/1.1\r\nHos",
        answered: true,
        drip: "",
    },
];

impl Kind {
    fn connect(&self, server: &Server) -> TcpStream {
        let mut stream = server.connect();
        stream.write_all(self.begin.as_bytes()).unwrap();
        if self.answered {
            read_answer(&mut BufReader::new(&stream), "GET").expect(200);
        }
        stream.set_nonblocking(true).unwrap();
        stream
    }

    /// Sends a little more. Whether the server has ended the connection.
    fn drip(&self, stream: &mut TcpStream) -> bool {
        let mut told = [0; 4096];
        loop {
            match stream.read(&mut told) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return true,
            }
        }
        stream.write_all(self.drip.as_bytes()).is_err()
    }
}

#[test]
fn who_takes_their_time_is_cut_off_and_holds_up_nobody() {
    let (_data, server) = start(&FLAGS);
    let performance = server.performance(&server.organizer(), json!({}));
    let user = server.user("honest");
    let mut slow: Vec<(&Kind, TcpStream)> = Vec::new();
    for kind in &KINDS {
        slow.extend((0..SLOW).map(|_| (kind, kind.connect(&server))));
    }
    let until = Instant::now() + PATIENCE;
    let (mut round, mut slowest) = (0, Duration::ZERO);
    while !slow.is_empty() {
        let left: Vec<_> = slow.iter().map(|(kind, _)| kind.name).collect();
        assert!(Instant::now() < until, "{} connections are never ended: {:?}", left.len(), left.first());
        slow.retain_mut(|(kind, stream)| !kind.drip(stream));
        let begun = Instant::now();
        server.get("/v1/wallet", &user.token).expect(200);
        let seat = format!("A-{}-{}", 1 + round / 10 % 2, 1 + round % 10);
        let held = server.hold(&performance, &user, json!({"seats": [seat]})).expect(201);
        let path = format!("/v1/reservations/{}", held.text("/reservation_id"));
        server.send(Request::new("DELETE", &path).token(&user.token)).expect(200);
        slowest = slowest.max(begun.elapsed());
        round += 1;
        std::thread::sleep(DRIP_EVERY);
    }
    println!("{round} rounds, the slowest took {slowest:?}");
    assert!(slowest < HONEST_WITHIN, "{slowest:?}");
}

#[test]
fn when_every_connection_is_taken_there_is_room_again_in_time() {
    let (_data, server) = start(&[&FLAGS[..], &["--connections-max", "8", "--http-workers", "1"]].concat());
    let taken: Vec<TcpStream> = (0..8).map(|_| server.connect()).collect();
    let begun = Instant::now();
    server.get("/livez", "").expect(200);
    assert!(begun.elapsed() < PATIENCE / 4, "{:?}", begun.elapsed());
    drop(taken);
}
