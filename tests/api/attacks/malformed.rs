//! Requests that are made to be more than one, or more than they say: floods of headers, endless bodies, smuggling.

use crate::api::manners::start;
use crate::common::{OPERATOR_KEY, read_answer};
use std::io::{BufReader, Read, Write};
use std::time::Duration;

/// What is sent, as pieces that are repeated so often; and the statuses one of which it must get.
type Attack = (&'static str, Vec<(Vec<u8>, usize)>, &'static [u16]);

fn attacks() -> Vec<Attack> {
    let head = |more: &str| format!("POST /v1/users HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n{more}");
    let once = |text: String| (text.into_bytes(), 1);
    let chunk = [format!("{:x}\r\n", 1 << 16).as_bytes(), &[b' '; 1 << 16], b"\r\n"].concat();
    let two = "{}GET /v1/wallet HTTP/1.1\r\nHost: t\r\n\r\n";
    vec![
        ("a thousand headers", vec![once("GET /livez HTTP/1.1\r\n".into()), (b"A: b\r\n".to_vec(), 1_000)], &[431]),
        ("a header without an end", vec![once("GET /livez HTTP/1.1\r\nA: ".into()), (vec![b'a'; 1 << 16], 64)], &[431]),
        ("a path without an end", vec![once("GET /".into()), (vec![b'a'; 1 << 16], 64)], &[414, 431]),
        (
            "2 MiB in chunks",
            vec![once(head("Transfer-Encoding: chunked\r\n\r\n")), (chunk.clone(), 32), once("0\r\n\r\n".into())],
            &[413],
        ),
        ("64 MiB in chunks", vec![once(head("Transfer-Encoding: chunked\r\n\r\n")), (chunk, 1_024)], &[413]),
        ("a chunk of 2^64 bytes", vec![once(head("Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"))], &[400]),
        ("a negative chunk", vec![once(head("Transfer-Encoding: chunked\r\n\r\n-1\r\n"))], &[400]),
        ("two lengths", vec![once(head("Content-Length: 2\r\nContent-Length: 40\r\n\r\n") + two)], &[400]),
        ("a length that is none", vec![once(head("Content-Length: +2\r\n\r\n") + two)], &[400]),
        (
            "a length and chunks",
            vec![once(head("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n") + two)],
            &[400],
        ),
        ("an unknown coding", vec![once(head("Transfer-Encoding: xchunked\r\n\r\n") + two)], &[400, 501]),
        ("a folded header", vec![once("GET /livez HTTP/1.1\r\nHost: t\r\nA: b\r\n c\r\n\r\n".into())], &[400]),
        ("a space before the colon", vec![once(head("Content-Length : 2\r\n\r\n") + two)], &[400]),
        ("a NUL in a header", vec![once("GET /livez HTTP/1.1\r\nHost: t\r\nA: \0\r\n\r\n".into())], &[400]),
        ("ESC in a header", vec![once("GET /livez HTTP/1.1\r\nHost: t\r\nA: \x1b[2J\r\n\r\n".into())], &[400]),
        // Nobody unpacks what came packed: a bomb stays what it is.
        ("a packed body", vec![once(head("Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f?"))], &[400, 415]),
    ]
}

#[test]
fn what_is_malformed_is_refused_once_and_nothing_behind_it_is_run() {
    let (_data, server) = start(&[]);
    for (name, pieces, statuses) in attacks() {
        let mut stream = server.connect();
        // What the server has refused it need not read.
        let _ = pieces.iter().try_for_each(|(piece, times)| (0..*times).try_for_each(|_| stream.write_all(piece)));
        let mut reader = BufReader::new(stream);
        let answer = read_answer(&mut reader, "POST");
        assert!(statuses.contains(&answer.status), "{name}: {answer:?}");
        // Where the head of a request was in doubt, nothing that follows it is one.
        if answer.status == 400 {
            let mut rest = Vec::new();
            // Most connections are ended; of the others nothing comes.
            reader.get_ref().set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            let _ = reader.read_to_end(&mut rest);
            assert!(!rest.starts_with(b"HTTP/1.1"), "{name}: {}", String::from_utf8_lossy(&rest));
        }
    }
    server.get("/v1/organizers", OPERATOR_KEY).expect(200);
}
