//! Streams of queues: somebody's own state, the line that all are told, what ranks follow from; and a queue in numbers.

use crate::common::queues::Person;
use crate::common::{PATIENCE, Request, Server};
use lab::watch::events::Events;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn queue(server: &Server, organizer: &str, policy: Value, more: Value) -> String {
    let mut body = json!({"name": "Tour", "policy": policy});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.post("/v1/queues", organizer, body).expect(201).text("/queue_id")
}

fn join(server: &Server, queue: &str) -> Person {
    Person::of(server.post(&format!("/v1/queues/{queue}/entries"), "", json!({})).expect(201))
}

fn admit(server: &Server, queue: &str, organizer: &str, body: Value) -> u64 {
    let admitted = server.post(&format!("/v1/queues/{queue}/admissions"), organizer, body);
    admitted.expect(200).json()["admitted"].as_u64().unwrap()
}

/// One who watches, and the rank that follows from what they were told, as the API's document says.
struct Watcher {
    stream: TcpStream,
    events: Events,
    seen: Vec<(String, u64, Value)>,
    place: Option<i64>,
    rank: Option<i64>,
    version: u64,
    sampled: bool,
}

impl Watcher {
    fn send(server: &Server, request: Request) -> Watcher {
        let mut stream = server.connect();
        stream.write_all(&request.bytes("keep-alive")).unwrap();
        let (events, seen) = (Events::default(), Vec::new());
        Watcher { stream, events, seen, place: None, rank: None, version: 0, sampled: false }
    }

    fn new(server: &Server, person: &Person) -> Watcher {
        Watcher::send(server, Request::new("GET", &person.events()).token(&person.token))
    }

    /// Reads once; false at the end of the stream.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 16 << 10];
        let len = self.stream.read(&mut bytes).expect("something to read");
        let mut new = Vec::new();
        let each = &mut |event: lab::watch::events::Event<'_>| {
            new.push((event.name.to_owned(), event.id, serde_json::from_str(event.data).unwrap()));
        };
        self.events.feed(&bytes[..len], each).unwrap();
        for (name, version, data) in new {
            match name.as_str() {
                "entry" => self.take_entry(version, &data),
                "line" => self.take_line(version, &data),
                "statistics" | "end" => {}
                name => panic!("{name}?"),
            }
            self.seen.push((name, version, data));
        }
        len > 0
    }

    fn take_entry(&mut self, version: u64, entry: &Value) {
        (self.place, self.rank, self.version) = (entry["place"].as_i64(), entry["rank"].as_i64(), version);
        assert_eq!(self.place.is_some(), self.rank.is_some(), "{entry}");
        self.sampled = false;
    }

    fn take_line(&mut self, version: u64, line: &Value) {
        assert_eq!(line["version"], version);
        assert!(!line["samples"].is_null() || line["since"].as_u64().unwrap() <= self.version, "nothing is missed");
        if let (Some(place), Some(rank)) = (self.place, &mut self.rank) {
            for change in line["moves"].as_array().unwrap() {
                let [at, before, by] = [0, 1, 2].map(|index| change[index].as_i64().unwrap());
                if at > self.version as i64 && before < place {
                    *rank += by;
                }
            }
            if let Some(samples) = line["samples"].as_array().filter(|_| place >= 0) {
                let samples = samples.iter().map(|sample| (sample[0].as_i64().unwrap(), sample[1].as_i64().unwrap()));
                let samples: Vec<(i64, i64)> = samples.collect();
                let after = samples.partition_point(|(before, _)| *before < place).clamp(1, samples.len() - 1);
                let ((from, low), (to, high)) = (samples[after - 1], samples[after]);
                *rank = low + (high - low) * (place - from) / (to - from);
                self.sampled = true;
            }
            if place >= 0 && line["frontier"].as_i64().is_none_or(|frontier| place < frontier) {
                *rank = line["first"].as_i64().unwrap();
            }
        }
        self.version = self.version.max(version);
    }

    #[track_caller]
    fn until(&mut self, what: impl Fn(&Watcher) -> bool) -> &mut Watcher {
        let until = Instant::now() + PATIENCE;
        while !what(self) {
            assert!(self.read(), "the stream ended: {:?}", self.seen);
            assert!(Instant::now() < until, "it never came: {:?}", self.seen);
        }
        self
    }

    /// Reads until an `entry` in this state came; gives the last one.
    #[track_caller]
    fn until_state(&mut self, state: &str) -> Value {
        let of = |watcher: &Watcher| watcher.entry().filter(|entry| entry["state"] == state);
        self.until(|watcher| of(watcher).is_some());
        of(self).unwrap()
    }

    /// The last `entry`.
    fn entry(&self) -> Option<Value> {
        self.seen.iter().rev().find(|(name, ..)| name == "entry").map(|(.., entry)| entry.clone())
    }

    fn lines(&self) -> usize {
        self.seen.iter().filter(|(name, ..)| name == "line").count()
    }
}

/// Without what differs from second to second.
fn steady(mut entry: Value) -> Value {
    entry["poll_after_ms"] = Value::Null;
    entry["eta"] = Value::Null;
    entry
}

fn version_of(server: &Server, queue: &str) -> u64 {
    server.get(&format!("/v1/queues/{queue}"), "").expect(200).json()["version"].as_u64().unwrap()
}

#[test]
fn a_stream_tells_ones_own_state_first_and_at_once_and_the_line_once_a_second() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let queue = queue(&server, &organizer, json!({"manual": true}), json!({}));
    let people: Vec<Person> = (0..3).map(|_| join(&server, &queue)).collect();
    let me = &people[1];
    let mut watcher = Watcher::new(&server, me);
    let first = watcher.until_state("waiting");
    assert_eq!(watcher.seen[0].0, "entry");
    assert_eq!(steady(first), steady(me.poll(&server)));
    assert_eq!((watcher.rank, watcher.place), (Some(1), Some(1)));
    watcher.until(|watcher| watcher.lines() >= 2);
    let line = watcher.seen.last().unwrap().2.clone();
    for (field, value) in [
        ("queue_id", json!(queue)),
        ("queue_state", json!("open")),
        ("opened", json!(true)),
        ("opens_at", Value::Null),
        ("waiting", json!(3)),
        ("admitted_ever", json!(0)),
        ("frontier", json!(0)),
        ("first", json!(0)),
        ("moves", json!([])),
        ("samples", Value::Null),
    ] {
        assert_eq!(line[field], value, "{field} of {line}");
    }
    // In a browser: the token is in the query, and the same comes compressed.
    let path = format!("{}?waiting_token={}&last_event_id=3", me.events(), me.token);
    let mut browser = Watcher::send(&server, Request::new("GET", &path).header("Accept-Encoding", "gzip"));
    // The organizer looks, too.
    let mut organizers = Watcher::send(&server, Request::new("GET", &me.events()).token(&organizer));
    browser.until_state("waiting");
    organizers.until_state("waiting");
    assert_eq!(admit(&server, &queue, &organizer, json!({"count": 2})), 2);
    for watcher in [&mut watcher, &mut browser, &mut organizers] {
        let admitted = watcher.until_state("admitted");
        assert_eq!(steady(admitted.clone()), steady(me.poll(&server)), "the same bytes");
        assert!(admitted["admission"]["token"].is_string());
    }
    me.act(&server, "claim").expect(200);
    watcher.until_state("active");
    me.act(&server, "completion").expect(200);
    watcher.until_state("finished");
    let last = &people[2];
    let mut other = Watcher::new(&server, last);
    assert_eq!(other.until_state("waiting")["rank"], 0);
    let block = Request::new("PUT", &format!("{}/block", last.path)).token(&organizer);
    server.send(block.json(json!({"reason": "a bot"}))).expect(200);
    assert_eq!(other.until_state("blocked")["rank"], Value::Null);
    server.send(Request::new("DELETE", &format!("{}/block", last.path)).token(&organizer)).expect(200);
    let mut other = Watcher::new(&server, last);
    assert_eq!(other.until_state("waiting")["rank"], 0);
    let pause = Request::new("PATCH", &format!("/v1/queues/{queue}")).token(&organizer);
    server.send(pause.json(json!({"state": "paused"}))).expect(200);
    other.until(|other| other.seen.last().unwrap().2["queue_state"] == "paused");
    last.leave(&server);
    assert_eq!(other.until_state("left")["waiting"], 0);
    server.signal("TERM");
    while browser.read() {}
    assert!(browser.events.ended_well(), "in good order, with its checksum");
    server.stop_after_signal();
}

/// Numbers that look random (SplitMix64); the seed is printed with every failure.
struct Chance(u64);

impl Chance {
    fn below(&mut self, max: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % max as u64) as usize
    }
}

/// People leave, are blocked and restored, put first, admitted in order and out of turn, while streams begin at any moment.
fn ranks_follow(seed: u64, manual: bool) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let policy = if manual { json!({"manual": true}) } else { json!({"max_active": 3}) };
    let queue = queue(&server, &organizer, policy, json!({}));
    let mut chance = Chance(seed);
    let mut people: Vec<Person> = (0..30).map(|_| join(&server, &queue)).collect();
    let mut watchers: Vec<(Person, Watcher)> = Vec::new();
    for step in 0..120 {
        let one = people[chance.below(people.len())].clone();
        let state = one.poll(&server)["state"].as_str().unwrap().to_owned();
        let block = Request::new(if state == "blocked" { "DELETE" } else { "PUT" }, &format!("{}/block", one.path));
        match (chance.below(8), state.as_str()) {
            (0, _) => people.push(join(&server, &queue)),
            (1 | 2, _) => watchers.push((one.clone(), Watcher::new(&server, &one))),
            (3, "waiting") => one.leave(&server),
            (4, "waiting") => drop(server.send(block.token(&organizer).json(json!({"reason": "x"}))).expect(200)),
            (4.., "blocked") => drop(server.send(block.token(&organizer)).expect(200)),
            (5, "waiting") => {
                admit(&server, &queue, &organizer, json!({"entries": [one.entry], "reason": "they may"}));
            }
            (6, _) if manual && step % 4 == 0 => {
                admit(&server, &queue, &organizer, json!({"count": 1 + chance.below(3)}));
            }
            (_, "active" | "admitted") => drop(one.act(&server, "completion").expect(200)),
            _ => {}
        }
        if chance.below(6) == 0 {
            std::thread::sleep(Duration::from_millis(chance.below(200) as u64));
        }
    }
    for _ in 0..10 {
        let one = people[chance.below(people.len())].clone();
        watchers.push((one.clone(), Watcher::new(&server, &one)));
    }
    // Nothing moves any more: a queue that is paused lets nobody in.
    let pause = Request::new("PATCH", &format!("/v1/queues/{queue}")).token(&organizer);
    server.send(pause.json(json!({"state": "paused"}))).expect(200);
    let version = version_of(&server, &queue);
    let (mut ranked, mut moved) = (0, 0);
    for (person, watcher) in &mut watchers {
        let up_to_date = |watcher: &Watcher| watcher.version >= version && watcher.lines() > 0;
        watcher.until(|watcher| watcher.events.end().is_some() || up_to_date(watcher));
        let truth = person.poll(&server);
        match watcher.events.end().map(|end| end.reason.as_str()) {
            None => {}
            // They may have been restored since, or watched by another one.
            Some("blocked" | "replaced") => continue,
            Some(reason) => assert_eq!(truth["state"], reason, "seed {seed}"),
        }
        let told = watcher.entry().unwrap();
        assert_eq!(told["state"], truth["state"], "seed {seed}");
        assert_eq!(
            (json!(watcher.rank), &told["place"]),
            (truth["rank"].clone(), &truth["place"]),
            "seed {seed}: {:?}",
            watcher.seen
        );
        ranked += u32::from(watcher.rank.is_some());
        moved += u32::from(told["rank"] != truth["rank"]);
    }
    assert!(ranked > 5 && moved > 2, "seed {seed}: {ranked} waited to the end, {moved} of them moved by lines alone");
    server.stop();
}

#[test]
fn ranks_follow_from_the_lines_where_the_organizer_admits() {
    ranks_follow(7, true);
}

#[test]
fn ranks_follow_from_the_lines_where_the_policy_admits() {
    ranks_follow(11, false);
}

#[test]
fn too_many_moves_are_told_as_samples_and_then_the_truth() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let queue = queue(&server, &organizer, json!({"manual": true}), json!({}));
    let people: Vec<Person> = (0..800).map(|_| join(&server, &queue)).collect();
    let mut watcher = Watcher::new(&server, &people[700]);
    watcher.until(|watcher| watcher.lines() > 0);
    assert_eq!(watcher.rank, Some(700));
    // Every other of them, out of turn, at once.
    let named: Vec<&str> = people.iter().skip(1).step_by(2).map(|person| person.entry.as_str()).collect();
    assert_eq!(admit(&server, &queue, &organizer, json!({"entries": named, "reason": "they may"})), 400);
    watcher.until(|watcher| watcher.sampled);
    let about = watcher.rank.unwrap();
    assert!((345..=355).contains(&about), "{about} of 350");
    people[0].leave(&server);
    watcher.until(|watcher| !watcher.sampled);
    assert_eq!((watcher.rank, people[700].poll(&server)["rank"].as_i64()), (Some(349), Some(349)));
    server.stop();
}

#[test]
fn an_admission_is_not_missed_over_a_crash_and_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let organizer = server.organizer();
    let queue = queue(&server, &organizer, json!({"manual": true}), json!({}));
    let people: Vec<Person> = (0..20).map(|_| join(&server, &queue)).collect();
    let mut watchers: Vec<Watcher> = people.iter().map(|person| Watcher::new(&server, person)).collect();
    watchers.iter_mut().for_each(|watcher| drop(watcher.until_state("waiting")));
    // It is true as soon as this is answered; whoever has not heard of it has to hear of it after the crash.
    assert_eq!(admit(&server, &queue, &organizer, json!({"count": 10})), 10);
    server.kill();
    let server = Server::start(&folder, &[]);
    for (index, (person, before)) in people.iter().zip(watchers).enumerate() {
        let id = before.version.to_string();
        let request = Request::new("GET", &person.events()).token(&person.token).header("Last-Event-ID", &id);
        let mut back = Watcher::send(&server, request);
        back.until(|back| !back.seen.is_empty());
        let (name, version, entry) = back.seen[0].clone();
        assert_eq!((name.as_str(), version >= before.version), ("entry", true));
        assert_eq!(entry["state"], if index < 10 { "admitted" } else { "waiting" });
        assert_eq!(steady(entry), steady(person.poll(&server)));
    }
    server.stop();
}

#[test]
fn one_entry_has_five_streams_and_who_does_not_read_harms_nobody() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let queue = queue(&server, &organizer, json!({"manual": true}), json!({}));
    let (greedy, other) = (join(&server, &queue), join(&server, &queue));
    // They never read.
    let _deaf: Vec<Watcher> = (0..20).map(|_| Watcher::new(&server, &join(&server, &queue))).collect();
    let mut others = Watcher::new(&server, &other);
    others.until_state("waiting");
    let mut many: Vec<Watcher> = Vec::new();
    for _ in 0..300 {
        let mut watcher = Watcher::new(&server, &greedy);
        watcher.until_state("waiting");
        many.push(watcher);
    }
    for (index, watcher) in many.iter_mut().enumerate() {
        match index < 295 {
            true => {
                while !watcher.events.ended_well() {
                    assert!(watcher.read(), "stream {index}");
                }
            }
            false => drop(watcher.until(|watcher| watcher.lines() > 0)),
        }
    }
    let until = Instant::now() + PATIENCE;
    let open = || String::from_utf8(server.get("/metrics", "").expect(200).body).unwrap();
    while !open().lines().any(|line| line == "onsale_streams_open 26") {
        assert!(Instant::now() < until, "{}", open());
    }
    admit(&server, &queue, &organizer, json!({"count": 2}));
    others.until_state("admitted");
    many.iter_mut().skip(295).for_each(|watcher| drop(watcher.until_state("admitted")));
    server.stop();
}

#[test]
fn only_who_may_read_an_entry_may_watch_it() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start(&data.path().join("data"), &["--streams-per-address-max", "1"]);
    let (organizer, rival) = (server.organizer(), server.organizer());
    let user = server.user("ada");
    let [one, two] = [0, 1].map(|_| queue(&server, &organizer, json!({"manual": true}), json!({})));
    let (mine, theirs) = (join(&server, &one), join(&server, &two));
    let path = mine.events();
    let elsewhere = format!("/v1/queues/{two}/entries/{}/events", mine.entry);
    let nobody = format!("/v1/queues/{one}/entries/{}/events", uuid::Uuid::new_v4());
    for (path, token) in [
        (&path, &theirs.token),
        (&path, &rival),
        (&path, &user.token),
        (&elsewhere, &mine.token),
        (&elsewhere, &organizer),
        (&nobody, &mine.token),
    ] {
        server.get(path, token).expect_problem(404, "not-found");
    }
    let by_query = |path: &str, query: &str| server.get(&format!("{path}?{query}"), "");
    by_query(&path, &format!("waiting_token={}", theirs.token)).expect_problem(404, "not-found");
    let other = if mine.token.ends_with('A') { 'B' } else { 'A' };
    let forged = format!("waiting_token={}{other}", &mine.token[..mine.token.len() - 1]);
    by_query(&path, &forged).expect_problem(401, "unauthenticated");
    server.get(&path, "").expect_problem(401, "unauthenticated");
    for (query, field) in [
        (format!("waiting_token={organizer}"), "waiting_token"),
        ("waiting_token=".to_owned(), "waiting_token"),
        (format!("waiting_token={0}&waiting_token={0}", mine.token), "query"),
        (format!("waiting_token={}&token=x", mine.token), "query"),
        (format!("waiting_token={}&last_event_id=x", mine.token), "last_event_id"),
    ] {
        let refused = by_query(&path, &query).expect_problem(400, "invalid-request");
        assert_eq!(refused.text("/field"), field);
        let said = String::from_utf8(refused.body).unwrap();
        assert!(!said.contains("wqt_") || !said.contains(&mine.token), "{said}");
    }
    // A header counts before the query.
    server.get(&format!("{path}?waiting_token={}", mine.token), &theirs.token).expect_problem(404, "not-found");
    let last = Request::new("GET", &path).token(&mine.token).header("Last-Event-ID", "-1");
    assert_eq!(server.send(last).expect_problem(400, "invalid-request").text("/field"), "Last-Event-ID");
    server.post(&path, &mine.token, json!({})).expect_problem(405, "method-not-allowed");
    let head = server.send(Request::new("HEAD", &path).token(&mine.token)).expect(200);
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let query = format!("{path}?waiting_token={}", mine.token);
    let mut watcher = Watcher::send(&server, Request::new("GET", &query));
    watcher.until_state("waiting");
    server.get(&path, &mine.token).expect_problem(429, "too-many-streams");
    assert!(!server.errors().contains(&mine.token) && !server.output().contains(&mine.token), "no token is logged");
    server.stop();
}

#[test]
fn an_open_stream_is_a_sign_of_life() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let queue = queue(&server, &organizer, json!({"max_active": 2}), json!({"idle_ttl_s": 10}));
    let (watches, sleeps) = (join(&server, &queue), join(&server, &queue));
    let (mut watcher, mut sleeper) = (Watcher::new(&server, &watches), Watcher::new(&server, &sleeps));
    for (person, watcher) in [(&watches, &mut watcher), (&sleeps, &mut sleeper)] {
        watcher.until_state("admitted");
        person.act(&server, "claim").expect(200);
        watcher.until_state("active");
    }
    drop(sleeper);
    // By the organizer's eyes, which are no sign of life.
    let mut seen = Watcher::send(&server, Request::new("GET", &sleeps.events()).token(&organizer));
    seen.until_state("expired");
    assert_eq!(watcher.until(|watcher| watcher.lines() > 12).entry().unwrap()["state"], "active");
    server.stop();
}

#[test]
fn the_draw_is_told_to_everybody() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let soon = std::time::SystemTime::now() + Duration::from_secs(3);
    let at = time::OffsetDateTime::from(soon).format(&time::format_description::well_known::Rfc3339).unwrap();
    let queue = queue(&server, &organizer, json!({"manual": true}), json!({"opens_at": at}));
    let people: Vec<Person> = (0..10).map(|_| join(&server, &queue)).collect();
    let mut watchers: Vec<Watcher> = people.iter().map(|person| Watcher::new(&server, person)).collect();
    assert!(watchers[0].until_state("waiting")["opens_at"].is_string());
    for (person, watcher) in people.iter().zip(&mut watchers) {
        watcher.until(|watcher| watcher.rank.is_some());
        assert_eq!(json!(watcher.rank), person.poll(&server)["rank"]);
    }
    server.stop();
}

#[test]
fn an_organizer_sees_a_queue_in_numbers() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let (organizer, rival) = (server.organizer(), server.organizer());
    let id = queue(&server, &organizer, json!({"manual": true}), json!({}));
    let empty = queue(&server, &organizer, json!({"manual": true}), json!({}));
    let path = format!("/v1/queues/{id}/statistics");
    let events = format!("{path}/events");
    for path in [&path, &events] {
        server.get(path, &rival).expect_problem(404, "not-found");
        server.get(path, "").expect_problem(401, "unauthenticated");
    }
    let mut watcher = Watcher::send(&server, Request::new("GET", &events).token(&organizer));
    watcher.until(|watcher| !watcher.seen.is_empty());
    let people: Vec<Person> = (0..8).map(|_| join(&server, &id)).collect();
    people[7].leave(&server);
    assert_eq!(admit(&server, &id, &organizer, json!({"count": 4})), 4);
    people[0].act(&server, "claim").expect(200);
    people[1].act(&server, "completion").expect(200);
    let block = Request::new("PUT", &format!("{}/block", people[6].path)).token(&organizer);
    server.send(block.json(json!({"reason": "x"}))).expect(200);
    let version = version_of(&server, &id);
    watcher.until(|watcher| watcher.seen.last().unwrap().1 >= version);
    let numbers = watcher.seen.last().unwrap().2.clone();
    for (field, value) in [
        ("queue_id", json!(id)),
        ("queue_state", json!("open")),
        ("opened", json!(true)),
        ("joined", json!(8)),
        ("waiting", json!(2)),
        ("present", json!(2)),
        ("passed_over", json!(0)),
        ("admitted", json!(2)),
        ("active", json!(1)),
        ("finished", json!(1)),
        ("expired", json!(0)),
        ("left", json!(1)),
        ("given_up", json!(0)),
        ("blocked", json!(1)),
        ("admitted_ever", json!(4)),
        ("version", json!(version)),
    ] {
        assert_eq!(numbers[field], value, "{field} of {numbers}");
    }
    assert!(numbers["longest_wait_s"].is_u64() && numbers["eta_error"]["people"] == 0, "{numbers}");
    let now = server.get(&path, &organizer).expect(200).json();
    assert_eq!((&now["joined"], &now["version"]), (&json!(8), &json!(version)));
    let metrics = String::from_utf8(server.get("/metrics", "").expect(200).body).unwrap();
    for line in [
        format!("onsale_queue_people{{queue=\"{id}\",state=\"waiting\"}} 2"),
        format!("onsale_queue_people_ever{{queue=\"{id}\",state=\"joined\"}} 8"),
        format!("onsale_queue_people{{queue=\"{empty}\",state=\"waiting\"}} 0"),
        format!("onsale_queue_admitted_per_second{{queue=\"{empty}\"}} 0"),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    server.stop();
}

#[test]
fn who_loses_a_stream_asks_as_soon_as_it_would_have_been_a_sign_of_life() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let opens_at = time::OffsetDateTime::from(std::time::SystemTime::now() + Duration::from_secs(600));
    let opens_at = opens_at.format(&time::format_description::well_known::Rfc3339).unwrap();
    let queue = queue(&server, &server.organizer(), json!({"max_active": 9}), json!({"opens_at": opens_at}));
    let me = join(&server, &queue);
    assert!(me.poll(&server)["poll_after_ms"].as_u64().unwrap() > 60_000);
    let told = Watcher::new(&server, &me).until_state("waiting")["poll_after_ms"].as_u64().unwrap();
    assert!(told <= 5_000, "{told}");
}
