use super::{cell, head};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// A constant that bounds something is named so.
const BOUNDS: [&str; 3] = ["_MAX", "_MIN", "_TIMEOUT"];

pub fn page(root: &Path) -> String {
    let mut text = head(
        "Limits",
        "Every bound that is a constant of the code, read off the source; bounds that can be set are among the \
         [settings](settings.md), and those of a performance or a queue are fields of theirs. A name says its unit: `_S` seconds, \
         `_MS` milliseconds, `BYTES`, `CHARS`; what has no unit is counted.",
    );
    for (title, folder) in [
        ("Rules of selling, points and queues", "domain"),
        ("Requests and connections", "api"),
        ("The server", "config"),
        ("The engine", "engine"),
        ("The log", "eventlog"),
        ("Kafka", "kafka"),
        ("Read models", "readmodels"),
        ("Secrets and passwords", "security"),
        ("Backups", "backup"),
        ("Traces", "traces"),
    ] {
        writeln!(text, "\n## {title}\n\n| bound | value | |\n|---|---|---|").unwrap();
        for file in files(&root.join("crates").join(folder).join("src")) {
            for (name, value, about) in constants(&fs::read_to_string(file).unwrap()) {
                writeln!(text, "| `{name}` | `{}` | {} |", cell(&value), cell(&about)).unwrap();
            }
        }
    }
    text
}

/// Every source file but tests, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "tests" {
                folders.push(path);
            } else if name.ends_with(".rs") && !matches!(name.as_str(), "tests.rs" | "testing.rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Name, value and doc comment of each constant that bounds something and says why.
fn constants(text: &str) -> Vec<(String, String, String)> {
    let (mut found, mut about) = (Vec::new(), String::new());
    for line in text.split("#[cfg(test)]\nmod tests").next().unwrap().lines() {
        let line = line.trim_start();
        if let Some(doc) = line.strip_prefix("///") {
            about += doc;
            continue;
        }
        let constant = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) ")).unwrap_or(line);
        if let Some((name, rest)) = constant.strip_prefix("const ").and_then(|rest| rest.split_once(':')) {
            let value = rest.split_once(" = ").map(|(_, value)| value.trim_end_matches(';').to_owned());
            let bounds = BOUNDS.iter().any(|end| name.ends_with(end) || name.contains(&format!("{end}_")));
            if let Some(value) = value.filter(|_| bounds && !about.is_empty()) {
                found.push((name.to_owned(), value, about.trim().to_owned()));
            }
        }
        about.clear();
    }
    found
}
