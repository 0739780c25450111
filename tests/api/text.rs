//! Names, e-mails, passwords and searches in all the forms in which people type them.

use crate::common::{Answer, Request, Server};
use base::id::{Category, StreamId, UserId};
use domain::EventData;
use domain::account::{AccountCreated, Event};
use eventlog::store::{Options, Store};
use eventlog::{Batch, Log};
use security::passwords::Passwords;
use security::secrets::Secrets;
use security::vault::Vault;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;
use uuid::Uuid;

fn sign_up(server: &Server, email: &str, password: &str) -> Answer {
    server.post("/v1/users", "", json!({"email": email, "password": password}))
}

fn sign_in(server: &Server, email: &str, password: &str) -> Answer {
    server.post("/v1/sessions", "", json!({"email": email, "password": password}))
}

#[test]
fn an_e_mail_is_one_account_however_it_is_typed() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let forms = ["x@bücher.de", "X@BÜCHER.de", "x@bu\u{308}cher.de", "x@xn--bcher-kva.de"];
    let user = sign_up(&server, forms[0], "correct horse").expect(201).json();
    assert_eq!(user["email"], "x@bücher.de");
    for form in forms {
        sign_up(&server, form, "other horse").expect_problem(409, "email-taken");
        assert_eq!(sign_in(&server, form, "correct horse").expect(201).json()["user_id"], user["user_id"], "{form}");
    }
    sign_up(&server, "josé@example.com", "correct horse").expect(201);
    sign_up(&server, "JOSE\u{301}@example.com", "correct horse").expect_problem(409, "email-taken");
    for wrong in ["a@b@c.de", "<a@b.de>", "mailto:a@b.de", "a\u{200b}@b.de", "a@b.de, c@d.de"] {
        let refused = sign_up(&server, wrong, "correct horse").expect_problem(400, "invalid-request").json();
        assert_eq!(refused["field"], "email", "{wrong}");
    }
}

#[test]
fn a_password_is_one_however_it_is_typed() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let (composed, apart) = ("Zauberflöte 1", "Zauberflo\u{308}te\u{a0}1");
    sign_up(&server, "ada@example.com", composed).expect(201);
    let token = sign_in(&server, "ada@example.com", apart).expect(201).text("/token");
    sign_in(&server, "ada@example.com", "Zauberflote 1").expect_problem(401, "bad-credentials");
    let change = |token: &str, current: &str, new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        server.send(Request::new("PUT", "/v1/me/password").token(token).json(body))
    };
    change(&token, composed, "with\u{200b}nothing").expect_problem(400, "invalid-request");
    let token = change(&token, apart, "\u{1109}\u{1165}\u{110b}\u{116e}\u{11af} 12345").expect(200).text("/token");
    sign_in(&server, "ada@example.com", "서울 12345").expect(201);
    let erase = |password: &str| {
        server.send(Request::new("DELETE", "/v1/me").token(&token).json(json!({"password": password})))
    };
    erase("서울 123456").expect_problem(403, "wrong-password");
    erase("서울 12345").expect(204);
    // 256 characters are 256, composed or not.
    sign_up(&server, "bob@example.com", &"e\u{301}".repeat(256)).expect(201);
    sign_in(&server, "bob@example.com", &"é".repeat(256)).expect(201);
    sign_in(&server, "bob@example.com", &"e\u{301}".repeat(256)).expect(201);
    sign_up(&server, "eve@example.com", &"é".repeat(257)).expect_problem(400, "invalid-request");
}

/// An account as it was made before e-mails had one form: under the hash of what was typed, in small letters.
fn account_of_before(data: &Path, email: &str, password: &str) -> UserId {
    let secrets = Secrets::open(data, true).unwrap();
    let account = secrets.account(email);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let hash = runtime.block_on(Passwords::new(8, 1).unwrap().hash(password.into())).unwrap();
    let plain = json!({"email": email, "name": null, "password": hash}).to_string();
    let sealed = Vault::open(data).unwrap().seal(account, plain.as_bytes()).unwrap();
    let user_id = UserId(Uuid::new_v4());
    let event = Event::AccountCreated(AccountCreated { user_id, sealed, key: None });
    let mut batch = Batch::new();
    let stream = StreamId { category: Category::Account, key: account.0 };
    batch.push(stream, 1, 1_700_000_000_000, event.name(), |out| event.encode(out));
    let log = Store::open(&data.join("log"), Options::default()).unwrap().0;
    let (done, wait) = mpsc::channel();
    log.append(batch, Some(Box::new(move |outcome| done.send(outcome.map(|_| ())).unwrap()))).unwrap();
    wait.recv_timeout(Duration::from_secs(10)).unwrap().unwrap();
    log.close().unwrap();
    user_id
}

#[test]
fn accounts_of_before_still_sign_in_and_are_still_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    sign_up(&server, "ada@example.com", "correct horse").expect(201);
    server.stop();
    let forms = ["x@bücher.de", "y@bu\u{308}cher.de", "straße@example.com", "a@b@c.de"];
    let users = forms.map(|form| account_of_before(&data, form, "correct horse").0.to_string());

    let server = Server::start(&data, &[]);
    for (form, user) in forms.iter().zip(&users) {
        assert_eq!(sign_in(&server, form, "correct horse").expect(201).text("/user_id"), *user, "{form:?}");
        sign_in(&server, form, "wrong horse").expect_problem(401, "bad-credentials");
    }
    for (form, user) in
        [("x@xn--bcher-kva.de", &users[0]), ("X@bu\u{308}cher.de", &users[0]), ("y@bücher.de", &users[1])]
    {
        assert_eq!(sign_in(&server, form, "correct horse").expect(201).text("/user_id"), *user, "{form:?}");
        sign_up(&server, form, "correct horse").expect_problem(409, "email-taken");
    }
    let token = sign_in(&server, "x@xn--bcher-kva.de", "correct horse").expect(201).text("/token");
    server.send(Request::new("DELETE", "/v1/me").token(&token).json(json!({"password": "correct horse"}))).expect(204);
    // What was erased is free again, under the rule of now.
    let again = sign_up(&server, "x@bu\u{308}cher.de", "another horse").expect(201).text("/user_id");
    assert_ne!(again, users[0]);
    assert_eq!(sign_in(&server, "x@bücher.de", "another horse").expect(201).text("/user_id"), again);
    server.stop();
    let verified = std::process::Command::new(env!("CARGO_BIN_EXE_onsale")).arg("verify").arg(&data).output();
    let verified = verified.unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// Names of real halls, and a row of two grades.
fn opera() -> Value {
    json!({
        "starts_at": "2099-01-01T19:00:00Z",
        "prices": {"Kategorie II": 20, "VIP": 100, "Steh,platz": 5},
        "chart": {
            "sections": [
                {"section": "Block D", "rows": [
                    {"row": "0-0", "grade": "Kategorie II", "seat_count": 6,
                        "other_grades": [{"grade": "VIP", "seats": ["3", "4"]}]},
                ]},
                {"section": "VIP-나구역", "rows": [
                    {"row": "C1, C2", "grade": "VIP", "seats": ["101½", "102"]},
                    {"row": "ที่ 1", "grade": "VIP", "seats": ["क्‍ष", "၁"]},
                ]},
            ],
            "areas": [{"area": "Bu\u{308}hne, links", "grade": "Steh,platz", "capacity": 3}],
        },
    })
}

#[test]
fn halls_with_real_names_are_sold_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let organizer = server.organizer();
    let concert = server.concert(&organizer);
    let created = server.post(&format!("/v1/concerts/{concert}/performances"), &organizer, opera()).expect(201);
    let performance = created.text("/performance_id");
    let at = format!("/v1/performances/{performance}");
    let chart = server.get(&format!("{at}/chart"), "").expect(200).json();
    assert_eq!(chart["areas"][0]["area"], "Bühne, links");
    assert_eq!(chart["sections"][0]["rows"][0]["other_grades"], json!([{"grade": "VIP", "seats": ["3", "4"]}]));
    let (ada, bob) = (server.user("ada"), server.user("bob"));
    server.charge(&ada, 1_000);
    let wish = json!({"seats": ["VIP-나구역-C1, C2-101½", "VIP-\u{1102}\u{1161}구역-ที่ 1-၁"],
        "area": "Bu\u{308}hne, links", "count": 2});
    let held = server.hold(&performance, &ada, wish).expect(201).json();
    assert_eq!(held["seats"][1]["seat"], "VIP-나구역-ที่ 1-၁");
    assert_eq!((&held["points"], &held["area"]["area"]), (&json!(210), &json!("Bühne, links")));
    let id = held["reservation_id"].as_str().unwrap();
    let paid = server.post(&format!("/v1/reservations/{id}/payment"), &ada.token, json!({})).expect(200);
    // In the row of two grades: the pair of the grade, and whoever names none sits in one grade.
    let mixed = |user, wish| server.hold(&performance, user, wish).expect(201).json();
    let vip = mixed(&bob, json!({"best_available": {"grade": "VIP", "section": "Block D", "count": 2}}));
    let labels: Vec<&str> =
        vip["seats"].as_array().unwrap().iter().map(|seat| seat["seat"].as_str().unwrap()).collect();
    assert_eq!((labels, &vip["points"]), (vec!["Block D-0-0-3", "Block D-0-0-4"], &json!(200)));
    let left = server.get(&format!("{at}/availability"), "").expect(200).json();
    assert_eq!(left["available"], json!({"Kategorie II": 4, "VIP": 2, "Steh,platz": 1}));
    let side = mixed(&bob, json!({"seats": ["Block D-0-0-1", "Block D-0-0-2"]}));
    assert_eq!((&side["points"], &side["adjacent"]), (&json!(40), &json!(true)));
    server.post(&format!("{at}/seat-blocks"), &organizer, json!({"seats": ["Block D-0-0-6"]})).expect(200);
    server.hold(&performance, &bob, json!({"seats": ["Block D-0-0-7"]})).expect_problem(400, "unknown-seat");

    let after = paid.header("onsale-position").unwrap();
    let report = Request::new("GET", &format!("{at}/reservations/report")).token(&organizer);
    let report = server.send(report.header("Onsale-After", after).header("Accept", "text/csv")).expect(200);
    let report = String::from_utf8(report.body).unwrap();
    let cell = r#""""VIP-나구역-C1, C2-101½"" ""VIP-나구역-ที่ 1-၁"", 2 × Bühne, links""#;
    assert!(report.starts_with("\u{feff}reservation_id,") && report.contains(cell), "{report}");
    let etag = server.get(&format!("{at}/chart"), "").expect(200).header("etag").unwrap().to_owned();
    let smaller = json!({"chart": {"sections": chart["sections"]}});
    let put = Request::new("PUT", &format!("{at}/chart")).token(&organizer).header("If-Match", &etag).json(smaller);
    server.send(put).expect_problem(409, "places-in-use");
    server.stop();
    let verified = std::process::Command::new(env!("CARGO_BIN_EXE_onsale")).arg("verify").arg(&data).output();
    let verified = verified.unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn places_that_look_alike_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let row = |row: &str, seat: &str| json!({"row": row, "grade": "R", "seats": [seat]});
    let section = |name: &str, row: Value| json!({"section": name, "rows": [row]});
    let table = [
        (
            json!([section("나", row("1", "1")), section("\u{1102}\u{1161}", row("1", "1"))]),
            "chart.sections[1].rows[0].row",
        ),
        (json!([section("A", row("0-0", "1")), section("A-0", row("0", "1"))]), "chart.sections[1].rows[0].seats"),
        (json!([section("A\u{200b}", row("1", "1"))]), "chart.sections[0].section"),
        (json!([section("A", row("\u{202e}1", "1"))]), "chart.sections[0].rows[0].row"),
        (json!([section("A", row("1", "1\n"))]), "chart.sections[0].rows[0].seats"),
    ];
    for (sections, field) in table {
        let body = json!({"chart": {"sections": sections}});
        let refused =
            server.post("/v1/charts/validation", &organizer, body).expect_problem(400, "invalid-request").json();
        assert_eq!(refused["field"], field, "{refused}");
    }
}

#[test]
fn texts_are_composed_wherever_they_come_in_and_what_misleads_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let apart = "E\u{301}lan – राग";
    // As Python and Java write it.
    let escaped = r#"{"title": "E\u0301lan \u2013 \u0930\u093e\u0917", "artist": "Be\u0301", "venue": "Odéon"}"#;
    let post = Request::new("POST", "/v1/concerts").token(&organizer).body("application/json", escaped.as_bytes());
    let concert = server.send(post).expect(201).json();
    assert_eq!((&concert["title"], &concert["artist"]), (&json!("Élan – राग"), &json!("Bé")));
    let queue = json!({"name": apart, "redirect_urls": ["https://tickets.example.com/"], "policy": {"manual": true}});
    let queue = server.post("/v1/queues", &organizer, queue).expect(201).text("/queue_id");
    let shown = server.get(&format!("/v1/queues/{queue}"), &organizer).expect(200).json();
    assert_eq!(shown["name"], "Élan – राग");
    let named = server.post("/v1/organizer/keys", &organizer, json!({"name": apart})).expect(201).json();
    assert_eq!(named["name"], "Élan – राग");
    let user = server.post("/v1/users", "", json!({"email": "a@b.de", "password": "correct horse", "name": apart}));
    assert_eq!(user.expect(201).json()["name"], "Élan – राग");
    for wrong in ["A\u{202e}B", "A\u{200b}B", "A\u{2028}B", "\u{feff}A", "A\u{0}"] {
        let body = json!({"title": wrong, "artist": "A", "venue": "V"});
        server.post("/v1/concerts", &organizer, body).expect_problem(400, "invalid-request");
        let body = json!({"email": "c@d.de", "password": "correct horse", "name": wrong});
        server.post("/v1/users", "", body).expect_problem(400, "invalid-request");
    }
    server.post("/v1/concerts", &organizer, json!({"title": "👨‍👩‍👧 می‌خواهم", "artist": "A", "venue": "V"})).expect(201);
}

#[test]
fn searches_find_what_people_type() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let add = |title: &str| {
        let body = json!({"title": title, "artist": "-", "venue": "-"});
        let added = server.post("/v1/concerts", &organizer, body).expect(201);
        (added.text("/concert_id"), added.header("onsale-position").unwrap().to_owned())
    };
    let table: [(&str, &[&str]); 6] = [
        ("Élan vital", &["E\u{301}LAN", "éla", "ＶＩＴＡＬ"]),
        ("Große Straße", &["STRASSE", "straße", "GROSSE"]),
        ("Diyarbakır", &["DIYARBAKIR", "diyarbakir", "DİYAR"]),
        ("ΟΔΥΣΣΕΥΣ", &["οδυσσευς", "οδυσσευσ", "Οδυσσευς"]),
        ("서울 콘서트", &["\u{1109}\u{1165}\u{110b}\u{116e}\u{11af}"]),
        ("नमस्ते ＡＢＢＡ", &["नमस्ते", "abba"]),
    ];
    let ids: Vec<(String, String)> = table.iter().map(|(title, _)| add(title)).collect();
    let (_, last) = ids.last().unwrap();
    for ((id, _), (title, typed)) in ids.iter().zip(&table) {
        for text in *typed {
            let q: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let request = Request::new("GET", &format!("/v1/concerts?q={q}")).header("Onsale-After", last);
            let found = server.send(request).expect(200).json();
            let found: Vec<&str> =
                found["items"].as_array().unwrap().iter().map(|item| item["concert_id"].as_str().unwrap()).collect();
            assert_eq!(found, [id.as_str()], "{text:?} in {title:?}");
        }
    }
}
