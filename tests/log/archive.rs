//! What the durable log does when sled, or what is in it, is not as it was: it has everything it acknowledged, or says where
//! it is damaged.

use super::stores::*;
use engine::lifecycle::scrub;
use eventlog::frame::Chunk;
use eventlog::sled::block;
use eventlog::store::{Op, Options, Store};
use eventlog::{Error, Log, Position};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

#[test]
fn an_archive_that_is_gone_is_refused_by_name_also_where_the_journal_has_everything() {
    let ways: [fn(&Path) -> u64; 2] = [closed, crashed];
    for leave in ways {
        let dir = tempfile::tempdir().unwrap();
        leave(dir.path());
        let away = tempfile::tempdir().unwrap();
        fs::rename(dir.path().join("sled"), away.path().join("sled")).unwrap();
        let error = open_and_read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("sled is missing; put it back"), "{error}");
        // Nothing was begun in its place.
        fs::rename(away.path().join("sled"), dir.path().join("sled")).unwrap();
        open_and_read(dir.path()).unwrap();
    }
}

fn sled_flips(origin: &Path, last: u64, seed: u64, attempts: usize) {
    let len = fs::metadata(origin.join("sled/db")).unwrap().len() as usize;
    let content = fs::read(origin.join("sled/db")).unwrap();
    let used = content.iter().rposition(|byte| *byte != 0).map_or(len, |at| at + 1);
    let mut random = Random(seed);
    let (mut unnoticed, mut refused) = (0, 0);
    let unharmed = tempfile::tempdir().unwrap();
    copy_dir(origin, unharmed.path());
    assert_eq!(open_and_read(unharmed.path()).map(|(read, _)| read), Ok(last));
    for _ in 0..attempts {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(origin, dir.path());
        let bit = random.below(8 * used);
        flip(&dir.path().join("sled/db"), bit);
        match open_and_read(dir.path()) {
            Ok((read, _)) => {
                assert_eq!(read, last, "seed {seed}, bit {bit}");
                unnoticed += 1;
            }
            Err(Error::Damaged { position, what }) => {
                eprintln!("bit {bit}: at {position}: {what}");
                assert!((1..=last + 1).contains(&position.0), "seed {seed}, bit {bit}: {position}, {what}");
                refused += 1;
            }
            Err(other) => panic!("seed {seed}, bit {bit}: {other}"),
        }
    }
    eprintln!("flips in sled's file: {unnoticed} were in nothing that is read, {refused} were refused");
    // Most of the file is events: where nothing is refused nothing was flipped, or nobody looks.
    assert!(refused >= attempts / 4, "of {attempts} flips {refused} were refused");
}

#[test]
fn damage_in_the_archive_is_never_silent_after_a_clean_shutdown() {
    let dir = tempfile::tempdir().unwrap();
    let last = closed(dir.path());
    sled_flips(dir.path(), last, 2, 60);
}

#[test]
fn damage_in_the_archive_is_never_silent_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), options()).unwrap();
    for _ in 0..300 {
        append(&store, 4, 700).unwrap();
    }
    let last = store.durable().0;
    drop(store);
    sled_flips(dir.path(), last, 3, 60);
}

#[test]
fn what_broken_off_archiving_left_is_archived_anew() {
    let dir = tempfile::tempdir().unwrap();
    let large = || Options { journal_bytes: 8 << 20, ..lazy() };
    let written = Arc::new(AtomicU64::new(0));
    let counted = written.clone();
    let fault = move |op: Op| match op == Op::ArchiveWrite && counted.fetch_add(1, Ordering::SeqCst) == 200 {
        true => Err(io::Error::other("injected")),
        false => Ok(()),
    };
    let (store, _) = Store::open(dir.path(), Options { fault: Some(Arc::new(fault)), ..large() }).unwrap();
    let mut random = Random(9);
    for _ in 0..3000 {
        append(&store, 2, 100 + random.below(500)).unwrap();
    }
    let last = store.durable().0;
    assert!(store.close().is_err());
    drop(store);
    // Recovery archives less at once, so that values end elsewhere.
    assert_eq!(written.load(Ordering::SeqCst), 201, "so many values were there");
    let (store, recovery) = Store::open(dir.path(), large()).unwrap();
    assert_eq!((recovery.from_journal, read_all(&store)), (last, Ok(last)));
}

/// The keys of the archive's chunks with their values, changed by hand.
fn with_archive(dir: &Path, change: impl FnOnce(&sled::Tree)) {
    let mut tries = 0;
    let db = loop {
        match sled::open(dir.join("sled")) {
            Ok(db) => break db,
            Err(_) if tries < 200 => tries += 1,
            Err(error) => panic!("{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    change(&db.open_tree("log").unwrap());
    db.flush().unwrap();
}

fn chunk_keys(tree: &sled::Tree) -> Vec<sled::IVec> {
    tree.iter().keys().map(Result::unwrap).filter(|key| key.len() == 10).collect()
}

/// Changes the last event in a value that is no part of a chunk, and makes the CRCs right again: only the chain tells.
/// Gives its position.
fn change_last_event(tree: &sled::Tree, key: &[u8]) -> u64 {
    let (value, mut unpacked) = (tree.get(key).unwrap().unwrap(), Vec::new());
    let mut rest = block::chunks(&value, &mut unpacked).unwrap();
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let (chunk, after) = Chunk::split_first(rest).unwrap();
        chunks.push(chunk);
        rest = after;
    }
    let last = chunks.pop().unwrap();
    let mut bytes = last.bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let crc = crc32fast::hash(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    chunks.push(Chunk::parse(&bytes).unwrap());
    let write = &mut |first: Position, _, value: &[u8]| {
        tree.insert([&first.0.to_be_bytes()[..], &[0; 2]].concat(), value).unwrap();
        Ok(())
    };
    block::pack(chunks.iter().copied(), write).unwrap();
    last.last().0
}

#[test]
fn a_chunk_that_is_missing_is_named() {
    for which in [0, 20, usize::MAX] {
        let dir = tempfile::tempdir().unwrap();
        closed(dir.path());
        let mut missing = 0;
        with_archive(dir.path(), |tree| {
            let keys = chunk_keys(tree);
            let key = &keys[which.min(keys.len() - 1)];
            missing = u64::from_be_bytes(key[..8].try_into().unwrap());
            tree.remove(key).unwrap();
        });
        let (store, _) = Store::open(dir.path(), options()).unwrap();
        let named = |outcome: Result<Position, Error>| match outcome {
            Err(Error::Damaged { position, .. }) => position.0,
            other => panic!("{other:?}"),
        };
        assert_eq!(named(store.verify_chain(Position(1))), missing);
        assert_eq!(named(store.read_from(Position(0), &mut |_| true)), missing);
        assert_eq!(named(store.read_from(Position(missing - 1), &mut |_| true)), missing);
    }
}

#[test]
fn a_part_of_a_large_chunk_that_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), options()).unwrap();
    append(&store, 1, 10).unwrap();
    append(&store, 1, 100_000).unwrap();
    append(&store, 1, 10).unwrap();
    store.close().unwrap();
    drop(store);
    with_archive(dir.path(), |tree| {
        let keys = chunk_keys(tree);
        assert!(keys.len() > 15);
        tree.remove(&keys[7]).unwrap();
    });
    let outcome = open_and_read(dir.path());
    assert!(matches!(outcome, Err(Error::Damaged { position: Position(2), .. })), "{outcome:?}");
}

#[test]
fn a_chunk_of_another_chain_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path());
    let mut changed = 0;
    with_archive(dir.path(), |tree| {
        let key = chunk_keys(tree)[10].clone();
        changed = change_last_event(tree, &key);
    });
    let (store, _) = Store::open(dir.path(), options()).unwrap();
    let outcome = store.verify_chain(Position(1));
    assert!(matches!(&outcome, Err(Error::Damaged { position, .. }) if position.0 == changed + 1), "{outcome:?}");
    // A start with a snapshot reads from `changed` on, and looks at what is before it later.
    let scrubbed = |to| scrub::read(&store, Position(to), &AtomicBool::new(false)).map_err(|error| error.to_string());
    assert_eq!(scrubbed(changed), outcome.map(drop).map_err(|error| error.to_string()));
    assert_eq!(scrubbed(1), Ok(()), "it reads no further than it has to");
    assert_eq!(scrub::read(&store, Position(changed), &AtomicBool::new(true)), Ok(()), "it can be stopped");
}

#[test]
fn the_last_chunk_cannot_be_exchanged_either() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path());
    with_archive(dir.path(), |tree| {
        let key = chunk_keys(tree).last().unwrap().clone();
        change_last_event(tree, &key);
    });
    assert!(matches!(open_and_read(dir.path()), Err(Error::Damaged { .. })));
}

#[test]
fn an_archive_that_went_back_in_time_is_noticed() {
    // The journal has been used again since, so what is missing is nowhere.
    let (dir, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let last = closed(dir.path());
    copy_dir(&dir.path().join("sled"), &old.path().join("sled"));
    let (store, _) = Store::open(dir.path(), options()).unwrap();
    while store.stats().bytes.load(Ordering::Relaxed) < 3 * JOURNAL_BYTES {
        append(&store, 3, 2000).unwrap();
    }
    drop(store);
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    copy_dir(&old.path().join("sled"), &dir.path().join("sled"));
    let outcome = open_and_read(dir.path());
    assert!(matches!(&outcome, Err(Error::Damaged { position, .. }) if position.0 == last + 1), "{outcome:?}");
}
