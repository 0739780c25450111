//! Availability as it changes: `?since=`, and the stream of events.

use crate::common::{Answer, PATIENCE, Request, Server, User, read_answer};
use lab::watch::events::Events;
use lab::watch::picture::Picture;
use serde_json::{Value, json};
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

/// One who watches, and what the seat map shows.
struct Watcher {
    stream: TcpStream,
    events: Events,
    picture: Picture,
    /// The names of the events so far.
    names: Vec<String>,
}

impl Watcher {
    /// Comes back with the picture and the version of before.
    fn resume(server: &Server, performance: &str, picture: Picture) -> Watcher {
        let mut request = Request::new("GET", &events_path(performance));
        if picture.version > 0 {
            request = request.header("Last-Event-ID", &picture.version.to_string());
        }
        let mut stream = server.connect();
        stream.write_all(&request.bytes("keep-alive")).unwrap();
        Watcher { stream, events: Events::default(), picture, names: Vec::new() }
    }

    fn new(server: &Server, performance: &str) -> Watcher {
        Watcher::resume(server, performance, Picture::default())
    }

    /// One to whom the stream comes compressed.
    fn with_gzip(server: &Server, performance: &str) -> Watcher {
        let request = Request::new("GET", &events_path(performance)).header("Accept-Encoding", "gzip, br");
        let mut stream = server.connect();
        stream.write_all(&request.bytes("keep-alive")).unwrap();
        Watcher { stream, events: Events::default(), picture: Picture::default(), names: Vec::new() }
    }

    /// Reads once; false at the end of the stream.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let len = self.stream.read(&mut bytes).expect("something to read");
        let (picture, names) = (&mut self.picture, &mut self.names);
        let fed = self.events.feed(&bytes[..len], &mut |event| {
            picture.take_event(&event).unwrap();
            names.push(event.name.to_owned());
        });
        fed.unwrap();
        len > 0
    }

    /// Reads until there was an event and the picture is at `version` or later.
    fn until(&mut self, version: u64) -> &mut Watcher {
        let until = Instant::now() + PATIENCE;
        while self.names.is_empty() || self.picture.version < version {
            assert!(self.read() && Instant::now() < until, "{version} never came: {:?}", self.picture);
        }
        self
    }
}

fn events_path(performance: &str) -> String {
    format!("{}/events", availability_path(performance))
}

fn availability_path(performance: &str) -> String {
    format!("/v1/performances/{performance}/availability")
}

/// What the availability shows now.
fn now(server: &Server, performance: &str) -> Picture {
    let mut picture = Picture::default();
    let body = server.get(&availability_path(performance), "").expect(200).body;
    picture.take(std::str::from_utf8(&body).unwrap()).unwrap();
    picture
}

/// Ann with points, and a performance.
fn scene(server: &Server) -> (String, User) {
    let (organizer, ann) = (server.organizer(), server.user("ann"));
    let performance = server.performance(&organizer, json!({"seats_per_user_max": 100}));
    server.charge(&ann, 1_000_000);
    (performance, ann)
}

fn hold(server: &Server, performance: &str, user: &User, seats: Value) -> String {
    server.hold(performance, user, json!({"seats": seats})).expect(201).text("/reservation_id")
}

fn head_of(server: &Server, request: Request) -> (TcpStream, Answer) {
    let mut stream = server.connect();
    stream.write_all(&request.bytes("keep-alive")).unwrap();
    let answer = read_answer(&mut BufReader::new(stream.try_clone().unwrap()), "HEAD");
    (stream, answer)
}

#[test]
fn changes_since_a_version() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let (performance, ann) = scene(&server);
    let path = availability_path(&performance);
    let since = |version: u64| server.get(&format!("{path}?since={version}"), "").expect(200).json();
    let mut picture = now(&server, &performance);
    let nothing = since(1);
    assert_eq!((&nothing["full"], &nothing["version"]), (&json!(false), &json!(1)));
    assert_eq!(nothing["changes"], json!({"free": [], "held": [], "booked": [], "blocked": []}));

    let first = hold(&server, &performance, &ann, json!(["A-1-1", "A-1-2"]));
    let second = hold(&server, &performance, &ann, json!(["A-2-1"]));
    server.hold(&performance, &ann, json!({"area": "Floor", "count": 2})).expect(201);
    server.post(&format!("/v1/reservations/{first}/payment"), &ann.token, json!({})).expect(200);
    server.send(Request::new("DELETE", &format!("/v1/reservations/{second}")).token(&ann.token)).expect(200);
    let changed = since(1);
    assert_eq!(changed["changes"]["booked"], json!(["A-1-1", "A-1-2"]));
    assert_eq!((&changed["changes"]["held"], &changed["changes"]["free"]), (&json!([]), &json!(["A-2-1"])));
    assert_eq!(changed["areas"][0]["available"], 3);
    picture.take(&changed.to_string()).unwrap();
    assert_eq!(picture, now(&server, &performance));
    assert_eq!(since(picture.version)["areas"], json!([]));

    let tag = format!("\"{}\"", picture.version);
    let unchanged = Request::new("GET", &format!("{path}?since=1")).header("If-None-Match", &tag);
    server.send(unchanged).expect(304);
    // Of a future that there is not, as after a restored backup: everything.
    assert_eq!(since(99), server.get(&path, "").expect(200).json());
    for (query, field) in [("since=-1", "since"), ("since=x", "since"), ("until=1", "query")] {
        let refused = server.get(&format!("{path}?{query}"), "").expect_problem(400, "invalid-request");
        assert_eq!(refused.json()["field"], field, "{query}");
    }
    // Before the performance was there, nothing of it is known: everything is told.
    assert_eq!(since(0)["full"], true);
    server.stop();
}

#[test]
fn a_stream_leads_where_everything_is() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let (performance, ann) = scene(&server);
    let (_, head) = head_of(&server, Request::new("GET", &events_path(&performance)));
    assert_eq!(head.status, 200);
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
        ("vary", "Accept-Encoding"),
    ] {
        assert_eq!(head.header(name), Some(value));
    }
    assert_eq!(head.header("content-encoding"), None);

    let mut watcher = Watcher::new(&server, &performance);
    watcher.until(1);
    assert_eq!(watcher.names, ["full"]);
    hold(&server, &performance, &ann, json!(["A-1-1"]));
    watcher.until(2);
    assert_eq!((&watcher.names[1..], &watcher.picture), (&["delta".to_owned()][..], &now(&server, &performance)));

    // Another one missed something.
    let before = watcher.picture.clone();
    hold(&server, &performance, &ann, json!(["A-1-2"]));
    let mut back = Watcher::resume(&server, &performance, before);
    back.until(3);
    assert_eq!(back.names, ["delta"]);
    assert_eq!(back.picture, now(&server, &performance));
    let path = format!("{}?last_event_id=3", events_path(&performance));
    let mut stream = server.connect();
    stream.write_all(&Request::new("GET", &path).bytes("keep-alive")).unwrap();
    let mut third = Watcher { stream, events: Events::default(), picture: back.picture.clone(), names: vec![] };
    assert_eq!(third.until(3).names, ["delta"], "even when nothing changed");
    server.stop();
}

#[test]
fn a_compressed_stream_tells_the_same_and_ends_with_its_checksum() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let (performance, ann) = scene(&server);
    for method in ["GET", "HEAD"] {
        let request = Request::new(method, &events_path(&performance)).header("Accept-Encoding", "gzip");
        assert_eq!(head_of(&server, request).1.header("content-encoding"), Some("gzip"), "{method}");
    }
    // They begin at different events, and go on with the same ones.
    let mut watchers = vec![Watcher::with_gzip(&server, &performance)];
    for seat in 1..=6u64 {
        hold(&server, &performance, &ann, json!([format!("A-1-{seat}")]));
        for watcher in &mut watchers {
            watcher.until(1 + seat);
        }
        watchers.push(Watcher::with_gzip(&server, &performance));
        watchers.push(Watcher::new(&server, &performance));
    }
    for watcher in &mut watchers {
        watcher.until(7);
    }
    let truth = now(&server, &performance);
    server.signal("TERM");
    for watcher in &mut watchers {
        assert_eq!(watcher.picture, truth);
        while watcher.read() {}
        assert!(watcher.events.ended_well());
    }
    server.stop_after_signal();
}

#[test]
fn what_makes_no_sense_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let (performance, _) = scene(&server);
    let path = events_path(&performance);
    let nobody = uuid::Uuid::new_v4().to_string();
    server.get(&events_path(&nobody), "").expect_problem(404, "not-found");
    server.get(&events_path("x"), "").expect_problem(404, "not-found");
    server.post(&path, "", json!({})).expect_problem(405, "method-not-allowed");
    let head = server.send(Request::new("HEAD", &path)).expect(200);
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let with = |id: &str| server.send(Request::new("GET", &path).header("Last-Event-ID", id));
    let table = [
        (with("x"), "Last-Event-ID"),
        (with("-1"), "Last-Event-ID"),
        (server.get(&format!("{path}?last_event_id=x"), ""), "last_event_id"),
        (server.get(&format!("{path}?since=1"), ""), "query"),
    ];
    for (answer, field) in table {
        let body = answer.expect_problem(400, "invalid-request").json();
        assert_eq!(body["field"], field, "{body}");
    }
    server.stop();
}

#[test]
fn streams_are_bounded() {
    let data = tempfile::tempdir().unwrap();
    for (limits, status, slug) in [
        (["--streams-max", "2", "--streams-per-address-max", "1"], 429, "too-many-streams"),
        (["--streams-max", "1", "--streams-per-address-max", "2"], 503, "overloaded"),
    ] {
        let server = Server::start(&data.path().join(slug), &limits);
        let (performance, ann) = scene(&server);
        let mut first = Watcher::new(&server, &performance);
        first.until(1);
        let refused = server.get(&events_path(&performance), "").expect_problem(status, slug);
        assert!(refused.header("retry-after").is_some());
        server.get(&availability_path(&performance), "").expect(200);
        drop(first);
        // The server notices when it next writes to the one that is gone.
        let until = Instant::now() + PATIENCE;
        for seat in (1..=10).cycle() {
            let id = hold(&server, &performance, &ann, json!([format!("A-1-{seat}")]));
            let (stream, answer) = head_of(&server, Request::new("GET", &events_path(&performance)));
            if answer.status == 200 {
                drop(stream);
                break;
            }
            assert!(Instant::now() < until, "the place is not free again");
            server.send(Request::new("DELETE", &format!("/v1/reservations/{id}")).token(&ann.token)).expect(200);
        }
        server.stop();
    }
}

#[test]
fn streams_end_with_the_server_and_go_on_with_the_next() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let (performance, ann) = scene(&server);
    let mut watchers: Vec<Watcher> = (0..20).map(|_| Watcher::new(&server, &performance)).collect();
    hold(&server, &performance, &ann, json!(["A-1-1"]));
    for watcher in &mut watchers {
        watcher.until(2);
    }
    server.signal("TERM");
    for watcher in &mut watchers {
        while watcher.read() {}
    }
    server.stop_after_signal();

    let server = Server::start(&folder, &[]);
    hold(&server, &performance, &ann, json!(["A-1-2"]));
    for watcher in watchers {
        let mut back = Watcher::resume(&server, &performance, watcher.picture);
        back.until(3);
        assert_eq!((&back.names[..], &back.picture), (&["delta".to_owned()][..], &now(&server, &performance)));
    }
    server.stop();
}

/// Seats change hands all the time while watchers come, go and come back, and one of them hardly reads.
#[test]
fn who_comes_back_again_and_again_ends_at_the_truth() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let rows: Vec<Value> =
        (1..=50).map(|row| json!({"row": row.to_string(), "grade": "VIP", "seat_count": 100})).collect();
    let chart = json!({"sections": [{"section": "A", "rows": rows}],
        "areas": [{"area": "Floor", "grade": "R", "capacity": 5}]});
    let performance = server.performance(&organizer, json!({"seats_per_user_max": 100, "chart": chart}));
    let slow = Watcher::new(&server, &performance);
    let ann = server.user("ann");
    server.charge(&ann, 1_000_000);
    let many = |row: usize| -> Vec<String> { (1..=100).map(|seat| format!("A-{row}-{seat}")).collect() };
    let done = std::sync::atomic::AtomicBool::new(false);
    let pictures = std::thread::scope(|scope| {
        let comers: Vec<_> = (0..4)
            .map(|step| {
                let (server, performance, done) = (&server, &performance, &done);
                scope.spawn(move || {
                    let mut picture = Picture::default();
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let mut watcher = Watcher::resume(server, performance, picture);
                        watcher.until(0);
                        for _ in 0..step {
                            watcher.read();
                        }
                        picture = watcher.picture;
                    }
                    picture
                })
            })
            .collect();
        for round in 0..60 {
            let id = hold(&server, &performance, &ann, json!([format!("A-1-{}", round + 1)]));
            let end = match round % 3 {
                0 => Request::new("DELETE", &format!("/v1/reservations/{id}")),
                _ => Request::new("POST", &format!("/v1/reservations/{id}/payment")).json(json!({})),
            };
            server.send(end.token(&ann.token)).expect(200);
            for (act, row) in [("seat-blocks", 2 + round % 49), ("seat-unblocks", 2 + (round * 7) % 49)] {
                let path = format!("/v1/performances/{performance}/{act}");
                server.post(&path, &organizer, json!({"seats": many(row)})).expect(200);
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        comers.into_iter().map(|comer| comer.join().unwrap()).collect::<Vec<_>>()
    });
    let truth = now(&server, &performance);
    for picture in pictures {
        let mut back = Watcher::resume(&server, &performance, picture);
        assert_eq!(back.until(truth.version).picture, truth);
    }
    let mut slow = slow;
    assert_eq!(slow.until(truth.version).picture, truth);
    let metrics = String::from_utf8(server.get("/metrics", "").expect(200).body).unwrap();
    assert!(metrics.lines().any(|line| line.starts_with("onsale_stream_frames_total") && !line.ends_with(" 0")));
    server.stop();
}
