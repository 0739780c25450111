//! Snapshots give back what was put, or are passed over.

use base::id::Category;
use eventlog::snapshot::{Entry, Snapshot, Writer};
use eventlog::{Error, Position};
use std::fs;
use std::path::Path;
use uuid::Uuid;

const SCHEMA: u32 = 3;
const EVER: Position = Position(u64::MAX);

fn key(number: u64) -> Uuid {
    // Scattered, as random ids are.
    Uuid::from_u64_pair(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number)
}

fn entry(number: u64) -> Entry {
    let flags = if number.is_multiple_of(97) { 1 + (number % 7) as u8 } else { 0 };
    let bytes = vec![number as u8; (number % 300) as usize];
    Entry { version: number + 1, last_position: Position(number * 2), flags, bytes }
}

fn category(number: u64) -> Category {
    Category::ALL[number as usize % 5]
}

fn write(dir: &Path, position: u64, count: u64) {
    let mut writer = Writer::create(dir, Position(position), Some([7; 32]), SCHEMA).unwrap();
    for number in 0..count {
        let entry = entry(number);
        let (category, flags) = (category(number), entry.flags);
        writer.put(category, key(number), entry.version, entry.last_position, flags, &entry.bytes).unwrap();
    }
    writer.finish().unwrap();
}

fn latest(dir: &Path) -> Option<Snapshot> {
    Snapshot::open_latest(dir, SCHEMA, EVER).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn everything_put_is_found() {
    for count in [0, 1, 127, 128, 129, 5000] {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), 42, count);
        let snapshot = latest(dir.path()).unwrap();
        assert_eq!((snapshot.position(), snapshot.hash(), snapshot.len()), (Position(42), Some([7; 32]), count));
        for number in 0..count {
            assert_eq!(snapshot.get(category(number), key(number)), Ok(Some(entry(number))), "{number} of {count}");
        }
        for number in [count, count + 1, u64::MAX] {
            assert_eq!(snapshot.get(category(number), key(number)), Ok(None));
        }
        assert_eq!(snapshot.get(Category::Concert, Uuid::nil()), Ok(None));
        let all: Vec<_> = snapshot.iter().map(Result::unwrap).collect();
        let expected: Vec<_> = (0..count).map(|number| (category(number), key(number), entry(number))).collect();
        assert!(all == expected);
        let flagged: Vec<_> = snapshot.iter_flagged().map(Result::unwrap).collect();
        let mut expected: Vec<_> =
            expected.into_iter().map(|(category, key, entry)| (category, key, entry.flags)).collect();
        expected.retain(|(_, _, flags)| *flags != 0);
        expected.sort();
        assert_eq!(flagged, expected);
    }
}

#[test]
fn the_newest_two_are_kept_and_the_newest_that_fits_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    assert!(latest(dir.path()).is_none());
    assert!(latest(&dir.path().join("none")).is_none());
    for position in [5, 100, 30] {
        write(dir.path(), position, 3);
    }
    assert_eq!(names(dir.path()), ["snapshot-00000000000000000030", "snapshot-00000000000000000100"]);
    assert_eq!(latest(dir.path()).unwrap().position(), Position(100));
    let up_to = |max| Snapshot::open_latest(dir.path(), SCHEMA, Position(max)).unwrap().map(|found| found.position().0);
    assert_eq!([up_to(100), up_to(99), up_to(30), up_to(29)], [Some(100), Some(30), Some(30), None]);
    assert!(Snapshot::open_latest(dir.path(), SCHEMA + 1, EVER).unwrap().is_none());
}

#[test]
fn an_unfinished_one_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 10, 3);
    let mut writer = Writer::create(dir.path(), Position(20), None, SCHEMA).unwrap();
    writer.put(Category::Wallet, key(1), 1, Position(1), 0, b"x").unwrap();
    drop(writer);
    assert_eq!(latest(dir.path()).unwrap().position(), Position(10));
}

#[test]
fn a_state_of_millions_fits() {
    let dir = tempfile::tempdir().unwrap();
    let state: Vec<u8> = (0..40_000_000u32).map(|at| (at % 251) as u8).collect();
    let mut writer = Writer::create(dir.path(), Position(9), None, SCHEMA).unwrap();
    writer.put(Category::Queue, key(1), 3, Position(8), 0, &state).unwrap();
    writer.put(Category::Queue, key(2), 4, Position(9), 0, b"little").unwrap();
    writer.finish().unwrap();
    let snapshot = latest(dir.path()).unwrap();
    assert!(snapshot.get(Category::Queue, key(1)).unwrap().unwrap().bytes == state);
    assert_eq!(snapshot.get(Category::Queue, key(2)).unwrap().unwrap().bytes, b"little");
    assert_eq!(snapshot.iter().map(|entry| entry.unwrap().2.bytes.len()).sum::<usize>(), state.len() + 6);
}

#[test]
fn a_key_twice_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(dir.path(), Position(20), None, SCHEMA).unwrap();
    for _ in 0..2 {
        writer.put(Category::Wallet, key(1), 1, Position(1), 0, b"x").unwrap();
    }
    assert!(matches!(writer.finish(), Err(Error::Other(_))));
    assert!(latest(dir.path()).is_none());
}

#[test]
fn a_damaged_one_gives_way_to_the_older() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 1, 300);
    write(dir.path(), 2, 300);
    let path = latest(dir.path()).unwrap().path().to_owned();
    let whole = fs::read(&path).unwrap();
    let falls_back = |what: &str| {
        // The schema is all that a snapshot of another one is known by, so its flip is not told from one.
        assert_eq!(latest(dir.path()).map(|found| found.position()), Some(Position(1)), "{what}");
    };
    for at in (0..whole.len()).step_by(whole.len() / 150).chain(0..64).chain(whole.len() - 64..whole.len()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, bytes).unwrap();
        falls_back(&format!("flip at {at}"));
    }
    for len in (0..whole.len()).step_by(whole.len() / 100).chain(0..100).chain(whole.len() - 60..whole.len()) {
        fs::write(&path, &whole[..len]).unwrap();
        falls_back(&format!("{len} bytes"));
    }
    let garbage: Vec<u8> = (0..100_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(&path, garbage).unwrap();
    falls_back("garbage");
    // Under another name it is of another position.
    fs::write(dir.path().join("snapshot-00000000000000000009"), &whole).unwrap();
    falls_back("renamed");
}

/// Whole-file CRCs that are right over numbers that are not.
#[test]
fn made_up_numbers_do_not_panic() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 2, 300);
    let path = latest(dir.path()).unwrap().path().to_owned();
    let whole = fs::read(&path).unwrap();
    let end = whole.len() - 36;
    let places = (56..end).step_by(211).chain([end, end + 8, end + 16]);
    for at in places {
        for number in [0, 1, u64::MAX, u64::MAX / 26, 1 << 40, whole.len() as u64] {
            let mut bytes = whole.clone();
            let len = 8.min(bytes.len() - 4 - at);
            bytes[at..at + len].copy_from_slice(&number.to_le_bytes()[..len]);
            let crc = crc32fast::hash(&bytes[..whole.len() - 4]);
            bytes[whole.len() - 4..].copy_from_slice(&crc.to_le_bytes());
            fs::write(&path, bytes).unwrap();
            let Some(snapshot) = latest(dir.path()) else { continue };
            for number in 0..300 {
                let _ = snapshot.get(category(number), key(number));
            }
            assert!(snapshot.iter().count() as u64 <= snapshot.len());
            assert!(snapshot.iter_flagged().count() as u64 <= snapshot.len());
        }
    }
}
