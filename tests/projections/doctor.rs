//! `onsale doctor` beside the real servers: right settings are right, wrong ones are found and say what to do.

use super::places::{Home, URL, service};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Exit code and checks.
fn doctor(data: &Path, flags: &[&str]) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onsale"));
    command.args(["doctor", "--json", "--seats", "100", "--people", "100", "--data"]).arg(data).args(flags);
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let report: Value = serde_json::from_str(said.lines().last().unwrap_or_default()).unwrap_or_else(|error| {
        panic!("{error}: {said}{}", String::from_utf8_lossy(&ran.stderr));
    });
    let code = ran.status.code().unwrap();
    assert_eq!(report["ok"], code == 0, "{report}");
    (code, report["checks"].clone())
}

fn check<'a>(checks: &'a Value, name: &str) -> &'a Value {
    checks.as_array().unwrap().iter().find(|check| check["name"] == name).unwrap()
}

#[track_caller]
fn expect(checks: &Value, name: &str, state: &str, part: &str) {
    let check = check(checks, name);
    let text = check["found"].as_str().unwrap();
    assert!(check["state"] == state && text.contains(part), "{check}");
    assert_eq!(check["todo"] == "", state == "ok", "{check}");
}

/// Runs a statement as the owner.
fn sql(statement: &str) {
    Home::postgres().open().run(statement).unwrap();
}

#[test]
fn a_database_is_looked_at_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (_, checks) = doctor(&data, &["--postgres", &URL]);
    expect(&checks, "postgres", "ok", "connections used");
    assert!(!data.exists(), "looking makes nothing");

    let role = format!("doctor_{}", uuid::Uuid::new_v4().simple());
    sql(&format!("CREATE ROLE {role} LOGIN"));
    let (user, rest) = URL.split_once('@').expect("a URL with a user");
    assert!(user.starts_with("postgres://"));
    let (code, checks) =
        doctor(&data, &["--postgres", &format!("postgres://{role}@{rest}"), "--postgres-schema", "mine"]);
    assert_eq!(code, 1);
    expect(&checks, "postgres", "failure", "GRANT CREATE on schema mine");
    sql(&format!("DROP ROLE {role}"));

    let (_, checks) = doctor(&data, &["--postgres", "postgres://nobody@127.0.0.1:1/onsale"]);
    expect(&checks, "postgres", "failure", "127.0.0.1:1");
    let (_, checks) = doctor(&data, &["--postgres", &URL, "--postgres-connections-max", "900"]);
    expect(&checks, "postgres", "failure", "902 connections are wanted");
}

#[test]
fn brokers_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let (data, broker) = (folder.path().join("data"), service("kafka", "ONSALE_TEST_KAFKA"));
    let prefix = format!("doctor-{}", uuid::Uuid::new_v4().simple());
    let (_, checks) = doctor(&data, &["--kafka", &broker, "--kafka-prefix", &prefix]);
    expect(&checks, "kafka", "warning", "topics are made at the start");
    expect(&checks, "kafka", "warning", "fewer than three");
    let (code, checks) = doctor(&data, &["--kafka", &broker, "--kafka-prefix", &prefix, "--kafka-replication", "3"]);
    assert_eq!(code, 1);
    expect(&checks, "kafka", "failure", "kafka.replication is 3, and there are 1 brokers");
    let (_, checks) = doctor(&data, &["--kafka", "127.0.0.1:1"]);
    expect(&checks, "kafka", "failure", "");
}
