//! People in a queue who write down what the server acknowledged, ask again what was never answered, and then want their
//! place, their turn and their session to be there; and an organizer who lets them in.

use super::{Answer, Client};
use lab::client::Target;
use lab::stats::Rng;
use serde_json::json;
use std::collections::BTreeMap;
use std::io;

/// How far somebody has come, as they were told last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    Waiting,
    Admitted,
    Active,
    Finished,
    Left,
}

impl Stage {
    fn of(answer: &Answer) -> Stage {
        match answer.text("state") {
            "waiting" => Stage::Waiting,
            "admitted" => Stage::Admitted,
            "active" => Stage::Active,
            "finished" => Stage::Finished,
            "left" => Stage::Left,
            _ => panic!("nobody is that here: {answer:?}"),
        }
    }

    fn is_over(self) -> bool {
        self >= Stage::Finished
    }
}

/// One place in the queue.
struct Entry {
    /// The request that made it.
    key: String,
    id: String,
    ticket: u64,
    token: String,
    stage: Stage,
    admission: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Asked {
    Join { key: String },
    Look,
    Claim,
    Complete,
    Leave,
}

/// Somebody who waits, is let in, goes, and comes again.
pub struct Visitor {
    name: usize,
    queue: String,
    random: Rng,
    entries: Vec<Entry>,
    /// Asked and not answered: it may have happened or not.
    open: Option<Asked>,
    requests: u64,
}

impl Visitor {
    pub fn new(name: usize, queue: &str, seed: u64) -> Visitor {
        let random = Rng::new(seed, 1_000 + name as u64);
        Visitor { name, queue: queue.to_owned(), random, entries: vec![], open: None, requests: 0 }
    }

    /// Asks for something, or again for what was not answered. An error when the server went away.
    pub async fn act(&mut self, client: &mut Client) -> io::Result<()> {
        let asked = match self.open.take() {
            Some(asked) => asked,
            None => self.choose(),
        };
        self.open = Some(asked.clone());
        let answer = self.send(client, &asked).await?;
        self.open = None;
        if !answer.is(503, "overloaded") {
            self.learn(&asked, &answer);
        }
        Ok(())
    }

    fn choose(&mut self) -> Asked {
        self.requests += 1;
        let draw = self.random.below(100);
        match self.entries.last() {
            Some(entry) if !entry.stage.is_over() => match (draw, entry.stage) {
                (0..5, _) => Asked::Leave,
                (5..15, _) => Asked::Join { key: entry.key.clone() },
                (15..50, Stage::Admitted) => Asked::Claim,
                (15..50, Stage::Active) => Asked::Complete,
                _ => Asked::Look,
            },
            _ => Asked::Join { key: format!("visitor-{}-request-{}", self.name, self.requests) },
        }
    }

    async fn send(&self, client: &mut Client, asked: &Asked) -> io::Result<Answer> {
        let path = format!("/v1/queues/{}/entries", self.queue);
        if let Asked::Join { key } = asked {
            client.as_whom("");
            return client.try_call("POST", &path, Some(key), None).await;
        }
        let entry = self.entries.last().expect("only an entry is asked about");
        client.as_whom(&entry.token);
        let path = format!("{path}/{}", entry.id);
        match asked {
            Asked::Claim => client.try_call("POST", &format!("{path}/claim"), None, None).await,
            Asked::Complete => client.try_call("POST", &format!("{path}/completion"), None, None).await,
            Asked::Leave => client.try_call("DELETE", &path, None, None).await,
            Asked::Join { .. } | Asked::Look => client.try_call("GET", &path, None, None).await,
        }
    }

    /// Writes down what was acknowledged, which must fit to what was acknowledged before.
    fn learn(&mut self, asked: &Asked, answer: &Answer) {
        let expected: &[u16] = if matches!(asked, Asked::Join { .. }) { &[200, 201] } else { &[200] };
        assert!(expected.contains(&answer.status), "visitor {}: {asked:?} got {answer:?}", self.name);
        let stage = Stage::of(answer);
        let admission = answer.body["admission"]["token"].as_str().map(str::to_owned);
        let id = answer.text("entry_id").to_owned();
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) else {
            let Asked::Join { key } = asked else { panic!("visitor {} has no entry {id}", self.name) };
            let last = self.entries.last();
            assert!(
                last.is_none_or(|last| last.stage.is_over() && last.key != *key),
                "visitor {} has a second place: {answer:?}",
                self.name
            );
            let (ticket, token) = (answer.number("ticket"), answer.text("waiting_token").to_owned());
            self.entries.push(Entry { key: key.clone(), id, ticket, token, stage, admission });
            return;
        };
        assert_eq!(answer.number("ticket"), entry.ticket, "{answer:?}");
        if let Asked::Join { .. } = asked {
            assert_eq!(answer.text("waiting_token"), entry.token, "{answer:?}");
        }
        assert!(stage >= entry.stage, "visitor {} was {:?} and is {stage:?}", self.name, entry.stage);
        let least = match asked {
            Asked::Claim => Stage::Active,
            Asked::Complete => Stage::Finished,
            Asked::Leave => Stage::Left,
            Asked::Join { .. } | Asked::Look => Stage::Waiting,
        };
        assert!(stage >= least, "visitor {}: {asked:?} was acknowledged as {stage:?}", self.name);
        if stage == Stage::Admitted {
            assert!(admission.is_some(), "admitted, and not told: {answer:?}");
            if let Some(before) = &entry.admission {
                assert_eq!(admission.as_ref(), Some(before), "the admission of visitor {} is another", self.name);
            }
            entry.admission = admission;
        }
        entry.stage = stage;
    }
}

/// A queue where people are let in by hand, and everybody in it.
pub struct Line {
    pub visitors: Vec<Visitor>,
    queue: String,
    organizer: String,
    random: Rng,
    /// How many each call let in, by its key.
    calls: BTreeMap<String, u64>,
    open: Option<(String, u64)>,
}

impl Line {
    /// `count` people at a new queue.
    pub fn new(server: &crate::common::Server, count: usize, seed: u64) -> Line {
        let organizer = server.organizer();
        let body = json!({
            "name": "Kill -9", "policy": {"manual": true}, "claim_ttl_s": 300, "session_ttl_s": 86_400,
        });
        let queue = server.post("/v1/queues", &organizer, body).expect(201).text("/queue_id");
        let visitors = (0..count).map(|name| Visitor::new(name, &queue, seed)).collect();
        Line { visitors, queue, organizer, random: Rng::new(seed, 77), calls: BTreeMap::new(), open: None }
    }

    /// The visitors, each to act on their own, and the organizer.
    pub fn everybody(&mut self) -> (&mut [Visitor], Organizer<'_>) {
        let Line { visitors, queue, organizer, random, calls, open } = self;
        (visitors, Organizer { queue, key: organizer, random, calls, open })
    }

    /// Looks after a restart whether everything that was acknowledged is there: each place and admission, and the order.
    pub async fn audit(&mut self, target: &Target) {
        let mut client = Client::new(target, "");
        for visitor in &mut self.visitors {
            if visitor.open.is_some() {
                visitor.act(&mut client).await.expect("an answer");
            }
            let Some(last) = visitor.entries.last() else { continue };
            let key = last.key.clone();
            let answer = visitor.send(&mut client, &Asked::Look).await.expect("an answer");
            visitor.learn(&Asked::Look, &answer);
            if !visitor.entries.last().expect("it was there").stage.is_over() {
                let again = Asked::Join { key };
                let answer = visitor.send(&mut client, &again).await.expect("an answer");
                assert_eq!(answer.status, 200, "the same key joined twice: {answer:?}");
                visitor.learn(&again, &answer);
            }
        }
        let (_, mut organizer) = self.everybody();
        if organizer.open.is_some() {
            organizer.act(&mut client).await.expect("an answer");
        }
        self.check_order(&mut client).await;
    }

    /// Whoever came first is first: nobody here was put before others.
    async fn check_order(&mut self, client: &mut Client) {
        let mut ranks = BTreeMap::new();
        for visitor in &self.visitors {
            let answer = visitor.send(client, &Asked::Look).await.expect("an answer");
            if let Some(rank) = answer.body["rank"].as_u64() {
                let waiting = answer.number("waiting");
                assert!(rank < waiting, "{answer:?}");
                assert_eq!(ranks.insert(answer.number("ticket"), (rank, waiting)), None, "{answer:?}");
            }
        }
        // All who wait are ours: their ranks are 0, 1, 2 … in the order of their tickets.
        for (expected, (ticket, (rank, waiting))) in ranks.iter().enumerate() {
            assert_eq!((*rank, *waiting), (expected as u64, ranks.len() as u64), "of ticket {ticket} in {ranks:?}");
        }
    }

    /// Entries and admissions that were acknowledged, all of them.
    pub fn counts(&self) -> (u64, u64) {
        let entries: usize = self.visitors.iter().map(|visitor| visitor.entries.len()).sum();
        (entries as u64, self.calls.values().sum())
    }
}

/// Lets people in, one call after the other.
pub struct Organizer<'a> {
    queue: &'a str,
    key: &'a str,
    random: &'a mut Rng,
    calls: &'a mut BTreeMap<String, u64>,
    open: &'a mut Option<(String, u64)>,
}

impl Organizer<'_> {
    /// An error when the server went away.
    pub async fn act(&mut self, client: &mut Client) -> io::Result<()> {
        let again = self.random.chance(20).then(|| self.calls.keys().next_back().cloned()).flatten();
        let new = || (again.unwrap_or_else(|| format!("admission-call-{:09}", self.calls.len())), 3);
        let (key, count) = self.open.take().unwrap_or_else(new);
        *self.open = Some((key.clone(), count));
        client.as_whom(self.key);
        let path = format!("/v1/queues/{}/admissions", self.queue);
        let answer = client.try_call("POST", &path, Some(&key), Some(&json!({"count": count}))).await?;
        *self.open = None;
        if answer.is(503, "overloaded") {
            return Ok(());
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        let admitted = answer.number("admitted");
        match self.calls.get(&key) {
            Some(before) => assert_eq!(admitted, *before, "the same call let in more"),
            // A call that found nobody is forgotten.
            None if admitted == 0 => {}
            None => _ = self.calls.insert(key, admitted),
        }
        Ok(())
    }
}
