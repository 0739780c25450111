//! The arrows of the design's section 8, and what does not land: read off the source text.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ANYTHING: &[&str] = &["*"];

/// Each module and what of ours it may use, itself aside. A new module needs a line here.
const ARROWS: &[(&str, &[&str])] = &[
    ("id", &[]),
    ("clock", &["id"]),
    ("domain", &["id"]),
    ("log", &["id", "clock", "limits"]),
    ("feed", &["log", "id"]),
    ("ledger", &["feed", "log", "id", "domain", "data", "limits"]),
    // Its queries are what lists are made of.
    ("projector", &["feed", "kafka", "log", "id", "clock", "limits", "outputs", "schema"]),
    ("outputs", &["log", "id"]),
    ("kafka", &["feed", "log", "id", "clock", "outputs", "config", "data", "limits"]),
    ("config", &["log"]),
    ("data", &[]),
    ("limits", &[]),
    ("metrics", &["id", "config", "outputs"]),
    ("passwords", &["config"]),
    ("secrets", &["domain", "id", "config", "data"]),
    ("signing", &["data", "id"]),
    ("tls", &[]),
    ("vault", &["id", "secrets", "data"]),
    ("identity", &["domain", "id", "config"]),
    ("schema", &["domain", "id"]),
    ("actors", &["domain", "log", "feed", "clock", "id", "metrics"]),
    (
        "http",
        &[
            "actors",
            "domain",
            "ledger",
            "projector",
            "log",
            "feed",
            "clock",
            "id",
            "metrics",
            "outputs",
            "config",
            "secrets",
            "signing",
            "tls",
            "vault",
            "passwords",
            "identity",
        ],
    ),
    // What a demo has in it: it buys and sells as anybody does.
    ("demo", &["actors", "domain", "http", "id", "secrets"]),
    // The composition root, and the two that run it.
    ("app", ANYTHING),
    ("serve", ANYTHING),
    ("tools", ANYTHING),
    ("main", ANYTHING),
    ("lib", ANYTHING),
];

/// Who may use the composition root.
const USES_APP: &[&str] = &["app", "serve", "tools", "main"];

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

/// Of a file under `src`.
const LINES_MAX: usize = 600;
/// Who talks to a terminal.
const PRINTS: &[&str] = &["main", "tools", "serve", "demo", "tests"];

/// Where status codes are known.
const STATUS_CODES: &[&str] = &[
    "http/error.rs",
    // The codes of success: 200, 201, 304.
    "http/reply.rs",
];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
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

/// `http/error.rs` is of `http`, `clock.rs` of `clock`.
fn module(path: &str) -> &str {
    path.split(['/', '.']).next().unwrap()
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

fn first_name(path: &str) -> String {
    path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Our modules that code names: `crate::log::…`, `use crate::{id, log::Position}`.
fn uses(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = code[at + "crate::".len()..].trim_start();
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(first_name(rest));
            continue;
        };
        let (mut depth, mut item) = (0, String::new());
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.insert(first_name(item.trim()));
                    item.clear();
                }
                c => item.push(c),
            }
        }
        found.insert(first_name(item.trim()));
    }
    found.remove("");
    found
}

/// The modules that exist: a macro of ours is used by `crate::` too.
fn modules() -> BTreeSet<String> {
    sources(&src()).iter().map(|(path, _)| module(path).to_owned()).collect()
}

#[test]
fn modules_use_what_they_may() {
    let (modules, mut wrong) = (modules(), Vec::new());
    for (path, text) in sources(&src()) {
        let user = module(&path);
        let Some((_, may)) = ARROWS.iter().find(|(name, _)| *name == user) else {
            wrong.push(format!("{path}: module {user} has no line in ARROWS of tests/layers.rs"));
            continue;
        };
        if is_test(&path) {
            continue;
        }
        for used in uses(&code(&text)).iter().filter(|used| modules.contains(*used) && *used != user) {
            let allowed = *may == ANYTHING || may.contains(&used.as_str());
            if !allowed || used == "app" && !USES_APP.contains(&user) {
                wrong.push(format!("{path}: {user} must not use {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_domain_is_pure() {
    let mut wrong = Vec::new();
    for (path, text) in sources(&src()).iter().filter(|(path, _)| module(path) == "domain" && !is_test(path)) {
        let code = code(text);
        let banned = BANNED_IN_DOMAIN.iter().filter(|word| has_word(&code, word));
        wrong.extend(banned.map(|word| format!("{path}: {word}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn status_codes_are_known_in_one_place() {
    let users =
        sources(&src()).into_iter().filter(|(path, text)| !is_test(path) && has_word(&code(text), "StatusCode"));
    let wrong: Vec<String> =
        users.map(|(path, _)| path).filter(|path| !STATUS_CODES.contains(&path.as_str())).collect();
    assert!(wrong.is_empty(), "StatusCode belongs into http/error.rs: {}", wrong.join(", "));
}

#[test]
fn what_does_not_land() {
    let mut wrong = Vec::new();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let files = sources(&src()).into_iter().map(|(path, text)| (module(&path).to_owned(), path, text));
    let files = files.chain(sources(&tests).into_iter().map(|(path, text)| ("tests".into(), path, text)));
    for (module, path, text) in files {
        let lines = text.lines().count();
        if lines > LINES_MAX && module != "tests" {
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
        if has_word(&code, "println!") && !PRINTS.contains(&module.as_str()) {
            wrong.push(format!("{path}: println! (say it with tracing)"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The reader of source text itself: one text a row, and what it uses.
#[test]
fn uses_are_read_off_the_text() {
    let table: [(&str, &[&str]); 8] = [
        ("use crate::log::Position;", &["log"]),
        ("pub use crate::id::{Millis, UserId};", &["id"]),
        ("use crate::{id, log::{self, Log}, actors::Engine};", &["actors", "id", "log"]),
        ("use crate::{\n    id,\n    log::Log,\n};", &["id", "log"]),
        ("let x = crate::domain::Fingerprint::of(&[]);", &["domain"]),
        ("// use crate::log;\n/// [`crate::http`]", &[]),
        ("let u = \"http://crate::x\"; // crate::id", &["x"]),
        ("fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::app::Running;\n}", &[]),
    ];
    for (text, expected) in table {
        let found = uses(&code(text));
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{text:?}");
    }
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
