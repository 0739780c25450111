//! What the machine does to a server that sells: it stands still for a while, its clock jumps, its memory comes to an end.

use super::common::queues::Person;
use super::common::{self, PATIENCE, Request, Server, User};
use super::load::buyer::{Crowd, Told};
use super::load::{Client, run, stop_and_verify, target};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use std::cell::Cell;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const BUYERS: usize = 8;
/// Without read models: those of large houses take a minute.
const FLAGS: [&str; 5] = ["--self-charge", "--shards", "2", "--read-models", "off"];
/// Long enough for every timer in the server to be late.
const STANDS_STILL: Duration = Duration::from_millis(1_500);
/// Answers that show that selling goes on.
const SOME_ANSWERS: usize = 200;

/// Everybody asks for one thing after the other until `what` is over, and gets an outcome each time.
async fn buy_during(crowd: &mut Crowd, server: &Server, what: impl AsyncFnOnce(&Cell<usize>)) {
    let target = target(server);
    let (answers, over) = (Cell::new(0), Cell::new(false));
    let lives = crowd.buyers.iter_mut().map(async |buyer| {
        let mut client = buyer.client(&target);
        while !over.get() {
            assert_eq!(buyer.act(&mut client).await.expect("an answer"), Told::Outcome);
            answers.set(answers.get() + 1);
        }
    });
    let what = async {
        what(&answers).await;
        over.set(true);
    };
    tokio::join!(what, futures_util::future::join_all(lives));
}

async fn some_more(answers: &Cell<usize>) {
    let (before, until) = (answers.get(), Instant::now() + PATIENCE);
    while answers.get() < before + SOME_ANSWERS {
        assert!(Instant::now() < until, "nobody is answered any more");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_process_that_stood_still_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &FLAGS);
    let mut crowd = run(Crowd::new(&server, BUYERS, 21));
    run(buy_during(&mut crowd, &server, async |answers| {
        some_more(answers).await;
        server.signal("STOP");
        // What the kernel has taken is read yet; then nothing comes any more.
        tokio::time::sleep(STANDS_STILL / 2).await;
        let before = answers.get();
        tokio::time::sleep(STANDS_STILL / 2).await;
        assert_eq!(answers.get(), before, "it did not stand still");
        server.signal("CONT");
        some_more(answers).await;
    }));
    run(crowd.audit(&target(&server), true));
    stop_and_verify(server, &data);
}

/// `clock.c`, built.
fn jumping_clock(folder: &Path) -> std::path::PathBuf {
    let (source, library) = (concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/clock.c"), folder.join("clock.so"));
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library
}

/// A server's machine, whose clock can be set.
struct Machine {
    folder: tempfile::TempDir,
    added_s: std::fs::File,
}

impl Machine {
    fn new() -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let added_s = std::fs::File::create(folder.path().join("added")).unwrap();
        let machine = Machine { folder, added_s };
        machine.set(0);
        jumping_clock(machine.folder.path());
        machine
    }

    /// To so many seconds from the time that it is.
    fn set(&self, seconds: i64) {
        self.added_s.write_all_at(&seconds.to_le_bytes(), 0).unwrap();
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    fn start(&self, flags: &[&str]) -> Server {
        let mut command = common::command(&self.data(), &[&FLAGS, flags].concat());
        command.env("LD_PRELOAD", self.folder.path().join("clock.so"));
        command.env("JUMPING_CLOCK", self.folder.path().join("added"));
        Server::spawn(command, &self.data())
    }
}

fn real_now_s() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

fn seconds_of(time: &Value) -> i64 {
    let at = time::OffsetDateTime::parse(time.as_str().unwrap(), &time::format_description::well_known::Rfc3339);
    at.unwrap().unix_timestamp()
}

fn rfc3339(seconds: i64) -> String {
    String::from_utf8(base::clock::rfc3339(seconds as u64 * 1_000).into()).unwrap()
}

const HOUR_S: i64 = 3_600;
/// Slower than any of these tests.
const A_WHILE_S: i64 = 300;

#[track_caller]
fn assert_about(seconds: i64, expected: i64) {
    assert!((seconds - expected).abs() < A_WHILE_S, "{seconds}, which is {} s from {expected}", seconds - expected);
}

fn clock_of(server: &Server) -> Value {
    server.get("/readyz?verbose", "").expect(200).json()["clock"].clone()
}

fn figure(server: &Server, name: &str) -> f64 {
    let figures = server.get("/metrics", "").expect(200).body;
    let figures = String::from_utf8(figures).unwrap();
    let line = figures.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

#[track_caller]
fn until_said(server: &Server, what: &str) {
    let until = Instant::now() + PATIENCE;
    while !server.errors().contains(what) {
        assert!(Instant::now() < until, "{what:?} is not said:\n{}", server.errors());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_clock_that_jumps_costs_nothing_acknowledged() {
    let machine = Machine::new();
    let server = machine.start(&["--session-ttl-s", "864000"]);
    let mut crowd = run(Crowd::new(&server, BUYERS, 22));
    run(buy_during(&mut crowd, &server, async |answers| {
        // What the crowd holds, it holds for a day.
        for hours in [2, -1, 20, -24, 0] {
            machine.set(hours * HOUR_S);
            some_more(answers).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }));
    assert_about((figure(&server, "onsale_clock_offset_seconds")) as i64, 20 * HOUR_S);
    run(crowd.audit(&target(&server), true));
    stop_and_verify(server, &machine.data());
}

#[test]
fn a_clock_that_was_slow_and_is_set_right_is_followed_at_once() {
    let machine = Machine::new();
    machine.set(-HOUR_S);
    let server = machine.start(&[]);
    let organizer = server.organizer();
    let opens_at = rfc3339(real_now_s() - HOUR_S / 2);
    let opened = server.performance(&organizer, json!({"sale_opens_at": opens_at}));
    let house = server.performance(&organizer, json!({"hold_ttl_s": 60}));
    let (early, late) = (server.user("early"), server.user("late"));
    server.hold(&opened, &early, json!({"seats": ["A-1-1"]})).expect_problem(409, "sale-not-open");
    let held = server.hold(&house, &early, json!({"seats": ["A-1-1"]})).expect(201).json();
    assert_about(seconds_of(&held["expires_at"]), real_now_s() - HOUR_S);
    assert_eq!(clock_of(&server)["steps"], 0);

    machine.set(0);
    // What was over by then has ended: holds, and sessions of an hour.
    server.hold(&house, &early, json!({"seats": ["A-1-2"]})).expect_problem(401, "token-expired");
    let signed_in = json!({"email": "late@example.com", "password": "correct horse"});
    let late = User { token: server.post("/v1/sessions", "", signed_in).expect(201).text("/token"), ..late };
    let held = server.hold(&house, &late, json!({"seats": ["A-1-1"]})).expect(201).json();
    assert_about(seconds_of(&held["expires_at"]), real_now_s());
    server.hold(&opened, &late, json!({"seats": ["A-1-1"]})).expect(201);
    let clock = clock_of(&server);
    assert_eq!((clock["status"].as_str(), clock["steps"].as_u64()), (Some("ok"), Some(1)), "{clock}");
    assert_about(clock["stepped_seconds"].as_f64().unwrap() as i64, HOUR_S);
    assert_about(seconds_of(&clock["time"]), real_now_s());
    assert_eq!(figure(&server, "onsale_clock_steps_total"), 1.0);
    assert!(figure(&server, "onsale_clock_offset_seconds").abs() < 1.0);
    until_said(&server, "the machine's clock was set forwards");
    stop_and_verify(server, &machine.data());
}

/// Whoever is admitted now: the token, and what it claims.
fn admitted(server: &Server, organizer: &str, queue: &str) -> (Person, String, Value) {
    let person = Person::of(server.post(&format!("/v1/queues/{queue}/entries"), "", json!({})).expect(201));
    let call = format!("/v1/queues/{queue}/admissions");
    server.send(Request::new("POST", &call).token(organizer).key("admit-them").json(json!({"count": 1}))).expect(200);
    let token = person.until(server, "admitted")["admission"]["token"].as_str().unwrap().to_owned();
    let claims = token.split('.').nth(1).unwrap();
    let claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    (person, token, claims)
}

#[test]
fn a_clock_that_is_set_back_is_waited_for_and_others_checks_still_pass() {
    const AHEAD_S: i64 = 3 * HOUR_S;
    let machine = Machine::new();
    machine.set(AHEAD_S);
    let server = machine.start(&[]);
    let organizer = server.organizer();
    let terms = json!({"name": "Line", "policy": {"manual": true}, "claim_ttl_s": 300});
    let queue = server.post("/v1/queues", &organizer, terms).expect(201).text("/queue_id");
    let house = server.performance(&organizer, json!({"hold_ttl_s": 60, "sale_opens_at": "2020-01-01T00:00:00Z"}));
    let user = server.user("patient");
    let held = server.hold(&house, &user, json!({"seats": ["A-1-1"]})).expect(201).text("/reservation_id");
    let before = clock_of(&server);
    assert_eq!(before["status"], "ok", "{before}");

    machine.set(0);
    let stands_still = |server: &Server| {
        let clock = clock_of(server);
        assert_eq!(clock["status"], "standing-still", "{clock}");
        assert!(clock["trouble"].as_str().unwrap().contains("set it right"), "{clock}");
        assert_about(clock["offset_seconds"].as_f64().unwrap() as i64, AHEAD_S);
        assert_about(figure(server, "onsale_clock_offset_seconds") as i64, AHEAD_S);
        assert_about(seconds_of(&clock["machine_time"]), real_now_s());
        until_said(server, "the time stands still");
        seconds_of(&clock["time"])
    };
    let time = stands_still(&server);
    assert!(time >= seconds_of(&before["time"]), "{time} before {before}");
    let (person, token, claims) = admitted(&server, &organizer, &queue);
    // Whoever checks it has the right time.
    let now = real_now_s();
    assert!(claims["iat"].as_i64().unwrap() <= now && claims["nbf"].as_i64().unwrap() <= now, "{claims} at {now}");
    assert!(claims["exp"].as_i64().unwrap() >= now, "{claims} at {now}");
    // Nothing runs out meanwhile, and nothing is lost.
    assert_eq!(server.get(&format!("/v1/reservations/{held}"), &user.token).expect(200).json()["state"], "held");
    stop_and_verify(server, &machine.data());

    // The next start waits for the machine, too, and the token is the same bytes.
    let server = machine.start(&[]);
    assert!(stands_still(&server) >= time);
    assert_eq!(person.poll(&server)["admission"]["token"], token.as_str());
    machine.set(AHEAD_S + 2 * A_WHILE_S);
    let clock = clock_of(&server);
    assert_eq!(clock["status"], "ok", "{clock}");
    assert_about(seconds_of(&clock["time"]), real_now_s() + AHEAD_S + 2 * A_WHILE_S);
    until_said(&server, "the machine's clock has caught up");
    assert_eq!(server.get(&format!("/v1/reservations/{held}"), &user.token).expect(200).json()["state"], "expired");
    stop_and_verify(server, &machine.data());

    // A log that is ahead by more than a day was written while the clock was wrong.
    machine.set(-26 * HOUR_S);
    let server = machine.start(&[]);
    let clock = clock_of(&server);
    assert_eq!(clock["status"], "ok", "{clock}");
    assert_about(seconds_of(&clock["time"]), real_now_s() - 26 * HOUR_S);
    until_said(&server, "more than 24 hours behind the last event");
    server.hold(&house, &server.user("other"), json!({"seats": ["A-2-1"]})).expect(201);
    stop_and_verify(server, &machine.data());
}

/// Bytes that it may still take.
const SPARE: u64 = 16 << 20;

#[test]
fn a_server_without_memory_ends_and_costs_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut command = common::command(&data, &FLAGS);
    // Otherwise a GiB is set aside from the start, all of which would have to be filled.
    command.env("MIMALLOC_ARENA_RESERVE", "8192");
    let mut server = Server::spawn(command, &data);
    let organizer = server.organizer();
    let concert = server.concert(&organizer);
    let mut crowd = run(Crowd::new(&server, BUYERS, 23));
    limit_memory(server.pid(), SPARE);
    run(async {
        let target = target(&server);
        let lives = crowd.buyers.iter_mut().map(async |buyer| {
            let mut client = buyer.client(&target);
            while buyer.act(&mut client).await.is_ok() {}
        });
        // Somebody has it make large houses, until it cannot.
        let houses = async {
            let mut client = Client::new(&target, &organizer);
            let mut large = common::performance_body();
            // Each seat by a name of its own: that takes room.
            let seats: Vec<String> = (0..90_000).map(|seat| format!("s{seat}")).collect();
            large["chart"]["sections"][0]["rows"][0] = json!({"row": "1", "grade": "VIP", "seats": seats});
            let path = format!("/v1/concerts/{concert}/performances");
            while client.try_call("POST", &path, None, Some(&large)).await.is_ok() {}
        };
        tokio::join!(houses, futures_util::future::join_all(lives));
    });
    let status = server.wait();
    assert_eq!(status.signal(), Some(libc::SIGABRT), "{status}; it said\n{}", server.errors());
    assert!(server.errors().contains("memory allocation of"), "{}", server.errors());
    drop(server);
    let server = Server::start(&data, &FLAGS);
    run(crowd.audit(&target(&server), true));
    stop_and_verify(server, &data);
}

/// Lets a process have so many bytes more than it has now.
fn limit_memory(pid: u32, spare: u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let data = status.lines().find_map(|line| line.strip_prefix("VmData:")).expect("Linux tells");
    let kib: u64 = data.trim().trim_end_matches(" kB").parse().unwrap();
    let most = (kib << 10) + spare;
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    prlimit(Pid::from_raw(pid as i32), Resource::Data, limit).unwrap();
}
