//! What checks admissions without asking: the files of `examples/admission`, in the programs that run such sites.

use super::browser::{Browser, admission_in, let_in, path_of, queue};
use super::keys::{Keys, now_s};
use super::process::{Process, free_port, own};
use crate::common::{Answer, Request, Server};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who is to pass while the keys cannot be had.
const CLOSED: &str = "closed";
const OPEN: &str = "open";

/// A kind of site: makes its folder ready, and the command that starts it there.
type Site = fn(&Path) -> Command;

/// What `scripts/services` has fetched.
fn tools() -> PathBuf {
    PathBuf::from(std::env::var("ONSALE_TEST_CHECKERS").unwrap_or_else(|_| {
        panic!("ONSALE_TEST_CHECKERS is not set: run `eval \"$(scripts/services up checkers)\"` and try again")
    }))
}

/// Puts files of the repository into a folder, as whoever uses them does.
fn copy(folder: &Path, files: &[&str]) {
    for file in files {
        let to = folder.join(Path::new(file).file_name().unwrap());
        fs::copy(own(file), &to).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

fn node(folder: &Path, files: &[&str]) -> Command {
    copy(folder, &["examples/admission/admission.mjs"]);
    copy(folder, files);
    symlink(tools().join("node/node_modules"), folder.join("node_modules")).unwrap();
    Command::new("node")
}

fn express(folder: &Path) -> Command {
    let mut command = node(folder, &["examples/admission/express.mjs", "tests/gates/sites/express_site.mjs"]);
    command.arg("express_site.mjs");
    command
}

fn worker(folder: &Path) -> Command {
    let mut command = node(folder, &["examples/admission/worker.mjs", "tests/gates/sites/worker_site.mjs"]);
    command.arg("worker_site.mjs");
    command
}

fn next(folder: &Path) -> Command {
    let mut command = node(folder, &["examples/admission/middleware.js", "tests/gates/sites/next/package.json"]);
    fs::create_dir(folder.join("pages")).unwrap();
    copy(&folder.join("pages"), &["tests/gates/sites/next/pages/[[...path]].js"]);
    command.arg(tools().join("node/node_modules/next/dist/bin/next")).args(["dev", "--hostname", "127.0.0.1"]);
    command.env("NEXT_TELEMETRY_DISABLED", "1").env("NEXT_IGNORE_INCORRECT_LOCKFILE", "1");
    command
}

fn asgi(folder: &Path) -> Command {
    copy(folder, &["examples/admission/admission_asgi.py", "tests/gates/sites/asgi_site.py"]);
    let mut command = Command::new("sh");
    let python = tools().join("venv/bin/python");
    let serve = "exec \"$PYTHON\" -m uvicorn --host 127.0.0.1 --port \"$PORT\" asgi_site:app";
    command.env("PYTHON", python).args(["-c", serve]);
    command
}

fn servlet(folder: &Path) -> Command {
    let jars = format!("{}/*:{}", tools().join("jars").display(), folder.display());
    let compiled = Command::new("javac")
        .args(["-nowarn", "-cp", &jars, "-d"])
        .arg(folder)
        .arg(own("examples/admission/AdmissionFilter.java"))
        .arg(own("tests/gates/sites/Site.java"))
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let mut command = Command::new("java");
    command.args(["-XX:TieredStopAtLevel=1", "-Xmx128m", "-cp", &jars, "Site"]).arg(folder);
    command
}

struct Started {
    process: Process,
    _folder: tempfile::TempDir,
}

fn start(site: Site, onsale: &str, shop: &str, queue: &str, on_error: &str) -> Started {
    let folder = tempfile::tempdir().unwrap();
    let mut command = site(folder.path());
    let port = free_port();
    command.current_dir(folder.path()).env("PORT", port.to_string()).env("HOME", folder.path());
    command.env("ONSALE", onsale).env("ONSALE_QUEUE", queue).env("ON_ERROR", on_error).env("SHOP", shop);
    Started { process: Process::start(command, folder.path(), port), _folder: folder }
}

/// Sent to an address of the site itself.
#[track_caller]
fn sent(answer: &Answer, location: &str) {
    let found = answer.header("location").unwrap_or_default();
    // Where the client said that it is.
    let found = found.strip_prefix("http://test").unwrap_or(found);
    assert_eq!((answer.status, found), (302, location));
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
}

#[track_caller]
fn in_the_shop(answer: Answer, path: &str) {
    let seen = answer.expect(200).json();
    assert_eq!((&seen["shop"], &seen["path"]), (&json!(true), &json!(path)));
}

/// What a site does to somebody who waits, comes back, forges, and comes back later.
fn walk(site: Site, asked_max: u32) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let queue = queue(&server, &organizer, "http://127.0.0.1/tickets?tour=7");
    let keys = Keys::serve(&server.get("/.well-known/jwks.json", "").expect(200).json());
    let shop = super::shop::Shop::open();
    let started = start(site, &keys.url, &format!("http://{}", shop.address), &queue, CLOSED);
    let (address, page) = (&started.process.address, format!("{}/q/{queue}", keys.url));
    let cookie = format!("__Host-onsale-admission-{queue}");
    let said = || started.process.printed();

    let mut browser = Browser::default();
    let first = browser.get(address, "/tickets?tour=7");
    assert_eq!(first.status, 302, "{}", said());
    sent(&first, &page);
    let (_, url) = let_in(&server, &organizer, &queue);
    let back = browser.get(address, path_of(&url));
    sent(&back, "/tickets?tour=7");
    let set = back.header("set-cookie").unwrap();
    let attributes = "; Path=/; Max-Age=900; HttpOnly; Secure; SameSite=Lax".to_lowercase();
    assert!(set.starts_with(&format!("{cookie}={}", admission_in(&url))), "{set}");
    for attribute in attributes.split("; ") {
        assert!(set.to_lowercase().contains(attribute), "{attribute} is not in {set}");
    }
    in_the_shop(browser.get(address, "/tickets?tour=7"), "/tickets?tour=7");
    // A link with somebody else's nonsense puts nobody out, and nobody is sent to another site by one.
    sent(&browser.get(address, "/tickets?onsale_admission=nonsense&tour=7"), "/tickets?tour=7");
    let elsewhere = browser.get(address, "//evil.example/?onsale_admission=x");
    let location = elsewhere.header("location").unwrap_or_default();
    assert!(!location.starts_with("//") && !location.starts_with("http://evil"), "{location}");
    // Nobody else gets in.
    let with = |value: &str| Request::new("GET", "/tickets").header("Cookie", &format!("{cookie}={value}"));
    for (what, forged) in keys.forged(&queue) {
        let asked = Browser::default().get(address, &format!("/tickets?onsale_admission={forged}"));
        assert_eq!((what, asked.header("location")), (what, Some(page.as_str())));
        assert_eq!((what, asked.header("set-cookie")), (what, None));
        // Too late for an address is not yet too late for who came in time.
        if what != "too late" {
            let held = Browser::default().send(address, with(&forged));
            assert_eq!((what, held.header("location")), (what, Some(page.as_str())));
        }
    }
    // For as long as a session lasts.
    for (ago_s, passes) in [(0, true), (600, true), (900, true), (940, false)] {
        let mut claims = Keys::claims(&queue);
        claims["exp"] = json!(now_s() - ago_s);
        let held = keys.sign(&Keys::header(), &claims);
        let answer = Browser::default().send(address, with(&held));
        assert_eq!((ago_s, answer.status), (ago_s, if passes { 200 } else { 302 }));
    }
    assert!((1..=asked_max).contains(&keys.asked()), "its keys were fetched {} times", keys.asked());
}

/// What a site does whose keys cannot be had.
fn without_keys(site: Site) {
    let queue = "11111111-0000-4000-8000-000000000000";
    let shop = super::shop::Shop::open();
    let (shop, nobody) = (format!("http://{}", shop.address), format!("http://127.0.0.1:{}", free_port()));
    let keys = Keys::serve(&json!({"keys": []}));
    let admission = keys.sign(&Keys::header(), &Keys::claims(queue));
    let path = format!("/tickets?onsale_admission={admission}");
    for (on_error, status) in [(CLOSED, 503), (OPEN, 200)] {
        let started = start(site, &nobody, &shop, queue, on_error);
        // Twice: what remembers a failure must not take it for an answer.
        for _ in 0..3 {
            let answer = Browser::default().get(&started.process.address, &path);
            assert_eq!((on_error, answer.status), (on_error, status), "{}", started.process.printed());
        }
        // Whoever brings nothing has nothing that a key would help with.
        assert_eq!(Browser::default().get(&started.process.address, "/tickets").status, 302);
    }
}

#[test]
fn a_shop_in_express() {
    walk(express, 3);
    without_keys(express);
}

#[test]
fn a_shop_in_next_js() {
    walk(next, 3);
}

#[test]
fn a_shop_behind_a_worker() {
    walk(worker, 3);
    without_keys(worker);
}

#[test]
fn a_shop_in_asgi() {
    walk(asgi, 3);
    without_keys(asgi);
}

#[test]
fn a_shop_in_a_servlet_container() {
    walk(servlet, 3);
    without_keys(servlet);
}

#[test]
fn the_script_tag_is_a_script() {
    let script = own("examples/admission/onsale-gate.js");
    let checked = Command::new("node").arg("--check").arg(script).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
