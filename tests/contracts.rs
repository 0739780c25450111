//! The contracts under `schema/` are what the code says, and what it said before. To write new ones:
//! `UPDATE_CONTRACTS=1 cargo test --test contracts`. Samples that are there are never written again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/events")
}

/// `schema/openapi.json`.
#[test]
fn openapi_is_what_the_handlers_say() {
    let output = Command::new(env!("CARGO_BIN_EXE_onsale")).arg("openapi").output().unwrap();
    assert!(output.status.success());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/openapi.json");
    if std::env::var_os("UPDATE_CONTRACTS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &output.stdout).unwrap();
    }
    let published = std::fs::read(&path).unwrap_or_default();
    assert!(
        published == output.stdout,
        "schema/openapi.json is not what `onsale openapi` prints; UPDATE_CONTRACTS=1 cargo test --test contracts, then look at the difference"
    );
}

#[test]
fn what_is_committed_is_what_the_code_says() {
    if std::env::var_os("UPDATE_CONTRACTS").is_some() {
        contracts::write(&committed()).unwrap();
    }
    let wrong = contracts::check(&committed()).unwrap();
    assert!(wrong.is_empty(), "{}\nUPDATE_CONTRACTS=1 cargo test --test contracts writes new ones", wrong.join("\n"));
}

#[test]
fn the_asyncapi_document_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/asyncapi.json");
    if std::env::var_os("UPDATE_CONTRACTS").is_some() {
        fs::write(&path, contracts::asyncapi::text()).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == contracts::asyncapi::text(),
        "UPDATE_CONTRACTS=1 cargo test --test contracts writes a new schema/asyncapi.json"
    );
}

/// Every field and every event is described: whoever reads a schema has nothing else.
#[test]
fn every_event_is_described() {
    for contract in contracts::contracts() {
        let description = contract.schema["description"].as_str().unwrap_or_default();
        assert!(description.len() > 10, "{} has no description", contract.name);
        assert_eq!(contract.schema["title"], contract.name);
        assert_eq!(contract.schema["x-category"], contract.category.as_str());
        assert_eq!(contract.schema["type"], "object", "{}", contract.name);
    }
}

/// A copy of what is committed, changed, and what the check says to it.
#[track_caller]
fn complains(change: impl FnOnce(&Path), part: &str) {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(committed()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    assert_eq!(contracts::check(dir.path()).unwrap(), [""; 0]);
    change(dir.path());
    // Writing mends nothing that is a break with the past.
    for written in [false, true] {
        if written {
            contracts::write(dir.path()).unwrap();
        }
        let wrong = contracts::check(dir.path()).unwrap();
        assert!(wrong.iter().any(|wrong| wrong.contains(part)), "written again: {written}; {wrong:?}");
    }
}

/// An edit of a released event that is more than an addition is refused, not written.
#[test]
fn a_break_with_a_released_event_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    contracts::write(dir.path()).unwrap();
    let before = fs::read_to_string(dir.path().join("SeatsHeld.v1.schema.json")).unwrap();
    // As if the event had had a field more.
    edit(
        dir.path(),
        "SeatsHeld.v1.schema.json",
        "\"adjacent\": {",
        "\"adjacency\": {\"type\": \"string\"},\n    \"adjacent\": {",
    );
    let error = contracts::write(dir.path()).unwrap_err().to_string();
    assert!(error.contains("SeatsHeld.v1 was released: adjacency is gone"), "{error}");
    // As if it had had a field less: that one is added.
    fs::write(dir.path().join("SeatsHeld.v1.schema.json"), &before).unwrap();
    edit(dir.path(), "SeatsHeld.v1.schema.json", "\"relaxed\": {", "\"unrelaxed\": {");
    assert!(contracts::write(dir.path()).is_err());
}

fn edit(dir: &Path, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(dir.join(file)).unwrap();
    assert!(text.contains(from), "{file} has {from:?}");
    fs::write(dir.join(file), text.replace(from, to)).unwrap();
}

#[test]
fn a_removed_sample_is_missed() {
    complains(
        |dir| fs::remove_file(dir.join("SeatsHeld.v1.sample.json")).unwrap(),
        "SeatsHeld.v1.sample.json is missing",
    );
}

#[test]
fn a_changed_sample_is_noticed() {
    complains(|dir| edit(dir, "SeatsHeld.v1.sample.json", "390000", "390001"), "SeatsHeld.v1.sample.json was changed");
}

#[test]
fn an_event_that_was_released_stays() {
    let add =
        |dir: &Path| edit(dir, "released.json", "\"SeatsHeld.v1\"", "\"SeatsHeld.v0\": \"00\",\n  \"SeatsHeld.v1\"");
    complains(add, "SeatsHeld.v0 was released");
    complains(|dir| fs::write(dir.join("SeatsHeld.v0.sample.json"), "{}").unwrap(), "belongs to no event");
}

#[test]
fn a_changed_schema_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    contracts::write(dir.path()).unwrap();
    edit(dir.path(), "SeatsHeld.v1.schema.json", "\"points\"", "\"price\"");
    assert_eq!(contracts::check(dir.path()).unwrap(), ["SeatsHeld.v1.schema.json is not what the code says"]);
}
