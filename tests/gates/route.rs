//! `GET /v1/queues/{id}/gate` as a proxy asks it, and as somebody who wants to get past it does.

use super::browser::{admission_in, let_in, queue};
use crate::common::{Answer, Request, Server};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SHOP: &str = "https://shop.example/tickets?tour=7";

struct Gate {
    server: Server,
    organizer: String,
    queue: String,
    _data: tempfile::TempDir,
}

impl Gate {
    fn start(arguments: &[&str]) -> Gate {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(&data.path().join("data"), arguments);
        let organizer = server.organizer();
        let queue = queue(&server, &organizer, SHOP);
        Gate { server, organizer, queue, _data: data }
    }

    fn ask(&self, query: &str, headers: &[(&str, &str)]) -> Answer {
        let request = Request::new("GET", &format!("/v1/queues/{}/gate{query}", self.queue));
        self.server.send(headers.iter().fold(request, |request, (name, value)| request.header(name, value)))
    }

    /// Refused, for this reason, with the queue's page; and nothing of it may be kept.
    #[track_caller]
    fn refused(&self, reason: &str, query: &str, headers: &[(&str, &str)]) {
        let answer = self.ask(query, headers).expect_problem(401, "gate-shut");
        assert_eq!(answer.text("/reason"), reason, "{headers:?}");
        let page = format!("/q/{}", self.queue);
        assert_eq!((answer.header("location"), answer.text("/location")), (Some(page.as_str()), page.clone()));
        assert_eq!((answer.header("set-cookie"), answer.header("onsale-entry")), (None, None), "{headers:?}");
        uncached(&answer);
    }

    fn change(&self, change: Value) {
        let path = format!("/v1/queues/{}", self.queue);
        let request = Request::new("PATCH", &path).token(&self.organizer).header("If-Match", "*");
        self.server.send(request.json(change)).expect(200);
    }
}

#[track_caller]
fn uncached(answer: &Answer) {
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    let vary = answer.header("vary").unwrap();
    for name in ["Cookie", "Onsale-Admission", "X-Original-URI", "X-Forwarded-Uri", "X-Forwarded-Proto"] {
        assert!(vary.contains(name), "{vary}");
    }
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
}

/// Waits until an admission has expired by its own word.
fn until_expired(admission: &str) {
    let claims = URL_SAFE_NO_PAD.decode(admission.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let until = UNIX_EPOCH + Duration::from_secs(claims["exp"].as_u64().unwrap());
    std::thread::sleep(until.duration_since(SystemTime::now()).unwrap_or_default() + Duration::from_millis(50));
}

/// The pair of a Set-Cookie.
fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").unwrap().split(';').next().unwrap().into()
}

#[test]
fn an_admission_in_the_address_becomes_a_cookie_and_goes() {
    let gate = Gate::start(&[]);
    gate.refused("no-admission", "", &[("X-Original-URI", "/tickets?tour=7")]);
    let (person, url) = let_in(&gate.server, &gate.organizer, &gate.queue);
    let asked = url.strip_prefix("https://shop.example").unwrap();
    let taken = gate.ask("", &[("X-Original-URI", asked), ("X-Forwarded-Proto", "https")]);
    let taken = taken.expect_problem(401, "gate-shut");
    assert_eq!((taken.text("/reason").as_str(), taken.header("location")), ("clean-address", Some("/tickets?tour=7")));
    uncached(&taken);
    let set = taken.header("set-cookie").unwrap();
    let (name, rest) = set.split_once('=').unwrap();
    assert_eq!(name, format!("__Host-onsale-{}", gate.queue));
    let (value, attributes) = rest.split_once("; ").unwrap();
    assert!(!url.contains(value) && value.starts_with("wqp_"), "the cookie is no admission: {value}");
    let attributes: Vec<&str> = attributes.split("; ").collect();
    assert!(matches!(&attributes[..], ["Path=/", _, "HttpOnly", "SameSite=Lax", "Secure"]), "{attributes:?}");
    let seconds: u64 = attributes[1].strip_prefix("Max-Age=").unwrap().parse().unwrap();
    assert!((880..=900).contains(&seconds), "session_ttl_s is 900: {seconds}");
    assert_eq!(person.poll(&gate.server)["state"], "active", "the first use claims");
    // Over plain HTTP the cookie has no prefix; and one is not taken for the other.
    let plain = gate.ask("?redirect=1", &[("X-Forwarded-Uri", asked)]).expect(302);
    assert_eq!(plain.header("location"), Some("/tickets?tour=7"));
    uncached(&plain);
    assert!(!plain.header("set-cookie").unwrap().contains("Secure"));
    let (secure, plain) = (cookie(&taken), cookie(&plain));
    for (cookie, proto, passes) in
        [(&secure, "https", true), (&plain, "http", true), (&secure, "http", false), (&plain, "https", false)]
    {
        let asked = [("X-Original-URI", "/tickets"), ("X-Forwarded-Proto", proto), ("Cookie", cookie.as_str())];
        let answer = gate.ask("", &asked);
        assert_eq!(answer.status == 200, passes, "{cookie} {proto}");
        assert_eq!(answer.header("onsale-entry"), passes.then_some(person.entry.as_str()));
        assert_eq!(answer.header("set-cookie"), None);
        uncached(&answer);
    }
    // What cannot be sent again elsewhere passes at once.
    let posted = [("X-Original-URI", asked), ("X-Original-Method", "POST")];
    assert!(gate.ask("", &posted).expect(200).header("set-cookie").is_some());
    // So does who sends no address: a program.
    let entry = person.entry.as_str();
    for (query, headers) in [
        (String::new(), vec![("Onsale-Admission", admission_in(&url))]),
        (format!("?onsale_admission={}", admission_in(&url)), vec![]),
    ] {
        let answer = gate.ask(&query, &headers).expect(200);
        assert_eq!((answer.header("onsale-entry"), answer.header("set-cookie").is_some()), (Some(entry), true));
    }
    // Somebody else's nonsense in a link puts nobody out.
    let linked = [("X-Original-URI", "/tickets?onsale_admission=nonsense&tour=7"), ("Cookie", plain.as_str())];
    let answer = gate.ask("", &linked).expect_problem(401, "gate-shut");
    assert_eq!(
        (answer.text("/reason").as_str(), answer.header("location")),
        ("clean-address", Some("/tickets?tour=7"))
    );
    gate.server.stop();
}

#[test]
fn what_ends_a_session_shuts_the_gate() {
    let gate = Gate::start(&[]);
    let enter = || {
        let (person, url) = let_in(&gate.server, &gate.organizer, &gate.queue);
        let admission = admission_in(&url).to_owned();
        let pass = cookie(&gate.ask("", &[("Onsale-Admission", &admission)]).expect(200));
        (person, admission, pass)
    };
    let ended = |admission: &str, pass: &str| {
        gate.refused("session-ended", "", &[("Cookie", pass)]);
        gate.refused("session-ended", "", &[("Onsale-Admission", admission)]);
        gate.refused("session-ended", "", &[("X-Original-URI", &format!("/?onsale_admission={admission}"))]);
    };
    let (person, admission, pass) = enter();
    person.act(&gate.server, "completion").expect(200);
    ended(&admission, &pass);
    let (person, admission, pass) = enter();
    person.leave(&gate.server);
    ended(&admission, &pass);
    // Blocked, restored and let in again: what was known of the session before does not open the new one.
    let (person, admission, pass) = enter();
    let block = format!("{}/block", person.path);
    gate.server.send(Request::new("PUT", &block).token(&gate.organizer).json(json!({"reason": "a bot"}))).expect(200);
    ended(&admission, &pass);
    gate.server.send(Request::new("DELETE", &block).token(&gate.organizer)).expect(200);
    ended(&admission, &pass);
    let admissions = format!("/v1/queues/{}/admissions", gate.queue);
    let entries = json!({"entries": [person.entry], "reason": "a mistake"});
    gate.server.post(&admissions, &gate.organizer, entries).expect(200);
    ended(&admission, &pass);
    let again = person.poll(&gate.server)["admission"]["token"].as_str().unwrap().to_owned();
    gate.ask("", &[("Onsale-Admission", &again)]).expect(200);
    // Nobody came in time; somebody stayed too long.
    gate.change(json!({"claim_ttl_s": 1, "session_ttl_s": 2}));
    let (_, url) = let_in(&gate.server, &gate.organizer, &gate.queue);
    let (_, admission, pass) = enter();
    let late = admission_in(&url).to_owned();
    gate.ask("", &[("Cookie", &pass)]).expect(200);
    std::thread::sleep(Duration::from_millis(2_100));
    until_expired(&late);
    gate.refused("session-ended", "", &[("Cookie", &pass)]);
    gate.refused("session-ended", "", &[("Onsale-Admission", &admission)]);
    gate.refused("session-ended", "", &[("Onsale-Admission", &late)]);
    gate.refused("expired", "", &[("X-Original-URI", &format!("/?onsale_admission={late}"))]);
    gate.server.stop();
}

#[test]
fn an_address_is_no_key_once_the_admission_has_expired() {
    let gate = Gate::start(&[]);
    gate.change(json!({"claim_ttl_s": 1}));
    let (_, url) = let_in(&gate.server, &gate.organizer, &gate.queue);
    let admission = admission_in(&url);
    let pass = cookie(&gate.ask("", &[("Onsale-Admission", admission)]).expect(200));
    until_expired(admission);
    gate.refused("expired", "", &[("X-Original-URI", &format!("/?onsale_admission={admission}"))]);
    gate.refused("expired", &format!("?onsale_admission={admission}"), &[]);
    gate.ask("", &[("Onsale-Admission", admission)]).expect(200);
    gate.ask("", &[("Cookie", &pass)]).expect(200);
    gate.server.stop();
}

#[test]
fn nobody_forges_their_way_in() {
    let gate = Gate::start(&[]);
    let (_, url) = let_in(&gate.server, &gate.organizer, &gate.queue);
    let mine = admission_in(&url);
    let parts: Vec<&str> = mine.split('.').collect();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[0]).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let with = |value: &Value, name: &str, to: Value| {
        let mut value = value.clone();
        value[name] = to;
        encoded(&value)
    };
    let elsewhere = queue(&gate.server, &gate.organizer, SHOP);
    let (_, other) = let_in(&gate.server, &gate.organizer, &elsewhere);
    let other = admission_in(&other);
    let far = json!(4_102_444_800u64);
    let forged = [
        "nonsense".to_owned(),
        String::new(),
        other.to_owned(),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.", with(&header, "alg", json!("none")), parts[1]),
        format!("{}.{}.{}", with(&header, "alg", json!("none")), parts[1], parts[2]),
        format!("{}.{}.{}", with(&header, "alg", json!("HS256")), parts[1], parts[2]),
        format!("{}.{}.{}", with(&header, "typ", json!("JWT")), parts[1], parts[2]),
        format!("{}.{}.{}", parts[0], with(&claims, "exp", far), parts[2]),
        format!("{}.{}.{}", parts[0], with(&claims, "jti", json!(elsewhere)), parts[2]),
        format!("{}.{}.{}", parts[0], parts[1], other.rsplit('.').next().unwrap()),
        format!("{mine}A"),
        "x".repeat(5_000),
    ];
    for admission in &forged {
        gate.refused("bad-admission", "", &[("Onsale-Admission", admission)]);
        let address = format!("/?onsale_admission={admission}");
        gate.refused("bad-admission", "", &[("X-Original-URI", &address)]);
        gate.refused("bad-admission", "", &[("X-Forwarded-Uri", &address)]);
    }
    // A pass that is none: altered, of another queue, under this one's name, or an admission itself.
    let pass = cookie(&gate.ask("", &[("Onsale-Admission", mine)]).expect(200));
    let (name, value) = pass.split_once('=').unwrap();
    let away = format!("/v1/queues/{elsewhere}/gate");
    let theirs = cookie(&gate.server.send(Request::new("GET", &away).header("Onsale-Admission", other)).expect(200));
    let theirs = theirs.split_once('=').unwrap().1;
    for wrong in ["", "wqp_", &value.replace("wqp_", "wqt_"), &format!("{value}A"), theirs, mine] {
        gate.refused("no-admission", "", &[("Cookie", &format!("{name}={wrong}"))]);
    }
    gate.server.send(Request::new("GET", &away).header("Cookie", &pass)).expect(401);
    // Beside a wrong one of another folder of the site the right one counts.
    gate.ask("", &[("Cookie", &format!("{name}={theirs}; {pass}"))]).expect(200);
    gate.server.stop();
}

#[test]
fn headers_of_a_client_do_not_reach_through() {
    let gate = Gate::start(&[]);
    let (_, url) = let_in(&gate.server, &gate.organizer, &gate.queue);
    let admission = admission_in(&url);
    let marked = |path: &str| format!("{path}?onsale_admission={admission}");
    // One of two admissions is not the proxy's.
    gate.refused("bad-admission", "", &[("Onsale-Admission", admission), ("Onsale-Admission", "other")]);
    gate.refused("no-admission", "", &[("X-Original-URI", &format!("{}&onsale_admission=other", marked("/")))]);
    // Nor of two addresses: nothing is taken from either.
    gate.refused("no-admission", "", &[("X-Original-URI", "/a"), ("X-Forwarded-Uri", &marked("/b"))]);
    gate.refused("no-admission", "", &[("X-Original-URI", &marked("/a")), ("X-Original-URI", &marked("/b"))]);
    // Nobody is sent to another site, whatever the address looks like, nor the queue's page elsewhere.
    let addresses =
        ["//evil.example/", "/\\evil.example/", "\\\\evil.example/", "https://evil.example/", "///evil.example/"];
    for address in addresses {
        for query in ["", "?redirect=1"] {
            let answer = gate.ask(query, &[("X-Original-URI", &marked(address))]);
            let location = answer.header("location").unwrap();
            let begins: Vec<char> = location.chars().take(2).collect();
            assert!(begins[0] == '/' && begins.get(1).is_none_or(|next| !['/', '\\'].contains(next)), "{location}");
            assert!(!location.contains(admission));
        }
    }
    let hosts = [("X-Forwarded-Host", "evil.example"), ("Forwarded", "host=evil.example"), ("X-Original-URI", "/")];
    gate.refused("no-admission", "", &hosts);
    // Of the gate's own query nothing else is believed.
    gate.ask("?redirect=2", &[]).expect_problem(400, "invalid-request");
    gate.ask("?location=https://evil.example", &[]).expect_problem(400, "invalid-request");
    gate.ask("?redirect=1&redirect=0", &[]).expect_problem(400, "invalid-request");
    let nowhere = gate.server.get("/v1/queues/00000000-0000-4000-8000-000000000000/gate", "");
    nowhere.expect_problem(404, "not-found");
    gate.server.stop();
}

#[test]
fn the_queues_page_is_where_browsers_reach_it() {
    let gate = Gate::start(&["--public-url", "https://queue.example.com"]);
    let page = format!("https://queue.example.com/q/{}", gate.queue);
    assert_eq!(gate.ask("", &[]).expect(401).header("location"), Some(page.as_str()));
    assert_eq!(gate.ask("?redirect=1", &[]).expect(302).header("location"), Some(page.as_str()));
    gate.server.stop();
}
