//! The guide of the gate, done as it says, by its own commands; and then somebody with a browser comes.

use super::process::{Process, free_port, own};
use super::proxies::{Places, nginx, program};
use super::shop::Shop;
use crate::common::{OPERATOR_KEY, Server, skip};
use serde_json::Value;
use std::fs;
use std::process::Command;

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
    let [serve, organizer, queue, reload, look] = &commands[..] else { panic!("{commands:#?}") };
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
    assert_eq!(reload, "nginx -t && systemctl reload nginx");
    let onsale = server.address().to_owned();
    let places = Places { onsale: &onsale, shop: &shop.address, queue, folder: data.path(), port };
    let mut command = program("nginx");
    nginx(&places, &mut command);
    let mut test = program("nginx");
    let tested = test.arg("-t").args(command.get_args()).output().unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
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
    server.stop();
}
