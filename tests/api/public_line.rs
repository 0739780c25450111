//! The document of a queue that is the same for everybody: whoever knows their ticket finds where they stand.

use crate::common::queues::Person;
use crate::common::{PATIENCE, Request, Server};
use flate2::read::GzDecoder;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

fn in_s(seconds: u64) -> String {
    OffsetDateTime::from(SystemTime::now() + Duration::from_secs(seconds)).format(&Rfc3339).unwrap()
}

fn queue(server: &Server, organizer: &str, opens_at: Option<String>) -> String {
    let mut body = json!({"name": "Tour", "policy": {"manual": true}});
    if let Some(at) = opens_at {
        body["opens_at"] = json!(at);
    }
    server.post("/v1/queues", organizer, body).expect(201).text("/queue_id")
}

fn join_all(server: &Server, queue: &str, count: usize) -> Vec<Person> {
    let left = AtomicUsize::new(count);
    let take = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    let join = || Person::of(server.post(&format!("/v1/queues/{queue}/entries"), "", json!({})).expect(201));
    let some = || std::iter::from_fn(|| take().then(join)).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let joining: Vec<_> = (0..16).map(|_| scope.spawn(some)).collect();
        joining.into_iter().flat_map(|some| some.join().unwrap()).collect()
    })
}

fn line(server: &Server, queue: &str) -> Value {
    server.get(&format!("/v1/queues/{queue}/line"), "").expect(200).json()
}

fn until(server: &Server, queue: &str, what: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let found = line(server, queue);
        if what(&found) {
            return found;
        }
        assert!(Instant::now() < until, "{found}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn bytes(hex: &Value) -> Vec<u8> {
    let digits = hex.as_str().unwrap();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// Between two points, as far as `at` is between them.
fn between(at: f64, (from, to): (f64, f64), (low, high): (f64, f64)) -> f64 {
    if to == from { low } else { low + (at - from) / (to - from) * (high - low) }
}

/// A place, as the document says that it is computed.
fn place_of(line: &Value, ticket: u64) -> f64 {
    let draw = &line["draw"];
    if draw.is_null() {
        return ticket as f64 - 1.0;
    }
    let (last_ticket, drawn) = (draw["last_ticket"].as_u64().unwrap(), draw["drawn"].as_u64().unwrap());
    if ticket > last_ticket {
        return (drawn + ticket - last_ticket - 1) as f64;
    }
    let text = [bytes(&draw["seed"]), bytes(&draw["sealed"]), ticket.to_string().into_bytes()].concat();
    let lot = f64::from(u32::from_be_bytes(digest(&SHA256, &text).as_ref()[..4].try_into().unwrap()));
    let marks: Vec<f64> = draw["marks"].as_array().unwrap().iter().map(|mark| mark.as_f64().unwrap()).collect();
    let (n, end) = (marks.len() as u64, 2_f64.powi(32));
    assert!(marks.is_sorted() && n == drawn.min(1_024));
    let after = marks.partition_point(|mark| *mark <= lot);
    assert!(after > 0, "no lot comes before that of the first place");
    let place = |mark: usize| (mark as u64 * drawn / n) as f64;
    let (from, to) = (marks[after - 1], *marks.get(after).unwrap_or(&end));
    between(lot, (from, to), (place(after - 1), place(after)))
}

/// A rank, as the document says that it is computed.
fn rank_of(line: &Value, place: f64) -> f64 {
    let samples: Vec<(f64, f64)> = serde_json::from_value(line["samples"].clone()).unwrap();
    assert!(samples.len() <= 66);
    let after = samples.partition_point(|(at, _)| *at <= place).clamp(1, samples.len() - 1);
    let ((from, low), (to, high)) = (samples[after - 1], samples[after]);
    between(place, (from, to), (low, high))
}

/// How far what people compute is from what their own entries say: of places and of ranks, at worst.
fn errors(server: &Server, queue: &str, people: &[Person]) -> (f64, f64) {
    let line = line(server, queue);
    let mut worst = (0.0_f64, 0.0_f64);
    for person in people.iter().step_by(people.len() / 300 + 1) {
        let entry = person.poll(server);
        if entry["state"] != "waiting" || entry["place"].as_i64().unwrap() < 0 {
            continue;
        }
        let place = place_of(&line, entry["ticket"].as_u64().unwrap());
        worst.0 = worst.0.max((place - entry["place"].as_f64().unwrap()).abs());
        worst.1 = worst.1.max((rank_of(&line, place) - entry["rank"].as_f64().unwrap()).abs());
    }
    worst
}

#[test]
fn everybody_finds_their_place_and_rank() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    // Few, who are all marked; many, between whose marks there are others; and nobody before it opens.
    for (gather, place_max, rank_max) in [(300, 0.0, 8.0), (1_600, 2.0, 30.0), (0, 0.0, 8.0)] {
        let queue = queue(&server, &organizer, (gather > 0).then(|| in_s(3_600)));
        let mut people = join_all(&server, &queue, gather);
        people.drain(..gather / 10).for_each(|person| person.leave(&server));
        let before = line(&server, &queue);
        if gather > 0 {
            assert_eq!((&before["opened"], &before["samples"]), (&json!(false), &json!([])), "{before}");
            assert!(before["opens_at"].is_string() && before["draw"].is_null() && before["frontier"].is_null());
            let change = Request::new("PATCH", &format!("/v1/queues/{queue}")).token(&organizer);
            server.send(change.header("If-Match", "*").json(json!({"opens_at": in_s(0)}))).expect(200);
        }
        let opened = until(&server, &queue, |line| line["opened"] == true);
        assert_eq!((&opened["opens_at"], opened["draw"].is_null()), (&Value::Null, gather == 0));
        people.extend(join_all(&server, &queue, 120));
        let waiting = people.len() as u64;
        until(&server, &queue, |line| line["waiting"] == waiting);
        let (place, rank) = errors(&server, &queue, &people);
        assert!(place <= place_max && rank <= 1.0 + place_max, "of {gather}: {place}, {rank}");
        // Some are let in, and some leave.
        let path = format!("/v1/queues/{queue}");
        server.post(&format!("{path}/admissions"), &organizer, json!({"count": 50})).expect(200);
        people.iter().skip(1).step_by(5).for_each(|person| person.leave(&server));
        let mut places = Vec::new();
        people.retain(|person| {
            let entry = person.poll(&server);
            places.extend(entry["place"].as_i64());
            entry["state"] == "waiting"
        });
        let waiting = people.len() as u64;
        let after = until(&server, &queue, |line| line["waiting"] == waiting && line["admitted_ever"] == 50);
        assert_eq!(after["frontier"].as_i64(), places.into_iter().min());
        let (place, rank) = errors(&server, &queue, &people);
        assert!(place <= place_max && rank <= rank_max, "of {gather}: {place}, {rank}");
    }
    server.stop();
}

#[test]
fn it_is_one_document_for_all_and_good_for_caches() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let queue = queue(&server, &organizer, Some(in_s(3_600)));
    let path = format!("/v1/queues/{queue}/line");
    let person = &join_all(&server, &queue, 1)[0];
    // Two who ask in the same second, whoever they are, get the same.
    let same = (0..20).any(|_| {
        let answers = [server.get(&path, ""), server.get(&path, &person.token), server.get(&path, &organizer)];
        let [first, second, third] = answers.map(|answer| answer.expect(200).body);
        first == second && second == third
    });
    assert!(same, "never the same in 20 tries");
    let unchanged = (0..20).any(|_| {
        let answer = server.get(&path, "").expect(200);
        let tag = answer.header("etag").unwrap().to_owned();
        assert_eq!(
            answer.header("cache-control"),
            Some("public, max-age=1, s-maxage=1, stale-while-revalidate=5"),
            "{tag}"
        );
        let again = server.send(Request::new("GET", &path).header("If-None-Match", &tag));
        again.status == 304 && again.header("cache-control").is_some()
    });
    assert!(unchanged, "never 304 in 20 tries");
    let compressed = server.send(Request::new("GET", &path).header("Accept-Encoding", "gzip")).expect(200);
    assert_eq!(
        (compressed.header("content-encoding"), compressed.header("vary")),
        (Some("gzip"), Some("Accept-Encoding"))
    );
    let mut text = String::new();
    GzDecoder::new(&*compressed.body).read_to_string(&mut text).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["queue_id"], queue);
    // What an organizer does is seen within two seconds.
    let change = Request::new("PATCH", &format!("/v1/queues/{queue}")).token(&organizer);
    server.send(change.json(json!({"state": "paused"}))).expect(200);
    let paused_at = Instant::now();
    until(&server, &queue, |line| line["queue_state"] == "paused");
    assert!(paused_at.elapsed() < Duration::from_secs(2), "{:?}", paused_at.elapsed());
    let change = Request::new("PATCH", &format!("/v1/queues/{queue}")).token(&organizer);
    server.send(change.header("If-Match", "*").json(json!({"opens_at": in_s(0)}))).expect(200);
    let whole = until(&server, &queue, |line| line["opened"] == true);
    let short = server.get(&format!("{path}?marks=false"), "").expect(200).json();
    assert!(whole["draw"]["marks"].is_array() && short["draw"]["marks"].is_null(), "{short}");
    assert_eq!(short["draw"]["seed"], whole["draw"]["seed"]);
    let pause = &whole["poll_after_ms"];
    assert!(pause["min"].as_u64().unwrap() >= 1_000 && pause["max"].as_u64() > pause["min"].as_u64(), "{pause}");
    for (query, field) in [("?marks=no", "marks"), ("?colour=red", "query")] {
        assert_eq!(
            server.get(&format!("{path}{query}"), "").expect_problem(400, "invalid-request").text("/field"),
            field
        );
    }
    server.get("/v1/queues/00000000-0000-4000-8000-000000000000/line", "").expect_problem(404, "not-found");
    server.stop();
}
