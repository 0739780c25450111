//! The shell, its assets and the forms, as bytes.

use crate::common::queues::Person;
use crate::common::streams::Stream;
use crate::common::{Answer, PATIENCE, Request, Server};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SHOP: &str = "https://tickets.example.com/shop?tour=7";

pub fn queue(server: &Server, organizer: &str, more: Value) -> String {
    let mut body = json!({"name": "Tour", "redirect_urls": [SHOP], "policy": {"manual": true}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.post("/v1/queues", organizer, body).expect(201).text("/queue_id")
}

pub fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

/// A form as a browser sends it from the queue's own page.
pub fn form(path: &str, cookie: &str) -> Request {
    let request = Request::new("POST", path).header("Sec-Fetch-Site", "same-origin");
    if cookie.is_empty() { request } else { request.header("Cookie", cookie) }
}

/// Name and value of the cookie that an answer sets.
pub fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

#[test]
fn the_shell_is_the_same_for_everybody() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let path = format!("/q/{}", queue(&server, &organizer, json!({})));
    let plain = server.send(Request::new("GET", &path)).expect(200);
    let user = server.user("ada");
    let asked = [
        Request::new("GET", &path).token(&user.token),
        Request::new("GET", &path).header("Cookie", "onsale_place=wqt_1").header("Accept-Language", "ko"),
        Request::new("GET", &path).header("X-Forwarded-Host", "evil.example").header("X-Forwarded-Proto", "http"),
        Request::new("GET", &path).header("Forwarded", "host=evil.example").header("X-Original-URL", "/q/other"),
        Request::new("GET", &format!("{path}?utm_source=mail")),
    ];
    for request in asked {
        let answer = server.send(request).expect(200);
        assert_eq!(text(&answer), text(&plain));
        for name in ["cache-control", "content-security-policy", "etag", "vary"] {
            assert_eq!(answer.header(name), plain.header(name), "{name}");
        }
        assert_eq!(answer.header("set-cookie"), None);
    }
    let headers = [
        ("cache-control", "public, max-age=10, stale-while-revalidate=60, stale-if-error=86400"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("vary", "Accept-Encoding"),
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             base-uri 'none'; form-action 'self' https://tickets.example.com; frame-ancestors 'none'",
        ),
    ];
    for (name, value) in headers {
        assert_eq!(plain.header(name), Some(value), "{name}");
    }
    let again = Request::new("GET", &path).header("If-None-Match", plain.header("etag").unwrap());
    server.send(again).expect(304);

    let page = text(&plain);
    let assets: Vec<&str> = page.split("\"/q/assets/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(assets.len(), 3, "{assets:?}");
    for asset in assets {
        let path = format!("/q/assets/{asset}");
        let answer = server.send(Request::new("GET", &path).header("Accept-Encoding", "gzip")).expect(200);
        assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"), "{asset}");
        assert!(answer.body.len() < 14_000, "{asset}: {}", answer.body.len());
    }
    server.send(Request::new("GET", "/q/assets/0123456789abcdef.js")).expect_problem(404, "not-found");
    server.stop();
}

#[test]
fn the_whole_way_by_forms() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let organizer = server.organizer();
    let queue = queue(&server, &organizer, json!({}));
    let path = |action: &str| format!("/q/{queue}/{action}");
    let joined = server.send(form(&path("join"), "")).expect(303);
    assert_eq!(joined.header("location"), Some(path("mine").as_str()));
    let told = joined.header("set-cookie").unwrap();
    assert!(
        told.contains(&format!("Path=/q/{queue}; ")) && told.ends_with("; HttpOnly; SameSite=Lax; Secure"),
        "{told}"
    );
    let mine = cookie(&joined);
    // Once more is the same place.
    assert_eq!(cookie(&server.send(form(&path("join"), &mine)).expect(303)), mine);
    let page = |server: &Server| server.send(Request::new("GET", &path("mine")).header("Cookie", &mine)).expect(200);
    let waiting = page(&server);
    assert!(text(&waiting).contains("It is almost your turn"), "{}", text(&waiting));
    assert_eq!(waiting.header("cache-control"), Some("no-store"));
    assert!(waiting.header("refresh").unwrap().parse::<u64>().unwrap() >= 1);
    // A power cut changes nothing.
    server.kill();
    let server = Server::start(&folder, &[]);
    assert_eq!(text(&page(&server)), text(&waiting));
    server.post(&format!("/v1/queues/{queue}/admissions"), &organizer, json!({"count": 1})).expect(200);
    let until = Instant::now() + PATIENCE;
    while !text(&page(&server)).contains("It is your turn") {
        assert!(Instant::now() < until, "{}", text(&page(&server)));
    }
    let gone = server.send(form(&path("go"), &mine)).expect(303);
    assert!(gone.header("location").unwrap().starts_with(&format!("{SHOP}&onsale_admission=ey")));
    assert_eq!(gone.header("cache-control"), Some("no-store"));
    assert!(text(&page(&server)).contains("You are in"));
    // Who is in already is shown that, and gets no second admission.
    assert_eq!(server.send(form(&path("go"), &mine)).expect(303).header("location"), Some(path("mine").as_str()));
    server.send(form(&path("leave"), &mine)).expect(303);
    assert!(text(&page(&server)).contains("You left the line"));
    // From there they join anew.
    assert_ne!(cookie(&server.send(form(&path("join"), &mine)).expect(303)), mine);
    server.stop();
}

#[test]
fn refusals_are_pages_where_people_ask() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let queue = queue(&server, &organizer, json!({}));
    server
        .send(Request::new("PATCH", &format!("/v1/queues/{queue}")).token(&organizer).json(json!({"state": "closed"})));
    let unknown = "00000000-0000-4000-8000-000000000000";
    let table = [
        (Request::new("GET", &format!("/q/{unknown}")), 404, "There is no such queue"),
        (Request::new("GET", "/q/nothing"), 404, "There is no such queue"),
        (Request::new("GET", &format!("/q/{}", queue.to_uppercase())), 404, "There is no such queue"),
        (
            Request::new("GET", &format!("/q/{unknown}/mine")).header("Accept-Language", "ko"),
            404,
            "대기열을 찾을 수 없습니다",
        ),
        (form(&format!("/q/{unknown}/join"), ""), 404, "There is no such queue"),
        (form(&format!("/q/{queue}/join"), ""), 409, "The queue is closed"),
        (Request::new("POST", &format!("/q/{queue}/join")), 403, "This form was sent from elsewhere"),
    ];
    for (request, status, says) in table {
        let answer = server.send(request).expect(status);
        assert!(text(&answer).contains(says), "{says}: {}", text(&answer));
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{says}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{says}");
        assert!(answer.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"), "{says}");
    }
    // Who has no place is shown the way in.
    let answer = server.send(Request::new("GET", &format!("/q/{queue}/mine"))).expect(303);
    assert_eq!(answer.header("location"), Some(format!("/q/{queue}").as_str()));
    server.stop();
}

#[test]
fn the_root_is_a_page_for_people_and_what_it_was_for_programs() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &["--demo"]);
    for accept in ["*/*", "application/json", ""] {
        server.send(Request::new("GET", "/").header("Accept", accept)).expect_problem(404, "not-found");
    }
    let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let answer = server.send(Request::new("GET", "/").header("Accept", accept)).expect(200);
    let page = text(&answer);
    assert!(answer.header("vary").unwrap().contains("Accept"));
    assert!(!page.contains("osk_") && !page.contains("ork_") && !page.contains(crate::common::OPERATOR_KEY), "{page}");
    let links: Vec<&str> = page.split("<a href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(links.iter().any(|link| link.starts_with("/q/")), "the demo's queue is not among {links:?}");
    assert!(links.iter().any(|link| link.starts_with("/v1/performances/")), "{links:?}");
    for link in links {
        assert_eq!(server.send(Request::new("GET", link)).status, 200, "{link}");
    }
    server.stop();
}

#[test]
fn everybody_in_line_is_told_within_two_seconds() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let (organizer, rival) = (server.organizer(), server.organizer());
    let queue = queue(&server, &organizer, json!({}));
    let joined = server.post(&format!("/v1/queues/{queue}/entries"), "", json!({})).expect(201);
    let person = Person::of(joined);
    let path = format!("/v1/queues/{queue}/notice");
    let say = |token: &str, notice: Value| server.send(Request::new("PUT", &path).token(token).json(notice));
    let line = |server: &Server| server.get(&format!("/v1/queues/{queue}/line"), "").expect(200).json();
    assert_eq!(line(&server)["notice"], Value::Null);
    let mut stream = Stream::of(&server, &person.events(), &person.token);
    for notice in [json!("Back at 10:05."), Value::Null, json!("<b>Sold out</b> & gone")] {
        let told = say(&organizer, json!({"notice": notice})).expect(200);
        assert_eq!(told.json()["notice"], notice);
        let at = Instant::now();
        stream.until(|(name, _, line)| {
            name == "line" && line["notice"] == notice && line["version"].as_u64() >= told.json()["version"].as_u64()
        });
        while line(&server)["notice"] != notice {
            assert!(at.elapsed() < PATIENCE);
        }
        assert!(at.elapsed() < Duration::from_secs(2), "{:?}", at.elapsed());
    }
    let bad = [json!({}), json!({"notice": ""}), json!({"notice": "x".repeat(501)}), json!({"notice": "a\u{202e}b"})];
    for body in bad {
        say(&organizer, body).expect_problem(400, "invalid-request");
    }
    say(&rival, json!({"notice": "x"})).expect_problem(404, "not-found");
    say("", json!({"notice": "x"})).expect_problem(401, "unauthenticated");
    server.kill();
    let server = Server::start(&folder, &[]);
    assert_eq!(line(&server)["notice"], "<b>Sold out</b> & gone");
    server.stop();
}

/// Those who wait are told what there is: prices, that nothing is left, and how much is where the organizer shows it.
#[test]
fn what_there_is_to_buy_is_told_to_those_who_wait() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let organizer = server.organizer();
    let [queue, other] = [0, 1].map(|_| queue(&server, &organizer, json!({})));
    let told = |server: &Server, queue: &str| {
        let line = server.get(&format!("/v1/queues/{queue}/line"), "").expect(200).json();
        json!([line["prices"], line["seats_left"], line["sold_out"]])
    };
    // As soon as it is so: there is a document each second.
    let until = |server: &Server, expected: Value| {
        let until = Instant::now() + PATIENCE;
        while told(server, &queue) != expected {
            assert!(Instant::now() < until, "{} is not {expected}", told(server, &queue));
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let nothing = json!([null, null, false]);
    assert_eq!(told(&server, &queue), nothing);
    let performance = server.performance(&organizer, json!({"queue_id": queue}));
    let prices = json!({"from": 10, "to": 100});
    until(&server, json!([prices, null, false]));
    let page = |look: Value| {
        server.send(Request::new("PUT", &format!("/v1/queues/{queue}/page")).token(&organizer).json(look)).expect(200);
    };
    page(json!({"show_seats_left": true}));
    until(&server, json!([prices, 25, false]));
    let second = server.performance(&organizer, json!({"queue_id": queue, "prices": {"VIP": 300, "R": 5}}));
    until(&server, json!([{"from": 5, "to": 300}, 50, false]));

    // Somebody who is in holds places, and lets go of them.
    let user = server.user("ada");
    let joined = server.post(&format!("/v1/queues/{queue}/entries"), &user.token, json!({})).expect(201);
    let person = Person::of(joined);
    server.post(&format!("/v1/queues/{queue}/admissions"), &organizer, json!({"count": 1})).expect(200);
    person.act(&server, "claim").expect(200);
    let held = server.hold(&performance, &user, json!({"seats": ["A-1-1", "A-1-2"]})).expect(201);
    until(&server, json!([{"from": 5, "to": 300}, 48, false]));
    let hold = format!("/v1/reservations/{}", held.text("/reservation_id"));
    server.send(Request::new("DELETE", &hold).token(&user.token)).expect(200);
    until(&server, json!([{"from": 5, "to": 300}, 50, false]));

    // Another performance is none of theirs; one without a queue is nobody's.
    let body = json!({"queue_id": other});
    let patch = |performance: &str, body: Value| {
        let change = Request::new("PATCH", &format!("/v1/performances/{performance}"));
        server.send(change.token(&organizer).header("If-Match", "*").json(body)).expect(200);
    };
    patch(&second, body);
    until(&server, json!([prices, 25, false]));
    assert_eq!(told(&server, &other), json!([{"from": 5, "to": 300}, null, false]));
    patch(&second, json!({"queue_id": null}));
    let forgotten = Instant::now() + PATIENCE;
    while told(&server, &other) != nothing {
        assert!(Instant::now() < forgotten, "{}", told(&server, &other));
    }

    let seats: Vec<String> = (1..=2).flat_map(|row| (1..=10).map(move |seat| format!("A-{row}-{seat}"))).collect();
    let block = |what: &str, body: Value| {
        server.post(&format!("/v1/performances/{performance}/{what}"), &organizer, body).expect(200);
    };
    block("seat-blocks", json!({"seats": seats}));
    until(&server, json!([prices, 5, false]));
    block("area-blocks", json!({"areas": [{"area": "Floor", "blocked": 5}]}));
    until(&server, json!([prices, 0, true]));
    page(json!({}));
    until(&server, json!([prices, null, true]));
    // A power cut changes nothing; a sale that is over is none.
    server.kill();
    let server = Server::start(&folder, &[]);
    until(&server, json!([prices, null, true]));
    let close = Request::new("PATCH", &format!("/v1/performances/{performance}"));
    server.send(close.token(&organizer).json(json!({"state": "closed"}))).expect(200);
    until(&server, nothing);
    server.stop();
}

/// Whom the organizer names may show the page in a frame, and nobody else.
#[test]
fn frames_are_for_whom_the_organizer_names() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let organizer = server.organizer();
    let queue = queue(&server, &organizer, json!({}));
    let path = format!("/v1/queues/{queue}/page");
    let set = |origins: Value| {
        server.send(Request::new("PUT", &path).token(&organizer).json(json!({"frame_ancestors": origins})))
    };
    let mine = cookie(&server.send(form(&format!("/q/{queue}/join"), "")).expect(303));
    let framed_by = |server: &Server, by: &str| {
        for path in [format!("/q/{queue}"), format!("/q/{queue}/mine")] {
            let answer = server.send(Request::new("GET", &path).header("Cookie", &mine)).expect(200);
            let policy = answer.header("content-security-policy").unwrap();
            assert!(policy.ends_with(&format!("; frame-ancestors {by}")), "{path}: {policy}");
        }
    };
    framed_by(&server, "'none'");
    let bad = [
        "*",
        "'self'",
        "https:",
        "https://*.example.com",
        "http://shop.example.com",
        "https://shop.example.com/",
        "https://Shop.example.com",
        "https://a.example https://b.example",
        "https://a.example; script-src *",
        "https://a.example\r\nSet-Cookie: x=y",
        "",
    ];
    for origin in bad {
        let problem = set(json!(["https://ok.example", origin])).expect_problem(400, "invalid-request");
        assert_eq!(problem.text("/field"), "frame_ancestors[1]", "{origin}");
    }
    let many: Vec<String> = (0..6).map(|number| format!("https://{number}.example")).collect();
    assert_eq!(set(json!(many)).expect_problem(400, "invalid-request").text("/field"), "frame_ancestors");
    framed_by(&server, "'none'");
    let told = set(json!(["https://shop.example.com", "http://localhost:3000"])).expect(200).json();
    assert_eq!(told["frame_ancestors"], json!(["https://shop.example.com", "http://localhost:3000"]));
    framed_by(&server, "https://shop.example.com http://localhost:3000");
    server.kill();
    let server = Server::start(&folder, &[]);
    framed_by(&server, "https://shop.example.com http://localhost:3000");
    server.stop();
}

/// A page is made once, and is another one as soon as something in it is.
#[test]
fn what_is_kept_of_a_page_is_never_old() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let queue = queue(&server, &organizer, json!({}));
    let path = format!("/q/{queue}");
    let page = || server.send(Request::new("GET", &path)).expect(200);
    let first = page();
    let change = |method, path: String, body: Value| {
        server.send(Request::new(method, &path).token(&organizer).header("If-Match", "*").json(body)).expect(200);
    };
    let of_queue = format!("/v1/queues/{queue}");
    let own = json!({"texts": {"en": {"waiting_lead": "Soon."}}});
    let changes = [
        ("PATCH", of_queue.clone(), json!({"name": "Autumn"}), "<title>Autumn</title>"),
        ("PUT", format!("{of_queue}/page"), own, "Soon."),
        ("PATCH", of_queue.clone(), json!({"redirect_urls": ["https://other.example/"]}), "Soon."),
    ];
    let mut before = first.header("etag").unwrap().to_owned();
    for (method, path, body, says) in changes {
        change(method, path, body.clone());
        let now = page();
        assert!(text(&now).contains(says), "{body}: {}", text(&now));
        // Also where only the content policy is another one: it comes with the page.
        assert_ne!(now.header("etag"), Some(before.as_str()), "{body}");
        before = now.header("etag").unwrap().to_owned();
    }
    assert!(page().header("content-security-policy").unwrap().contains("form-action 'self' https://other.example;"));
    // Joining, and all else that happens in the queue, is not in it.
    server.post(&format!("{of_queue}/entries"), "", json!({})).expect(201);
    server.send(Request::new("GET", &path).header("If-None-Match", &before)).expect(304);
    server.stop();
}

#[test]
fn a_place_is_taken_to_another_device_once() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let [one, other] = [0, 1].map(|_| queue(&server, &organizer, json!({})));
    let [person, next] =
        [0, 1].map(|_| Person::of(server.post(&format!("/v1/queues/{one}/entries"), "", json!({})).expect(201)));
    let path = format!("{}/handover", person.path);
    let page = format!("https://queue.example.com/q/{one}");
    server.get(&path, &person.token).expect_problem(404, "not-found");
    server.post(&path, &next.token, json!({})).expect_problem(404, "not-found");
    server.post(&path, &organizer, json!({})).expect_problem(403, "forbidden");
    for bad in ["javascript:alert(1)", "https://queue.example.com/#x", "", "https://a b"] {
        server.post(&path, &person.token, json!({"page_url": bad})).expect_problem(400, "invalid-request");
    }
    let lost = server.post(&path, &person.token, json!({})).expect(200);
    assert_eq!((&lost.json()["link"], &lost.json()["qr"]), (&Value::Null, &Value::Null));
    let made = server.post(&path, &person.token, json!({"page_url": page})).expect(200);
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let code = made.text("/code");
    assert_eq!(made.text("/link"), format!("{page}#m={code}"));
    assert!(made.text("/qr/path").starts_with("M0,0h7v1h-7z"));
    let take =
        |queue: &str, code: &str| server.post(&format!("/v1/queues/{queue}/handover"), "", json!({"code": code}));
    for (queue, code) in
        [(&one, lost.text("/code")), (&other, code.clone()), (&one, format!("{code}x")), (&one, "x".into())]
    {
        take(queue, &code).expect_problem(404, "not-found");
    }
    assert_eq!(server.get(&path, &person.token).expect(200).json()["taken"], false);
    let taken = take(&one, &code).expect(200);
    assert_eq!((taken.text("/entry_id"), taken.text("/waiting_token")), (person.entry.clone(), person.token.clone()));
    take(&one, &code).expect_problem(404, "not-found");
    assert_eq!(server.get(&path, &person.token).expect(200).json()["taken"], true);
    server.stop();
}
