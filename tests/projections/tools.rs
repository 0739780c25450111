//! The command line beside a running server.

use super::places::{Home, URL};
use crate::common::{Request, Server};
use readmodels::int;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub fn onsale(arguments: &[&str], home: &Home, data: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onsale"));
    command.args(arguments).arg("--data").arg(data).args(home.flags()).output().unwrap()
}

pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn sold(server: &Server) -> (String, u64) {
    let organizer = server.organizer();
    let performance = server.performance(&organizer, json!({}));
    let user = server.user("tools");
    let holds = format!("/v1/performances/{performance}/reservations");
    let held = server.post(&holds, &user.token, json!({"area": "Floor", "count": 1})).expect(201);
    (user.token, held.header("onsale-position").unwrap().parse().unwrap())
}

#[test]
fn tables_are_made_anew_and_back_again_beside_a_running_server() {
    for home in Home::both() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let flags = home.flags();
        let server = Server::start(&data, &flags.iter().map(String::as_str).collect::<Vec<_>>());
        let (token, position) = sold(&server);
        let mine = || {
            let request = Request::new("GET", "/v1/me/reservations").token(&token);
            server.send(request.header("Onsale-After", &position.to_string())).expect(200).json()
        };
        let before = mine();
        assert_eq!(before["items"].as_array().unwrap().len(), 1);
        for arguments in
            [&["rebuild", "--all"][..], &["rebuild", "reservations"], &["rebuild", "reservations", "--rollback"]]
        {
            let ran = onsale(arguments, &home, &data);
            assert!(ran.status.success(), "{arguments:?}: {}", said(&ran));
            assert!(said(&ran).contains("reservations") && said(&ran).contains("live"), "{}", said(&ran));
            assert_eq!(mine(), before, "{arguments:?}");
        }
        let wrong = onsale(&["rebuild", "reservation"], &home, &data);
        assert!(said(&wrong).contains("there is no projection reservation; there are concerts"), "{}", said(&wrong));
        let listed = onsale(&["projections", "--json"], &home, &data);
        assert!(listed.status.success(), "{}", said(&listed));
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        let live = listed["projections"].as_array().unwrap().iter().filter(|row| row["state"] == "live").count();
        assert_eq!((live, &listed["ok"]), (8, &json!(true)), "{listed}");
        // What the server does afterwards is in the tables that are live now.
        let user = server.user("later");
        let request = Request::new("GET", "/v1/me/reservations").token(&user.token);
        assert_eq!(server.send(request).expect(200).json()["items"], json!([]));
        server.stop();
        let verified = onsale_verify(&home, &data);
        assert!(verified.status.success(), "{}", said(&verified));
    }
}

fn onsale_verify(home: &Home, data: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onsale"));
    command.arg("verify").arg(data).arg("--read-models").args(home.flags()).output().unwrap()
}

#[test]
fn a_projector_of_its_own_follows_a_running_server() {
    for home in Home::both() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut flags = home.flags();
        flags.extend(["--read-models".into(), "outside".into()]);
        let server = Server::start(&data, &flags.iter().map(String::as_str).collect::<Vec<_>>());
        let spawn = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_onsale"));
            command.arg("project").arg("--data").arg(&data).args(home.flags());
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let mut projector = spawn();
        let (token, position) = sold(&server);
        let start = Instant::now();
        let answer = loop {
            let request = Request::new("GET", "/v1/me/reservations").token(&token);
            let answer = server.send(request.header("Onsale-After", &position.to_string()));
            if answer.status == 200 || start.elapsed() > Duration::from_secs(30) {
                break answer.expect(200);
            }
        };
        assert_eq!(answer.json()["items"].as_array().unwrap().len(), 1);
        assert!(answer.header("onsale-position").unwrap().parse::<u64>().unwrap() >= position);
        let second = spawn().wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&second.stderr).into_owned();
        assert!(!second.status.success() && told.contains("another projector runs on"), "{told}");
        assert!(Command::new("kill").arg("-TERM").arg(projector.id().to_string()).status().unwrap().success());
        assert!(projector.wait().unwrap().success());
        // Nobody keeps them now: what is recorded is not visible, and that is said.
        let user = server.user("late");
        let later = server
            .send(Request::new("POST", "/v1/users").json(json!({"email": "x@y.zz", "password": "correct horse"})));
        let later = later.expect(201).header("onsale-position").unwrap().to_owned();
        let request = Request::new("GET", "/v1/me/reservations").token(&user.token).header("Onsale-After", &later);
        let behind = server.send(request).expect_problem(503, "read-models-behind");
        assert!(behind.json()["lag_events"].as_u64().unwrap() > 0);
        server.stop();
        let rows = home.open().query("SELECT position FROM onsale_read_model", &[]).unwrap();
        assert!(int(&rows[0], 0) >= position);
    }
}

#[test]
fn a_crowd_leaves_tables_that_equal_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_onsale"));
    command.args(["crowd", "--buyers", "20", "--seats", "20", "--queue", "--read-models", "--json"]);
    let ran = command.args(["--postgres", &URL, "--data"]).arg(folder.path()).output().unwrap();
    assert!(ran.status.success(), "{}", said(&ran));
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((&report["ok"], &report["books"]["log"]["read_models_differ"]), (&json!(true), &json!([])), "{report}");
    let home = Home::postgres();
    let left = "SELECT CAST(count(*) AS bigint) FROM information_schema.schemata WHERE schema_name LIKE 'crowd%'";
    assert_eq!(int(&home.open().query(left, &[]).unwrap()[0], 0), 0);
}
