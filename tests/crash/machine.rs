//! What the machine does to a server that sells: it stands still for a while, its clock jumps, its memory comes to an end.

use super::common::{self, PATIENCE, Server};
use super::load::buyer::{Crowd, Told};
use super::load::{Client, run, stop_and_verify, target};
use serde_json::json;
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

#[test]
fn a_clock_that_jumps_changes_nothing_for_anybody() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let added_s = std::fs::File::create(folder.path().join("added")).unwrap();
    let jump = |seconds: i64| added_s.write_all_at(&seconds.to_le_bytes(), 0).unwrap();
    jump(0);
    let mut command = common::command(&data, &FLAGS);
    command.env("LD_PRELOAD", jumping_clock(folder.path())).env("JUMPING_CLOCK", folder.path().join("added"));
    let server = Server::spawn(command, &data);
    let organizer = server.organizer();
    let performance = server.performance(&organizer, json!({"hold_ttl_s": 60}));
    let user = server.user("patient");
    let held = server.hold(&performance, &user, json!({"seats": ["A-1-1"]})).expect(201).text("/reservation_id");
    let mut crowd = run(Crowd::new(&server, BUYERS, 22));
    run(buy_during(&mut crowd, &server, async |answers| {
        for hours in [2, -1, 48, -24, 0] {
            jump(hours * 3_600);
            some_more(answers).await;
            // The server looks at the machine's clock once a second.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }));
    // Neither the session of an hour has ended nor the hold of a minute.
    let held = server.get(&format!("/v1/reservations/{held}"), &user.token).expect(200).json();
    assert_eq!(held["state"], "held");
    run(crowd.audit(&target(&server), true));
    stop_and_verify(server, &data);
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
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: `limit` is only read; nothing is asked for.
    let told = unsafe { libc::prlimit(pid as libc::pid_t, libc::RLIMIT_DATA, &limit, std::ptr::null_mut()) };
    assert_eq!(told, 0, "{}", std::io::Error::last_os_error());
}
