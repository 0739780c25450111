//! Passwords that are tried and accounts that are made by the thousand. Limits stop that, and lock out nobody who belongs here.

use crate::api::manners::start;
use crate::common::{Answer, OPERATOR_KEY, Request, Server, User};
use serde_json::json;
use std::process::Command;
use std::time::{Duration, Instant};

const LIMIT: usize = 5;
/// Of failures with one e-mail: `ACCOUNT_TRIES_FACTOR` as often.
const ACCOUNT_LIMIT: usize = 50;

fn sign_in(server: &Server, address: &str, email: &str, password: &str) -> Answer {
    let request = Request::new("POST", "/v1/sessions").header("X-Forwarded-For", address);
    server.send(request.json(json!({"email": email, "password": password})))
}

fn sign_up(server: &Server, address: &str, name: &str) -> Answer {
    let request = Request::new("POST", "/v1/users").header("X-Forwarded-For", address);
    server.send(request.json(json!({"email": format!("{name}@example.com"), "password": "correct horse"})))
}

fn limited() -> (tempfile::TempDir, Server) {
    start(&["--limit-sign-in-per-minute", "5", "--proxy-trusted", "127.0.0.1"])
}

#[test]
fn who_tries_passwords_is_stopped_and_the_owner_is_not() {
    let (_data, server) = limited();
    let (home, right) = ("198.51.100.1", "correct horse");
    sign_up(&server, home, "ann").expect(201);
    sign_up(&server, home, "bob").expect(201);
    // One that tries is stopped long before anybody else is.
    for number in 0..LIMIT {
        sign_in(&server, "203.0.113.1", "ann@example.com", &format!("guess {number}"))
            .expect_problem(401, "bad-credentials");
    }
    let refused = sign_in(&server, "203.0.113.1", "ann@example.com", right).expect_problem(429, "rate-limited");
    assert_eq!(refused.json()["policy"], "sign-in");
    sign_in(&server, "198.51.100.7", "ann@example.com", right).expect(201);
    // Whoever has many addresses uses up what may fail with one e-mail.
    let mut answers = (2..250).map(|host| sign_in(&server, &format!("203.0.113.{host}"), "ann@example.com", "guess"));
    let failed = answers.by_ref().take_while(|answer| answer.status == 401).count();
    // Some come back while it is tried.
    assert!((ACCOUNT_LIMIT - LIMIT..2 * ACCOUNT_LIMIT).contains(&failed), "{failed}");
    let refused = answers.next().unwrap().expect_problem(429, "rate-limited");
    assert_eq!(refused.json()["policy"], "account");
    // The owner signs in where they were before, also after a slip; an e-mail of somebody else is none of this.
    sign_in(&server, home, "ann@example.com", "wrong horse").expect_problem(401, "bad-credentials");
    sign_in(&server, home, "ann@example.com", right).expect(201);
    sign_in(&server, "198.51.100.7", "ann@example.com", right).expect(201);
    sign_in(&server, "198.51.100.9", "bob@example.com", right).expect(201);
}

#[test]
fn a_list_of_leaked_passwords_is_tried_in_vain() {
    let (_data, server) = limited();
    let tried = |index: usize| {
        let email = format!("leaked-{index}@example.com");
        sign_in(&server, "203.0.113.1", &email, "leaked one").status
    };
    let statuses: Vec<u16> = (0..40).map(tried).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), LIMIT, "{statuses:?}");
    assert!(statuses[LIMIT..].iter().all(|status| *status == 429), "{statuses:?}");
    sign_up(&server, "203.0.113.2", "honest").expect(201);
}

/// What whoever is here already may wait while everybody else signs up.
const HOLDS_WITHIN: Duration = Duration::from_secs(2);

#[test]
fn a_flood_of_sign_ups_keeps_nobody_from_buying() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    // Not as in other tests: a password costs here what it costs in earnest.
    let mut command = Command::new(env!("CARGO_BIN_EXE_onsale"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--proxy-trusted", "127.0.0.1", "--data"]).arg(&folder);
    command.args(["--limit-sign-in-per-minute", "5", "--operator-key", OPERATOR_KEY]);
    let server = Server::spawn(command, &folder);
    let performance = server.performance(&server.organizer(), json!({"seats_per_user_max": 20}));
    let made = sign_up(&server, "198.51.100.1", "buyer").expect(201);
    let buyer = User { id: made.text("/user_id"), token: made.text("/session/token") };
    let statuses = std::thread::scope(|threads| {
        let flood: Vec<_> = (0..200)
            .map(|number| {
                let server = &server;
                // Some from one address, the others from one each.
                let address = if number % 4 == 0 { "203.0.113.1".into() } else { format!("192.0.2.{number}") };
                threads.spawn(move || sign_up(server, &address, &format!("flood-{number}")).status)
            })
            .collect();
        let mut slowest = Duration::ZERO;
        let mut held = 0;
        while held < 20 && flood.iter().any(|one| !one.is_finished()) {
            let begun = Instant::now();
            let seat = format!("A-{}-{}", 1 + held / 10, 1 + held % 10);
            server.hold(&performance, &buyer, json!({"seats": [seat]})).expect(201);
            slowest = slowest.max(begun.elapsed());
            held += 1;
        }
        println!("{held} seats were held meanwhile, the slowest took {slowest:?}");
        assert!(held > 0 && slowest < HOLDS_WITHIN, "{held}, {slowest:?}");
        flood.into_iter().map(|one| one.join().unwrap()).collect::<Vec<u16>>()
    });
    let count = |status| statuses.iter().filter(|one| **one == status).count();
    println!("{} signed up, {} over their limit, {} told to wait", count(201), count(429), count(503));
    assert_eq!(count(429), 50 - LIMIT, "{statuses:?}");
    assert!(count(201) >= 128 && count(201) + count(503) + count(429) == 200, "{statuses:?}");
    sign_up(&server, "198.51.100.2", "late").expect(201);
}
