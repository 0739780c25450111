//! Many clients at once, for the tests of concurrency, of crashes and of full disks.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod buyer;
pub mod waiting;

use crate::common::{OPERATOR_KEY, PATIENCE, Server, User};
use futures_util::future::join_all;
use lab::client::{Connection, Target, write_request};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};
use verifier::verify_dir;

/// What an operator was promised: SIGTERM, and within this it has ended with exit code 0.
const STOPS_WITHIN: Duration = Duration::from_secs(10);
/// Sign-ups at a time: below what a server lets wait for a password's hash.
const SIGN_UPS_AT_A_TIME: usize = 64;

/// Runs `work` on this thread: all clients of a test take turns on it, and all their requests are under way together.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Lets this process, and the servers that it starts, have some thousands of connections.
pub fn allow_many_connections() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let files = maximum.unwrap_or(u64::MAX).min(16_384);
    setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum }).unwrap();
    assert!(files >= 4096, "a thousand clients need more than {files} open files");
}

pub fn target(server: &Server) -> Target {
    let address = server.address();
    Target { address: address.parse().unwrap(), host: address.into() }
}

/// Stops `server` as an operator would, in the time that was promised, and checks the books that it leaves.
pub fn stop_and_verify(server: Server, data: &Path) {
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < STOPS_WITHIN, "it took {:?} to stop", start.elapsed());
    let summary = verify_dir(data).unwrap_or_else(|violation| panic!("the books do not hold: {violation:#}"));
    println!("verified: {:?}", summary.rows());
}

/// One client: a connection and a token.
pub struct Client {
    connection: Connection,
    token: String,
}

/// What a client was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// The last word of the problem's type, e.g. `seats-unavailable`; empty for a success.
    pub fn problem(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default()
    }

    pub fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_else(|| panic!("{member} is not in {self:?}"))
    }

    pub fn number(&self, member: &str) -> u64 {
        self.body[member].as_u64().unwrap_or_else(|| panic!("{member} is not in {self:?}"))
    }

    pub fn is(&self, status: u16, problem: &str) -> bool {
        (self.status, self.problem()) == (status, problem)
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }
}

impl Client {
    pub fn new(target: &Target, token: &str) -> Client {
        Client { connection: Connection::new(target.clone()), token: token.into() }
    }

    /// Goes on with another token; an empty one is none.
    pub fn as_whom(&mut self, token: &str) {
        self.token = token.into();
    }

    /// Clients with open connections.
    pub async fn connected(target: &Target, users: impl IntoIterator<Item = &User>) -> Vec<Client> {
        let mut clients: Vec<Client> = users.into_iter().map(|user| Client::new(target, &user.token)).collect();
        // A listener's backlog is finite.
        for some in clients.chunks_mut(SIGN_UPS_AT_A_TIME) {
            join_all(some.iter_mut().map(|client| client.connection.connect()))
                .await
                .into_iter()
                .for_each(|connected| connected.expect("a connection"));
        }
        clients
    }

    /// An error when the server went away.
    pub async fn try_call(
        &mut self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> io::Result<Answer> {
        let mut request = Vec::new();
        let headers: Vec<(&str, &str)> = key.map(|key| ("idempotency-key", key)).into_iter().collect();
        let body = body.map(Value::to_string);
        let host = self.connection.target().host.clone();
        let body = body.as_deref().map(str::as_bytes);
        let token = Some(&*self.token).filter(|token| !token.is_empty());
        write_request(&mut request, method, path, &host, token, &headers, body);
        let reply = self.connection.exchange_within(PATIENCE, &request).await?;
        let body = serde_json::from_slice(reply.body).unwrap_or(Value::Null);
        let problem = reply.header("content-type").is_some_and(|kind| kind == "application/problem+json");
        assert_eq!(problem, reply.status >= 400, "{}: {}", reply.status, String::from_utf8_lossy(reply.body));
        Ok(Answer { status: reply.status, body })
    }

    pub async fn call(&mut self, method: &str, path: &str, key: Option<&str>, body: Option<&Value>) -> Answer {
        self.try_call(method, path, key, body).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.call("GET", path, None, None).await.expect(200)
    }

    pub async fn hold(&mut self, performance: &str, wish: Value) -> Answer {
        self.call("POST", &format!("/v1/performances/{performance}/reservations"), None, Some(&wish)).await
    }

    pub async fn pay(&mut self, reservation: &str) -> Answer {
        self.call("POST", &format!("/v1/reservations/{reservation}/payment"), None, None).await
    }

    pub async fn cancel(&mut self, reservation: &str) -> Answer {
        self.call("DELETE", &format!("/v1/reservations/{reservation}"), None, None).await
    }

    pub async fn reservation(&mut self, reservation: &str) -> Answer {
        self.get(&format!("/v1/reservations/{reservation}")).await
    }

    /// By a user's own token where the server lets users charge, by the operator's for `user`.
    pub async fn charge(&mut self, key: &str, points: u64, user: Option<&User>) -> Answer {
        let mut body = json!({"points": points});
        if let Some(user) = user {
            body["user_id"] = json!(user.id);
        }
        self.call("POST", "/v1/wallet/charges", Some(key), Some(&body)).await
    }

    pub async fn balance(&mut self) -> u64 {
        self.get("/v1/wallet").await.number("balance")
    }

    pub async fn availability(&mut self, performance: &str) -> Answer {
        self.get(&format!("/v1/performances/{performance}/availability")).await
    }
}

/// `count` new users, each with `points`.
pub async fn sign_up(target: &Target, count: usize, points: u64) -> Vec<User> {
    let lanes = (0..SIGN_UPS_AT_A_TIME).map(|lane| async move {
        let mut stranger = Client::new(target, "");
        let mut operator = Client::new(target, OPERATOR_KEY);
        let mut users = Vec::new();
        for number in (lane..count).step_by(SIGN_UPS_AT_A_TIME) {
            let body = json!({"email": format!("buyer-{number}@example.com"), "password": "correct horse"});
            let answer = stranger.call("POST", "/v1/users", None, Some(&body)).await.expect(201);
            let token = answer.body.pointer("/session/token").and_then(Value::as_str).expect("a token").to_owned();
            let user = User { id: answer.text("user_id").into(), token };
            if points > 0 {
                operator.charge(&format!("first-charge-{number}"), points, Some(&user)).await.expect(201);
            }
            users.push(user);
        }
        users
    });
    join_all(lanes).await.into_iter().flatten().collect()
}
