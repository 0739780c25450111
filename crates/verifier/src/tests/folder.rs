//! Whole data folders.

use super::fixture::{good, number};
use crate::{Kind, Violation, as_json, check, run, summary, verify_dir};
use eventlog::data_folder::DataFolder;
use eventlog::store::{Options, Store};
use eventlog::{Batch, Log, Position, tail};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// A data folder with the first `events` of the good log; the last of them with another `points` if need be.
fn folder(dir: &Path, events: usize, points: Option<u64>) -> (DataFolder, Arc<Store>) {
    let folder = DataFolder::create_or_open(dir).unwrap();
    let options = Options { journal_bytes: 1 << 20, ..Options::default() };
    let (store, _) = Store::open(&folder.log(), options).unwrap();
    let mut lines = good();
    lines.truncate(events);
    if let Some(points) = points {
        lines[events - 1].data["points"] = json!(points);
    }
    let mut batch = Batch::new();
    for line in number(&lines) {
        let event = line.as_recorded();
        batch.push(event.stream, event.version, event.at_ms, event.name, |out| out.extend_from_slice(event.data));
    }
    let last = store.append(batch, None).unwrap();
    while store.durable() < last {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    (folder, Arc::new(store))
}

fn close(dir: &Path, events: usize, points: Option<u64>) {
    let (_folder, store) = folder(dir, events, points);
    store.close().unwrap();
}

fn verify(dir: &Path) -> ExitCode {
    run(super::super::VerifyArgs {
        dir: dir.into(),
        read_models: false,
        sqlite: None,
        postgres: None,
        postgres_schema: "onsale".into(),
        postgres_ca: None,
        json: true,
    })
    .unwrap()
}

#[test]
fn a_folder_is_verified_with_and_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let (data, store) = folder(dir.path(), 28, None);
    let tail = tail::serve(store.clone(), &DataFolder::socket(dir.path())).unwrap();
    let running = verify_dir(dir.path()).unwrap();
    assert_eq!(verify(dir.path()), ExitCode::SUCCESS);
    let open = check(&mut |each| store.read_from(Position(0), each), &mut |_| {}).unwrap();
    assert_eq!(open.unwrap(), running);
    drop(tail);
    store.close().unwrap();
    drop((store, data));
    assert_eq!(running.events, 28);
    assert_eq!(verify_dir(dir.path()).unwrap(), running);
    assert_eq!(verify(dir.path()), ExitCode::SUCCESS);
    // And nothing has changed by it.
    assert_eq!(verify_dir(dir.path()).unwrap(), running);
}

#[test]
fn a_folder_that_does_not_hold_says_where() {
    let dir = tempfile::tempdir().unwrap();
    close(dir.path(), 9, Some(1));
    let error = verify_dir(dir.path()).unwrap_err();
    let violation = error.downcast_ref::<Violation>().expect("a violation");
    assert_eq!((violation.position, violation.kind), (Position(9), Kind::PointsOff));
    assert_eq!(verify(dir.path()), ExitCode::FAILURE);
    let said: Value = serde_json::from_str(&as_json(&Err(violation.clone()), 0, 1.0)).unwrap();
    assert_eq!((&said["ok"], &said["books"]["points_off"]), (&json!(false), &json!(1)));
    assert_eq!((&said["violation"]["position"], &said["tool"]), (&json!(9), &json!("verify")));
}

#[test]
fn a_report_has_counts() {
    let dir = tempfile::tempdir().unwrap();
    close(dir.path(), 28, None);
    let said: Value = serde_json::from_str(&as_json(&Ok(verify_dir(dir.path()).unwrap()), 0, 1.0)).unwrap();
    assert_eq!((&said["ok"], &said["books"]), (&json!(true), &Value::Object(summary::books(None))));
    assert_eq!((&said["counts"]["points_outstanding"], &said["counts"]["points_adjusted"]), (&json!(490), &json!(-10)));
}

#[test]
fn no_folder_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let error = verify_dir(&dir.path().join("nowhere")).unwrap_err().to_string();
    assert!(error.contains("there is no folder") && !error.contains('\n'), "{error}");
}

/// What the log itself finds wrong is a violation like any other; what keeps it from being read is not.
#[test]
fn a_damaged_log_is_named_by_position() {
    let damaged = eventlog::Error::Damaged { position: Position(7), what: "the chunk's CRC does not match".into() };
    let found = check(&mut |_| Err(damaged.clone()), &mut |_| {}).unwrap().unwrap_err();
    assert_eq!((found.position, found.kind), (Position(7), Kind::LogDamaged));
    let unreadable = eventlog::Error::Other("no permission".into());
    assert_eq!(check(&mut |_| Err(unreadable.clone()), &mut |_| {}), Err(unreadable.clone()));
}
