//! The files of `examples/gate`, used as they are in front of a shop that knows nothing of queues.

use super::browser::{Browser, admission_in, let_in, path_of, queue};
use super::process::{Process, free_port, own};
use super::shop::Shop;
use crate::common::{Answer, Request, Server};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the parts of an example are.
pub struct Places<'a> {
    pub onsale: &'a str,
    pub shop: &'a str,
    pub queue: &'a str,
    pub folder: &'a Path,
    pub port: u16,
}

/// One proxy: its name, how it is started with its file, and where it writes whom it served.
type Recipe = (&'static str, fn(&Places, &mut Command), fn(&Places, &Process) -> String);

const NGINX: Recipe = ("nginx", nginx, |places, _| fs::read_to_string(places.folder.join("access.log")).unwrap());
const HAPROXY: Recipe = ("haproxy", haproxy, |_, process| process.printed());
const CADDY: Recipe = ("caddy", caddy, |_, process| process.printed());

fn example(name: &str) -> String {
    fs::read_to_string(own("examples/gate").join(name)).unwrap()
}

/// How the shop listens, and what browsers and our requests call it.
pub fn listen(port: u16) -> String {
    format!("listen 127.0.0.1:{port}; server_name 127.0.0.1 test;")
}

/// The file with its marked lines edited, and nothing else.
fn nginx_site(places: &Places, on_error_open: bool) -> String {
    let log = format!("{}/access.log", places.folder.display());
    let shop = format!("server {};", places.shop);
    let mut edits = vec![
        ("server 127.0.0.1:8080;", format!("server {};", places.onsale)),
        ("server 127.0.0.1:3000;", shop),
        ("00000000-0000-4000-8000-000000000000", places.queue.to_owned()),
        ("listen 80; server_name shop.example.com;", listen(places.port)),
        ("/var/log/nginx/access.log", log),
    ];
    if on_error_open {
        edits.push(("# error_page 500 = @open;", "error_page 500 = @open;".into()));
    }
    edits.iter().fold(example("nginx.conf"), |file, (from, to)| {
        assert_eq!(file.matches(from).count(), 1, "{from}");
        file.replace(from, to)
    })
}

pub fn nginx(places: &Places, command: &mut Command) {
    start_nginx(places, command, &nginx_site(places, false));
}

/// Where sites are in a folder of nginx.
pub const SITES: &str = "conf.d";

/// As the distribution's nginx.conf includes it, beside the distribution's own site, which takes what no other site names.
fn start_nginx(places: &Places, command: &mut Command, site: &str) {
    let folder = places.folder.display();
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths = paths.map(|name| format!("{name}_temp_path {folder}/{name};")).join(" ");
    let outer = format!(
        "daemon off; user root; pid {folder}/pid; events {{}}\nhttp {{ {paths} access_log off; include {folder}/{SITES}/*.conf; }}"
    );
    let sites = places.folder.join(SITES);
    fs::create_dir(&sites).unwrap();
    let welcome = format!("server {{ listen 127.0.0.1:{} default_server; return 200 welcome; }}", places.port);
    fs::write(sites.join("default.conf"), welcome).unwrap();
    fs::write(sites.join("queue.conf"), site).unwrap();
    fs::write(places.folder.join("nginx.conf"), outer).unwrap();
    command.arg("-e").arg("stderr").arg("-c").arg(places.folder.join("nginx.conf"));
}

fn haproxy(places: &Places, command: &mut Command) {
    command.arg("-db").arg("-f").arg(own("examples/gate/haproxy.cfg"));
    command.env("ONSALE", places.onsale).env("SHOP", places.shop).env("ONSALE_QUEUE", places.queue);
    command.env("SITE", format!("127.0.0.1:{}", places.port)).env("GATE_LUA", own("examples/gate"));
}

fn caddy(places: &Places, command: &mut Command) {
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(own("examples/gate/Caddyfile"));
    command.env("ONSALE", places.onsale).env("SHOP", places.shop).env("ONSALE_QUEUE", places.queue);
    command.env("SITE", format!("http://:{}", places.port)).env("HOME", places.folder);
    command.env("CADDY_ADMIN", format!("127.0.0.1:{}", free_port()));
}

pub fn program(name: &str) -> Command {
    let programs = std::env::var("ONSALE_TEST_PROXIES").unwrap_or_else(|_| {
        panic!("ONSALE_TEST_PROXIES is not set: run `eval \"$(scripts/services up proxies)\"` and try again")
    });
    Command::new(PathBuf::from(programs).join("bin").join(name))
}

/// What the shop says that came to it.
#[track_caller]
fn in_the_shop(answer: Answer, path: &str) -> Value {
    let seen = answer.expect(200).json();
    assert_eq!((&seen["shop"], &seen["path"]), (&json!(true), &json!(path)));
    seen
}

/// Sent there, and nothing about it may be kept.
#[track_caller]
fn sent(answer: &Answer, location: &str) {
    assert_eq!((answer.status, answer.header("location")), (302, Some(location)));
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
}

fn walk((name, configure, log): Recipe) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let (shop, port) = (Shop::open(), free_port());
    let queue = queue(&server, &organizer, &format!("http://127.0.0.1:{port}/tickets?tour=7"));
    let onsale = server.address().to_owned();
    let places = Places { onsale: &onsale, shop: &shop.address, queue: &queue, folder: data.path(), port };
    let mut command = program(name);
    configure(&places, &mut command);
    let site = Process::start(command, data.path(), port);
    let page = format!("/q/{queue}");

    let mut browser = Browser::default();
    sent(&browser.get(&site.address, "/tickets?tour=7"), &page);
    for forged in ["nonsense", "eyJhbGciOiJub25lIn0.e30."] {
        sent(&browser.get(&site.address, &format!("/tickets?onsale_admission={forged}")), &page);
        let header = Request::new("GET", "/tickets").header("Onsale-Admission", forged);
        sent(&browser.send(&site.address, header), &page);
        let cookie = format!("onsale-{queue}={forged}; __Host-onsale-{queue}={forged}");
        sent(&browser.send(&site.address, Request::new("GET", "/tickets").header("Cookie", &cookie)), &page);
    }
    // What the queue's page asks goes through, and is where people join.
    let queued = browser.get(&site.address, &format!("/v1/queues/{queue}")).expect(200);
    assert_eq!(queued.text("/queue_id"), queue);
    let (person, url) = let_in(&server, &organizer, &queue);
    let admission = admission_in(&url).to_owned();
    let back = browser.get(&site.address, path_of(&url));
    sent(&back, "/tickets?tour=7");
    let set = back.header("set-cookie").unwrap();
    assert!(set.starts_with(&format!("onsale-{queue}=")) && set.contains("; HttpOnly; SameSite=Lax"), "{set}");
    assert_eq!(person.poll(&server)["state"], "active");
    // What a client says of itself, the shop does not hear, nor does the gate believe.
    let own = |name: &str, value: &str| Request::new("GET", "/tickets?tour=7").header(name, value);
    for (name, value) in [
        ("Accept", "*/*"),
        ("Onsale-Entry", "forged"),
        ("X-Original-URI", "/?onsale_admission=x"),
        ("X-Forwarded-Uri", "//evil.example/"),
        ("Authorization", "Bearer of-the-shop"),
    ] {
        let seen = in_the_shop(browser.send(&site.address, own(name, value)), "/tickets?tour=7");
        assert_eq!(seen["headers"]["onsale-entry"], json!([person.entry]), "{name}");
    }
    // A stranger's request is asked about anew, and neither is a POST let through.
    let mut stranger = Browser::default();
    sent(&stranger.get(&site.address, "/tickets?tour=7"), &page);
    sent(&stranger.send(&site.address, own("Onsale-Entry", &person.entry)), &page);
    assert_eq!(stranger.send(&site.address, Request::new("POST", "/tickets").json(json!({}))).status, 302);
    in_the_shop(browser.send(&site.address, Request::new("POST", "/tickets").json(json!({}))), "/tickets");
    // The same admission once more, in another browser and after the session.
    sent(&stranger.get(&site.address, path_of(&url)), "/tickets?tour=7");
    person.act(&server, "completion").expect(200);
    sent(&browser.get(&site.address, "/tickets?tour=7"), &page);
    sent(&stranger.get(&site.address, path_of(&url)), &page);
    // Nobody gets in while nobody can say who may.
    server.stop();
    let closed = browser.get(&site.address, "/tickets?tour=7");
    assert!((500..=504).contains(&closed.status), "{}", closed.status);
    let log = log(&places, &site);
    assert!(log.contains("/tickets"), "{name} logs whom it serves: {log}");
    assert!(!log.contains(&admission), "{name} logs no admission: {log}");
    assert!(!shop.all().contains(&admission) && shop.all().contains("/tickets"), "the shop sees none");
}

#[test]
fn a_shop_behind_nginx() {
    walk(NGINX);
}

#[test]
fn a_shop_behind_haproxy() {
    walk(HAPROXY);
}

#[test]
fn a_shop_behind_caddy() {
    walk(CADDY);
}

#[test]
fn nginx_can_be_told_to_rather_let_everybody_in() {
    let folder = tempfile::tempdir().unwrap();
    let (shop, port) = (Shop::open(), free_port());
    let nobody = format!("127.0.0.1:{}", free_port());
    let queue = "11111111-0000-4000-8000-000000000000";
    let places = Places { onsale: &nobody, shop: &shop.address, queue, folder: folder.path(), port };
    let mut command = program("nginx");
    start_nginx(&places, &mut command, &nginx_site(&places, true));
    let site = Process::start(command, folder.path(), port);
    let forged = Request::new("GET", "/tickets").header("Onsale-Entry", "forged");
    let seen = in_the_shop(Browser::default().send(&site.address, forged), "/tickets");
    assert_eq!(seen["headers"]["onsale-entry"], Value::Null);
}
