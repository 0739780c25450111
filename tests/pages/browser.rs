//! What people see, walked through by a real browser.

use crate::common::{Server, skip, wait};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

/// Where what drives a browser is. There is a node then, too.
fn browser() -> Option<String> {
    let browser = std::env::var("ONSALE_TEST_BROWSER").ok();
    if browser.is_none() {
        skip::skip("there is no browser: run `eval \"$(scripts/services up browser)\"`");
    }
    browser
}

/// Runs one of the scripts beside this file; what it said.
fn node(script: &str, variables: &[(&str, &str)]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages").join(script);
    let ran = Command::new("node").arg(script).envs(variables.iter().copied()).output().expect("node runs");
    let (out, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{out}{errors}");
    out.into_owned()
}

/// The same, in a browser and against a server.
fn walk(script: &str) {
    let Some(browser) = browser() else { return };
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let (url, organizer) = (server.url.as_str(), server.organizer());
    let said = node(
        script,
        &[
            ("ONSALE_TEST_BROWSER", browser.as_str()),
            ("ONSALE_TEST_URL", url),
            ("ONSALE_TEST_ORGANIZER", organizer.as_str()),
        ],
    );
    assert!(said.lines().filter(|line| line.starts_with("ok ")).count() > 3, "{said}");
    server.stop();
}

#[test]
fn every_state_with_scripts() {
    walk("walk.mjs");
}

#[test]
fn every_state_without_scripts() {
    walk("scriptless.mjs");
}

/// Killed while people wait: everybody has the same place again within seconds.
#[test]
fn the_server_is_killed_and_comes_back() {
    if let Some(browser) = browser() {
        let said = restarted("restart.mjs", &[("ONSALE_TEST_BROWSER", &browser)]);
        assert!(said.iter().any(|line| line.starts_with("ok back after")), "{said:?}");
    }
}

/// The same with many more pages, which need no browser: the page's own script, and what it uses of one. With thousands:
/// `load/pages`.
#[test]
fn many_pages_keep_their_places() {
    if browser().is_some() {
        let said = restarted("crowd.mjs", &[("ONSALE_TEST_PEOPLE", "300"), ("ONSALE_TEST_RELOADS", "300")]);
        assert_eq!(said.iter().filter(|line| line.starts_with("ok ")).count(), 4, "{said:?}");
    }
}

/// Runs a script that says when the server is to be killed and when another one is to be started; all that it said.
fn restarted(script: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let mut server = Some(Server::start(&folder, &[]));
    let running = server.as_ref().unwrap();
    let mut pages = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages").join(script))
        .envs(variables.iter().copied())
        .env("ONSALE_TEST_URL", &running.url)
        .env("ONSALE_TEST_ORGANIZER", running.organizer())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs");
    let mut told = pages.stdin.take().unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(pages.stdout.take().unwrap()).lines().map_while(Result::ok) {
        match line.as_str() {
            "kill" => {
                server.take().unwrap().kill();
                writeln!(told, "killed").unwrap();
            }
            "start" => {
                let new = Server::start(&folder, &[]);
                writeln!(told, "{}", new.url).unwrap();
                server = Some(new);
            }
            _ => {}
        }
        said.push(line);
    }
    assert!(wait(&mut pages).success(), "{said:?}");
    said
}

/// pages.md: 300 KB at most.
#[test]
fn an_hour_of_waiting_is_cheap() {
    if browser().is_some() {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(&data.path().join("data"), &[]);
        let said =
            node("hour.mjs", &[("ONSALE_TEST_URL", &server.url), ("ONSALE_TEST_ORGANIZER", &server.organizer())]);
        assert!(said.contains("ok an hour: "), "{said}");
        server.stop();
    }
}

/// For shops without a server of their own.
#[test]
fn the_script_tag_keeps_honest_people_in_line() {
    let Some(browser) = browser() else { return };
    let data = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let server = Server::start(&data.path().join("data"), &["--cors-origins", &format!("http://127.0.0.1:{port}")]);
    let said = node(
        "script_tag.mjs",
        &[
            ("ONSALE_TEST_BROWSER", &browser),
            ("ONSALE_TEST_URL", &server.url),
            ("ONSALE_TEST_ORGANIZER", &server.organizer()),
            ("ONSALE_TEST_SITE_PORT", &port),
        ],
    );
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 5, "{said}");
    server.stop();
}

#[test]
fn what_the_page_computes() {
    if browser().is_some() {
        let said = node("modules.mjs", &[]);
        assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 4, "{said}");
    }
}

/// As its editors have them: formatted, and of the types that their comments name.
#[test]
fn the_modules_are_formatted_and_of_one_mind() {
    let Some(browser) = browser() else { return };
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/api/pages");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages/*.mjs");
    let tools = Path::new(&browser).join("node_modules/.bin");
    let config = pages.join("package.json");
    let arguments =
        ["--check", "--config", config.to_str().unwrap(), "**/*.{js,css,json,d.ts}", tests.to_str().unwrap()];
    for (tool, arguments) in [("prettier", &arguments[..]), ("tsc", &["--project", "."])] {
        let checked = Command::new(tools.join(tool)).args(arguments).current_dir(&pages).output().expect("it runs");
        let (out, errors) = (String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
        assert!(checked.status.success(), "{tool}: {out}{errors}");
    }
}
