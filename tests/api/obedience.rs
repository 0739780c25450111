//! Queues over HTTP: whoever asks when they were told to misses nothing; what an admission is like that others check.

use crate::common::queues::Person;
use crate::common::{PATIENCE, Request, Server};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::time::{Duration, Instant, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

fn in_s(seconds: u64) -> String {
    OffsetDateTime::from(SystemTime::now() + Duration::from_secs(seconds)).format(&Rfc3339).unwrap()
}

fn instant(text: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(text.as_str().unwrap(), &Rfc3339).unwrap()
}

fn seconds_now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// What an admission says.
fn claims(entry: &Value) -> Value {
    let token = entry["admission"]["token"].as_str().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// The entry as its organizer sees it, who is not the person: it is no sign of life.
fn looked_at(server: &Server, organizer: &str, person: &Person) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let entry = server.get(&person.path, organizer).expect(200).json();
        if entry["state"] != "waiting" {
            return entry;
        }
        assert!(Instant::now() < until, "{entry}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn whoever_was_not_told_of_a_change_has_time_from_when_they_ask() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let mut server = Server::start(&folder, &[]);
    let organizer = server.organizer();
    for (policy, restarts) in
        [(json!({"max_active": 9}), false), (json!({"manual": true}), false), (json!({"max_active": 9}), true)]
    {
        let manual = policy["manual"] == true;
        let body = json!({"name": "Tour", "policy": policy, "claim_ttl_s": 1, "opens_at": in_s(600)});
        let queue = server.post("/v1/queues", &organizer, body).expect(201).text("/queue_id");
        let path = format!("/v1/queues/{queue}");
        let person = Person::of(server.post(&format!("{path}/entries"), "", json!({})).expect(201));
        let asked_at = OffsetDateTime::now_utc();
        let after_ms = person.poll(&server)["poll_after_ms"].as_i64().unwrap();
        assert!(after_ms > 60_000, "{after_ms}");
        // It opens at once, which they do not know.
        let change = Request::new("PATCH", &path).token(&organizer).header("If-Match", "*");
        server.send(change.json(json!({"opens_at": in_s(1)}))).expect(200);
        if restarts {
            server.kill();
            server = Server::start(&folder, &[]);
        }
        if manual {
            let until = Instant::now() + PATIENCE;
            while server.get(&path, "").expect(200).json()["opened"] == false {
                assert!(Instant::now() < until, "it does not open");
                std::thread::sleep(Duration::from_millis(20));
            }
            let named = json!({"entries": [person.entry], "reason": "by hand"});
            server.post(&format!("{path}/admissions"), &organizer, named).expect(200);
        }
        let entry = looked_at(&server, &organizer, &person);
        assert_eq!(entry["state"], "admitted");
        let comes_at = asked_at + time::Duration::milliseconds(after_ms);
        let until = instant(&entry["admission"]["expires_at"]);
        assert!(until >= comes_at + time::Duration::seconds(1), "comes at {comes_at}, may until {until}");
        assert!(claims(&entry)["exp"].as_i64().unwrap() >= until.unix_timestamp());
        person.act(&server, "claim").expect(200);
    }
    server.stop();
}

#[test]
fn a_fresh_admission_is_good_on_clocks_that_are_off() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let body = json!({"name": "Tour", "policy": {"max_active": 1}, "claim_ttl_s": 30});
    let queue = server.post("/v1/queues", &organizer, body).expect(201).text("/queue_id");
    let person = Person::of(server.post(&format!("/v1/queues/{queue}/entries"), "", json!({})).expect(201));
    let claims = claims(&person.until(&server, "admitted"));
    let now = seconds_now();
    for off in [-25, -1, 0, 1, 25] {
        let shown = now + off;
        for field in ["nbf", "iat"] {
            assert!(claims[field].as_i64().unwrap() <= shown, "{field}, {off} s off: {claims}");
        }
        assert!(claims["exp"].as_i64().unwrap() > shown, "{off} s off: {claims}");
    }
}

#[test]
fn a_redirect_url_with_an_admission_of_its_own_gets_ours_instead() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let url = "https://tickets.example.com/shop?onsale_admission=theirs&tour=7";
    let body = json!({"name": "Tour", "redirect_urls": [url], "policy": {"max_active": 1}});
    let queue = server.post("/v1/queues", &organizer, body).expect(201).text("/queue_id");
    let person = Person::of(server.post(&format!("/v1/queues/{queue}/entries"), "", json!({})).expect(201));
    let admission = person.until(&server, "admitted")["admission"].clone();
    let token = admission["token"].as_str().unwrap();
    let expected = format!("https://tickets.example.com/shop?tour=7&onsale_admission={token}");
    assert_eq!(admission["redirect_url"], expected);
}

/// How much later whoever gets no answer is told to ask again, at the earliest and at the latest, ms.
fn retry_ms(entry: &Value) -> (u64, u64) {
    let retry = &entry["retry_after_ms"];
    (retry["min"].as_u64().unwrap(), retry["max"].as_u64().unwrap())
}

#[test]
fn how_often_all_may_ask_is_set_and_set_anew() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("onsale.toml");
    let allow = |polls: u32| std::fs::write(&file, format!("[queue]\npolls_per_s_max = {polls}\n")).unwrap();
    allow(100);
    let server = Server::start(&data.path().join("data"), &["--config", file.to_str().unwrap()]);
    let organizer = server.organizer();
    let body = json!({"name": "Tour", "policy": {"manual": true}});
    let queue = server.post("/v1/queues", &organizer, body).expect(201).text("/queue_id");
    let join = || Person::of(server.post(&format!("/v1/queues/{queue}/entries"), "", json!({})).expect(201));
    let people: Vec<Person> = (0..600).map(|_| join()).collect();
    let told = |person: &Person| person.poll(&server)["poll_after_ms"].as_u64().unwrap();
    // All together: each rank asks so many times per second.
    let polls = |people: &[Person]| people.iter().map(|person| 1_000.0 / told(person) as f64).sum::<f64>();
    assert_eq!(retry_ms(&people[0].poll(&server)), (6_000, 12_000));
    let asked = polls(&people);
    assert!(asked <= 125.0, "{asked} polls per second");
    // A stream that breaks off comes back within the same.
    let mut stream = std::io::BufReader::new(server.connect());
    let watch = Request::new("GET", &people[7].events()).token(&people[7].token).bytes("keep-alive");
    stream.get_mut().write_all(&watch).unwrap();
    let mut lines = stream.lines().map_while(Result::ok);
    let retry = lines.find_map(|line| line.strip_prefix("retry: ")?.parse::<u64>().ok()).unwrap();
    assert!((6_000..=12_000).contains(&retry), "{retry}");
    allow(1_000);
    server.signal("HUP");
    let until = Instant::now() + PATIENCE;
    while retry_ms(&people[0].poll(&server)) != (2_000, 4_000) {
        assert!(Instant::now() < until, "{}", server.errors());
        std::thread::sleep(Duration::from_millis(20));
    }
    let more = polls(&people);
    assert!(more > asked * 1.5 && more <= 1_250.0, "{more} polls per second after {asked}");
    server.stop();
}
