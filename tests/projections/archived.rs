//! `onsale archive`: what is moved is still verified, read, rebuilt and sold on, and what may not be moved stays.

use super::places::Home;
use super::tools::{onsale, said};
use crate::common::{Request, Server, User};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A data folder, and the read models of its log.
struct Place {
    home: Home,
    data: PathBuf,
    _folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        Place { home: Home::sqlite(), data: folder.path().join("data"), _folder: folder }
    }

    fn serve(&self) -> Server {
        let flags = self.home.flags();
        Server::start(&self.data, &flags.iter().map(String::as_str).collect::<Vec<_>>())
    }

    #[track_caller]
    fn archive(&self, arguments: &[&str]) -> Value {
        let ran = onsale(&[&["archive", "--json"], arguments].concat(), &self.home, &self.data);
        assert!(ran.status.success(), "{arguments:?}: {}", said(&ran));
        serde_json::from_slice(&ran.stdout).unwrap()
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str]) -> String {
        let ran = onsale(&[&["archive"], arguments].concat(), &self.home, &self.data);
        assert_eq!(ran.status.code(), Some(1), "{arguments:?}: {}", said(&ran));
        said(&ran)
    }

    fn tool(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onsale"));
        command.args(&arguments[..1]).arg(&self.data).args(&arguments[1..]).output().unwrap()
    }

    /// The log as JSON lines.
    fn events(&self) -> String {
        let ran = self.tool(&["log"]);
        assert!(ran.status.success(), "{}", said(&ran));
        String::from_utf8(ran.stdout).unwrap()
    }

    /// What the books come to, by the log and by the read models.
    #[track_caller]
    fn verified(&self) -> Value {
        let flags = self.home.flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let ran = self.tool(&[&["verify", "--json", "--read-models"], &flags[..]].concat());
        assert!(ran.status.success(), "{}", said(&ran));
        let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
        report["counts"].clone()
    }

    fn folder(&self) -> PathBuf {
        self.data.join("log/archive")
    }

    fn file(&self) -> PathBuf {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(self.folder()).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files.remove(0)
    }
}

/// Buys a place: the reservation, and the position after it.
fn buy(server: &Server, performance: &str, user: &User, seat: &str) -> (String, String) {
    let held = server.hold(performance, user, json!({"seats": [seat]})).expect(201).text("/reservation_id");
    let paid = server.post(&format!("/v1/reservations/{held}/payment"), &user.token, json!({})).expect(200);
    (held, paid.header("onsale-position").unwrap().to_owned())
}

/// Everything that a user can see of a reservation that was there at a position, with lists from the read models.
fn seen(server: &Server, user: &User, (reservation, position): &(String, String)) -> Vec<Value> {
    let paths = [&format!("/v1/reservations/{reservation}"), "/v1/wallet", "/v1/wallet/entries", "/v1/me/reservations"];
    let get = |path: &str| {
        let request = Request::new("GET", path).token(&user.token).header("Onsale-After", position);
        server.send(request).expect(200).json()
    };
    paths.map(get).into()
}

#[test]
fn archived_events_are_verified_rebuilt_and_sold_on() {
    let place = Place::new();
    let server = place.serve();
    let (organizer, user) = (server.organizer(), server.user("old"));
    let performance = server.performance(&organizer, json!({}));
    server.charge(&user, 1_000);
    let (cancelled, _) = buy(&server, &performance, &user, "A-1-3");
    server.send(Request::new("DELETE", &format!("/v1/reservations/{cancelled}")).token(&user.token)).expect(200);
    let bought = buy(&server, &performance, &user, "A-1-1");
    let before = seen(&server, &user, &bought);
    assert!(place.refused(&["--keep-days", "0"]).contains("is in use by another onsale process; stop it first"));
    server.stop();
    let (events, books) = (place.events(), place.verified());

    // What others have not got stays.
    assert!(place.archive(&[])["kept_because"].as_str().unwrap().contains("the last 30 days stay"));
    let log_id = std::fs::read_to_string(place.data.join("log-id")).unwrap();
    let kafka = json!({"log_id": log_id.trim(), "position": 4, "topics": {}});
    std::fs::write(place.data.join("kafka"), kafka.to_string()).unwrap();
    let moved = place.archive(&["--keep-days", "0"]);
    assert!(moved["kept_because"].as_str().unwrap().contains("publishing to Kafka is at position 4"), "{moved}");
    assert!(moved["last"].as_u64().unwrap() <= 4, "{moved}");
    std::fs::remove_file(place.data.join("kafka")).unwrap();
    let elsewhere = Home::sqlite();
    let none = onsale(&["archive", "--keep-days", "0"], &elsewhere, &place.data);
    assert!(said(&none).contains("nothing was archived: there are no read models in"), "{}", said(&none));

    let moved = place.archive(&["--keep-days", "0"]);
    assert!(moved["archived_events"].as_u64().unwrap() > 10, "{moved}");
    assert_eq!((place.events(), place.verified()), (events.clone(), books.clone()));

    let server = place.serve();
    assert_eq!(seen(&server, &user, &bought), before);
    assert_eq!(place.archive(&["--list"])["files"].as_array().unwrap().len(), 2);
    let rebuilt = onsale(&["rebuild", "--all"], &place.home, &place.data);
    assert!(rebuilt.status.success(), "{}", said(&rebuilt));
    assert_eq!(seen(&server, &user, &bought), before);
    let taken = server.hold(&performance, &user, json!({"seats": ["A-1-1"]}));
    taken.expect_problem(409, "seats-unavailable");
    server.kill();

    // Without its archive files the log sells on, and says what it cannot do.
    let away = place.data.join("away");
    std::fs::rename(place.folder(), &away).unwrap();
    let server = place.serve();
    buy(&server, &performance, &user, "A-1-2");
    let missed = place.tool(&["verify"]);
    server.stop();
    for missed in [missed, place.tool(&["verify"])] {
        assert_eq!(missed.status.code(), Some(1));
        assert!(said(&missed).contains("which is not there; put it back there"), "{}", said(&missed));
    }
    assert!(place.refused(&["--restore"]).contains("which is not there"));
    std::fs::rename(&away, place.folder()).unwrap();
    let (events, books) = (place.events(), place.verified());

    let path = place.file();
    let whole = std::fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 8;
    std::fs::write(&path, flipped).unwrap();
    let found = place.tool(&["verify"]);
    assert_eq!(found.status.code(), Some(1));
    assert!(said(&found).contains("log_damaged") && said(&found).contains("put back a good copy"), "{}", said(&found));
    std::fs::write(&path, whole).unwrap();

    let unknown = place.refused(&["--restore", "events-1"]);
    assert!(unknown.contains("events-1 is no archive file of this log"), "{unknown}");
    place.archive(&["--restore"]);
    std::fs::remove_dir_all(place.folder()).unwrap();
    assert_eq!((place.events(), place.verified()), (events, books));
    assert_eq!(place.archive(&["--list"])["files"], json!([]));
}

#[test]
fn an_archive_that_is_killed_goes_on() {
    let place = Place::new();
    let server = place.serve();
    let (organizer, user) = (server.organizer(), server.user("old"));
    let performance = server.performance(&organizer, json!({}));
    server.charge(&user, 10_000);
    buy(&server, &performance, &user, "A-1-1");
    server.stop();
    let (events, books) = (place.events(), place.verified());
    let to = place.data.with_extension("elsewhere");
    for after_ms in [30, 100, 200] {
        kill_after(&place, &["--keep-days", "0", "--to", &to.display().to_string()], after_ms);
        assert_eq!(place.events(), events, "killed after {after_ms} ms");
    }
    place.archive(&["--keep-days", "0", "--to", &to.display().to_string()]);
    assert_eq!(std::fs::read_link(place.folder()).unwrap(), to.canonicalize().unwrap());
    assert_eq!((place.events(), place.verified()), (events, books));
    let other = place.refused(&["--keep-days", "0", "--to", &place.data.join("other").display().to_string()]);
    assert!(other.contains("archive files are in") && other.contains("already"), "{other}");
}

fn kill_after(place: &Place, arguments: &[&str], after_ms: u64) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onsale"));
    command.arg("archive").args(arguments).arg("--data").arg::<&Path>(&place.data).args(place.home.flags());
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(after_ms));
    child.kill().unwrap();
    child.wait().unwrap();
}
