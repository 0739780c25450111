//! The data folder: what is missing, damaged, older or of another folder is refused by name and left alone, or made again with a
//! word about it; never is it taken for something else. And whoever only reads it changes nothing.

use crate::common::skip::skip;
use crate::common::tmpfs::Tmpfs;
use crate::common::{OPERATOR_KEY, PATIENCE, Server, User, command};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

/// Three folders: one as it was, the same one later, and somebody else's.
struct Folders {
    _all: tempfile::TempDir,
    older: PathBuf,
    now: PathBuf,
    other: PathBuf,
    ann: User,
    bob: User,
    reservation: String,
}

fn start(data: &Path, arguments: &[&str]) -> Server {
    let mut command = command(data, &[&["--journal-bytes", "131072"], arguments].concat());
    // So that the folder has a key of its own.
    command.env_remove("ONSALE_OPERATOR_KEY");
    Server::spawn(command, data)
}

/// A warning about the folder: how many files may be open is the machine's.
fn is_warning(line: &str) -> bool {
    line.contains("WARN") && !line.contains("fewer files may be open")
}

fn copy(from: &Path, to: &Path) {
    match from.is_dir() {
        true => {
            fs::create_dir_all(to).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let entry = entry.unwrap();
                copy(&entry.path(), &to.join(entry.file_name()));
            }
        }
        // A running server's socket is nobody else's.
        false if from.symlink_metadata().unwrap().file_type().is_socket() => {}
        false => drop(fs::copy(from, to).unwrap()),
    }
}

fn remove(path: &Path) {
    match path.is_dir() {
        true => fs::remove_dir_all(path).unwrap(),
        false => fs::remove_file(path).unwrap(),
    }
}

/// Every file below `dir`, with what is in it and when it was changed.
fn files(dir: &Path) -> BTreeMap<PathBuf, (u64, blake3::Hash, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            match metadata.is_dir() {
                true => folders.push(path),
                false => {
                    let bytes = fs::read(&path).unwrap_or_default();
                    found.insert(path, (metadata.len(), blake3::hash(&bytes), metadata.modified().unwrap()));
                }
            }
        }
    }
    found
}

fn folders() -> Folders {
    let all = tempfile::tempdir().unwrap();
    let [older, now, other] = ["older", "now", "other"].map(|name| all.path().join(name));
    // Once without the operator's key from outside, so that the folder has one.
    start(&now, &[]).stop();
    let server = Server::start(&now, &[]);
    let (organizer, ann) = (server.organizer(), server.user("ann"));
    let performance = server.performance(&organizer, json!({}));
    server.charge(&ann, 1_000);
    let reservation = server.hold(&performance, &ann, json!({"seats": ["A-1-1"]})).expect(201).text("/reservation_id");
    server.stop();
    // A start that replays so much makes a snapshot.
    start(&now, &["--snapshot-events", "3"]).stop();
    copy(&now, &older);
    let server = Server::start(&now, &["--snapshot-events", "3"]);
    server.post("/v1/signing-keys/rotation", OPERATOR_KEY, json!({})).expect(200);
    server.post(&format!("/v1/reservations/{reservation}/payment"), &ann.token, json!({})).expect(200);
    let bob = server.user("bob");
    server.charge(&bob, 7);
    // One that the older folder does not have.
    let snapshots =
        |data: &Path| fs::read_dir(data.join("snapshots")).unwrap().map(|entry| entry.unwrap().file_name()).max();
    let until = Instant::now() + PATIENCE;
    while snapshots(&now) <= snapshots(&older) {
        assert!(Instant::now() < until, "no snapshot is made");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    server.stop();

    let server = Server::start(&other, &["--snapshot-events", "3"]);
    for name in ["cid", "dan", "eve"] {
        server.user(name);
    }
    server.stop();
    start(&other, &["--snapshot-events", "3"]).stop();
    Folders { _all: all, older, now, other, ann, bob, reservation }
}

/// The position of the last event.
fn position(server: &Server) -> u64 {
    let metrics = server.get("/metrics", "").expect(200);
    let text = String::from_utf8(metrics.body).unwrap();
    let line = text.lines().find(|line| line.starts_with("onsale_log_position ")).expect("the log's position");
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// What a damage is expected to lead to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gets {
    /// One line with these words, and nothing in the folder is changed.
    Refused(&'static str),
    /// The same, but what was recovered of the log before is written.
    RefusedAfterRecovery(&'static str),
    /// It starts with all it had, and a warning has these words.
    Warned(&'static str),
    /// It starts with all it had; there is nothing to say.
    Fine,
}
use Gets::{Fine, Refused, RefusedAfterRecovery, Warned};

#[derive(Clone, Copy, Debug)]
enum Damage {
    Missing,
    Empty,
    OneBit,
    Cut,
    OfAnother,
    Older,
}

impl Damage {
    const ALL: [Damage; 6] =
        [Damage::Missing, Damage::Empty, Damage::OneBit, Damage::Cut, Damage::OfAnother, Damage::Older];

    /// Does it to `name` in the folder `data`.
    fn apply(self, folders: &Folders, data: &Path, name: &str) {
        let path = &data.join(name);
        let newest = |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).max();
        // Of a folder of snapshots, the newest one is changed.
        let file = if name == "snapshots" { newest(path).unwrap() } else { path.clone() };
        match self {
            Damage::Missing => remove(path),
            Damage::Empty if path.is_dir() => {
                remove(path);
                fs::create_dir(path).unwrap();
            }
            Damage::Empty => fs::write(path, "").unwrap(),
            Damage::OneBit => {
                let mut bytes = fs::read(&file).unwrap();
                let middle = bytes.len() * 2 / 3;
                bytes[middle] ^= 4;
                fs::write(&file, bytes).unwrap();
            }
            Damage::Cut => {
                let bytes = fs::read(&file).unwrap();
                fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
            }
            Damage::OfAnother | Damage::Older => {
                let from = if matches!(self, Damage::Older) { &folders.older } else { &folders.other };
                remove(path);
                copy(&from.join(name), path);
            }
        }
    }
}

/// Everything in the folder × every damage. `log` is a folder, in which one bit and a cut are other tests' (`tests/disk.rs`).
const TABLE: &[(&str, [Gets; 6])] = &[
    (
        "secret",
        [
            Refused("secret is missing: put it back"),
            Refused("secret is not the file that was written here last"),
            Refused("secret is not the file that was written here last"),
            Refused("secret is not the file that was written here last"),
            Refused("secret is not the file that was written here last"),
            Fine,
        ],
    ),
    (
        "signing-keys",
        [
            Refused("signing-keys is missing: put it back"),
            Refused("signing-keys is not the file"),
            Refused("signing-keys is not the file"),
            Refused("signing-keys is not the file"),
            Refused("signing-keys is not the file"),
            Refused("signing-keys is not the file"),
        ],
    ),
    (
        "vault",
        [
            RefusedAfterRecovery("vault is missing: put it back"),
            RefusedAfterRecovery("vault has no key of 2 of the log's accounts"),
            RefusedAfterRecovery("vault is damaged or cut off at its end"),
            RefusedAfterRecovery("vault has no key of 1 of the log's accounts"),
            RefusedAfterRecovery("vault has no key of 2 of the log's accounts"),
            RefusedAfterRecovery("vault has no key of 1 of the log's accounts"),
        ],
    ),
    (
        "operator",
        [
            RefusedAfterRecovery("operator is missing: put it back"),
            RefusedAfterRecovery("operator is not the file"),
            RefusedAfterRecovery("operator is not the file"),
            RefusedAfterRecovery("operator is not the file"),
            RefusedAfterRecovery("operator is not the file"),
            Fine,
        ],
    ),
    (
        "log",
        [
            Refused("log-id is there: is a volume not mounted?"),
            Refused("log-id is there: is a volume not mounted?"),
            Fine,
            Fine,
            Refused("log is of another folder"),
            RefusedAfterRecovery("it is of another time than the other files of its folder"),
        ],
    ),
    ("log-id", [Warned("log-id"), Warned("log-id"), Warned("log-id"), Warned("log-id"), Warned("log-id"), Fine]),
    (
        "format",
        [
            Refused("format is missing; put the file back"),
            Refused("format is damaged; put the file back"),
            Refused("format"),
            Refused("format is damaged; put the file back"),
            Fine,
            Fine,
        ],
    ),
    (
        "checks",
        [
            Fine,
            Warned("checks"),
            Warned("checks"),
            Warned("checks"),
            Refused("was noted in "),
            Refused("signing-keys is not the file that was written here last, says "),
        ],
    ),
    (
        "snapshots",
        [Warned("snapshots"), Warned("snapshots"), Warned("snapshot-"), Warned("snapshot-"), Warned("snapshot-"), Fine],
    ),
    ("ledger", [Warned("ledger"), Warned("ledger"), Warned("ledger"), Warned("ledger"), Warned("ledger"), Fine]),
];

#[test]
fn every_file_and_every_damage() {
    let folders = folders();
    let rows: Vec<(&str, Damage, Gets)> = TABLE
        .iter()
        .flat_map(|(name, gets)| Damage::ALL.into_iter().zip(gets).map(move |(damage, gets)| (*name, damage, *gets)))
        .filter(|(name, damage, _)| *name != "log" || !matches!(damage, Damage::OneBit | Damage::Cut))
        .collect();
    let rows = Mutex::new(rows.into_iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                loop {
                    let Some((name, damage, gets)) = ({ rows.lock().unwrap().next() }) else { return };
                    if let Err(what) = try_one(&folders, name, damage, gets) {
                        failed.lock().unwrap().push(format!("{name}, {damage:?}: {what}\n"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.concat());
}

fn try_one(folders: &Folders, name: &str, damage: Damage, gets: Gets) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    copy(&folders.now, &data);
    damage.apply(folders, &data, name);
    let before = files(&data);
    let (words, refused) = match gets {
        Refused(words) | RefusedAfterRecovery(words) => (words, true),
        Warned(words) => (words, false),
        Fine => ("", false),
    };
    if refused {
        let mut command = command(&data, &["--journal-bytes", "131072"]);
        command
            .env("ONSALE_LOG", "off")
            .env_remove("ONSALE_OPERATOR_KEY")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let ended = Instant::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() && Instant::now() < ended {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        let line = String::from_utf8(output.stderr).unwrap();
        if output.status.success() || output.status.code().is_none() {
            return Err(format!("it started: {}", String::from_utf8_lossy(&output.stdout)));
        }
        if line.lines().count() != 1 || !line.contains(words) {
            return Err(format!("it says {line:?}"));
        }
        let after = files(&data);
        let changed = before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path));
        let own = |path: &&PathBuf| {
            path.ends_with("lock") || matches!(gets, RefusedAfterRecovery(_)) && path.starts_with(data.join("log"))
        };
        let changed: Vec<&PathBuf> = changed.filter(|path| !own(path)).collect();
        return if changed.is_empty() { Ok(()) } else { Err(format!("changed {changed:?}")) };
    }
    let server = start(&data, &[]);
    let check = |server: &Server| {
        for (user, balance) in [(&folders.ann, 900), (&folders.bob, 7)] {
            let found = server.get("/v1/me", &user.token);
            if found.status != 200 || found.text("/user_id") != user.id {
                return Err(format!("{}", String::from_utf8_lossy(&found.body)));
            }
            let wallet = server.get("/v1/wallet", &user.token).json();
            if wallet["balance"] != balance {
                return Err(format!("{wallet}"));
            }
        }
        let reservation = server.get(&format!("/v1/reservations/{}", folders.reservation), &folders.ann.token).json();
        if reservation["state"] != "confirmed" {
            return Err(format!("{reservation}"));
        }
        Ok(())
    };
    check(&server)?;
    let errors = server.errors();
    let warnings: Vec<&str> = errors.lines().filter(|line| is_warning(line)).collect();
    server.stop();
    match gets {
        Warned(_) if !warnings.iter().any(|line| line.contains(words)) => return Err(format!("it warns {warnings:?}")),
        Fine if !warnings.is_empty() => return Err(format!("it warns {warnings:?}")),
        _ => {}
    }
    // Once is enough, but for a snapshot, which stays until there are newer ones.
    let server = start(&data, &[]);
    check(&server)?;
    let errors = server.errors();
    if name != "snapshots" && errors.lines().any(is_warning) {
        return Err(format!("it still warns {errors}"));
    }
    server.stop();
    Ok(())
}

/// Somebody who owns nothing here.
const NOBODY: u32 = 65_534;

/// What a tool says of the folder `data`: everything but how long it took.
fn tool(arguments: &[&str], data: &Path, as_nobody: bool) -> String {
    // Where nobody may look into the folder that it was built in, a copy runs.
    let mut command = Command::new(env!("CARGO_BIN_EXE_onsale"));
    command.args(arguments).stdin(Stdio::null());
    if as_nobody {
        use std::os::unix::process::CommandExt;
        let binary = data.parent().unwrap().join("onsale");
        if !binary.exists() {
            let built = env!("CARGO_BIN_EXE_onsale");
            fs::hard_link(built, &binary).or_else(|_| fs::copy(built, &binary).map(drop)).unwrap();
        }
        command = Command::new(binary);
        command.args(arguments).stdin(Stdio::null()).uid(NOBODY).gid(NOBODY);
    }
    if arguments[0] != "verify" && arguments[0] != "log" {
        command.arg("--data");
    }
    let output = command.arg(data).output().unwrap();
    let [out, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{arguments:?} on {}: {out}{errors}", data.display());
    let last = out.lines().last().unwrap_or_default();
    match serde_json::from_str::<serde_json::Value>(last) {
        Ok(mut report) if report["tool"] == "verify" => {
            assert_eq!(report["ok"], true, "{report}");
            report["counts"].take().to_string()
        }
        // Columns are as wide as the longest value, which may be the folder's name.
        _ => {
            let named = out.replace(&*data.to_string_lossy(), "DATA");
            named.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
        }
    }
}

const TOOLS: &[&[&str]] = &[
    &["verify", "--json"],
    &["verify", "--json", "--read-models"],
    &["log"],
    &["log", "--after", "3", "--limit", "2"],
    &["archive", "--list"],
    &["projections"],
    &["config"],
];

/// What all of them say; nothing is changed by it.
fn all_tools(data: &Path, as_nobody: bool) -> Vec<String> {
    let before = files(data);
    let said = TOOLS.iter().map(|arguments| tool(arguments, data, as_nobody)).collect();
    let after = files(data);
    let changed: Vec<_> =
        before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(changed.is_empty(), "{changed:?} changed");
    said
}

fn set_modes(dir: &Path, change: &dyn Fn(u32) -> u32) {
    for path in [vec![dir.to_owned()], files(dir).into_keys().collect()].concat() {
        for path in path.ancestors().take_while(|path| path.starts_with(dir)) {
            let mode = change(fs::metadata(path).unwrap().permissions().mode() & 0o777);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

/// A folder that nobody has open is read as it is: also one of a server that was killed, of one that was copied to where nothing
/// can be written, and on a disk that is full.
#[test]
fn tools_that_read_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = start(&data, &[]);
    server.stop();
    let server = Server::start(&data, &["--journal-bytes", "131072"]);
    let (organizer, ann) = (server.organizer(), server.user("ann"));
    let performance = server.performance(&organizer, json!({}));
    for charge in 0..30 {
        server.charge(&ann, 100 + charge);
    }
    server.hold(&performance, &ann, json!({"seats": ["A-1-1"]})).expect(201);
    let position = position(&server);
    server.kill();
    let killed = folder.path().join("killed");
    copy(&data, &killed);
    // Its log is read to the end, of which a part is in the journal only.
    let before = files(&killed.join("log"));
    assert!(tool(&["verify", "--json"], &killed, false).contains(&format!("\"events\":{position}")));
    assert_eq!(tool(&["log"], &killed, false).lines().count() as u64, position);
    assert_eq!(files(&killed.join("log")), before);

    start(&data, &[]).stop();
    let said = all_tools(&data, false);
    assert!(said[0].contains(&format!("\"events\":{position}")), "{said:?}");
    assert_eq!(said[2].lines().count() as u64, position);

    // Two may read at a time, and meanwhile no server starts.
    let lock = fs::File::open(data.join("lock")).unwrap();
    lock.try_lock_shared().unwrap();
    assert_eq!(all_tools(&data, false), said);
    let refused = command(&data, &[]).env("ONSALE_LOG", "off").output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("in use"), "{refused:?}");
    drop(lock);

    let copied = folder.path().join("copy");
    copy(&data, &copied);
    fs::remove_file(copied.join("lock")).unwrap();
    assert_eq!(all_tools(&copied, false), said, "without a lock file");
    if is_root() {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let chowned = Command::new("chown").arg("-R").arg(NOBODY.to_string()).arg(&copied).status().unwrap();
        assert!(chowned.success());
    }
    set_modes(&copied, &|mode| mode & !0o222);
    assert_eq!(all_tools(&copied, is_root()), said, "nothing is writable");
    set_modes(&copied, &|mode| mode | 0o200);

    // A mount that is read-only, for root, too.
    let mounted = folder.path().join("mounted");
    fs::create_dir(&mounted).unwrap();
    let mount = |options: &[&str]| {
        let mounted = Command::new("mount").args(options).arg(&data).arg(&mounted).output();
        mounted.is_ok_and(|output| output.status.success())
    };
    if !mount(&["--bind"]) {
        skip("no folder can be mounted read-only here");
    } else {
        let read_only = Command::new("mount").args(["-o", "remount,ro,bind"]).arg(&mounted).status().unwrap();
        assert!(read_only.success() && fs::write(mounted.join("x"), "").is_err());
        let said_there = std::panic::catch_unwind(|| all_tools(&mounted, false));
        assert!(Command::new("umount").arg(&mounted).status().unwrap().success());
        assert_eq!(said_there.unwrap(), said, "a mount that is read-only");
    }
    if let Some(disk) = Tmpfs::new(64) {
        let full = disk.path().join("data");
        copy(&data, &full);
        disk.fill();
        assert_eq!(all_tools(&full, false), said, "a disk that is full");
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
