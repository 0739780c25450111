//! Backups of a server that sells, in a folder and on S3: killed at any moment, restored, verified.
//!
//! S3 is that of `ONSALE_TEST_S3`, or what `scripts/services up s3` starts.

mod common;
mod load;

use common::{PATIENCE, Request, Server, User};
use eventlog::data_folder::DataFolder;
use eventlog::reader::Reader;
use eventlog::{Log, Position};
use lab::stats::Rng;
use load::buyer::{Crowd, Told};
use load::{run, stop_and_verify, target};
use serde_json::{Value, json};
use std::cell::Cell;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use verifier::verify_dir;

const BUYERS: usize = 12;
const FLAGS: [&str; 5] = ["--self-charge", "--read-models", "off", "--shards", "2"];
/// Answers that show that selling goes on.
const SOME_ANSWERS: usize = 300;

/// Where S3 is: told by the environment, otherwise it is started.
fn s3() -> String {
    if let Ok(url) = std::env::var("ONSALE_TEST_S3") {
        return url;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services");
    let ran = Command::new(script).args(["up", "s3"]).output().expect("scripts/services runs");
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
    let url = printed.split_ascii_whitespace().find_map(|word| word.strip_prefix("ONSALE_TEST_S3="));
    url.unwrap_or_else(|| panic!("{printed}{}", String::from_utf8_lossy(&ran.stderr))).to_owned()
}

/// A place in the bucket of its own, and what a process needs to get there.
fn bucket() -> (String, Vec<(&'static str, String)>) {
    let environment = vec![
        ("AWS_ENDPOINT_URL", s3()),
        ("AWS_ALLOW_HTTP", "true".into()),
        ("AWS_ACCESS_KEY_ID", "test".into()),
        ("AWS_SECRET_ACCESS_KEY", "test".into()),
        ("AWS_REGION", "us-east-1".into()),
    ];
    (format!("s3://onsale/{}", uuid::Uuid::new_v4()), environment)
}

/// A backup's place with what is needed to reach it.
struct Place {
    name: String,
    environment: Vec<(&'static str, String)>,
}

impl Place {
    fn folder(root: &Path) -> Place {
        Place { name: root.join("backup").to_str().unwrap().into(), environment: Vec::new() }
    }

    fn s3() -> Place {
        let (name, environment) = bucket();
        Place { name, environment }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onsale"));
        command.args(arguments).envs(self.environment.clone()).stdin(Stdio::null());
        command
    }

    fn serve(&self, data: &Path) -> Server {
        let mut command = common::command(data, &FLAGS);
        command.args(["--backup-to", &self.name]).envs(self.environment.clone());
        Server::spawn(command, data)
    }

    /// `onsale backup`, which has to succeed; gives what it says.
    fn backup(&self, data: &Path) -> Value {
        self.report(&["backup", &self.name, "--json", "--data", data.to_str().unwrap()])
    }

    fn restore(&self, to: &Path, more: &[&str]) -> Value {
        self.report(&[&["restore", &self.name, to.to_str().unwrap(), "--json"], more].concat())
    }

    fn report(&self, arguments: &[&str]) -> Value {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap()
    }

    fn fails(&self, arguments: &[&str]) -> String {
        let Output { status, stderr, .. } = self.command(arguments).output().unwrap();
        assert_eq!(status.code(), Some(1), "{arguments:?}: {}", text(&stderr));
        let said = text(&stderr);
        assert_eq!(said.trim().lines().count(), 1, "{said}");
        said
    }

    fn follow(&self, data: &Path) -> Child {
        let mut command = self.command(&["backup", &self.name, "--follow", "--json", "--data"]);
        command.arg(data).stdout(Stdio::null()).spawn().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Everybody asks for one thing after the other until `what` is over.
async fn buy_during<T>(crowd: &mut Crowd, server: &Server, what: impl AsyncFnOnce(&Cell<usize>) -> T) -> T {
    let target = target(server);
    let (answers, over) = (Cell::new(0), Cell::new(false));
    let lives = crowd.buyers.iter_mut().map(async |buyer| {
        let mut client = buyer.client(&target);
        while !over.get() {
            // An error is the end of the server, which only `what` may bring.
            match buyer.act(&mut client).await {
                Ok(told) => assert_eq!(told, Told::Outcome),
                Err(_) => break,
            }
            answers.set(answers.get() + 1);
        }
    });
    let what = async {
        let came_of = what(&answers).await;
        over.set(true);
        came_of
    };
    tokio::join!(what, futures_util::future::join_all(lives)).0
}

async fn some_more(answers: &Cell<usize>, count: usize) {
    let (before, until) = (answers.get(), Instant::now() + PATIENCE);
    while answers.get() < before + count {
        assert!(Instant::now() < until, "nobody is answered any more");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Position and hash-relevant content of every event of a folder without a server.
fn events(data: &Path) -> Vec<(u64, String, Vec<u8>)> {
    let folder = DataFolder::open_to_read(data).unwrap();
    let log = Reader::open(&folder.log(), folder.known_log()).unwrap();
    let mut found = Vec::new();
    log.read_from(Position(0), &mut |event| {
        found.push((event.at_ms, event.name.to_owned(), event.data.to_vec()));
        true
    })
    .unwrap();
    found
}

/// The backup's row on `/metrics`.
fn metric(server: &Server, name: &str) -> f64 {
    let wanted = format!("{name}{{output=\"backup\"}} ");
    let answer = server.send(Request::new("GET", "/metrics"));
    let page = String::from_utf8(answer.body).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(&wanted)).unwrap_or_else(|| panic!("{wanted}: {page}"));
    line.parse().unwrap()
}

/// The disk is lost in the middle of a crowd: what had been shipped comes back, is right, and goes on selling.
fn the_disk_is_lost(place: impl FnOnce(&Path) -> Place) {
    let folder = tempfile::tempdir().unwrap();
    let (data, place) = (folder.path().join("data"), place(folder.path()));
    let server = place.serve(&data);
    let mut crowd = run(Crowd::new(&server, BUYERS, 5));
    let shipped = run(buy_during(&mut crowd, &server, async |answers| {
        some_more(answers, SOME_ANSWERS).await;
        // While all are buying it is never far behind.
        let mut slowest = 0f64;
        let until = Instant::now() + Duration::from_millis(1_500);
        while Instant::now() < until {
            slowest = slowest.max(metric(&server, "onsale_output_lag_seconds"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("at most {slowest} s behind");
        assert!(slowest < 5.0, "{slowest} s behind");
        metric(&server, "onsale_output_position") as usize
    }));
    server.kill();
    let lost = folder.path().join("lost");
    std::fs::rename(&data, &lost).unwrap();
    let report = place.restore(&data, &[]);
    let position = report["position"].as_u64().unwrap() as usize;
    assert!(position >= shipped && shipped > 0, "{position} of {shipped}: {report}");
    assert!(report["missing_seconds"].as_f64().unwrap() < 60.0 && report["left_out_seconds"] == 0.0, "{report}");
    let (was, is) = (events(&lost), events(&data));
    assert_eq!(is, was[..position], "a prefix of what there was");
    println!("{position} of {} events came back", was.len());
    verify_dir(&data).unwrap_or_else(|violation| panic!("the books do not hold: {violation:#}"));

    // It goes on, into the same backup.
    let server = place.serve(&data);
    let user = server.user("afterwards");
    server.charge(&user, 4_711);
    assert_eq!(server.balance(&user), 4_711);
    stop_and_verify(server, &data);
    let all = events(&data);
    let whole = folder.path().join("whole");
    place.restore(&whole, &[]);
    assert_eq!(events(&whole), all, "stopped in order, everything is there");
}

#[test]
fn the_disk_is_lost_and_a_folder_has_the_backup() {
    the_disk_is_lost(Place::folder);
}

#[test]
fn the_disk_is_lost_and_s3_has_the_backup() {
    the_disk_is_lost(|_| Place::s3());
}

/// `backup --follow` is killed again and again while people buy: what is there is always whole, and in the end all of it is.
#[test]
fn a_backup_that_is_killed_leaves_what_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (data, place) = (folder.path().join("data"), Place::folder(folder.path()));
    let server = Server::start(&data, &FLAGS);
    let mut crowd = run(Crowd::new(&server, BUYERS, 7));
    let mut random = Rng::new(u64::from(std::process::id()), 1);
    let mut restored = Vec::new();
    run(buy_during(&mut crowd, &server, async |answers| {
        for round in 0..4 {
            let mut follower = place.follow(&data);
            some_more(answers, 50).await;
            tokio::time::sleep(Duration::from_millis(300 + random.below(700) as u64)).await;
            follower.kill().unwrap();
            follower.wait().unwrap();
            if place.command(&["backup", &place.name]).arg("--data").arg(&data).output().unwrap().status.success() {
                let to = folder.path().join(format!("restored-{round}"));
                let report = place.restore(&to, &[]);
                restored.push((to, report["position"].as_u64().unwrap()));
            }
        }
    }));
    run(crowd.audit(&target(&server), true));
    stop_and_verify(server, &data);
    let last = place.backup(&data);
    let all = events(&data);
    assert_eq!(last["position"], all.len());
    assert_eq!(restored.len(), 4, "each run is followed by one that goes on");
    for (to, position) in restored {
        assert_eq!(events(&to), all[..position as usize]);
        verify_dir(&to).unwrap_or_else(|violation| panic!("the books do not hold: {violation:#}"));
    }
    assert_eq!(place.backup(&data)["bytes"], 0, "nothing is sent twice");
}

fn sign_in(server: &Server, user: &str) -> u16 {
    let body = json!({"email": format!("{user}@example.com"), "password": "correct horse"});
    server.send(Request::new("POST", "/v1/sessions").json(body)).status
}

/// Whoever was erased is gone from the backup, too; the others can sign in to what was put back, with sessions as they were.
#[test]
fn who_was_erased_stays_erased() {
    let folder = tempfile::tempdir().unwrap();
    let (data, place) = (folder.path().join("data"), Place::folder(folder.path()));
    let server = Server::start(&data, &FLAGS);
    let stays: User = server.user("stays");
    let goes: User = server.user("goes");
    assert_eq!((sign_in(&server, "stays"), sign_in(&server, "goes")), (201, 201));
    let before = place.backup(&data);
    assert_eq!(before["key_blocks"], 1);
    let erase = Request::new("DELETE", "/v1/me").token(&goes.token).json(json!({"password": "correct horse"}));
    server.send(erase).expect(204);
    server.stop();
    let data_arg = data.to_str().unwrap();
    let after = place.report(&["backup", &place.name, "--json", "--data", data_arg, "--keys-keep", "0"]);
    assert_eq!(after["key_blocks"], 1, "{after}");
    assert_eq!(std::fs::read_dir(folder.path().join("backup/keys")).unwrap().count(), 1, "the old keys are nowhere");
    // Also where the events are of before.
    let position = before["position"].to_string();
    for (name, more) in [("all", vec![]), ("before", vec!["--until", &position])] {
        let to = folder.path().join(name);
        place.restore(&to, &more);
        verify_dir(&to).unwrap_or_else(|violation| panic!("the books do not hold: {violation:#}"));
        let server = Server::start(&to, &FLAGS);
        assert_eq!((sign_in(&server, "stays"), sign_in(&server, "goes")), (201, 401), "{name}");
        assert_eq!(server.get("/v1/me", &stays.token).status, 200, "{name}");
        server.stop();
    }
}

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let (data, place) = (folder.path().join("data"), Place::folder(folder.path()));
    let name = place.name.clone();
    let missing = folder.path().join("nowhere");
    let [data_arg, missing_arg] = [&data, &missing].map(|path| path.to_str().unwrap());
    let rows: [(&[&str], &str); 5] = [
        (&["backup", &name, "--data", missing_arg], "there is no folder"),
        (&["backup", "--data", missing_arg], "where to?"),
        (&["backup", "ftp://x", "--data", missing_arg], "there is no folder"),
        (&["restore", &name, data_arg], "there is no folder"),
        (&["restore", folder.path().to_str().unwrap(), data_arg], "has no backup"),
    ];
    for (arguments, part) in rows {
        let said = place.fails(arguments);
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    assert!(!missing.exists() && !data.exists(), "looking makes nothing");
    let server = Server::start(&data, &FLAGS);
    server.user("somebody");
    server.stop();
    place.backup(&data);
    for (until, part) in [("yesterday", "is no position and no time"), ("1970-01-01T00:00:00Z", "nothing before that")]
    {
        let to = folder.path().join(until);
        let said = place.fails(&["restore", &name, to.to_str().unwrap(), "--until", until]);
        assert!(said.contains(part), "{said}");
    }
    let said = place.fails(&["restore", &name, data_arg]);
    assert!(said.contains("is not empty"), "{said}");
}
