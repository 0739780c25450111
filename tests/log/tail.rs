//! The log as others follow it: a feed in the process, a remote reader in another.

use base::id::{Category, StreamId};
use eventlog::feed::Feed;
use eventlog::memory::MemoryLog;
use eventlog::remote::{Remote, Step};
use eventlog::store::{Options, Store};
use eventlog::{Batch, Chunks, Error, Log, Position, Recorded, tail};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

fn append(log: &dyn Log, count: u64) {
    let mut batch = Batch::new();
    for index in 0..count {
        let stream = StreamId { category: Category::Account, key: Uuid::from_u128(1) };
        let position = log.appended().0 + index + 1;
        batch.push(stream, position, 1, "Noted.v1", |out| out.extend_from_slice(&vec![b'x'; position as usize % 900]));
    }
    log.append(batch, None).unwrap();
}

fn events(remote: &Remote, after: u64) -> Result<(Vec<u64>, u64), Error> {
    let mut positions = Vec::new();
    let last = remote.read_from(Position(after), false, &mut |step| {
        if let Step::Event(event) = step {
            assert_eq!(event.data.len() as u64, event.position.0 % 900);
            positions.push(event.position.0);
        }
        true
    })?;
    Ok((positions, last.0))
}

#[test]
fn a_remote_reader_gets_what_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { journal_bytes: 1 << 20, archive_after: Duration::from_millis(1), ..Options::default() };
    let stores: [Arc<dyn Chunks>; 2] =
        [Arc::new(MemoryLog::auto()), Arc::new(Store::open(&dir.path().join("log"), options).unwrap().0)];
    for log in stores {
        let path = dir.path().join("log.sock");
        let tail = tail::serve(log.clone(), &path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let remote = Remote::connect(&path).unwrap();
        assert_eq!(events(&remote, 0), Ok((vec![], 0)));
        for _ in 0..50 {
            append(&*log, 17);
        }
        while log.durable() < log.appended() {
            std::thread::yield_now();
        }
        for after in [0, 1, 400, 849, 850, 900] {
            let expected: Vec<u64> = (after + 1..=850).collect();
            let last = expected.last().copied().unwrap_or(after);
            assert_eq!(events(&remote, after), Ok((expected, last)));
        }
        drop(tail);
        assert!(!path.exists());
        assert!(events(&remote, 0).is_err());
        assert!(Remote::connect(&path).is_err());
    }
}

#[test]
fn a_follower_sees_what_is_appended_later() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.sock");
    let log = Arc::new(MemoryLog::auto());
    let _tail = tail::serve(log.clone(), &path).unwrap();
    append(&*log, 10);
    let remote = Remote::connect(&path).unwrap();
    let (mut next, mut caught_up) = (4, 0);
    let last = remote.read_from(Position(3), true, &mut |step| {
        match step {
            Step::Event(event) => {
                assert_eq!(event.position.0, next);
                next += 1;
            }
            Step::CaughtUp => {
                caught_up += 1;
                append(&*log, 5);
            }
        }
        next <= 100
    });
    assert_eq!(last, Ok(Position(100)));
    assert!(caught_up > 3);
}

#[test]
fn a_ninth_reader_is_turned_away_and_stopping_ends_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.sock");
    let log = Arc::new(MemoryLog::auto());
    append(&*log, 10);
    let tail = tail::serve(log, &path).unwrap();
    let started = std::sync::Barrier::new(9);
    std::thread::scope(|scope| {
        let mut followers = Vec::new();
        for _ in 0..8 {
            followers.push(scope.spawn(|| {
                let mut first = true;
                Remote::connect(&path).unwrap().read_from(Position(0), true, &mut |step| {
                    if step == Step::CaughtUp && std::mem::take(&mut first) {
                        started.wait();
                    }
                    true
                })
            }));
        }
        started.wait();
        assert!(events(&Remote::connect(&path).unwrap(), 0).is_err());
        drop(tail);
        for follower in followers {
            assert!(follower.join().unwrap().is_err());
        }
    });
}

#[test]
fn a_server_that_stops_early_or_lies_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.sock");
    let log = MemoryLog::auto();
    append(&log, 200);
    let mut chunks = Vec::new();
    log.read_chunks(Position(0), &mut |chunk| {
        chunks.push(chunk.bytes().to_vec());
        true
    })
    .unwrap();
    assert!(chunks.len() > 1);
    let framed = |chunk: &[u8]| [&(chunk.len() as u32).to_le_bytes()[..], chunk].concat();
    let mut flipped = chunks[0].clone();
    flipped[100] ^= 1;
    let durable = 200u64.to_le_bytes().to_vec();
    let answers = [
        vec![],
        durable.clone(),
        [durable.clone(), vec![0; 4]].concat(),
        [durable.clone(), framed(&chunks[0])].concat(),
        [durable.clone(), framed(&chunks[0]), vec![0; 4]].concat(),
        [durable.clone(), framed(&chunks[1])].concat(),
        [durable.clone(), framed(&flipped)].concat(),
        [durable.clone(), framed(&chunks[0]), framed(&chunks[0])].concat(),
        [durable.clone(), vec![255; 100]].concat(),
        [durable, framed(&[1; 60])].concat(),
    ];
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::scope(|scope| {
        let answers = &answers;
        scope.spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                stream.read_exact(&mut [0; 9]).unwrap();
                // The reader may hang up on a lie before it has heard all of it.
                let _ = stream.write_all(answer);
            }
        });
        let remote = Remote::connect(&path).unwrap();
        for index in 0..answers.len() {
            let mut last = 0;
            let outcome = remote.read_from(Position(0), false, &mut |step| {
                if let Step::Event(event) = step {
                    last += 1;
                    assert_eq!(event.position.0, last);
                }
                true
            });
            assert!(outcome.is_err(), "answer {index}: {outcome:?}");
        }
    });
}

/// Those of the next events, at most so many.
fn positions(feed: &mut Feed, events_max: usize) -> Vec<u64> {
    let mut found = Vec::new();
    let each = &mut |event: Recorded<'_>| {
        found.push(event.position.0);
        true
    };
    feed.poll(events_max, each).unwrap();
    found
}

#[test]
fn a_feed_goes_on_where_it_was() {
    let log = Arc::new(MemoryLog::new());
    let mut feed = Feed::new(log.clone(), Position(2));
    append(&*log, 10);
    assert_eq!((positions(&mut feed, 100), feed.wait(Duration::from_millis(1))), (vec![], false));
    log.commit();
    assert!(feed.wait(Duration::ZERO));
    assert_eq!(positions(&mut feed, 3), [3, 4, 5]);
    assert_eq!((feed.position(), feed.lag()), (Position(5), 5));
    let mut seen = 0;
    assert_eq!(
        feed.poll(100, &mut |event| {
            seen = event.position.0;
            seen < 7
        }),
        Ok(2)
    );
    assert!(positions(&mut feed, 0).is_empty());
    assert_eq!(positions(&mut feed, 100), [8, 9, 10]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(30));
            append(&*log, 1);
            log.commit();
        });
        assert!(feed.wait(Duration::from_secs(10)));
    });
    assert_eq!(positions(&mut feed, 100), [11]);
}
