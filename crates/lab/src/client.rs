//! A small HTTP/1.1 client for load: keep-alive connections on tokio, requests as ready bytes, answers read in place.
//!
//! One exchange costs one write and one read of the socket and no allocation, because on a small machine the client
//! takes its processor time from the very server that it measures. Plain `http://` only; answers must carry a
//! Content-Length (Onsale's do).

use anyhow::{Context, bail};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// More headers than any answer of Onsale has.
const HEADERS_MAX: usize = 48;
/// Larger answers are refused: no read of these tools needs more (a chart of 100,000 places is below it).
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub address: SocketAddr,
    /// For the Host header, e.g. `127.0.0.1:8080`.
    pub host: String,
}

impl Target {
    /// The target of `http://host[:port]`.
    pub async fn resolve(url: &str) -> anyhow::Result<Target> {
        let Some(rest) = url.strip_prefix("http://") else {
            bail!("{url:?} does not start with http:// (there is no TLS here: put the tool beside the server)");
        };
        let host = rest.trim_end_matches('/');
        if host.is_empty() || host.contains('/') {
            bail!("{url:?} should be http://host:port, without a path");
        }
        let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let address = tokio::net::lookup_host(&with_port)
            .await
            .with_context(|| format!("cannot resolve {with_port}"))?
            .next()
            .with_context(|| format!("{with_port} has no address"))?;
        Ok(Target { address, host: host.to_owned() })
    }
}

/// An answer, borrowed from its connection until the next exchange.
pub struct Reply<'a> {
    pub status: u16,
    pub body: &'a [u8],
    head: &'a [u8],
}

impl Reply<'_> {
    /// The value of the header `name`, in any case.
    pub fn header(&self, name: &str) -> Option<String> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        response.parse(self.head).ok()?;
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(header.value).into_owned())
    }
}

/// One connection; it connects when first used, and again after an error or when the server closed it.
pub struct Connection {
    target: Target,
    /// Taken during an exchange: one that is dropped half-way leaves no half-read stream behind.
    stream: Option<TcpStream>,
    input: Vec<u8>,
}

impl Connection {
    pub fn new(target: Target) -> Connection {
        Connection { target, stream: None, input: Vec::with_capacity(16 << 10) }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Connects unless it is connected, so that the first exchange does not pay for it.
    pub async fn connect(&mut self) -> io::Result<()> {
        if self.stream.is_none() {
            self.stream = Some(self.open().await?);
        }
        Ok(())
    }

    async fn open(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.target.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The open stream, or a new one when the server closed it meanwhile.
    async fn stream(&mut self) -> io::Result<TcpStream> {
        if let Some(stream) = self.stream.take() {
            let closed = !matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
            if !closed {
                return Ok(stream);
            }
        }
        self.open().await
    }

    /// Sends `request` (see [`write_request`]) and reads its answer. After an error it is not known whether the server
    /// saw the request.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Reply<'_>> {
        let mut stream = self.stream().await?;
        stream.write_all(request).await?;
        self.input.clear();
        let head = loop {
            if stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
            }
            if let Some(head) = parse_head(&self.input)? {
                break head;
            }
        };
        let end = head.bytes + head.body_bytes;
        while self.input.len() < end {
            if stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ended before its time"));
            }
        }
        if self.input.len() > end {
            return Err(invalid("more bytes than the answer has"));
        }
        if head.keep_alive {
            self.stream = Some(stream);
        }
        Ok(Reply { status: head.status, head: &self.input[..head.bytes], body: &self.input[head.bytes..end] })
    }

    /// [`Connection::exchange`], given up after `limit`.
    pub async fn exchange_within(&mut self, limit: Duration, request: &[u8]) -> io::Result<Reply<'_>> {
        match tokio::time::timeout(limit, self.exchange(request)).await {
            Ok(reply) => reply,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}"))),
        }
    }
}

#[derive(Debug, PartialEq)]
struct Head {
    status: u16,
    bytes: usize,
    body_bytes: usize,
    keep_alive: bool,
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// The head of an answer, or None when not all of it is there yet.
fn parse_head(input: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let bytes = match response.parse(input) {
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(invalid(format!("not an HTTP answer: {error}"))),
    };
    let status = response.code.unwrap_or(0);
    let mut head = Head { status, bytes, body_bytes: 0, keep_alive: true };
    let mut length = None;
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            length = std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse().ok());
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.keep_alive = !header.value.eq_ignore_ascii_case(b"close");
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(invalid("an answer in chunks, which this client does not read"));
        }
    }
    if !matches!(status, 204 | 304) {
        head.body_bytes = length.ok_or_else(|| invalid("an answer without a Content-Length"))?;
    }
    if head.body_bytes > ANSWER_BYTES_MAX {
        return Err(invalid(format!("an answer of {} bytes", head.body_bytes)));
    }
    Ok(Some(head))
}

/// Appends a request to `out`. `token` goes into the Authorization header; `headers` are further ones; a body is JSON.
pub fn write_request(
    out: &mut Vec<u8>,
    method: &str,
    path: &str,
    host: &str,
    token: Option<&str>,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) {
    let mut put = |parts: &[&str]| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    put(&[method, " ", path, " HTTP/1.1\r\nhost: ", host, "\r\n"]);
    if let Some(token) = token {
        put(&["authorization: Bearer ", token, "\r\n"]);
    }
    for (name, value) in headers {
        put(&[name, ": ", value, "\r\n"]);
    }
    match body {
        Some(body) => {
            put(&["content-type: application/json\r\ncontent-length: ", &body.len().to_string(), "\r\n\r\n"]);
            out.extend_from_slice(body);
        }
        None if method == "GET" => put(&["\r\n"]),
        None => put(&["content-length: 0\r\n\r\n"]),
    }
}

/// A fixed number of connections that many tasks of one thread share, first come first served.
pub struct Pool {
    target: Target,
    idle: RefCell<Vec<Connection>>,
    free: Semaphore,
}

impl Pool {
    pub fn new(target: Target, connections: usize) -> Pool {
        let idle = (0..connections).map(|_| Connection::new(target.clone())).collect();
        Pool { target, idle: RefCell::new(idle), free: Semaphore::new(connections) }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Runs `act` with a connection, once one is free.
    pub async fn with<T>(&self, act: impl AsyncFnOnce(&mut Connection) -> T) -> T {
        let _permit = self.free.acquire().await.expect("never closed");
        let taken = self.idle.borrow_mut().pop();
        let mut connection = taken.unwrap_or_else(|| Connection::new(self.target.clone()));
        let outcome = act(&mut connection).await;
        self.idle.borrow_mut().push(connection);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn requests_are_written_as_http_wants_them() {
        let mut out = Vec::new();
        write_request(&mut out, "POST", "/noop", "h:1", Some("ust_x"), &[("idempotency-key", "k")], Some(b"{}"));
        write_request(&mut out, "GET", "/noop", "h:1", None, &[], None);
        write_request(&mut out, "DELETE", "/r", "h:1", None, &[], None);
        let want = "POST /noop HTTP/1.1\r\nhost: h:1\r\nauthorization: Bearer ust_x\r\nidempotency-key: k\r\n\
                    content-type: application/json\r\ncontent-length: 2\r\n\r\n{}\
                    GET /noop HTTP/1.1\r\nhost: h:1\r\n\r\n\
                    DELETE /r HTTP/1.1\r\nhost: h:1\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn heads() {
        let head = |status, bytes, body_bytes, keep_alive| Some(Head { status, bytes, body_bytes, keep_alive });
        let rows: [(&str, Result<Option<Head>, ()>); 7] = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Ok(head(200, 38, 2, true))),
            ("HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n", Ok(head(200, 57, 0, false))),
            ("HTTP/1.1 304 Not Modified\r\netag: \"7\"\r\n\r\n", Ok(head(304, 40, 0, true))),
            ("HTTP/1.1 200 OK\r\nContent-Le", Ok(None)),
            ("HTTP/1.1 200 OK\r\n\r\n", Err(())),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Err(())),
            ("SSH-2.0-OpenSSH\r\n\r\n", Err(())),
        ];
        for (input, want) in rows {
            assert_eq!(parse_head(input.as_bytes()).map_err(|_| ()), want, "{input:?}");
        }
    }

    /// A server that sends each of `answers` to one request on a connection of its own, in pieces of a few bytes.
    fn serve(answers: Vec<&'static str>) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_nodelay(true).unwrap();
                assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
                for piece in answer.as_bytes().chunks(7) {
                    stream.write_all(piece).unwrap();
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn a_connection_that_the_server_closed_is_opened_again() {
        let address = serve(vec![
            "HTTP/1.1 409 Conflict\r\nETag: \"3\"\r\ncontent-length: 5\r\n\r\nfirst",
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\nsecond",
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\ncut",
        ]);
        let mut connection = Connection::new(Target { address, host: address.to_string() });
        let reply = connection.exchange(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!((reply.status, reply.body), (409, &b"first"[..]));
        assert_eq!((reply.header("etag").as_deref(), reply.header("location")), (Some("\"3\""), None));
        // The server has closed by now, or the exchange fails and the one after it connects.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let reply = connection.exchange(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!((reply.status, reply.body), (200, &b"second"[..]));
        let cut = connection.exchange(b"GET / HTTP/1.1\r\n\r\n").await.map(|_| ()).unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn targets() {
        assert_eq!(Target::resolve("http://127.0.0.1:8080/").await.unwrap().host, "127.0.0.1:8080");
        for wrong in ["https://127.0.0.1", "127.0.0.1:80", "http://", "http://127.0.0.1:80/v1"] {
            assert!(Target::resolve(wrong).await.is_err(), "{wrong}");
        }
    }
}
