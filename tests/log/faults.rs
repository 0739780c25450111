//! What the durable log does when the disk, or somebody, is against it: it has everything it acknowledged, or says where
//! it is damaged.

use super::stores::*;
use eventlog::store::{Cut, Op, Options, Store};
use eventlog::{Batch, Chunks, Error, Log, Position};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

#[test]
fn a_journal_is_used_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..4 {
        let (store, recovery) = Store::open(dir.path(), options()).unwrap();
        assert_eq!((recovery.last.0, recovery.cut), (last, None), "round {round}");
        for _ in 0..200 {
            // Many in flight, so that commits are of all sizes.
            for _ in 0..3 {
                store.append(batch(store.appended().0 + 1, 7, 150), None).unwrap();
            }
            append(&store, 5, 900).unwrap();
        }
        assert!(store.stats().bytes.load(Ordering::Relaxed) > 4 * JOURNAL_BYTES);
        last = store.durable().0;
        assert_eq!(read_all(&store), Ok(last));
        if round % 2 == 0 {
            store.close().unwrap();
        }
    }
    assert_eq!(open_and_read(dir.path()).unwrap().0, last);
}

#[test]
fn a_batch_that_cannot_fit_the_journal_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), options()).unwrap();
    assert!(matches!(store.append(batch(1, 1, JOURNAL_BYTES as usize), None), Err(Error::Other(_))));
    let fits = store.batch_bytes_max() - 60;
    for _ in 0..5 {
        append(&store, 1, fits).unwrap();
        append(&store, 200, fits / 200 - 60).unwrap();
    }
    assert_eq!(read_all(&store), Ok(5 * 201));
}

#[test]
fn another_journal_size_takes_effect() {
    let dir = tempfile::tempdir().unwrap();
    let last = crashed(dir.path());
    let (store, recovery) = Store::open(dir.path(), Options { journal_bytes: 512 << 10, ..options() }).unwrap();
    assert_eq!((recovery.last.0, read_all(&store)), (last, Ok(last)));
    assert_eq!(fs::metadata(dir.path().join("journal-0")).unwrap().len(), 512 << 10);
    append(&store, 1, 1).unwrap();
    drop(store);
    assert_eq!(open_and_read(dir.path()).unwrap().0, last + 1);
}

#[test]
fn a_torn_tail_is_cut_at_every_byte_and_stays_cut() {
    let origin = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(origin.path(), lazy()).unwrap();
    append(&store, 3, 10).unwrap();
    append(&store, 2, 30).unwrap();
    drop(store);
    let journal = fs::read(origin.path().join("journal-0")).unwrap();
    let &(at, len) = records(&journal).last().unwrap();
    for kept in 0..len {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(origin.path(), dir.path());
        let mut torn = journal.clone();
        torn[at + kept..].fill(0);
        fs::write(dir.path().join("journal-0"), torn).unwrap();
        let (store, recovery) = Store::open(dir.path(), options()).unwrap();
        assert_eq!((recovery.last, read_all(&store)), (Position(3), Ok(3)), "{kept} bytes kept");
        assert_eq!(recovery.cut.map(|cut| cut.after), (kept > 0).then_some(Position(3)), "{kept} bytes kept");
        // Once is enough; and it does not come back after what is written now.
        if kept % 16 == 9 {
            append(&store, 2, 7).unwrap();
            drop(store);
            let (last, recovery) = open_and_read(dir.path()).unwrap();
            assert_eq!((last, recovery.cut), (5, None));
        }
    }
}

#[test]
fn a_torn_tail_behind_older_records_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), options()).unwrap();
    // Enough for the files to be in their third use or later.
    while store.stats().bytes.load(Ordering::Relaxed) < 5 * JOURNAL_BYTES / 2 {
        append(&store, 3, 2000).unwrap();
    }
    let last = store.durable().0;
    drop(store);
    // What a crash leaves: the record's header got to the disk, the rest did not.
    for name in ["journal-0", "journal-1"] {
        let path = dir.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        let generation = bytes[32..40].to_vec();
        let of_generation = |bytes: &[u8], at: usize| bytes[at + 8..at + 16] == generation[..];
        let mut at = JOURNAL_HEADER_BYTES;
        while of_generation(&bytes, at) {
            let len = u32::from_le_bytes(bytes[at + 24..at + 28].try_into().unwrap()) as usize;
            at = (at + len).next_multiple_of(8);
            if at + 4096 > bytes.len() {
                break;
            }
        }
        if at + 4096 <= bytes.len() {
            let head = bytes[JOURNAL_HEADER_BYTES..JOURNAL_HEADER_BYTES + RECORD_HEADER_BYTES].to_vec();
            bytes[at..at + RECORD_HEADER_BYTES].copy_from_slice(&head);
            fs::write(&path, bytes).unwrap();
        }
    }
    let (read, recovery) = open_and_read(dir.path()).unwrap();
    assert_eq!(read, last);
    assert!(matches!(recovery.cut, Some(Cut { after, .. }) if after.0 == last), "{recovery:?}");
}

#[test]
fn damage_in_the_journal_is_never_silent() {
    let origin = tempfile::tempdir().unwrap();
    let last = crashed(origin.path());
    let journal = fs::read(origin.path().join("journal-0")).unwrap();
    let found = records(&journal);
    let last_record = found.last().unwrap().0;
    let used = last_record + found.last().unwrap().1;
    let seed = 1;
    let mut random = Random(seed);
    let mut refused = 0;
    for attempt in 0..150 {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(origin.path(), dir.path());
        // A third of them in the headers: the file's and the first record's.
        let within = if attempt % 3 == 0 { JOURNAL_HEADER_BYTES + RECORD_HEADER_BYTES } else { used };
        let bit = random.below(8 * within);
        flip(&dir.path().join("journal-0"), bit);
        match open_and_read(dir.path()) {
            Ok((read, _)) if read == last => {}
            Ok((read, recovery)) => {
                // The last record's damage looks like a torn write; it is reported as one.
                assert!(bit / 8 >= last_record, "seed {seed}, bit {bit}: {read} of {last}");
                assert!(recovery.cut.is_some(), "seed {seed}, bit {bit}: {recovery:?}");
            }
            Err(Error::Damaged { position, .. }) => {
                refused += 1;
                assert!((1..=last).contains(&position.0), "seed {seed}, bit {bit}: {position}");
            }
            Err(other) => panic!("seed {seed}, bit {bit}: {other}"),
        }
    }
    assert!(refused > 50, "most flips are in events that are nowhere else, but {refused} were refused");
}

#[test]
fn a_journal_that_lost_both_headers_is_damage_if_it_had_events() {
    let dir = tempfile::tempdir().unwrap();
    crashed(dir.path());
    let path = dir.path().join("journal-0");
    let mut bytes = fs::read(&path).unwrap();
    bytes[..JOURNAL_HEADER_BYTES].fill(0);
    fs::write(&path, bytes).unwrap();
    assert!(matches!(open_and_read(dir.path()), Err(Error::Damaged { position: Position(1), .. })));
}

#[test]
fn a_header_torn_while_files_change_places_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    let last = crashed(dir.path());
    // The file that would have been used next: its header is garbage, its records are none.
    let path = dir.path().join("journal-1");
    let mut bytes = fs::read(&path).unwrap();
    bytes[..3000].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    assert_eq!(open_and_read(dir.path()).unwrap().0, last);
}

#[test]
fn a_journal_that_is_cut_short_or_gone_is_damage() {
    for name in ["journal-0", "journal-1"] {
        for len in [Some(0), Some(100), Some(5000), Some(60_000), Some(JOURNAL_BYTES - 1), None] {
            let dir = tempfile::tempdir().unwrap();
            crashed(dir.path());
            let path = dir.path().join(name);
            match len {
                Some(len) => fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let outcome = open_and_read(dir.path());
            assert!(
                matches!(outcome, Err(Error::Damaged { position, .. }) if position.0 >= 1),
                "{name}, {len:?}: {outcome:?}"
            );
        }
    }
}

#[test]
fn after_a_clean_shutdown_the_journal_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let last = closed(dir.path());
    fs::remove_file(dir.path().join("journal-0")).unwrap();
    fs::write(dir.path().join("journal-1"), b"short").unwrap();
    let (read, recovery) = open_and_read(dir.path()).unwrap();
    assert_eq!((read, recovery.clean), (last, true));
}

/// Appends until the journal's stamp says that more is durable than `than`; gives what it says.
fn stamped(store: &Store, path: &Path, than: u64) -> u64 {
    loop {
        append(store, 1, 100).unwrap();
        let stamp = fs::read(path).unwrap()[4096 + 16..4096 + 24].try_into().map(u64::from_le_bytes).unwrap();
        if stamp > than {
            return stamp;
        }
    }
}

#[test]
fn acknowledged_records_that_vanish_are_not_taken_for_a_torn_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal-0");
    let (store, _) = Store::open(dir.path(), lazy()).unwrap();
    let durable = stamped(&store, &path, 5);
    drop(store);
    let journal = fs::read(&path).unwrap();
    let found = records(&journal);
    // All of them from the one on that the stamp knows to have been durable, and from the one behind it.
    for (from, refused) in [(durable as usize - 1, true), (durable as usize, false)] {
        let mut cut = journal.clone();
        cut[found[from].0..].fill(0);
        fs::write(&path, cut).unwrap();
        let copied = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), copied.path());
        match open_and_read(copied.path()) {
            Err(Error::Damaged { position, .. }) if refused => assert_eq!(position.0, durable),
            Ok((read, _)) if !refused => assert_eq!(read, durable),
            other => panic!("from {from} of {}, durable {durable}: {other:?}", found.len()),
        }
    }
}

#[test]
fn damage_in_more_than_the_last_record_is_no_torn_write() {
    let origin = tempfile::tempdir().unwrap();
    let last = crashed(origin.path());
    let journal = fs::read(origin.path().join("journal-0")).unwrap();
    let found = records(&journal);
    let first_of = |at: usize| u64::from_le_bytes(journal[at + 16..at + 24].try_into().unwrap());
    for damaged in 1..6 {
        let mut bytes = journal.clone();
        // The stamp too: the beginnings of later records are enough to tell.
        bytes[4096..JOURNAL_HEADER_BYTES].fill(0);
        for (at, len) in &found[found.len() - damaged..] {
            bytes[at + len - 1] ^= 1;
        }
        let dir = tempfile::tempdir().unwrap();
        copy_dir(origin.path(), dir.path());
        fs::write(dir.path().join("journal-0"), bytes).unwrap();
        let missing = first_of(found[found.len() - damaged].0);
        match open_and_read(dir.path()) {
            Ok((read, recovery)) if damaged == 1 => assert_eq!((read, recovery.cut.is_some()), (missing - 1, true)),
            Err(Error::Damaged { position, .. }) if damaged > 1 => assert_eq!(position.0, missing),
            other => panic!("{damaged} of {last}: {other:?}"),
        }
    }
}

#[test]
fn damage_to_what_is_archived_does_not_matter() {
    let origin = tempfile::tempdir().unwrap();
    let eager = Options { archive_after: Duration::ZERO, archive_bytes: 1, ..options() };
    let (store, _) = Store::open(origin.path(), eager).unwrap();
    for round in 0..100 {
        append(&store, 1 + round % 5, 100).unwrap();
    }
    let last = store.durable();
    while store.archived() < last {
        std::thread::yield_now();
    }
    drop(store);
    let used = records(&fs::read(origin.path().join("journal-0")).unwrap()).last().map(|(at, len)| at + len).unwrap();
    let mut random = Random(9);
    for _ in 0..30 {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(origin.path(), dir.path());
        let path = dir.path().join("journal-0");
        let mut bytes = fs::read(&path).unwrap();
        let (from, len) = (JOURNAL_HEADER_BYTES + random.below(used - JOURNAL_HEADER_BYTES), random.below(used));
        bytes[from..(from + len).min(used)].fill(random.next() as u8);
        fs::write(&path, bytes).unwrap();
        let (read, recovery) = open_and_read(dir.path()).unwrap();
        assert_eq!((Position(read), recovery.from_journal, recovery.cut), (last, 0, None));
        // And it goes on from there.
        let (store, _) = Store::open(dir.path(), options()).unwrap();
        append(&store, 2, 10).unwrap();
        drop(store);
        assert_eq!(open_and_read(dir.path()).unwrap().0, last.0 + 2);
    }
}

#[test]
fn a_journal_file_of_nothing_but_zeros_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), Options { archive_after: Duration::ZERO, ..options() }).unwrap();
    append(&store, 3, 100).unwrap();
    while store.archived() < store.durable() {
        std::thread::yield_now();
    }
    let last = store.durable().0;
    drop(store);
    let path = dir.path().join("journal-0");
    fs::write(&path, vec![0; JOURNAL_BYTES as usize]).unwrap();
    // It may have held more than what is archived.
    let outcome = open_and_read(dir.path());
    assert!(matches!(&outcome, Err(Error::Damaged { position, .. }) if position.0 == last + 1), "{outcome:?}");
}

#[test]
fn a_failing_disk_stops_the_log_once_and_loses_nothing_acknowledged() {
    for failing in 1..120u64 {
        let dir = tempfile::tempdir().unwrap();
        let ops = Arc::new(AtomicU64::new(0));
        let failures = Arc::new(Mutex::new(Vec::<String>::new()));
        let (counted, told) = (ops.clone(), failures.clone());
        let fault = move |op: Op| match counted.fetch_add(1, Ordering::SeqCst) + 1 {
            count if count >= failing => Err(io::Error::other(format!("injected at {op:?}"))),
            _ => Ok(()),
        };
        let options = Options {
            fault: Some(Arc::new(fault)),
            on_failure: Box::new(move |what| told.lock().unwrap().push(what)),
            archive_after: Duration::from_millis(1),
            archive_bytes: 1,
            ..options()
        };
        let acknowledged = Arc::new(AtomicU64::new(0));
        match Store::open(dir.path(), options) {
            Ok((store, _)) => {
                let mut refused = false;
                for _ in 0..400 {
                    let acknowledged = acknowledged.clone();
                    let first = store.appended().0 + 1;
                    let then = Box::new(move |outcome: Result<Position, Error>| {
                        if outcome.is_ok() {
                            acknowledged.fetch_max(first + 2, Ordering::SeqCst);
                        }
                    });
                    refused = store.append(batch(first, 3, 1500), Some(then)).is_err();
                    if refused {
                        break;
                    }
                    if first % 4 == 0 {
                        let _ = append(&store, 1, 10);
                    }
                }
                while !refused && failures.lock().unwrap().is_empty() {
                    std::thread::yield_now();
                }
                assert!(matches!(store.append(Batch::new(), None), Err(Error::Failed(_))), "failing at {failing}");
                assert!(store.close().is_err());
                drop(store);
                assert_eq!(failures.lock().unwrap().len(), 1, "failing at {failing}: {failures:?}");
            }
            Err(error) => assert!(!matches!(error, Error::Damaged { .. }), "failing at {failing}: {error}"),
        }
        let (read, recovery) =
            open_and_read(dir.path()).unwrap_or_else(|error| panic!("failing at {failing}: {error}"));
        let acknowledged = acknowledged.load(Ordering::SeqCst);
        assert!(read >= acknowledged, "failing at {failing}: {read} of {acknowledged}, {recovery:?}");
    }
}

#[test]
fn whoever_waits_is_told_when_the_log_fails_or_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let fault = |op: Op| if op == Op::JournalSync { Err(io::Error::other("no")) } else { Ok(()) };
    drop(Store::open(dir.path(), options()).unwrap());
    let armed = Arc::new(AtomicU64::new(0));
    let is_armed = armed.clone();
    let fault = move |op: Op| if is_armed.load(Ordering::SeqCst) == 1 { fault(op) } else { Ok(()) };
    let (store, _) = Store::open(dir.path(), Options { fault: Some(Arc::new(fault)), ..options() }).unwrap();
    armed.store(1, Ordering::SeqCst);
    let (done, outcomes) = mpsc::channel();
    let mut accepted = 0;
    for first in 1..100 {
        let done = done.clone();
        let then = Box::new(move |outcome: Result<Position, Error>| done.send(outcome).unwrap());
        accepted += usize::from(store.append(batch(first, 1, 1), Some(then)).is_ok());
    }
    drop(done);
    drop(store);
    let told: Vec<Result<Position, Error>> = outcomes.iter().collect();
    assert_eq!(told.len(), accepted);
    assert!(told.iter().all(Result::is_err));
}

#[test]
fn a_panic_after_a_commit_fails_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), options()).unwrap();
    store.append(batch(1, 1, 1), Some(Box::new(|_| panic!("on purpose")))).unwrap();
    while store.append(Batch::new(), None).is_ok() {
        std::thread::yield_now();
    }
    drop(store);
    assert_eq!(open_and_read(dir.path()).unwrap().0, 1);
}

#[test]
fn two_cannot_have_it_open() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), options()).unwrap();
    assert!(matches!(Store::open(dir.path(), options()), Err(Error::InUse)));
    drop(store);
    assert!(Store::open(dir.path(), options()).is_ok());
}

#[test]
fn readers_see_a_growing_prefix_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { archive_after: Duration::from_millis(1), archive_bytes: 4096, ..options() };
    let (store, _) = Store::open(dir.path(), options).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..1500).for_each(|_| assert!(append(&store, 3, 400).is_ok())));
        for reader in 0..2u64 {
            let store = &store;
            scope.spawn(move || {
                let mut random = Random(reader);
                while store.durable().0 < 4500 {
                    let durable = store.durable().0;
                    let after = random.below(durable as usize + 1) as u64;
                    let mut next = after + 1;
                    let last = store.read_from(Position(after), &mut |event| {
                        assert_eq!(event.position.0, next);
                        next += 1;
                        true
                    });
                    assert!(last.unwrap().0 >= durable);
                    let mut chunks = 0;
                    store
                        .read_chunks(Position(after), &mut |_| {
                            chunks += 1;
                            chunks < 3
                        })
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(read_all(&store), Ok(4500));
}

/// Not a test of its own: what [`killed_at_any_moment_it_has_everything_acknowledged`] runs and kills.
#[test]
#[ignore = "run by another test"]
fn child_that_appends_until_killed() {
    let Ok(dir) = std::env::var("ONSALE_TEST_LOG_DIR") else { return };
    let options = Options { archive_after: Duration::from_millis(3), archive_bytes: 32 << 10, ..options() };
    let (store, recovery) = Store::open(Path::new(&dir), options).unwrap();
    // On the real stderr, unbuffered: a line that is out was out before the kill.
    eprintln!("acked {}", recovery.last.0);
    loop {
        let first = store.appended().0 + 1;
        let count = 1 + first as usize % 6;
        let last = first + count as u64 - 1;
        let then = Box::new(move |outcome: Result<Position, Error>| {
            outcome.unwrap();
            eprintln!("acked {last}");
        });
        store.append(batch(first, count, first as usize % 1000), Some(then)).unwrap();
        while store.appended().0 > store.durable().0 + 100 {
            std::thread::yield_now();
        }
    }
}

#[test]
fn killed_at_any_moment_it_has_everything_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(4);
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["log::faults::child_that_appends_until_killed", "--exact", "--ignored", "--nocapture"])
            .env("ONSALE_TEST_LOG_DIR", dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let acknowledged = Arc::new(AtomicU64::new(0));
        let (seen, started) = (acknowledged.clone(), Arc::new(AtomicU64::new(0)));
        let starting = started.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(position) = line.strip_prefix("acked ").and_then(|text| text.parse().ok()) {
                    seen.fetch_max(position, Ordering::SeqCst);
                    starting.store(1, Ordering::SeqCst);
                }
            }
        });
        while started.load(Ordering::SeqCst) == 0 && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(random.next() % 300_000));
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
        let acknowledged = acknowledged.load(Ordering::SeqCst);
        assert!(started.load(Ordering::SeqCst) == 1, "the child came up");
        let (read, recovery) = open_and_read(dir.path()).unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert!(read >= acknowledged, "round {round}: {read} of {acknowledged}, {recovery:?}");
    }
}
