//! What every log promises, checked on each of them.

use base::id::{Category, StreamId};
use eventlog::memory::MemoryLog;
use eventlog::store::{Options, Store};
use eventlog::{Batch, Error, Log, Position};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use uuid::Uuid;

fn stream(key: u128) -> StreamId {
    StreamId { category: Category::Wallet, key: Uuid::from_u128(key) }
}

fn batch(key: u128, data: &[&str]) -> Batch {
    let mut batch = Batch::new();
    for (index, text) in data.iter().enumerate() {
        batch.push(stream(key), index as u64 + 1, 1_700_000_000_000, "Noted.v1", |out| {
            out.extend_from_slice(text.as_bytes())
        });
    }
    batch
}

fn open(dir: &Path) -> Store {
    let options = Options { journal_bytes: 4 << 20, archive_after: Duration::from_millis(20), ..Options::default() };
    Store::open(dir, options).unwrap().0
}

/// Runs `check` on every kind of log.
fn on_each(check: impl Fn(&str, Arc<dyn Log>)) {
    check("memory", Arc::new(MemoryLog::auto()));
    let dir = tempfile::tempdir().unwrap();
    check("store", Arc::new(open(dir.path())));
    let explicit = Arc::new(MemoryLog::new());
    let (committer, stop) = (explicit.clone(), Arc::new(AtomicU64::new(0)));
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || {
        while stopped.load(Ordering::SeqCst) == 0 {
            committer.commit_n(3);
            std::thread::yield_now();
        }
    });
    check("memory with commits", explicit);
    stop.store(1, Ordering::SeqCst);
    thread.join().unwrap();
}

/// Appends and waits until it is durable.
fn append(log: &dyn Log, batch: Batch) -> Position {
    let (done, wait) = mpsc::channel();
    let position = log.append(batch, Some(Box::new(move |outcome| done.send(outcome).unwrap()))).unwrap();
    assert_eq!(wait.recv_timeout(Duration::from_secs(10)).unwrap().map(|_| ()), Ok(()));
    assert!(log.durable() >= position);
    position
}

fn texts(log: &dyn Log, after: u64) -> Vec<(u64, String)> {
    let mut read = Vec::new();
    let last = log
        .read_from(Position(after), &mut |event| {
            read.push((event.position.0, String::from_utf8(event.data.to_vec()).unwrap()));
            true
        })
        .unwrap();
    assert_eq!(last.0, read.last().map_or(after, |(position, _)| *position));
    read
}

#[test]
fn an_empty_log_reads_as_nothing() {
    on_each(|_, log| {
        assert_eq!((log.appended(), log.durable()), (Position(0), Position(0)));
        assert!(log.has_room());
        assert_eq!(texts(&*log, 0), []);
        assert_eq!(texts(&*log, 7), []);
    });
}

#[test]
fn positions_are_dense_and_any_of_them_can_be_read_from() {
    on_each(|kind, log| {
        assert_eq!(append(&*log, batch(1, &["a", "b", "c"])), Position(3));
        assert_eq!(append(&*log, batch(2, &["d"])), Position(4));
        assert_eq!(append(&*log, batch(1, &["", "f"])), Position(6));
        let all: Vec<(u64, String)> = ["a", "b", "c", "d", "", "f"]
            .iter()
            .enumerate()
            .map(|(i, text)| (i as u64 + 1, text.to_string()))
            .collect();
        for after in 0..=6 {
            assert_eq!(texts(&*log, after), all[after as usize..], "{kind} after {after}");
        }
    });
}

#[test]
fn an_event_comes_back_as_it_went_in() {
    on_each(|_, log| {
        append(&*log, batch(77, &["{\"points\":3}"]));
        log.read_from(Position(0), &mut |event| {
            assert_eq!((event.position, event.stream, event.version), (Position(1), stream(77), 1));
            assert_eq!((event.at_ms, event.name, event.data), (1_700_000_000_000, "Noted.v1", &b"{\"points\":3}"[..]));
            true
        })
        .unwrap();
    });
}

#[test]
fn reading_stops_when_told() {
    on_each(|_, log| {
        append(&*log, batch(1, &["a", "b", "c"]));
        append(&*log, batch(1, &["d"]));
        let mut count = 0;
        let last = log.read_from(Position(1), &mut |_| {
            count += 1;
            count < 2
        });
        assert_eq!((last, count), (Ok(Position(3)), 2));
    });
}

#[test]
fn a_stream_has_its_own_events_only() {
    on_each(|_, log| {
        append(&*log, batch(1, &["a", "b"]));
        append(&*log, batch(2, &["c"]));
        append(&*log, batch(1, &["d"]));
        let mut read = Vec::new();
        log.read_stream(stream(1), &mut |event| {
            read.push(event.position.0);
            true
        })
        .unwrap();
        assert_eq!(read, [1, 2, 4]);
    });
}

#[test]
fn a_barrier_waits_for_everything_before_it() {
    on_each(|_, log| {
        append(&*log, Batch::new());
        for round in 1..50u64 {
            log.append(batch(1, &["x"]), None).unwrap();
            assert_eq!(append(&*log, Batch::new()), Position(round));
        }
        assert_eq!(log.append(Batch::new(), None), Ok(Position(49)));
    });
}

#[test]
fn large_events_are_events() {
    on_each(|_, log| {
        let large: Vec<String> =
            [2_000_000, 6_000, 6_144, 0, 12_288, 5_900, 1_000_000].iter().map(|size| "x".repeat(*size)).collect();
        let borrowed: Vec<&str> = large.iter().map(String::as_str).collect();
        append(&*log, batch(1, &borrowed));
        append(&*log, batch(1, &["small"]));
        std::thread::sleep(Duration::from_millis(100));
        for after in 0..8 {
            let read: Vec<usize> = texts(&*log, after).iter().map(|(_, text)| text.len()).collect();
            let expected: Vec<usize> = large.iter().map(String::len).chain([5]).skip(after as usize).collect();
            assert_eq!(read, expected);
        }
    });
}

#[test]
fn an_event_that_is_too_large_is_refused() {
    on_each(|_, log| {
        let huge = "x".repeat((16 << 20) + 1);
        assert!(matches!(log.append(batch(1, &[&huge]), None), Err(Error::Other(_))));
        assert_eq!(append(&*log, batch(1, &["a"])), Position(1));
    });
}

#[test]
fn thens_run_in_order_and_only_when_durable() {
    on_each(|kind, log| {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut last = Position(0);
        for size in 0..300usize {
            let data = vec!["y"; size % 4];
            let (order, ends) = (order.clone(), last.0 + data.len() as u64);
            let weak = Arc::downgrade(&log);
            let then = Box::new(move |outcome: Result<Position, Error>| {
                outcome.unwrap();
                assert!(weak.upgrade().unwrap().durable().0 >= ends);
                order.lock().unwrap().push(size);
            });
            last = log.append(batch(1, &data), Some(then)).unwrap();
            assert_eq!(last.0, ends);
        }
        append(&*log, Batch::new());
        assert_eq!(*order.lock().unwrap(), (0..300).collect::<Vec<_>>(), "{kind}");
    });
}

#[test]
fn appenders_on_many_threads_share_one_order() {
    on_each(|kind, log| {
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for thread in 0..8u128 {
                let (log, acknowledged) = (&log, acknowledged.clone());
                scope.spawn(move || {
                    for round in 0..200 {
                        let text = format!("{thread}/{round}");
                        let data = vec![text.as_str(); 1 + round % 3];
                        let acknowledged = acknowledged.clone();
                        let (given, then_given) = mpsc::channel::<Position>();
                        let then = Box::new(move |outcome: Result<Position, Error>| {
                            outcome.unwrap();
                            // The position may not be known here yet: a log may acknowledge before it returns.
                            acknowledged.lock().unwrap().push(then_given);
                        });
                        given.send(log.append(batch(thread, &data), Some(then)).unwrap()).unwrap();
                        // Readers see whole events and nothing that is not durable, at any time.
                        if round % 50 == 0 {
                            let durable = log.durable();
                            assert!(texts(&**log, 0).len() as u64 >= durable.0);
                        }
                    }
                });
            }
        });
        append(&*log, Batch::new());
        let order: Vec<u64> = acknowledged.lock().unwrap().iter().map(|given| given.recv().unwrap().0).collect();
        assert_eq!(order.len(), 8 * 200);
        assert!(order.is_sorted(), "{kind}");
        let read = texts(&*log, 0);
        assert_eq!(
            read.iter().map(|(position, _)| *position).collect::<Vec<_>>(),
            (1..=log.durable().0).collect::<Vec<_>>()
        );
        // A batch's events stand together, and a thread's batches in its order.
        for thread in 0..8 {
            let own: Vec<&str> = read.iter().filter_map(|(_, text)| text.strip_prefix(&format!("{thread}/"))).collect();
            let expected: Vec<String> = (0..200).flat_map(|round| vec![round.to_string(); 1 + round % 3]).collect();
            assert_eq!(own, expected, "{kind}");
        }
        let mut batches = read.chunk_by(|left, right| left.1 == right.1);
        assert!(
            batches.all(|same| same.len() == 1 + same[0].1.split_once('/').unwrap().1.parse::<usize>().unwrap() % 3)
        );
    });
}

#[test]
fn a_then_may_append() {
    on_each(|_, log| {
        let (done, wait) = mpsc::channel();
        let again = Arc::downgrade(&log);
        let then = Box::new(move |outcome: Result<Position, Error>| {
            outcome.unwrap();
            let then = Box::new(move |outcome: Result<Position, Error>| done.send(outcome).unwrap());
            again.upgrade().unwrap().append(batch(2, &["second"]), Some(then)).unwrap();
        });
        log.append(batch(1, &["first"]), Some(then)).unwrap();
        assert_eq!(wait.recv_timeout(Duration::from_secs(10)).unwrap().map(|_| ()), Ok(()));
        assert_eq!(texts(&*log, 1), [(2, "second".into())]);
    });
}

#[test]
fn a_closed_store_opens_with_everything() {
    let dir = tempfile::tempdir().unwrap();
    let mut id = None;
    for round in 0..4u64 {
        let (store, recovery) =
            Store::open(dir.path(), Options { journal_bytes: 1 << 20, ..Options::default() }).unwrap();
        assert_eq!((recovery.clean, recovery.last, recovery.cut), (true, Position(round * 2), None));
        assert_eq!(*id.get_or_insert(recovery.id), recovery.id);
        append(&store, batch(1, &["a", "b"]));
        store.close().unwrap();
        store.close().unwrap();
        assert!(store.append(batch(1, &["late"]), None).is_err());
        assert_eq!(texts(&store, 0).len() as u64, round * 2 + 2);
        assert_eq!(store.verify_chain(Position(1)), Ok(Position(round * 2 + 2)));
    }
}

#[test]
fn a_dropped_store_opens_with_everything_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4u64 {
        let store = open(dir.path());
        assert_eq!(texts(&store, 0).len() as u64, round * 50);
        for _ in 0..50 {
            append(&store, batch(1, &["a"]));
        }
    }
}

#[test]
fn memory_forgets_what_is_not_committed() {
    let log = MemoryLog::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let then = |name: &'static str| {
        let told = told.clone();
        Some(Box::new(move |outcome: Result<Position, Error>| told.lock().unwrap().push((name, outcome.is_ok()))) as _)
    };
    log.append(batch(1, &["a"]), then("a")).unwrap();
    log.append(batch(1, &["b"]), then("b")).unwrap();
    assert_eq!((log.commit_n(1), log.durable(), log.appended()), (1, Position(1), Position(2)));
    log.crash();
    assert_eq!((log.durable(), log.appended(), log.queued()), (Position(1), Position(1), 0));
    assert_eq!(log.append(batch(1, &["c"]), then("c")), Ok(Position(2)));
    log.fail_next();
    assert_eq!(log.commit(), 0);
    assert!(matches!(log.append(batch(1, &["d"]), then("d")), Err(Error::Failed(_))));
    assert_eq!(*told.lock().unwrap(), [("a", true), ("c", false)]);
    assert_eq!(texts(&log, 0), [(1, "a".into())]);
}
