//! The crowd's way to the server: sends requests, repeats what may be repeated, and counts everything.

use crate::client::{Pool, Target, write_request};
use crate::stats::Latencies;
use anyhow::{bail, ensure};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A single answer may take this long; a durable one takes milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// A request without an outcome (503, a broken connection) is sent this often before its buyer gives up.
const ATTEMPTS_MAX: u32 = 12;
/// The longest a Retry-After is waited for.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Kinds of request, as the table names them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    SignUp,
    Charge,
    Availability,
    Unchanged,
    Hold,
    Pay,
    Cancel,
    Join,
    Poll,
    Claim,
    Complete,
    Leave,
    Read,
    SetUp,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::SignUp => "sign_up",
            Kind::Charge => "charge",
            Kind::Availability => "availability",
            Kind::Unchanged => "availability_304",
            Kind::Hold => "hold",
            Kind::Pay => "pay",
            Kind::Cancel => "cancel",
            Kind::Join => "join",
            Kind::Poll => "poll",
            Kind::Claim => "claim",
            Kind::Complete => "complete",
            Kind::Leave => "leave",
            Kind::Read => "read",
            Kind::SetUp => "set_up",
        }
    }
}

/// A request. Sending it again must be harmless: it reads, it is idempotent by nature, or it carries a key.
#[derive(Clone)]
pub struct Call<'a> {
    pub kind: Kind,
    pub method: &'a str,
    pub path: &'a str,
    pub token: &'a str,
    pub idempotency_key: Option<&'a str>,
    pub if_none_match: Option<&'a str>,
    pub if_match: Option<&'a str>,
    pub body: Option<Value>,
}

impl<'a> Call<'a> {
    pub fn new(kind: Kind, method: &'a str, path: &'a str, token: &'a str) -> Call<'a> {
        Call { kind, method, path, token, idempotency_key: None, if_none_match: None, if_match: None, body: None }
    }

    pub fn key(self, key: &'a str) -> Call<'a> {
        Call { idempotency_key: Some(key), ..self }
    }

    pub fn body(self, body: Value) -> Call<'a> {
        Call { body: Some(body), ..self }
    }

    fn bytes(&self, host: &str) -> Vec<u8> {
        let mut headers = Vec::new();
        headers.extend(self.idempotency_key.map(|key| ("idempotency-key", key)));
        headers.extend(self.if_none_match.map(|etag| ("if-none-match", etag)));
        headers.extend(self.if_match.map(|etag| ("if-match", etag)));
        let token = Some(self.token).filter(|token| !token.is_empty());
        let body = self.body.as_ref().map(Value::to_string);
        let mut out = Vec::new();
        write_request(&mut out, self.method, self.path, host, token, &headers, body.as_deref().map(str::as_bytes));
        out
    }
}

/// An answer with an outcome: success, "not modified" or a refusal.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub etag: Option<String>,
    /// Null when there is none, and of an availability: those are large, and a buyer reads what it needs of the text.
    pub body: Value,
    /// The body as it came.
    pub text: Vec<u8>,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The reason of a refusal: the last word of the problem's type, e.g. `seats-unavailable`.
    pub fn reason(&self) -> &str {
        self.text("type").rsplit('/').next().unwrap_or_default()
    }

    /// Whether more was asked for than the chart has of it, free or not.
    fn is_beyond_the_hall(&self) -> bool {
        self.reason() == "invalid-request"
            && matches!(self.text("field"), "count" | "best_available.count" | "best_available.grade")
    }

    /// A member of the body as text; empty when it is not there.
    pub fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_default()
    }

    pub fn number(&self, member: &str) -> u64 {
        self.body[member].as_u64().unwrap_or_default()
    }
}

/// No outcome after [`ATTEMPTS_MAX`] attempts.
#[derive(Debug)]
pub struct NoOutcome;

/// What was sent and answered so far.
#[derive(Default)]
pub struct Tally {
    pub latencies: BTreeMap<Kind, Latencies>,
    /// 409, 422 and 503 by reason; and who was not let in yet.
    pub refusals: BTreeMap<String, u64>,
    /// Requests sent again because the first had no outcome.
    pub sent_again: u64,
    /// Answers that no buyer should ever get, and the first of them.
    pub unexpected: u64,
    pub first_unexpected: Option<String>,
}

/// Sends calls over a shared pool of connections.
pub struct Api {
    pool: Pool,
    tally: RefCell<Tally>,
}

enum Attempt {
    Outcome(Answer),
    Later(Duration),
}

impl Api {
    pub fn new(pool: Pool) -> Api {
        Api { pool, tally: RefCell::default() }
    }

    pub fn target(&self) -> &Target {
        self.pool.target()
    }

    pub fn into_tally(self) -> Tally {
        self.tally.into_inner()
    }

    /// Sends `call` until it has an outcome.
    pub async fn send(&self, call: &Call<'_>) -> Result<Answer, NoOutcome> {
        let request = call.bytes(&self.pool.target().host);
        for attempt in 0..ATTEMPTS_MAX {
            match self.attempt(call, &request).await {
                Attempt::Outcome(answer) => return Ok(answer),
                Attempt::Later(pause) => {
                    self.tally.borrow_mut().sent_again += 1;
                    let pause = pause.max(Duration::from_millis(10 << attempt.min(7))).min(PAUSE_MAX);
                    tokio::time::sleep(pause).await;
                }
            }
        }
        self.unexpected(call, "no outcome", "");
        Err(NoOutcome)
    }

    async fn attempt(&self, call: &Call<'_>, request: &[u8]) -> Attempt {
        let answered = self
            .pool
            .with(async |connection| {
                let sent = Instant::now();
                let reply = connection.exchange_within(ANSWER_WITHIN, request).await?;
                let took = sent.elapsed();
                let retry_after = reply.header("retry-after").and_then(|text| text.parse().ok());
                let large = call.kind == Kind::Availability;
                let body = if large { Value::Null } else { serde_json::from_slice(reply.body).unwrap_or(Value::Null) };
                let (etag, text) = (reply.header("etag"), reply.body.to_vec());
                let answer = Answer { status: reply.status, etag, body, text };
                std::io::Result::Ok((answer, took, retry_after))
            })
            .await;
        match answered {
            Err(_) => Attempt::Later(Duration::ZERO),
            Ok((answer, took, retry_after)) => {
                self.count(call, &answer, took);
                if answer.status == 503 {
                    return Attempt::Later(Duration::from_secs(retry_after.unwrap_or(0)));
                }
                Attempt::Outcome(answer)
            }
        }
    }

    fn count(&self, call: &Call<'_>, answer: &Answer, took: Duration) {
        let kind = if answer.status == 304 { Kind::Unchanged } else { call.kind };
        let mut tally = self.tally.borrow_mut();
        tally.latencies.entry(kind).or_default().record(took);
        match answer.status {
            200..300 | 304 => {}
            403 if answer.reason() == "not-admitted" => {
                *tally.refusals.entry(answer.reason().to_owned()).or_default() += 1
            }
            // Buyers do not read the whole chart: some ask for more places than a small hall has of a kind.
            400 if call.kind == Kind::Hold && answer.is_beyond_the_hall() => {
                *tally.refusals.entry("beyond-the-hall".into()).or_default() += 1;
            }
            409 | 422 | 503 => *tally.refusals.entry(answer.reason().to_owned()).or_default() += 1,
            status => {
                drop(tally);
                self.unexpected(call, &status.to_string(), &String::from_utf8_lossy(&answer.text));
            }
        }
    }

    /// Notes an answer that should not be.
    pub fn unexpected(&self, call: &Call<'_>, what: &str, body: &str) {
        let mut tally = self.tally.borrow_mut();
        tally.unexpected += 1;
        tally.first_unexpected.get_or_insert_with(|| format!("{} {}: {what} {body}", call.method, call.path));
    }
}

/// Sends what has to work.
pub(super) async fn post(api: &Api, path: &str, key: &str, body: Value) -> anyhow::Result<Answer> {
    let idempotency_key = uuid::Uuid::new_v4().to_string();
    let call = Call::new(Kind::SetUp, "POST", path, key).key(&idempotency_key).body(body);
    let Ok(answer) = api.send(&call).await else { bail!("POST {path}: the server gives no answer") };
    ensure!(answer.is_success(), "POST {path}: {} {}", answer.status, answer.body);
    Ok(answer)
}
