//! Which crate may use which, and what does not land: read off manifests and source text.

#[path = "layers/imports.rs"]
mod imports;
#[path = "layers/tokens.rs"]
mod tokens;

use imports::{Crate, circles};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each crate of ours and which others it may use. Cargo enforces what the manifests say; this holds the manifests to it.
const ARROWS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("domain", &["base"]),
    ("contracts", &["base", "domain"]),
    ("eventlog", &["base"]),
    ("config", &["eventlog"]),
    ("kafka", &["base", "config", "eventlog"]),
    ("readmodels", &["base", "contracts", "eventlog", "kafka"]),
    ("security", &["base", "config", "domain", "eventlog"]),
    ("backup", &["base", "eventlog", "security"]),
    ("traces", &["base"]),
    ("engine", &["base", "config", "domain", "eventlog"]),
    ("api", &["base", "config", "domain", "engine", "eventlog", "readmodels", "security", "traces"]),
    ("verifier", &["base", "domain", "eventlog", "readmodels"]),
    (
        "lab",
        &["api", "base", "contracts", "domain", "engine", "eventlog", "kafka", "readmodels", "security", "verifier"],
    ),
];

/// What the rules must not know: threads, time, chance, disks.
const BANNED_IN_DOMAIN: &[&str] = &[
    "async",
    "await",
    "actix",
    "tokio",
    "std::fs",
    "std::net",
    "std::io",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "rand",
    "getrandom",
    "Mutex",
    "RwLock",
    "new_v4",
    "now_v7",
];

/// Of a file.
const LINES_MAX: usize = 600;
/// Source files that lie flat in one folder.
const FILES_MAX: usize = 15;
/// Who talks to a terminal.
const PRINTS: &[&str] = &["src", "lab", "verifier", "tests"];

/// Where status codes are known.
const STATUS_CODES: &[&str] = &[
    "api/src/kit/error/mod.rs",
    // The codes of success: 200, 201, 304.
    "api/src/kit/reply.rs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Path and text of every source file of ours: `src/main.rs`, `domain/src/lib.rs`.
fn all_sources() -> Vec<(String, String)> {
    let own = sources(&root().join("src")).into_iter().map(|(path, text)| (format!("src/{path}"), text));
    let crates = sources(&root().join("crates")).into_iter();
    own.chain(crates).collect()
}

/// Path below `dir`, and text, of every Rust file.
fn sources(dir: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(found.len() > 3, "the source is not in {}", dir.display());
    found
}

/// `domain/src/lib.rs` is of `domain`.
fn crate_of(path: &str) -> &str {
    path.split('/').next().unwrap()
}

/// Tests may use anything.
fn is_test(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/") || path.ends_with("testing.rs")
}

/// Without comments and without the tests at the end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    // A URL in a string is no comment.
    let comment = |line: &str| line.match_indices("//").map(|(at, _)| at).find(|at| !line[..*at].ends_with(':'));
    let lines = text.lines().map(|line| comment(line).map_or(line, |at| &line[..at]));
    lines.collect::<Vec<_>>().join("\n")
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where `word` stands by itself.
fn has_word(code: &str, word: &str) -> bool {
    let bytes = code.as_bytes();
    code.match_indices(word).any(|(at, _)| {
        let before = at.checked_sub(1).is_none_or(|before| !is_word(bytes[before]));
        before && bytes.get(at + word.len()).is_none_or(|after| !is_word(*after))
    })
}

/// The names behind `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let table = manifest.split("[dependencies]\n").nth(1).unwrap_or_default();
    let lines = table.lines().take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split(['.', ' ', '=']).next()).map(str::to_owned).collect()
}

#[test]
fn crates_use_what_they_may() {
    let mut wrong = Vec::new();
    let names: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some((_, may)) = ARROWS.iter().find(|(known, _)| **known == name) else {
            wrong.push(format!("crate {name} has no line in ARROWS of tests/layers.rs"));
            continue;
        };
        let manifest = fs::read_to_string(path.join("Cargo.toml")).unwrap();
        let used = dependencies(&manifest).into_iter().filter(|used| names.contains(used.as_str()));
        wrong.extend(
            used.filter(|used| !may.contains(&used.as_str())).map(|used| format!("{name} must not use {used}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_do_not_use_each_other_in_circles() {
    let mut wrong = Vec::new();
    let sources = all_sources();
    let crates: BTreeSet<&str> = sources.iter().map(|(path, _)| crate_of(path)).collect();
    for name in crates {
        let src = if name == "src" { "src/".to_owned() } else { format!("{name}/src/") };
        let files = sources.iter().filter_map(|(path, text)| Some((path.strip_prefix(&src)?, text.as_str())));
        let graph = Crate::read(files).graph();
        for knot in circles(&graph) {
            let steps = knot.shortest.windows(2).map(|step| {
                let by = &graph[&step[0]][&step[1]];
                format!("\n    {src}{} uses {} ({by})", step[0], step[1])
            });
            let files = knot.files.len();
            wrong.push(format!("{files} files of {name} use each other in a circle:{}", steps.collect::<String>()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn folders_are_small() {
    let mut files = BTreeMap::<String, usize>::new();
    for (path, _) in all_sources() {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        *files.entry(folder).or_default() += 1;
    }
    let wrong: Vec<String> = files
        .iter()
        .filter(|(_, count)| **count > FILES_MAX)
        .map(|(folder, count)| format!("{folder}: {count}"))
        .collect();
    assert!(wrong.is_empty(), "more than {FILES_MAX} files in {}", wrong.join(", "));
}

#[test]
fn the_domain_is_pure() {
    let mut wrong = Vec::new();
    for (path, text) in all_sources().iter().filter(|(path, _)| crate_of(path) == "domain" && !is_test(path)) {
        let code = code(text);
        let banned = BANNED_IN_DOMAIN.iter().filter(|word| has_word(&code, word));
        wrong.extend(banned.map(|word| format!("{path}: {word}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn status_codes_are_known_in_one_place() {
    let users = all_sources().into_iter().filter(|(path, text)| !is_test(path) && has_word(&code(text), "StatusCode"));
    let wrong: Vec<String> =
        users.map(|(path, _)| path).filter(|path| !STATUS_CODES.contains(&path.as_str())).collect();
    assert!(wrong.is_empty(), "StatusCode belongs into api/src/kit/error: {}", wrong.join(", "));
}

#[test]
fn what_does_not_land() {
    let mut wrong = Vec::new();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let files = all_sources().into_iter().map(|(path, text)| (crate_of(&path).to_owned(), path, text));
    let files = files.chain(sources(&tests).into_iter().map(|(path, text)| ("tests".into(), path, text)));
    for (part, path, text) in files {
        let lines = text.lines().count();
        if lines > LINES_MAX && part != "tests" {
            wrong.push(format!("{path}: {lines} lines, more than {LINES_MAX}"));
        }
        if path == "layers.rs" {
            continue;
        }
        let code = code(&text);
        for (word, why) in [("TODO", &text), ("FIXME", &text), ("dbg!", &code), ("todo!", &code)] {
            if has_word(why, word) {
                wrong.push(format!("{path}: {word}"));
            }
        }
        if has_word(&code, "println!") && !PRINTS.contains(&part.as_str()) {
            wrong.push(format!("{path}: println! (say it with tracing)"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The reader of source text itself: one text a row.
#[test]
fn words_are_found_in_the_text() {
    for (text, word, expected) in [
        ("pub async fn f()", "async", true),
        ("let asynchronous = 1;", "async", false),
        ("operand(rand)", "rand", true),
        ("context.random", "rand", false),
        ("eprintln!(\"x\")", "println!", false),
        ("println!(\"x\")", "println!", true),
        ("dbg!(x)", "dbg!", true),
    ] {
        assert_eq!(has_word(text, word), expected, "{text:?} {word:?}");
    }
}
