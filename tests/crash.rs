//! kill -9 at random moments under load. After each kill the server starts again on what is left: everything that was
//! acknowledged is there, nothing is twice, and purchases that were under way finish. And what else a machine does to a process.
//!
//! More rounds, or the same ones again: `ONSALE_KILLS=200 ONSALE_SEED=… cargo test --test crash -- --nocapture`.

mod common;
mod load;
#[path = "crash/machine.rs"]
mod machine;

use common::{Server, User};
use lab::stats::Rng;
use load::buyer::{Crowd, Told};
use load::waiting::Line;
use load::{Client, run, stop_and_verify, target};
use serde_json::{Value, json};
use std::cell::Cell;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use verifier::verify_dir;

const KILLS: u64 = 20;
const BUYERS: usize = 16;
/// A round is over after so many answers, at most.
const ANSWERS_MAX: usize = 1200;
/// And then at any moment within this.
const KILL_WITHIN_US: usize = 5_000;
/// One start in so many is killed while it is still reading the log.
const KILLED_STARTS: u64 = 25;
const START_KILLED_WITHIN_MS: usize = 400;
/// After so many kills the server is stopped in order and the log verified.
const VERIFIED_EVERY: u64 = 5;

/// How a server is run: small, so that the journal's files change places and snapshots are made all the time; and on one
/// thread or two, because on one the steps of a purchase reach the log together and on two they do not.
fn arguments(random: &mut Rng) -> Vec<&'static str> {
    let shards = ["1", "2"][random.below(2)];
    vec!["--self-charge", "--journal-bytes", "131072", "--snapshot-events", "300", "--shards", shards]
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn killed_at_any_moment_everything_acknowledged_is_there() {
    let kills = from_environment("ONSALE_KILLS").unwrap_or(KILLS);
    let seed = from_environment("ONSALE_SEED").unwrap_or_else(|| u64::from(std::process::id()) ^ 0x5eed);
    println!("{kills} kills; again with ONSALE_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut random = Rng::new(seed, u64::MAX);
    let mut server = Server::start(&data, &arguments(&mut random));
    let mut crowd = run(Crowd::new(&server, BUYERS, seed));
    for kill in 1..=kills {
        let answers = run(load_and_kill(&mut crowd, server, &mut random));
        while random.chance(KILLED_STARTS) {
            start_and_kill(&data, &mut random);
        }
        server = Server::start(&data, &arguments(&mut random));
        let verified = kill % VERIFIED_EVERY == 0 || kill == kills;
        run(crowd.audit(&target(&server), verified));
        println!("kill {kill}, after {answers} answers: {:?}", crowd.counts());
        if verified {
            stop_and_verify(server, &data);
            server = Server::start(&data, &arguments(&mut random));
        }
    }
    run(crowd.audit(&target(&server), true));
    stop_and_verify(server, &data);
}

/// Lets every buyer ask for one thing after the other, and kills the server in the middle of it. Gives the number of
/// answers there were.
async fn load_and_kill(crowd: &mut Crowd, server: Server, random: &mut Rng) -> usize {
    let target = target(&server);
    let (answers, enough) = (Cell::new(0), Notify::new());
    let (answers_max, moment) = (1 + random.below(ANSWERS_MAX), random.below(KILL_WITHIN_US));
    let kill = async {
        enough.notified().await;
        tokio::time::sleep(Duration::from_micros(moment as u64)).await;
        server.kill();
    };
    let lives = crowd.buyers.iter_mut().map(async |buyer| {
        let mut client = buyer.client(&target);
        // An error is the end of the server; nobody else may end it.
        while let Ok(told) = buyer.act(&mut client).await {
            assert_eq!(told, Told::Outcome, "the disk is fine");
            answers.set(answers.get() + 1);
            if answers.get() == answers_max {
                enough.notify_one();
            }
        }
        assert!(answers.get() >= answers_max, "the server ended by itself");
    });
    tokio::join!(kill, futures_util::future::join_all(lives));
    answers.get()
}

const WAITING_KILLS: u64 = 10;
const VISITORS: usize = 24;

/// Killed while people join, are let in, come and go: everybody has their place, their turn and their admission still.
#[test]
fn killed_at_any_moment_a_queue_has_everybody_where_they_were() {
    let kills = from_environment("ONSALE_KILLS").unwrap_or(WAITING_KILLS);
    let seed = from_environment("ONSALE_SEED").unwrap_or_else(|| u64::from(std::process::id()) ^ 0x11e);
    println!("{kills} kills; again with ONSALE_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut random = Rng::new(seed, u64::MAX);
    let mut server = Server::start(&data, &arguments(&mut random));
    let mut line = Line::new(&server, VISITORS, seed);
    for kill in 1..=kills {
        run(wait_and_kill(&mut line, server, &mut random));
        server = Server::start(&data, &arguments(&mut random));
        run(line.audit(&target(&server)));
        println!("kill {kill}: {:?} joined and were let in", line.counts());
    }
    server.stop();
    let summary = verify_dir(&data).unwrap_or_else(|violation| panic!("the books do not hold: {violation:#}"));
    assert_eq!((summary.entries_joined, summary.entries_admitted), line.counts());
    assert!(summary.entries_admitted > kills && summary.entries_finished > kills, "{summary:?}");
}

/// Lets everybody ask for one thing after the other, and kills the server in the middle of it.
async fn wait_and_kill(line: &mut Line, server: Server, random: &mut Rng) {
    let target = target(&server);
    let (answers, enough) = (Cell::new(0), Notify::new());
    let (answers_max, moment) = (1 + random.below(ANSWERS_MAX), random.below(KILL_WITHIN_US));
    let count = || {
        answers.set(answers.get() + 1);
        if answers.get() == answers_max {
            enough.notify_one();
        }
    };
    let kill = async {
        enough.notified().await;
        tokio::time::sleep(Duration::from_micros(moment as u64)).await;
        server.kill();
    };
    let (visitors, mut organizer) = line.everybody();
    let lives = visitors.iter_mut().map(async |visitor| {
        let mut client = Client::new(&target, "");
        while visitor.act(&mut client).await.is_ok() {
            count();
        }
    });
    let letting_in = async {
        let mut client = Client::new(&target, "");
        while organizer.act(&mut client).await.is_ok() {
            count();
        }
    };
    tokio::join!(kill, futures_util::future::join_all(lives), letting_in);
    assert!(answers.get() >= answers_max, "the server ended by itself");
}

/// Kills a server while it starts: what it has begun to recover must be recovered by the next.
fn start_and_kill(data: &Path, random: &mut Rng) {
    let mut command = common::command(data, &arguments(random));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(random.below(START_KILLED_WITHIN_MS) as u64));
    let early = child.try_wait().unwrap();
    assert_eq!(early, None, "the start failed");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Users who have bought as many places each as one may, one reservation a place.
const CANCELLED_USERS: usize = 24;
const CANCELLED_EACH: u64 = 100;
/// The refunds of them all take some hundred milliseconds.
const CANCELLATION_KILLED_WITHIN_MS: usize = 120;
const CANCELLATION_KILLS: usize = 4;

/// Killed again and again while thousands are refunded: the next start goes on where the one before was, and in the end
/// everyone has exactly their points back.
#[test]
fn a_cancellation_that_is_killed_gives_everything_back_once() {
    let seed = from_environment("ONSALE_SEED").unwrap_or_else(|| u64::from(std::process::id()) ^ 0xca9ce1);
    println!("again with ONSALE_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut random = Rng::new(seed, u64::MAX);
    let mut server = Server::start(&data, &arguments(&mut random));
    let organizer = server.organizer();
    let seats = CANCELLED_USERS as u64 * CANCELLED_EACH;
    let row = |row: u64| json!({"row": row.to_string(), "grade": "VIP", "seat_count": CANCELLED_EACH});
    let rows: Vec<Value> = (1..=seats / CANCELLED_EACH).map(row).collect();
    let chart = json!({"sections": [{"section": "A", "rows": rows}]});
    let more = json!({"seats_per_user_max": CANCELLED_EACH, "prices": {"VIP": 7}, "chart": chart});
    let performance = server.performance(&organizer, more);
    let users: Vec<User> = (0..CANCELLED_USERS).map(|user| server.user(&format!("buyer{user}"))).collect();
    std::thread::scope(|threads| {
        for user in &users {
            threads.spawn(|| buy_all(&server, &performance, user));
        }
    });

    let path = format!("/v1/performances/{performance}/cancellation");
    server.post(&path, &organizer, json!({"reason": "The hall is flooded."})).expect(202);
    for _ in 0..CANCELLATION_KILLS {
        std::thread::sleep(Duration::from_millis(random.below(CANCELLATION_KILLED_WITHIN_MS) as u64));
        server.kill();
        server = Server::start(&data, &arguments(&mut random));
        let so_far = server.get(&path, &organizer).expect(200).json();
        println!("after a kill: {}", so_far["reservations"]);
    }
    let until = Instant::now() + common::PATIENCE;
    let mut told = server.get(&path, &organizer).expect(200).json();
    while told["state"] != "done" {
        assert!(Instant::now() < until, "{told}");
        std::thread::sleep(Duration::from_millis(20));
        told = server.get(&path, &organizer).expect(200).json();
    }
    assert_eq!(told["reservations"], json!({"total": seats, "refunded": seats, "remaining": 0}));
    assert_eq!(told["points"], json!({"total": 7 * seats, "refunded": 7 * seats}));
    for user in &users {
        assert_eq!(server.balance(user), 7 * CANCELLED_EACH);
    }
    stop_and_verify(server, &data);
}

fn buy_all(server: &Server, performance: &str, user: &User) {
    server.charge(user, 7 * CANCELLED_EACH);
    for _ in 0..CANCELLED_EACH {
        let held = server.hold(performance, user, json!({"best_available": {"count": 1}})).expect(201);
        let path = format!("/v1/reservations/{}/payment", held.text("/reservation_id"));
        server.post(&path, &user.token, json!({})).expect(200);
    }
}
