//! README and tutorial do what they say: their lines buy a seat from a demo and make something to buy, and a demo prints
//! the README's lines.

mod common;

use common::{Server, command};
use std::process::Command;

const README: &str = include_str!("../README.md");
const TUTORIAL: &str = include_str!("../docs/tutorial.md");
const PERFORMANCE: &str = include_str!("../docs/performance.md");
/// Where the README's demo listens.
const URL: &str = "http://127.0.0.1:8080";

/// A page's text between two marks.
#[track_caller]
fn between<'a>(page: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = page.split_once(start).unwrap_or_else(|| panic!("the page has no {start:?}"));
    rest.split_once(end).unwrap_or_else(|| panic!("the page has no {end:?} after {start:?}")).0
}

/// The lines of the block after the comment `name`.
#[track_caller]
fn block(page: &'static str, name: &str) -> &'static str {
    let block = between(page, &format!("<!-- {name}:"), "\n```\n");
    block.split_once("```bash\n").expect("the block is for bash").1
}

/// Runs lines in a shell that forgives nothing; gives the last line of their output.
#[track_caller]
fn run(script: &str) -> serde_json::Value {
    let ran = Command::new("bash").args(["-eu", "-o", "pipefail", "-c", script]).output().unwrap();
    let (answers, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && errors.is_empty(), "{}\n{answers}{errors}", ran.status);
    serde_json::from_str(answers.lines().last().unwrap_or_default()).expect(&answers)
}

/// A demo of its first start, and all that it prints.
fn demo() -> (tempfile::TempDir, Server, String) {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let mut command = command(&folder, &["--demo"]);
    command.env_remove("ONSALE_OPERATOR_KEY");
    let mut server = Server::spawn(command, &folder);
    let output = server.output();
    (data, server, output)
}

/// Keys are different at each first start; everything else is the same on every machine.
fn without_keys(text: &str) -> Vec<String> {
    let word = |word: &str| match word.get(..4) {
        Some(prefix @ ("opk_" | "osk_")) => format!("{prefix}…"),
        _ => word.to_owned(),
    };
    let words = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(words).filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_readmes_lines_buy_a_seat() {
    let (_data, server, _) = demo();
    let lines = block(README, "purchase");
    assert!(lines.contains(URL));
    let bought = run(&lines.replace(URL, &server.url));
    assert_eq!(bought["state"], "confirmed", "{bought}");
    assert_eq!(bought["seats"].as_array().map(Vec::len), Some(2), "{bought}");
    server.stop();
}

#[test]
fn the_tutorials_lines_make_something_to_buy() {
    let (_data, server, output) = demo();
    let key = output.split_whitespace().find(|word| word.starts_with("opk_")).expect("the operator's key");
    let lines = block(TUTORIAL, "sale");
    assert!(lines.contains("opk_…"));
    let made = run(&lines.replace(URL, &server.url).replace("opk_…", key));
    assert_eq!((&made["state"], &made["places"]), (&"on_sale".into(), &520.into()), "{made}");
    server.stop();
}

#[test]
fn a_demo_prints_what_the_readme_shows() {
    let (_data, server, output) = demo();
    let output = output.replace(&server.url, URL) + "\n";
    let (made, rest) = output.split_once("\n\n").expect("a blank line after what was made");
    let shown = between(README, "prints what it made:\n\n", "\n\nand then");
    assert_eq!(without_keys(made), without_keys(shown));
    let lines = &rest[rest.find("URL=").expect("lines that buy a seat")..];
    assert_eq!(lines, format!("{}\n", block(README, "purchase")));
    server.stop();
}

/// The table of docs/performance.md has every figure that has a goal, and the goals of the benchmark.
#[test]
fn the_table_has_every_figure_with_a_goal() {
    let table = between(PERFORMANCE, "<!-- benchmark table:", "<!-- end of the benchmark table -->");
    let rows: Vec<&str> = table.lines().filter(|line| line.contains("| `")).collect();
    for goal in lab::benchmark::goals::GOALS.iter().filter(|goal| goal.at_least.is_some()) {
        assert!(rows.iter().any(|row| row.contains(&format!("`{}`", goal.name))), "{} is not in the table", goal.name);
    }
}

/// What everybody reads first stays short; the rest is in the book.
#[test]
fn the_first_pages_are_short() {
    for (name, bytes_max) in [("README.md", 10_000), ("ARCHITECTURE.md", 12_000)] {
        let bytes = std::fs::metadata(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap().len();
        assert!(bytes <= bytes_max, "{name} has {bytes} bytes, more than {bytes_max}: move what is detail into docs/");
    }
}
