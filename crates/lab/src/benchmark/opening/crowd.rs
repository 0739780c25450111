//! Those who ask when they are told to: an instant for each at which they are due, and some hundred connections that take
//! who is due next. How long a request took counts from the instant at which it was due.

use crate::client::{Connection, Target, write_request};
use crate::stats::{Latencies, Rng};
use anyhow::{Context, bail};
use base::id::{EntryId, QueueId};
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep};

/// What is told apart.
pub const PARTS: [&str; 6] = ["gathering", "opening", "paused", "resumed", "reloading", "restart"];
/// The route whose requests are polls.
pub const POLLED: &str = "/v1/queues/{id}/entries/{entry}";
/// How finely instants are dealt out.
const TICK: Duration = Duration::from_millis(1);
/// A request that takes longer has failed.
const STUCK: Duration = Duration::from_secs(30);
/// All have joined within this.
const JOINED_WITHIN: Duration = Duration::from_secs(120);
/// Whoever never got an answer tries again within this, ms.
const RETRY_MS: (u64, u64) = (2_000, 4_000);
/// How long somebody stays inside, ms.
const STAYS_MS: u64 = 4_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    Join,
    Ask,
    /// Loads the page, and then joins.
    Page,
    /// Loads the page again, and then joins again: with the token, which gives the same entry.
    PageAgain,
    Reload,
    Claim,
    Complete,
}

/// Somebody who waits.
pub struct Participant {
    pub ticket: u32,
    pub token: String,
    /// Has a stream instead of asking.
    pub listens: bool,
    pub waits: bool,
    knows: bool,
    retry_ms: (u64, u64),
}

/// What came of it.
#[derive(Default)]
pub struct OpeningResult {
    /// By part.
    pub polls: [Latencies; PARTS.len()],
    /// Pages that were loaded again.
    pub pages: [Latencies; PARTS.len()],
    pub know: u64,
    pub known_after: Duration,
    pub came: u64,
    /// Those who were let in and came when told, too late.
    pub late: u64,
    /// Requests without an answer, or with 503.
    pub failed: u64,
    pub unexpected: Option<String>,
    pub streams_lost: u64,
    pub streams_back: u64,
}

pub struct Crowd {
    pub target: Target,
    pub queue: QueueId,
    connections: usize,
    pub people: RefCell<Vec<Participant>>,
    pub part: Cell<usize>,
    pub opens_at: Cell<Option<Instant>>,
    pub found: RefCell<OpeningResult>,
    pub rng: RefCell<Rng>,
    joined: Cell<usize>,
    due: RefCell<BinaryHeap<Reverse<(Instant, usize, u8)>>>,
    ready: RefCell<VecDeque<(Instant, usize, Action)>>,
    work: Semaphore,
}

impl Crowd {
    pub fn new(target: Target, queue: QueueId, connections: usize) -> Crowd {
        Crowd {
            target,
            queue,
            connections,
            people: RefCell::default(),
            part: Cell::new(0),
            opens_at: Cell::new(None),
            found: RefCell::default(),
            rng: RefCell::new(Rng::new(20, 0)),
            joined: Cell::new(0),
            due: RefCell::default(),
            ready: RefCell::default(),
            work: Semaphore::new(0),
        }
    }

    /// Starts those who work for it; they end when what is given is aborted.
    pub fn start(self: Rc<Crowd>) -> JoinHandle<()> {
        spawn_local(async move {
            let workers = (0..self.connections).map(|_| self.work());
            futures_util::future::join(futures_util::future::join_all(workers), self.deal()).await;
        })
    }

    /// So many people come, as fast as they are let.
    pub fn join(&self, pollers: u32, streams: u32) {
        let now = Instant::now();
        for number in 0..pollers + streams {
            let listens = number >= pollers;
            let token = String::new();
            let somebody = Participant { ticket: 0, token, listens, waits: true, knows: false, retry_ms: RETRY_MS };
            self.people.borrow_mut().push(somebody);
            self.at(now, number as usize, Action::Page);
        }
    }

    pub async fn all_joined(&self) -> anyhow::Result<()> {
        let until = Instant::now() + JOINED_WITHIN;
        while self.joined.get() < self.people.borrow().len() {
            if Instant::now() > until {
                let unexpected = self.found.borrow().unexpected.clone().unwrap_or_default();
                bail!("only {} have joined within {JOINED_WITHIN:?}: {unexpected}", self.joined.get());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Everybody who waits loads their page again, at the same instant.
    pub fn reload(&self) {
        let now = Instant::now();
        let waiting: Vec<usize> =
            self.people.borrow().iter().enumerate().filter(|(_, it)| it.waits).map(|(n, _)| n).collect();
        waiting.into_iter().for_each(|number| self.at(now, number, Action::PageAgain));
    }

    /// One of so many loads their page again between these instants, each at one of their own.
    pub fn reload_one_of(&self, so_many: usize, from: Instant, until: Instant) {
        let within_ms = (until - from).as_millis() as u64;
        for number in (0..self.people.borrow().len()).step_by(so_many) {
            let at = from + Duration::from_millis(self.rng.borrow_mut().draw() % within_ms.max(1));
            self.at(at, number, Action::PageAgain);
        }
    }

    pub fn unknown(&self) -> u64 {
        self.people.borrow().iter().filter(|somebody| !somebody.knows).count() as u64
    }

    pub fn at(&self, at: Instant, number: usize, action: Action) {
        self.due.borrow_mut().push(Reverse((at, number, action as u8)));
    }

    pub fn path(&self, number: usize) -> String {
        format!("/v1/queues/{}/entries/{}", self.queue, EntryId::of(self.queue, self.people.borrow()[number].ticket))
    }

    /// Somebody was told where they stand.
    pub fn told(&self, number: usize, entry: &Value) {
        let (mut people, mut found) = (self.people.borrow_mut(), self.found.borrow_mut());
        let somebody = &mut people[number];
        if let (Some(min), Some(max)) =
            (entry["retry_after_ms"]["min"].as_u64(), entry["retry_after_ms"]["max"].as_u64())
        {
            somebody.retry_ms = (min, max);
        }
        let placed = entry["rank"].is_u64() || entry["state"] == "admitted";
        if placed && !std::mem::replace(&mut somebody.knows, true) {
            found.know += 1;
            found.known_after = self.opens_at.get().map_or(Duration::ZERO, |opens_at| opens_at.elapsed());
        }
        let waits = std::mem::replace(&mut somebody.waits, entry["state"] == "waiting");
        if waits && entry["state"] == "admitted" {
            self.at(Instant::now(), number, Action::Claim);
        }
        if waits && entry["state"] == "expired" {
            found.late += 1;
        }
    }

    /// When to try again, drawn as they were told to.
    pub fn retry_after(&self, number: usize) -> Duration {
        let (min, max) = self.people.borrow()[number].retry_ms;
        Duration::from_millis(min + self.rng.borrow_mut().draw() % (max - min).max(1))
    }

    /// Hands out who is due.
    async fn deal(&self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let (now, mut due, mut dealt) = (Instant::now(), self.due.borrow_mut(), 0);
            while due.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
                let Some(Reverse((at, number, action))) = due.pop() else { break };
                self.ready.borrow_mut().push_back((at, number, ACTIONS[action as usize]));
                dealt += 1;
            }
            self.work.add_permits(dealt);
        }
    }

    /// One connection.
    async fn work(&self) {
        let (mut connection, mut request) = (Connection::new(self.target.clone()), Vec::with_capacity(1024));
        while let Ok(permit) = self.work.acquire().await {
            permit.forget();
            let Some((at, number, action)) = self.ready.borrow_mut().pop_front() else { continue };
            self.write(&mut request, number, action);
            let part = self.part.get();
            let answer = match connection.exchange_within(STUCK, &request).await {
                Ok(reply) if reply.status == 503 => Err(io::Error::other("503")),
                Ok(reply) if matches!(action, Action::Page | Action::PageAgain) => Ok((reply.status, Value::Null)),
                Ok(reply) => Ok((reply.status, serde_json::from_slice::<Value>(reply.body).unwrap_or_default())),
                Err(error) => Err(error),
            };
            match answer {
                Ok((status, body)) => self.answered((at, number, action, part), status, &body),
                Err(_) => {
                    self.found.borrow_mut().failed += 1;
                    self.at(Instant::now() + self.retry_after(number), number, action);
                }
            }
        }
    }

    fn write(&self, request: &mut Vec<u8>, number: usize, action: Action) {
        let (entries, entry) = (format!("/v1/queues/{}/entries", self.queue), self.path(number));
        let (method, path) = match action {
            Action::Join | Action::Reload => ("POST", entries),
            Action::Ask => ("GET", entry),
            Action::Page | Action::PageAgain => ("GET", format!("/q/{}", self.queue)),
            Action::Claim => ("POST", entry + "/claim"),
            Action::Complete => ("POST", entry + "/completion"),
        };
        // Who got no answer to a join asks for the same again.
        let key = format!("opening-{number}");
        let headers = match action {
            Action::Join => &[("idempotency-key", key.as_str())][..],
            // As browsers do; who they are is in no page's request.
            Action::Page | Action::PageAgain => &[("accept", "text/html"), ("accept-encoding", "gzip")],
            _ => &[],
        };
        let token = match action {
            Action::Page | Action::PageAgain => String::new(),
            _ => self.people.borrow()[number].token.clone(),
        };
        request.clear();
        let token = Some(token.as_str()).filter(|token| !token.is_empty());
        write_request(request, method, &path, &self.target.host, token, headers, None);
    }

    fn answered(&self, (at, number, action, part): (Instant, usize, Action, usize), status: u16, body: &Value) {
        let now = Instant::now();
        match action {
            Action::Ask => self.found.borrow_mut().polls[part].record(now - at),
            // When all come at first nobody's page is due at an instant.
            Action::PageAgain => self.found.borrow_mut().pages[part].record(now - at),
            _ => {}
        }
        match (action, status) {
            (Action::Page, 200) => self.at(now, number, Action::Join),
            (Action::PageAgain, 200) => self.at(now, number, Action::Reload),
            (Action::Join | Action::Ask | Action::Reload, 200 | 201) => {
                if action == Action::Join
                    && let Err(error) = self.joined(number, body)
                {
                    return self.unexpected(action, status, &error.to_string());
                }
                self.told(number, body);
                let (after_ms, somebody) = (body["poll_after_ms"].as_u64(), &self.people.borrow()[number]);
                if somebody.waits && !somebody.listens && action != Action::Reload {
                    self.at(now + Duration::from_millis(after_ms.unwrap_or(2_000)), number, Action::Ask);
                }
            }
            (Action::Claim, 200) => {
                self.found.borrow_mut().came += 1;
                let stays = Duration::from_millis(self.rng.borrow_mut().draw() % STAYS_MS);
                self.at(now + stays, number, Action::Complete);
            }
            (Action::Claim, 409) => self.found.borrow_mut().late += 1,
            (Action::Complete, 200) => {}
            _ => self.unexpected(action, status, &body.to_string()),
        }
    }

    fn joined(&self, number: usize, body: &Value) -> anyhow::Result<()> {
        let somebody = &mut self.people.borrow_mut()[number];
        somebody.ticket = body["ticket"].as_u64().context("no ticket")? as u32;
        somebody.token = body["waiting_token"].as_str().context("no waiting token")?.to_owned();
        self.joined.set(self.joined.get() + 1);
        Ok(())
    }

    fn unexpected(&self, action: Action, status: u16, what: &str) {
        self.found.borrow_mut().unexpected.get_or_insert_with(|| format!("{action:?}: {status} {what}"));
    }

    pub fn unexpected_of_stream(&self, what: &str) {
        self.found.borrow_mut().unexpected.get_or_insert_with(|| format!("stream: {what}"));
    }
}

/// By their numbers.
const ACTIONS: [Action; 7] =
    [Action::Join, Action::Ask, Action::Page, Action::PageAgain, Action::Reload, Action::Claim, Action::Complete];
