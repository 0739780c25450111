//! A real server on a free port, and a plain client for its public routes.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod queues;
pub mod skip;
pub mod streams;
pub mod tmpfs;
pub mod toxiproxy;

use rustix::process::{Signal, set_parent_process_death_signal};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

/// For everything that should be over in an instant, on a machine that has other things to do.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const OPERATOR_KEY: &str = "opk_the-key-of-the-tests-operator";
/// Passwords that cost next to nothing.
pub const CHEAP: [&str; 4] = ["--password-memory-kib", "8", "--password-passes", "1"];

/// A program that a test starts ends with it, also when the test is killed.
#[expect(unsafe_code, reason = "what runs between fork and exec may do little")]
pub fn end_with_test(command: &mut Command) {
    // SAFETY: prctl is async-signal-safe.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}

pub struct Server {
    child: Child,
    pub url: String,
    /// What it printed before and after it was ready.
    lines: Mutex<mpsc::Receiver<String>>,
    pub printed: Vec<String>,
    errors: PathBuf,
}

pub fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onsale"));
    command.arg("serve").args(["--listen", "127.0.0.1:0"]).arg("--data").arg(data).args(CHEAP).args(arguments);
    command.env("ONSALE_OPERATOR_KEY", OPERATOR_KEY).stdin(Stdio::null());
    // One token does here in a second what a person does in a day. Tests of limits say so by flags, which count for more.
    command.env("ONSALE_LIMIT_USER_PER_MINUTE", "0").env("ONSALE_LIMIT_KEY_PER_MINUTE", "0");
    command.env("ONSALE_LIMIT_SIGN_IN_PER_MINUTE", "0");
    command
}

impl Server {
    pub fn start(data: &Path, arguments: &[&str]) -> Server {
        Server::spawn(command(data, arguments), data)
    }

    /// Waits until it says where it listens, which is when it is ready.
    pub fn spawn(mut command: Command, data: &Path) -> Server {
        let errors = data.with_extension("stderr");
        end_with_test(&mut command);
        command.stdout(Stdio::piped()).stderr(std::fs::File::create(&errors).unwrap());
        let mut child = command.spawn().expect("the server starts");
        let output = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let mut server = Server { child, url: String::new(), lines: Mutex::new(lines), printed: Vec::new(), errors };
        let until = Instant::now() + PATIENCE;
        while server.url.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = server.next_line(left) else {
                panic!("the server is not ready; it says\n{}", server.errors());
            };
            if let Some(url) = line.strip_prefix("listening on ") {
                server.url = url.into();
            }
            server.printed.push(line);
        }
        server
    }

    /// All that it has printed so far, given a moment for what is on the way.
    pub fn output(&mut self) -> String {
        while let Ok(line) = self.next_line(Duration::from_millis(200)) {
            self.printed.push(line);
        }
        self.printed.join("\n")
    }

    fn next_line(&self, within: Duration) -> Result<String, mpsc::RecvTimeoutError> {
        self.lines.lock().unwrap().recv_timeout(within)
    }

    pub fn errors(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap_or_default()
    }

    pub fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let told = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    /// Stops it as an operator would.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.wait();
        assert!(status.success(), "{status}; it said\n{}", self.errors());
    }

    /// It was told to stop before, and does.
    pub fn stop_after_signal(mut self) {
        let status = self.wait();
        assert!(status.success(), "{status}; it said\n{}", self.errors());
    }

    /// Stops it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn send(&self, request: Request) -> Answer {
        send_to(self.address(), request)
    }

    pub fn connect(&self) -> TcpStream {
        connect_to(self.address())
    }

    pub fn get(&self, path: &str, token: &str) -> Answer {
        self.send(Request::new("GET", path).token(token))
    }

    pub fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.send(Request::new("POST", path).token(token).json(body))
    }

    /// A new user, by token.
    pub fn user(&self, name: &str) -> User {
        let body = json!({"email": format!("{name}@example.com"), "password": "correct horse"});
        let answer = self.post("/v1/users", "", body).expect(201);
        User { id: answer.text("/user_id"), token: answer.text("/session/token") }
    }

    /// A new organizer's key.
    pub fn organizer(&self) -> String {
        self.post("/v1/organizers", OPERATOR_KEY, json!({"name": "Org"})).expect(201).text("/key/secret")
    }

    pub fn concert(&self, organizer: &str) -> String {
        let body = json!({"title": "Title", "artist": "Artist", "venue": "Venue"});
        self.post("/v1/concerts", organizer, body).expect(201).text("/concert_id")
    }

    /// A performance of rows with ten VIP seats each and the area Floor (R) with five places, with `more` set.
    pub fn performance(&self, organizer: &str, more: Value) -> String {
        let concert = self.concert(organizer);
        let mut body = performance_body();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let path = format!("/v1/concerts/{concert}/performances");
        self.post(&path, organizer, body).expect(201).text("/performance_id")
    }

    pub fn charge(&self, user: &User, points: u64) {
        let body = json!({"points": points, "user_id": user.id});
        let key = format!("charge-{}", uuid::Uuid::new_v4());
        self.send(Request::new("POST", "/v1/wallet/charges").token(OPERATOR_KEY).key(&key).json(body)).expect(201);
    }

    pub fn balance(&self, user: &User) -> u64 {
        self.get("/v1/wallet", &user.token).expect(200).json()["balance"].as_u64().unwrap()
    }

    pub fn hold(&self, performance: &str, user: &User, wish: Value) -> Answer {
        self.post(&format!("/v1/performances/{performance}/reservations"), &user.token, wish)
    }
}

/// Sends a request to a server, or to what is before one.
pub fn send_to(address: &str, request: Request) -> Answer {
    let mut stream = connect_to(address);
    stream.write_all(&request.bytes("close")).unwrap();
    read_answer(&mut BufReader::new(stream), request.method)
}

fn connect_to(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn wait(child: &mut Child) -> ExitStatus {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < until, "the process does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn performance_body() -> Value {
    json!({
        "starts_at": "2099-01-01T19:00:00Z",
        "prices": {"VIP": 100, "R": 10},
        "chart": {
            "sections": [{"section": "A", "rows": [
                {"row": "1", "grade": "VIP", "seat_count": 10}, {"row": "2", "grade": "VIP", "seat_count": 10},
            ]}],
            "areas": [{"area": "Floor", "grade": "R", "capacity": 5}],
        },
    })
}

#[derive(Clone)]
pub struct User {
    pub id: String,
    pub token: String,
}

#[derive(Clone)]
pub struct Request {
    pub method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub fn new(method: &'static str, path: &str) -> Request {
        Request { method, path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// An empty token is none.
    pub fn token(self, token: &str) -> Request {
        if token.is_empty() { self } else { self.header("Authorization", &format!("Bearer {token}")) }
    }

    pub fn key(self, key: &str) -> Request {
        self.header("Idempotency-Key", key)
    }

    pub fn json(self, body: Value) -> Request {
        self.body("application/json", body.to_string().as_bytes())
    }

    pub fn body(self, media_type: &str, body: &[u8]) -> Request {
        Request { body: body.into(), ..self.header("Content-Type", media_type) }
    }

    pub fn bytes(&self, connection: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: test\r\nConnection: {connection}\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let length = self.headers.iter().any(|(name, _)| name == "Content-Length");
        if !length && (!self.body.is_empty() || self.method != "GET") {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

pub fn read_answer(reader: &mut impl BufRead, method: &str) -> Answer {
    let mut line = String::new();
    reader.read_line(&mut line).expect("an answer");
    let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("{line:?} is no answer")).parse().unwrap();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
    let chunked = answer.header("transfer-encoding") == Some("chunked");
    if chunked && method != "HEAD" {
        answer.body = read_chunks(reader);
    } else if method != "HEAD" && status != 304 {
        answer.body.resize(length, 0);
        reader.read_exact(&mut answer.body).unwrap();
    }
    answer
}

/// A body of chunks, up to the empty one that says that it is whole.
fn read_chunks(reader: &mut impl BufRead) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let length = usize::from_str_radix(line.trim_end(), 16).unwrap_or_else(|_| panic!("{line:?} is no chunk"));
        let start = body.len();
        body.resize(start + length + 2, 0);
        reader.read_exact(&mut body[start..]).unwrap();
        body.truncate(start + length);
        if length == 0 {
            return body;
        }
    }
}

impl Answer {
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    /// It is a problem of this kind, told as RFC 9457 wants it.
    #[track_caller]
    pub fn expect_problem(self, status: u16, slug: &str) -> Answer {
        let body = String::from_utf8_lossy(&self.body).into_owned();
        let found = (self.status, self.json()["type"].as_str().unwrap_or_default().to_owned());
        assert_eq!(found, (status, format!("https://onsale.dev/problems/{slug}")), "{body}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{body}");
        assert_eq!(self.json()["status"], status, "{body}");
        assert_eq!(self.json()["request_id"].as_str(), self.header("x-request-id"), "{body}");
        assert!(self.json()["title"].is_string() && self.json()["detail"].is_string(), "{body}");
        let must = match status {
            401 => "www-authenticate",
            405 => "allow",
            503 => "retry-after",
            _ => "x-request-id",
        };
        assert!(self.header(must).is_some(), "{status} without {must}");
        self
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    #[track_caller]
    pub fn text(&self, pointer: &str) -> String {
        let body = self.json();
        let value = body.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_else(|| panic!("{pointer} is not in {body}")).to_owned()
    }
}
