//! The guide of the gate, done as it says, by its own commands; and then somebody with a browser comes.

use super::process::{Process, free_port, own};
use super::proxies::{Places, SITES, listen, nginx, program};
use super::shop::Shop;
use crate::common::{OPERATOR_KEY, PATIENCE, Server, skip};
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// The commands of "In ten minutes", in order: what is indented below its steps.
fn commands() -> Vec<String> {
    let guide = fs::read_to_string(own("docs/guides/gate.md")).unwrap();
    let steps = guide.split("## In ten minutes").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut commands: Vec<String> = Vec::new();
    for line in steps.lines().filter_map(|line| line.strip_prefix("       ")) {
        match (line.strip_prefix(' '), commands.last_mut()) {
            // What goes on with the command before.
            (Some(more), Some(command)) => *command = format!("{command}\n{more}"),
            _ => commands.push(line.to_owned()),
        }
    }
    commands
}

/// What a shell prints that runs a command with these in its environment.
fn run(command: &str, variables: &[(&str, &str)]) -> String {
    let ran = Command::new("sh").args(["-c", command]).envs(variables.iter().copied()).output().unwrap();
    let (out, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{command}: {out}{errors}");
    out.into_owned()
}

#[test]
fn the_ten_minute_guide_is_as_it_says() {
    let Ok(browser) = std::env::var("ONSALE_TEST_BROWSER") else {
        return skip::skip("there is no browser: run `eval \"$(scripts/services up browser)\"`");
    };
    let commands = commands();
    let [serve, organizer, queue, reload, look, away, reload_again] = &commands[..] else { panic!("{commands:#?}") };
    let data = tempfile::tempdir().unwrap();

    // 1. Its flags, with a folder and a port of our own.
    let flags = serve.strip_prefix("onsale serve --data /var/lib/onsale ").unwrap();
    let server = Server::start(&data.path().join("data"), &flags.split(' ').collect::<Vec<_>>());
    let (shop, port) = (Shop::open(), free_port());
    let site = format!("http://127.0.0.1:{port}");
    let ours = |command: &str| {
        let here = command.replace("http://127.0.0.1:8080", &server.url);
        here.replace("https://shop.example.com", &site).replace("http://shop.example.com", &site)
    };

    // 2.
    let made: Value = serde_json::from_str(&run(&ours(organizer), &[("OPERATOR", OPERATOR_KEY)])).unwrap();
    let key = made["key"]["secret"].as_str().unwrap();
    assert!(key.starts_with("osk_"), "{made}");
    let made: Value = serde_json::from_str(&run(&ours(queue), &[("ORGANIZER", key)])).unwrap();
    let queue = made["queue_id"].as_str().unwrap();

    // 3. Its file with the marked lines edited, which is what `nginx` does here.
    assert_eq!((reload.as_str(), reload_again), ("nginx -t && systemctl reload nginx", reload));
    let onsale = server.address().to_owned();
    let places = Places { onsale: &onsale, shop: &shop.address, queue, folder: data.path(), port };
    let mut command = program("nginx");
    nginx(&places, &mut command);
    let arguments: Vec<_> = command.get_args().map(OsString::from).collect();
    let nginx = |options: &[&str]| {
        let done = program("nginx").args(options).args(&arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    nginx(&["-t"]);
    let _site = Process::start(command, data.path(), port);

    // 4. Without a browser, and with one.
    let seen = run(&ours(look), &[]);
    assert!(seen.starts_with("HTTP/1.1 302 ") && seen.contains(&format!("Location: /q/{queue}")), "{seen}");
    let walked = Command::new("node")
        .arg(own("tests/pages/guide.mjs"))
        .env("ONSALE_TEST_BROWSER", browser)
        .env("ONSALE_TEST_URL", &server.url)
        .env("ONSALE_TEST_ORGANIZER", key)
        .env("ONSALE_TEST_QUEUE", queue)
        .env("ONSALE_TEST_SITE", &site)
        .output()
        .unwrap();
    let (out, errors) = (String::from_utf8_lossy(&walked.stdout), String::from_utf8_lossy(&walked.stderr));
    assert!(walked.status.success(), "{out}{errors}");
    assert_eq!(out.lines().filter(|line| line.starts_with("ok ")).count(), 5, "{out}");

    // 5. The shop's own site, as it was before the queue.
    let own_site = format!("server {{ {} location / {{ proxy_pass http://{}; }} }}", listen(port), shop.address);
    fs::write(data.path().join("shop.conf"), own_site).unwrap();
    let sites = data.path().join(SITES);
    run(&away.replace("/etc/nginx/conf.d", sites.to_str().unwrap()).replace('~', data.path().to_str().unwrap()), &[]);
    nginx(&["-t"]);
    nginx(&["-s", "reload"]);
    let until = Instant::now() + PATIENCE;
    while !run(&ours(look), &[]).starts_with("HTTP/1.1 200 ") {
        assert!(Instant::now() < until, "the queue is still before the shop: {}", run(&ours(look), &[]));
        std::thread::sleep(Duration::from_millis(20));
    }
    server.stop();
}
