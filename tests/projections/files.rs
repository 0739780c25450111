//! Files of projections: one's own without any Rust, as the guide shows it; and mistakes, told with their place.

use super::places::{Home, concert, log_of, one, project};
use readmodels::projection;
use std::process::Command;

const GUIDE: &str = include_str!("../../docs/guides/read-models.md");

/// The guide's ten lines.
fn of_readme() -> &'static str {
    let (_, rest) = GUIDE.split_once("<!-- projection: -->").expect("the guide shows a projection");
    rest.split_once("```sql\n").unwrap().1.split_once("```").unwrap().0
}

#[test]
fn a_new_read_model_is_a_file_in_a_folder() {
    let file = of_readme();
    assert!(file.lines().count() <= 10, "ten lines, says the guide");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("charges_by_day.sql"), file).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "no projection").unwrap();
    for home in Home::both() {
        let charge = |points: u64| format!(r#"{{"points":{points},"balance":{points},"charge_id":"x"}}"#);
        let log = log_of(&[
            ("PointsCharged.v1", 1, &charge(100)),
            ("ConcertCreated.v1", 9, &concert("Other")),
            ("PointsCharged.v1", 2, &charge(50)),
        ]);
        project(&home, &log, projection::load(Some(folder.path())).unwrap());
        assert_eq!(one(&home, "SELECT charges FROM charges_by_day"), "2");
        assert_eq!(one(&home, "SELECT points FROM charges_by_day"), "150");
    }
}

#[test]
fn mistakes_are_told_with_file_line_and_column() {
    let table = "CREATE TABLE a (x BIGINT PRIMARY KEY);\n";
    let files = [
        (format!("{table}\nINSERT INTO a (x)\nSELECT position FORM events;"), "a.sql:4:22: near \"events\""),
        (
            format!("{table}INSERT INTO a (x) SELECT position, 'x FROM events;"),
            "a.sql:2:36: this quote or comment never ends",
        ),
        (format!("{table}DROP TABLE a;"), "a.sql:2:1: CREATE TABLE, CREATE INDEX, INSERT"),
        ("INSERT INTO a VALUES (1)".into(), "a.sql:1:1: there is no CREATE TABLE in it"),
        ("CREATE TABLE events (x BIGINT)".into(), "a.sql:1:14: a name of its own"),
        ("CREATE TABLE seats (x BIGINT)".into(), "another projection has a seats, too"),
        (format!("-- version: two\n{table}"), "a.sql:1:1: a whole number from 1 is expected after version:"),
        (format!("{table}INSERT INTO b (x) SELECT position FROM events;"), "a.sql:2:"),
        (format!("{table}INSERT INTO a (x) SELECT place FROM events;"), "a.sql:2:26: no such column: place"),
    ];
    for (text, expected) in files {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.sql"), &text).unwrap();
        let data = folder.path().join("data");
        let mut command = Command::new(env!("CARGO_BIN_EXE_onsale"));
        command.args(["projections", "check", "--projections"]).arg(folder.path()).arg("--data").arg(&data);
        let ran = command.output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(!ran.status.success() && said.contains(expected), "{text}\n{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        // A server does not start with it either.
        let mut command = Command::new(env!("CARGO_BIN_EXE_onsale"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--projections"]).arg(folder.path()).arg("--data").arg(&data);
        let ran = command.output().unwrap();
        assert!(!ran.status.success() && String::from_utf8_lossy(&ran.stderr).contains(expected), "{text}");
    }
}
