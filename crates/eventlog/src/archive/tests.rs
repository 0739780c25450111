//! What is moved reads as before, whatever happens on the way; what is missing or changed is named.

use super::{Cold, LIST};
use crate::archive::relocate::{self, Options};
use crate::failure::Op;
use crate::sled::SLED;
use crate::store::{self, Store};
use crate::{Batch, Chunks, Error, Log, Position};
use base::id::{Category, StreamId};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use tempfile::TempDir;
use uuid::Uuid;

fn open(dir: &Path) -> Store {
    Store::open(dir, store::Options { journal_bytes: 1 << 20, ..store::Options::default() }).unwrap().0
}

/// Appends events of these sizes, a batch each, and waits until all are durable.
fn append(store: &Store, sizes: impl Iterator<Item = usize>) {
    let stream = StreamId { category: Category::Wallet, key: Uuid::from_u128(7) };
    for size in sizes {
        let mut batch = Batch::new();
        let version = store.appended().0 + 1;
        batch.push(stream, version, 1_000 * version, "Noted.v1", |out| {
            // Not all the same, so that it does not compress to nothing.
            out.extend((0..size).map(|at| (at as u64 * version * 37 % 251) as u8));
        });
        store.append(batch, None).unwrap();
    }
    let (done, wait) = mpsc::channel();
    store.append(Batch::new(), Some(Box::new(move |outcome| done.send(outcome).unwrap()))).unwrap();
    wait.recv().unwrap().unwrap();
}

/// A log that was closed: many small events, and some that need several values in sled.
fn closed(events: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    append(&store, (0..events).map(|number| if number % 40 == 3 { 20_000 } else { 50 + number % 700 }));
    store.close().unwrap();
    folder
}

/// Every chunk after `after`, byte by byte.
fn chunks(store: &Store, after: u64) -> Result<Vec<Vec<u8>>, Error> {
    let mut all = Vec::new();
    store.read_chunks(Position(after), &mut |chunk| {
        all.push(chunk.bytes().to_vec());
        true
    })?;
    Ok(all)
}

/// The same of a log that nobody has open.
fn chunks_in(dir: &Path) -> Vec<Vec<u8>> {
    let store = open(dir);
    let all = chunks(&store, 0).unwrap();
    store.close().unwrap();
    all
}

fn small() -> Options {
    Options { part_bytes: 60_000, ..Options::default() }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    super::list(dir).unwrap().into_iter().map(|(_, path, _)| path).collect()
}

#[test]
fn what_is_moved_reads_as_before() {
    let folder = closed(600);
    let dir = folder.path();
    let before = chunks_in(dir);
    let moved = relocate::archive(dir, Position(400), &small()).unwrap();
    assert!(moved.parts.len() > 2, "{moved:?}");
    let last = moved.parts.last().unwrap().last;
    assert!(last <= Position(400) && last > Position(380), "{last}");
    assert_eq!(files(dir).len(), moved.parts.len());

    let store = open(dir);
    assert_eq!((store.first(), store.durable()), (Position(last.0 + 1), Position(600)));
    assert_eq!(chunks(&store, 0).unwrap(), before);
    for after in (0..600).step_by(7) {
        let mut next = None;
        store
            .read_from(Position(after), &mut |event| {
                next = Some((event.position.0, event.version));
                false
            })
            .unwrap();
        assert_eq!(next, Some((after + 1, after + 1)));
    }
    assert_eq!(store.verify_chain(Position(1)), Ok(Position(600)));
    append(&store, (0..200).map(|number| 100 + number));
    drop(store);
    assert_eq!(chunks_in(dir)[..before.len()], before, "after a crash, too");

    let before = chunks_in(dir);
    let again = relocate::archive(dir, Position(u64::MAX), &small()).unwrap();
    assert_eq!(again.parts[0].first, Position(last.0 + 1));
    assert!(again.parts.last().unwrap().last < Position(800), "the last chunk stays");
    assert_eq!(chunks_in(dir), before);
    assert_eq!(relocate::archive(dir, Position(u64::MAX), &small()).unwrap().parts, [], "nothing is left to move");

    let back = relocate::restore(dir, again.parts[0].first, &small()).unwrap();
    assert_eq!((back.parts, files(dir).len()), (again.parts, moved.parts.len()));
    assert_eq!(chunks_in(dir), before);
    relocate::restore(dir, Position(0), &small()).unwrap();
    fs::remove_dir_all(super::folder(dir)).unwrap();
    assert_eq!((files(dir).len(), chunks_in(dir)), (0, before));
}

/// Options of which the step of this number fails, and how many steps there were.
fn failing_at(number: usize) -> (Options, Arc<AtomicUsize>) {
    let steps = Arc::new(AtomicUsize::new(0));
    let counted = steps.clone();
    let fault = move |op| {
        let failing = op == Op::Shift && counted.fetch_add(1, Ordering::Relaxed) == number;
        if failing { Err(io::Error::other("the test's fault")) } else { Ok(()) }
    };
    (Options { fault: Some(Arc::new(fault)), ..small() }, steps)
}

/// Breaks off `shift` at every step; each time the log must be whole, and `shift` must succeed then.
fn broken_off(origin: &Path, shift: &dyn Fn(&Path, &Options) -> Result<relocate::Shifted, Error>) {
    let before = chunks_in(origin);
    let end = before.len();
    for number in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let dir = &folder.path().join("log");
        copy(origin, dir);
        let (options, steps) = failing_at(number);
        let outcome = shift(dir, &options);
        if outcome.is_ok() {
            assert!(number >= 6 && steps.load(Ordering::Relaxed) == number, "{number} steps");
            return;
        }
        let store = open(dir);
        assert_eq!(chunks(&store, 0).unwrap(), before, "broken off at step {number}");
        append(&store, [100].into_iter());
        store.close().unwrap();
        drop(store);
        shift(dir, &small()).unwrap();
        let after = chunks_in(dir);
        assert_eq!((&after[..end], after.len()), (&before[..], end + 1), "gone on with after step {number}");
        let left: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("sled.")), "{left:?}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.as_ref().unwrap().path(), to.join(entry.as_ref().unwrap().file_name()));
        if entry.is_dir() { copy(&entry, &to) } else { fs::copy(entry, to).map(drop).unwrap() }
    }
}

#[test]
fn broken_off_at_any_step_nothing_is_lost() {
    let folder = closed(150);
    broken_off(folder.path(), &|dir, options| relocate::archive(dir, Position(100), options));
    relocate::archive(folder.path(), Position(100), &small()).unwrap();
    broken_off(folder.path(), &|dir, options| relocate::restore(dir, Position(0), options));
}

#[test]
fn every_flipped_bit_in_a_file_is_found() {
    let folder = closed(120);
    let dir = folder.path();
    relocate::archive(dir, Position(100), &Options::default()).unwrap();
    let cold = Cold::open(&dir.join(SLED)).unwrap();
    let path = cold.path(&cold.parts()[0]);
    let whole = fs::read(&path).unwrap();
    let mut count = 0;
    cold.read(Position(1), &mut |_| {
        count += 1;
        true
    })
    .unwrap();
    assert!(count > 4 && whole.len() > 5_000, "{count} {}", whole.len());
    let ends = (0..120).chain(whole.len() - 60..whole.len());
    for at in ends.chain((120..whole.len() - 60).step_by(61)) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).unwrap();
        let read = cold.read(Position(1), &mut |_| true);
        let Err(Error::Damaged { what, .. }) = read else { panic!("byte {at}: {read:?}") };
        assert!(what.contains(&*path.to_string_lossy()) && what.contains("put back a good copy"), "{what}");
    }
    for len in [0, 50, whole.len() - 1] {
        fs::write(&path, &whole[..len]).unwrap();
        assert!(matches!(cold.read(Position(1), &mut |_| true), Err(Error::Damaged { .. })), "{len} bytes");
    }
    fs::write(&path, whole).unwrap();
    assert!(cold.read(Position(1), &mut |_| true).is_ok());
}

#[test]
fn files_that_are_away_are_named_and_only_their_events_are_missed() {
    let folder = closed(150);
    let dir = folder.path();
    let before = chunks_in(dir);
    let moved = relocate::archive(dir, Position(100), &small()).unwrap();
    let (kept, elsewhere) = (super::folder(dir), dir.join("elsewhere"));
    fs::rename(&kept, &elsewhere).unwrap();
    let store = open(dir);
    let base = store.first().0 - 1;
    let expected: Vec<_> = before[before.len() - chunks(&store, base).unwrap().len()..].to_vec();
    assert_eq!(chunks(&store, base).unwrap(), expected);
    let first = &moved.parts[0];
    let error = chunks(&store, 0).unwrap_err();
    let (path, what) = (kept.join(first.name()), "which is not there".to_owned());
    assert_eq!(error, Error::Away { first: first.first, last: first.last, path: path.clone(), what });
    assert!(error.to_string().contains("put it back there"), "{error}");
    append(&store, [5].into_iter());
    store.close().unwrap();
    drop(store);
    assert!(super::list(dir).unwrap().iter().all(|(_, _, there)| !there));
    let restored = relocate::restore(dir, Position(0), &small());
    assert!(matches!(restored, Err(Error::Away { .. })), "{restored:?}");
    std::os::unix::fs::symlink(&elsewhere, &kept).unwrap();
    assert_eq!(chunks_in(dir)[..before.len()], before, "through a link");

    // The files of another log, of the same name and length or not, are no substitute.
    let other = closed(150);
    relocate::archive(other.path(), Position(100), &small()).unwrap();
    fs::copy(&files(other.path())[0], path).unwrap();
    let store = open(dir);
    assert!(matches!(chunks(&store, 0), Err(Error::Damaged { position: Position(1), .. })));
}

#[test]
fn a_list_that_is_damaged_or_gone_is_damage() {
    let folder = closed(150);
    let dir = folder.path();
    relocate::archive(dir, Position(100), &small()).unwrap();
    let path = dir.join(SLED).join(LIST);
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(5) {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        fs::write(&path, flipped).unwrap();
        let opened = Store::open(dir, store::Options::default());
        assert!(matches!(opened, Err(Error::Damaged { position: Position(1), .. })), "byte {at}");
    }
    fs::remove_file(&path).unwrap();
    let store = open(dir);
    assert!(matches!(chunks(&store, 0), Err(Error::Damaged { position: Position(1), .. })));
}
