//! Streams end with what opened them and with what they show, say why, and can be told from a connection that broke.

use crate::common::queues::Person;
use crate::common::streams::{Stream, again};
use crate::common::{OPERATOR_KEY, PATIENCE, Request, Server, User};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::time::{Duration, Instant, SystemTime};

const PASSWORD: &str = "correct horse";

/// A queue, its organizer's key, and the path of its statistics' events.
struct Scene {
    server: Server,
    organizer: String,
    queue: String,
}

impl Scene {
    fn start(folder: &std::path::Path, arguments: &[&str]) -> Scene {
        let server = Server::start(folder, arguments);
        let organizer = server.organizer();
        let queue = json!({"name": "Tour", "policy": {"manual": true}});
        let queue = server.post("/v1/queues", &organizer, queue).expect(201).text("/queue_id");
        Scene { server, organizer, queue }
    }

    fn join(&self, token: &str) -> Person {
        Person::of(self.server.post(&format!("/v1/queues/{}/entries", self.queue), token, json!({})).expect(201))
    }

    fn statistics(&self) -> String {
        format!("/v1/queues/{}/statistics/events", self.queue)
    }

    fn admit(&self, person: &Person) {
        let body = json!({"entries": [person.entry], "reason": "they may"});
        self.server.post(&format!("/v1/queues/{}/admissions", self.queue), &self.organizer, body).expect(200);
    }

    fn set_state(&self, state: &str) {
        let path = format!("/v1/queues/{}", self.queue);
        let change = Request::new("PATCH", &path).token(&self.organizer).json(json!({"state": state}));
        self.server.send(change).expect(200);
    }

    fn block(&self, person: &Person, method: &'static str) {
        let block = Request::new(method, &format!("{}/block", person.path)).token(&self.organizer);
        let block = if method == "PUT" { block.json(json!({"reason": "a bot"})) } else { block };
        self.server.send(block).expect(200);
    }

    /// Another key of the organizer's: its id and itself.
    fn another_key(&self) -> (String, String) {
        let key = self.server.post("/v1/organizer/keys", &self.organizer, json!({})).expect(201);
        (key.text("/key_id"), key.text("/secret"))
    }
}

fn is_entry(state: &'static str) -> impl Fn(&(String, u64, Value)) -> bool {
    move |(name, _, data)| name == "entry" && data["state"] == state
}

fn metrics(server: &Server) -> String {
    String::from_utf8(server.get("/metrics", "").expect(200).body).unwrap()
}

#[test]
fn a_stream_ends_with_the_session_that_opened_it() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let scene = Scene::start(&folder, &[]);
    let server = &scene.server;
    let delete = |path: &str, user: &User, body: Value| {
        let request = Request::new("DELETE", path).token(&user.token);
        server.send(if body.is_null() { request } else { request.json(body) }).expect(204);
    };
    let password = |user: &User| {
        let body = json!({"current_password": PASSWORD, "new_password": "battery staple"});
        server.send(Request::new("PUT", "/v1/me/password").token(&user.token).json(body)).expect(200);
    };
    type End<'a> = Box<dyn Fn(&User) + 'a>;
    let ends: [(&str, End<'_>); 4] = [
        ("out", Box::new(|user| delete("/v1/sessions/current", user, Value::Null))),
        ("everywhere", Box::new(|user| delete("/v1/sessions", user, Value::Null))),
        ("password", Box::new(password)),
        ("erased", Box::new(|user| delete("/v1/me", user, json!({"password": PASSWORD})))),
    ];
    let mut ended = Vec::new();
    let stays = server.user("stays");
    let staying = scene.join(&stays.token);
    let mut stay = Stream::of(server, &staying.events(), &stays.token);
    for (name, end) in ends {
        let user = server.user(name);
        let person = scene.join(&user.token);
        let path = person.events();
        let mut streams: Vec<Stream> = (0..2).map(|_| Stream::of(server, &path, &user.token)).collect();
        let gzip = Request::new("GET", &path).token(&user.token).header("Accept-Encoding", "gzip");
        streams.push(Stream::open(server, &gzip));
        // The entry's own token is another credential: who signs out has not left the queue.
        let mut by_token = Stream::of(server, &path, &person.token);
        for stream in streams.iter_mut().chain([&mut by_token]) {
            stream.until(is_entry("waiting"));
        }
        end(&user);
        for stream in &mut streams {
            stream.ends_for_good("session-ended");
        }
        server.get(&path, &user.token).expect_problem(401, "session-ended");
        server.send(again(&path, &user.token)).expect_problem(401, "session-ended");
        if name != "erased" {
            scene.admit(&person);
            by_token.until(is_entry("admitted"));
        }
        let told = |stream: &Stream| stream.seen.iter().any(is_entry("admitted"));
        assert!(!streams.iter().any(told), "{name}: an admission went to a session that was ended");
        ended.push((path, user));
    }
    scene.admit(&staying);
    stay.until(is_entry("admitted"));
    // Another session of the same person is not ended by one that is signed out.
    let sign_in = json!({"email": "stays@example.com", "password": PASSWORD});
    let second = server.post("/v1/sessions", "", sign_in).expect(201).text("/token");
    let mut other = Stream::of(server, &staying.events(), &second);
    other.until(is_entry("admitted"));
    delete("/v1/sessions/current", &stays, Value::Null);
    stay.ends_for_good("session-ended");
    server.post(&format!("{}/claim", staying.path), &second, json!({})).expect(200);
    other.until(is_entry("active"));
    let Scene { server, .. } = scene;
    server.kill();
    let server = Server::start(&folder, &[]);
    assert_eq!(
        other.seen.iter().filter(|(name, ..)| name == "end").count(),
        0,
        "a server that was killed says nothing"
    );
    for (path, user) in ended {
        server.send(again(&path, &user.token)).expect_problem(401, "session-ended");
    }
    Stream::of(&server, &staying.events(), &second).until(is_entry("active"));
    server.stop();
}

#[test]
fn a_stream_ends_with_a_session_that_runs_out() {
    let data = tempfile::tempdir().unwrap();
    let scene = Scene::start(&data.path().join("data"), &["--session-ttl-s", "3"]);
    let server = &scene.server;
    let user = server.user("ada");
    let person = scene.join(&user.token);
    let mut stream = Stream::of(server, &person.events(), &user.token);
    let mut by_token = Stream::of(server, &person.events(), &person.token);
    stream.until(is_entry("waiting"));
    stream.ends_for_good("token-expired");
    server.send(again(&person.events(), &user.token)).expect_problem(401, "token-expired");
    scene.admit(&person);
    by_token.until(is_entry("admitted"));
    scene.server.stop();
}

#[test]
fn a_stream_ends_with_the_key_that_opened_it() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let scene = Scene::start(&folder, &[]);
    let server = &scene.server;
    let person = scene.join("");
    let own = server.get("/v1/organizer", &scene.organizer).expect(200).text("/organizer_id");
    let mut revoked = Vec::new();
    for by_operator in [false, true] {
        let (key_id, key) = scene.another_key();
        let paths = [person.events(), scene.statistics()];
        let mut streams = paths.each_ref().map(|path| Stream::of(server, path, &key));
        let mut others = paths.each_ref().map(|path| Stream::of(server, path, &scene.organizer));
        for stream in streams.iter_mut().chain(&mut others) {
            stream.until(|_| true);
        }
        let (path, token) = match by_operator {
            true => (format!("/v1/organizers/{own}/keys/{key_id}"), OPERATOR_KEY),
            false => (format!("/v1/organizer/keys/{key_id}"), scene.organizer.as_str()),
        };
        server.send(Request::new("DELETE", &path).token(token)).expect(204);
        for (path, stream) in paths.iter().zip(&mut streams) {
            stream.ends_for_good("key-revoked");
            server.send(again(path, &key)).expect_problem(401, "unauthenticated");
        }
        // Streams of other keys go on.
        let newest = scene.join("");
        let version = server.get(&format!("/v1/queues/{}", scene.queue), "").expect(200).json()["version"].as_u64();
        for stream in &mut others {
            stream.until(|(name, id, _)| name != "end" && Some(*id) >= version);
        }
        newest.leave(server);
        revoked.push(key);
    }
    let Scene { server, queue, .. } = scene;
    server.stop();
    let server = Server::start(&folder, &[]);
    for key in revoked {
        let path = format!("/v1/queues/{queue}/statistics/events");
        server.send(again(&path, &key)).expect_problem(401, "unauthenticated");
    }
    server.stop();
}

/// What ends an entry, the state that is told before, and the reason.
#[test]
fn the_stream_of_an_entry_that_is_over_says_so_and_ends() {
    let data = tempfile::tempdir().unwrap();
    let scene = Scene::start(&data.path().join("data"), &[]);
    let server = &scene.server;
    let finish = |person: &Person| {
        scene.admit(person);
        person.act(server, "completion").expect(200);
    };
    type Over<'a> = Box<dyn Fn(&Person) + 'a>;
    let table: [(&str, &str, Over<'_>); 4] = [
        ("left", "left", Box::new(|person| person.leave(server))),
        ("finished", "finished", Box::new(finish)),
        ("blocked", "blocked", Box::new(|person| scene.block(person, "PUT"))),
        ("waiting", "queue-closed", Box::new(|_| scene.set_state("closed"))),
    ];
    let inside = scene.join("");
    scene.admit(&inside);
    inside.act(server, "claim").expect(200);
    let mut active = Stream::of(server, &inside.events(), &inside.token);
    active.until(is_entry("active"));
    let blocked = scene.join("");
    for (state, reason, over) in table {
        let person = scene.join("");
        let credentials = [person.token.as_str(), scene.organizer.as_str()];
        let mut streams = credentials.map(|token| Stream::of(server, &person.events(), token));
        streams.iter_mut().for_each(|stream| drop(stream.until(is_entry("waiting"))));
        over(&person);
        for (stream, token) in streams.iter_mut().zip(credentials) {
            stream.ends_for_good(reason);
            let last = stream.seen.iter().rev().find(|(name, ..)| name == "entry").unwrap();
            assert_eq!(last.2["state"], state, "told before the end");
            // Whoever was told and comes back is turned away, in the way that ends an EventSource; a new one is told.
            assert!(server.send(again(&person.events(), token)).expect(204).body.is_empty());
            let mut new = Stream::of(server, &person.events(), token);
            new.ends_for_good(reason);
            assert_eq!((new.seen[0].0.as_str(), &new.seen[0].2["state"]), ("entry", &json!(state)));
        }
        let query = format!("{}?waiting_token={}&last_event_id={}", person.events(), person.token, 9007199254740991u64);
        server.get(&query, "").expect(204);
        if state == "waiting" {
            assert_eq!(person.poll(server)["queue_state"], "closed");
        }
    }
    // Who is inside when a queue closes goes on, until that is over.
    active.until(|(name, _, data)| name == "line" && data["queue_state"] == "closed");
    inside.act(server, "completion").expect(200);
    active.until(is_entry("finished"));
    active.ends_for_good("finished");
    Stream::of(server, &blocked.events(), &blocked.token).ends_for_good("queue-closed");
    scene.server.stop();
}

#[test]
fn whoever_is_restored_is_watched_again() {
    let data = tempfile::tempdir().unwrap();
    let scene = Scene::start(&data.path().join("data"), &[]);
    let server = &scene.server;
    let person = scene.join("");
    scene.block(&person, "PUT");
    Stream::of(server, &person.events(), &person.token).ends_for_good("blocked");
    server.send(again(&person.events(), &person.token)).expect(204);
    scene.block(&person, "DELETE");
    let mut back = Stream::open(server, &again(&person.events(), &person.token));
    back.until(is_entry("waiting"));
    scene.admit(&person);
    back.until(is_entry("admitted"));
    scene.server.stop();
}

#[test]
fn a_turn_and_a_session_that_lapse_end_the_stream() {
    let data = tempfile::tempdir().unwrap();
    let scene = Scene::start(&data.path().join("data"), &[]);
    let server = &scene.server;
    let queue = json!({"name": "Fast", "policy": {"max_active": 10}, "claim_ttl_s": 10});
    let queue = server.post("/v1/queues", &scene.organizer, queue).expect(201).text("/queue_id");
    let scene = Scene { queue, ..scene };
    let person = scene.join("");
    let mut stream = Stream::of(&scene.server, &person.events(), &person.token);
    stream.until(is_entry("admitted"));
    stream.until(is_entry("expired"));
    stream.ends_for_good("expired");
    scene.server.stop();
}

#[test]
fn the_sixth_stream_of_an_entry_tells_the_oldest_that_it_was_replaced() {
    let data = tempfile::tempdir().unwrap();
    let scene = Scene::start(&data.path().join("data"), &[]);
    let server = &scene.server;
    let person = scene.join("");
    let mut streams: Vec<Stream> = Vec::new();
    for _ in 0..6 {
        let mut stream = Stream::of(server, &person.events(), &person.token);
        stream.until(is_entry("waiting"));
        streams.push(stream);
    }
    let mut oldest = streams.remove(0);
    oldest.ends_for_good("replaced");
    // It does not replace another one in turn, for as long as there are five.
    server.send(again(&person.events(), &person.token)).expect(204);
    scene.admit(&person);
    streams.iter_mut().for_each(|stream| drop(stream.until(is_entry("admitted"))));
    scene.server.stop();
}

#[test]
fn the_numbers_of_a_closed_queue_end_with_the_last_of_them() {
    let data = tempfile::tempdir().unwrap();
    let scene = Scene::start(&data.path().join("data"), &[]);
    let server = &scene.server;
    let path = scene.statistics();
    let mut stream = Stream::of(server, &path, &scene.organizer);
    stream.until(|_| true);
    scene.join("");
    scene.set_state("paused");
    stream.until(|(_, _, data)| data["queue_state"] == "paused");
    scene.set_state("closed");
    stream.ends_for_good("queue-closed");
    let last = |stream: &Stream| stream.seen.iter().rev().find(|(name, ..)| name == "statistics").unwrap().2.clone();
    assert_eq!((&last(&stream)["queue_state"], &last(&stream)["joined"]), (&json!("closed"), &json!(1)));
    server.send(again(&path, &scene.organizer)).expect(204);
    let mut new = Stream::of(server, &path, &scene.organizer);
    new.ends_for_good("queue-closed");
    assert_eq!(last(&new)["queue_state"], "closed");
    scene.server.stop();
}

#[test]
fn the_stream_of_a_sale_that_is_over_says_so_and_ends() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let organizer = server.organizer();
    let soon = SystemTime::now() + Duration::from_secs(4);
    let soon = time::OffsetDateTime::from(soon).format(&time::format_description::well_known::Rfc3339).unwrap();
    let patch = |performance: &str, body: Value| {
        let path = format!("/v1/performances/{performance}");
        server.send(Request::new("PATCH", &path).token(&organizer).header("If-Match", "*").json(body)).expect(200);
    };
    let cancel = |performance: &str| {
        let path = format!("/v1/performances/{performance}/cancellation");
        let answer = server.post(&path, &organizer, json!({"reason": "rain"}));
        assert!((200..300).contains(&answer.status), "{}", answer.json());
    };
    type Over<'a> = Box<dyn Fn(&str) + 'a>;
    let table: [(Value, &str, &str, Over<'_>); 3] = [
        (json!({}), "closed", "sale-closed", Box::new(|performance| patch(performance, json!({"state": "closed"})))),
        (json!({}), "cancelled", "performance-cancelled", Box::new(cancel)),
        (json!({"sale_closes_at": soon}), "closed", "sale-closed", Box::new(|_| ())),
    ];
    let mut over = Vec::new();
    for (more, state, reason, end) in table {
        let performance = server.performance(&organizer, more);
        let path = format!("/v1/performances/{performance}/availability/events");
        let gzip = Request::new("GET", &path).header("Accept-Encoding", "gzip");
        let mut streams: Vec<Stream> = (0..20).map(|_| Stream::of(&server, &path, "")).collect();
        streams.push(Stream::open(&server, &gzip));
        streams.iter_mut().for_each(|stream| drop(stream.until(|(name, ..)| name == "full")));
        end(&performance);
        for stream in &mut streams {
            stream.ends_for_good(reason);
            let (.., data) = &stream.seen[stream.seen.len() - 2];
            assert_eq!(data["state"], state, "told before the end: {:?}", stream.seen);
        }
        over.push((performance, path, state, reason));
    }
    let told = |server: &Server| {
        for (_, path, state, reason) in &over {
            let mut new = Stream::of(server, path, "");
            new.ends_for_good(reason);
            assert_eq!((new.seen[0].0.as_str(), &new.seen[0].2["state"]), ("full", &json!(state)));
            // One who missed the end gets what they lack, and the end.
            let version = new.seen[0].1.to_string();
            let behind = Request::new("GET", path).header("Last-Event-ID", &version);
            Stream::open(server, &behind).ends_for_good(reason);
            server.send(again(path, "")).expect(204);
        }
    };
    told(&server);
    let until = Instant::now() + PATIENCE;
    while !metrics(&server).lines().any(|line| line == "onsale_streams_open 0") {
        assert!(Instant::now() < until, "{}", metrics(&server));
    }
    server.stop();
    let server = Server::start(&folder, &[]);
    told(&server);
    server.stop();
}

#[test]
fn a_server_that_stops_asks_to_come_back() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let scene = Scene::start(&folder, &[]);
    let person = scene.join("");
    let performance = scene.server.performance(&scene.organizer, json!({}));
    let availability = format!("/v1/performances/{performance}/availability/events");
    let paths = [
        (person.events(), person.token.clone()),
        (scene.statistics(), scene.organizer.clone()),
        (availability, String::new()),
    ];
    let mut streams = paths.each_ref().map(|(path, token)| Stream::of(&scene.server, path, token));
    streams.iter_mut().for_each(|stream| drop(stream.until(|_| true)));
    scene.server.signal("TERM");
    for stream in &mut streams {
        let end = stream.end();
        assert_eq!((end.reason.as_str(), end.reconnect), ("server-stopping", true));
        assert_eq!(stream.seen.last().unwrap().1, 0, "it has no id: one goes on from the event before");
    }
    scene.server.stop_after_signal();
    let server = Server::start(&folder, &[]);
    for ((path, token), before) in paths.iter().zip(&streams) {
        let id = before.seen[before.seen.len() - 2].1.to_string();
        let request = Request::new("GET", path).token(token).header("Last-Event-ID", &id);
        Stream::open(&server, &request).until(|_| true);
    }
    server.stop();
}

/// A restored backup is behind those who saw what it lacks.
#[test]
fn an_id_of_a_future_that_there_is_not_begins_anew() {
    let data = tempfile::tempdir().unwrap();
    let (folder, backup) = (data.path().join("data"), data.path().join("backup"));
    let server = Server::start(&folder, &[]);
    let organizer = server.organizer();
    let performance = server.performance(&organizer, json!({}));
    server.stop();
    let copied = std::process::Command::new("cp").arg("-a").arg(&folder).arg(&backup).status().unwrap();
    assert!(copied.success());
    let server = Server::start(&folder, &[]);
    let path = format!("/v1/performances/{performance}/availability");
    let events = format!("{path}/events");
    let mut stream = Stream::of(&server, &events, "");
    for seat in ["A-1-1", "A-1-2", "A-1-3"] {
        let block = json!({"seats": [seat]});
        server.post(&format!("/v1/performances/{performance}/seat-blocks"), &organizer, block).expect(200);
    }
    let (_, seen, _) = stream.until(|(_, id, _)| *id == 4);
    server.stop();
    let server = Server::start(&backup, &[]);
    let truth = server.get(&path, "").expect(200).json();
    assert_eq!(truth["version"], 1);
    for id in [seen, 2, u64::MAX, 9_007_199_254_740_991] {
        let query = format!("{events}?last_event_id={id}");
        let header = Request::new("GET", &events).header("Last-Event-ID", &id.to_string());
        for request in [header, Request::new("GET", &query)] {
            let mut back = Stream::open(&server, &request);
            let (name, version, data) = back.until(|_| true);
            assert_eq!((name.as_str(), version, &data), ("full", 1, &truth), "{id}");
            // And goes on.
            drop(back);
        }
        let since = server.get(&format!("{path}?since={id}"), "").expect(200).json();
        assert_eq!(since, truth, "{id}");
    }
    let mut back = Stream::open(&server, &Request::new("GET", &events).header("Last-Event-ID", "4"));
    back.until(|(name, ..)| name == "full");
    let block = json!({"seats": ["A-2-2"]});
    server.post(&format!("/v1/performances/{performance}/seat-blocks"), &organizer, block).expect(200);
    let (name, _, data) = back.until(|(_, id, _)| *id == 2);
    assert_eq!((name.as_str(), &data["changes"]["blocked"]), ("delta", &json!(["A-2-2"])));
    server.stop();
}

/// The head of an answer, lower-cased, and all that follows until the connection is closed.
fn exchange(server: &Server, request: &str) -> (String, Vec<u8>) {
    let mut stream = server.connect();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let head = head_of(&mut reader);
    let mut body = Vec::new();
    reader.read_to_end(&mut body).expect("the connection is closed");
    (head, body)
}

fn head_of(reader: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "{head:?}");
    }
    head.to_lowercase()
}

/// RFC 9112, 6.1 and 6.3: a transfer coding is never sent to HTTP/1.0; a body of unknown length ends with the connection.
#[test]
fn http_1_0_gets_no_chunks() {
    let data = tempfile::tempdir().unwrap();
    let scene = Scene::start(&data.path().join("data"), &[]);
    let server = &scene.server;
    let performance = server.performance(&scene.organizer, json!({}));
    let of = |path: &str| format!("/v1/performances/{performance}/{path}");
    let person = scene.join("");
    let (events, statistics) = (person.events(), scene.statistics());
    person.leave(server);
    scene.set_state("closed");
    let close = Request::new("PATCH", &format!("/v1/performances/{performance}")).token(&scene.organizer);
    server.send(close.json(json!({"state": "closed"}))).expect(200);
    let minutes = format!("/v1/queues/{}/report", scene.queue);
    let json_report = ("/v1/organizer/reports/sales".to_owned(), "application/json", "{\"items\":[");
    let table = [
        (of("availability/events"), "text/event-stream", "retry: "),
        (events, "text/event-stream", "retry: "),
        (statistics, "text/event-stream", "retry: "),
        ("/v1/organizer/reports/sales".to_owned(), "text/csv", "performance_id,"),
        (of("reservations/report"), "text/csv", "reservation_id,"),
        (minutes, "text/csv", "minute,"),
        json_report,
    ];
    for (path, accept, begins) in table {
        for connection in ["", "Connection: keep-alive\r\n"] {
            let line = |version: &str, connection: &str| {
                let token = &scene.organizer;
                format!(
                    "GET {path} HTTP/{version}\r\nHost: test\r\nAuthorization: Bearer {token}\r\nAccept: {accept}\r\n\
                     {connection}\r\n"
                )
            };
            let (head, body) = exchange(server, &line("1.0", connection));
            let body = String::from_utf8(body).unwrap();
            assert!(head.starts_with("http/1.0 200"), "{head}");
            assert!(head.contains(&format!("\r\ncontent-type: {accept}")), "{head}");
            assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{path}: {head}");
            assert!(!head.contains("connection: keep-alive"), "{path}: {head}");
            assert!(body.trim_start_matches('\u{feff}').starts_with(begins), "{path}: {body}");
            let whole = match accept {
                "text/event-stream" => body.ends_with("}\n\n") && body.contains("\nevent: end\n"),
                "text/csv" => body.ends_with("\r\n"),
                _ => body.ends_with("]}"),
            };
            assert!(whole, "{path}: {body}");
            // The same in chunks to who knows them.
            let (head, _) = exchange(server, &line("1.1", "Connection: close\r\n"));
            assert!(head.contains("\r\ntransfer-encoding: chunked\r\n"), "{path}: {head}");
        }
    }
    // What has a length keeps the connection, as it did.
    let (head, body) = exchange(server, "GET /livez HTTP/1.0\r\n\r\n");
    assert!(head.contains("\r\ncontent-length: ") && !body.is_empty(), "{head}");
    scene.server.stop();
}

/// RFC 9110, 8.6 and 9.3.2: HEAD names no length that GET would not have.
#[test]
fn head_of_a_stream_names_no_length() {
    let data = tempfile::tempdir().unwrap();
    let scene = Scene::start(&data.path().join("data"), &[]);
    let server = &scene.server;
    let performance = server.performance(&scene.organizer, json!({}));
    let person = scene.join("");
    let events = format!("/v1/performances/{performance}/availability/events");
    let paths = [events, person.events(), scene.statistics(), "/v1/organizer/reports/sales".to_owned()];
    for path in paths {
        let head = format!("HEAD {path} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {}\r\n\r\n", scene.organizer);
        let mut reader = BufReader::new(server.connect());
        reader.get_mut().write_all(head.as_bytes()).unwrap();
        let answer = head_of(&mut reader);
        // Not before the answer came: what is asked for in advance shares its fate with actix-web.
        reader.get_mut().write_all(b"GET /livez HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").unwrap();
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        assert!(!answer.contains("content-length"), "{path}: {answer}");
        // No body follows: the next answer does.
        assert!(rest.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&rest));
    }
    let until = Instant::now() + PATIENCE;
    while !metrics(server).lines().any(|line| line == "onsale_streams_open 0") {
        assert!(Instant::now() < until, "HEAD leaves a stream open");
    }
    scene.server.stop();
}
