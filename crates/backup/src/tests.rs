//! A log goes to a folder and comes back, whatever happens on the way.

use crate::follow::Follow;
use crate::manifest::Manifest;
use crate::place::Place;
use crate::restore::{self, Restored, Until};
use crate::segment;
use crate::ship::{Settings, Shipped, Shipper};
use crate::source::Source;
use base::clock::{Clock, SystemClock};
use base::id::{AccountId, Category, Millis, StreamId};
use eventlog::data_folder::DataFolder;
use eventlog::reader::Reader;
use eventlog::sinks::{Output, State};
use eventlog::store::{Options, Store};
use eventlog::{Batch, Log, Position};
use security::vault::{KeyState, Vault};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

const ACCOUNT: AccountId = AccountId(Uuid::from_u128(77));

/// A clock that is set.
#[derive(Default)]
struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now(&self) -> Millis {
        self.0.load(Ordering::Relaxed)
    }
}

/// A data folder with a log and secrets, and a place for its backup.
struct World {
    root: tempfile::TempDir,
    _folder: DataFolder,
    store: Arc<Store>,
    vault: Vault,
    clock: Arc<SetClock>,
}

impl World {
    fn new() -> World {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        let folder = DataFolder::create_or_open(&data).unwrap();
        let (store, _) = Store::open(&folder.log(), Options { journal_bytes: 1 << 20, ..Options::default() }).unwrap();
        folder.note_log(&store).unwrap();
        for (name, bytes) in [("secret", "32 random bytes"), ("operator", "a hash"), ("signing-keys", "keys")] {
            std::fs::write(data.join(name), bytes).unwrap();
        }
        let vault = Vault::open(&data).unwrap();
        World { root, _folder: folder, store: Arc::new(store), vault, clock: Arc::default() }
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn to(&self) -> PathBuf {
        self.root.path().join("backup")
    }

    /// Commits `events` events of the time `at_ms`.
    fn commit(&self, events: u64, at_ms: Millis) {
        let stream = StreamId { category: Category::Wallet, key: Uuid::from_u128(1) };
        let (mut batch, from) = (Batch::new(), self.store.appended().0);
        for version in from + 1..=from + events {
            batch.push(stream, version, at_ms, "Tested.v1", |out| {
                // Random bytes are not compressed.
                let noise = blake3::hash(&version.to_le_bytes());
                out.extend_from_slice(noise.to_hex().repeat(20).as_bytes());
            });
        }
        let last = self.store.append(batch, None).unwrap();
        while self.store.durable() < last {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn shipper(&self) -> Shipper {
        self.try_shipper().unwrap()
    }

    fn try_shipper(&self) -> anyhow::Result<Shipper> {
        let settings = Settings { data: self.data(), keys_keep_ms: 1000, clock: self.clock.clone() };
        Shipper::open(Place::open(self.to().to_str().unwrap())?, self.store.id(), settings)
    }

    fn source(&self) -> Source {
        Source::Own(self.store.clone())
    }

    fn ship(&self) -> Shipped {
        self.shipper().pass(&self.source(), &mut |_| {}).unwrap()
    }

    fn place(&self) -> Place {
        Place::open_existing(self.to().to_str().unwrap()).unwrap()
    }

    fn manifest(&self) -> Manifest {
        restore::manifest(&self.place()).unwrap()
    }

    /// Puts it back into a new folder.
    fn restore(&self, until: Until) -> anyhow::Result<(Restored, PathBuf)> {
        let to = self.root.path().join(Uuid::new_v4().to_string());
        Ok((restore::restore(&self.place(), &to, until, &mut |_| {})?, to))
    }

    /// The objects below `folder` of the backup, with their bytes.
    fn objects(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(self.to().join(folder)).into_iter().flatten();
        entries
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
            })
            .collect()
    }
}

fn log_of(data: &Path) -> Vec<(u64, Millis, Vec<u8>)> {
    let folder = DataFolder::open_to_read(data).unwrap();
    let log = Reader::open(&folder.log(), folder.known_log()).unwrap();
    events_of(&log)
}

fn events_of(log: &dyn Log) -> Vec<(u64, Millis, Vec<u8>)> {
    let mut found = Vec::new();
    log.read_from(Position(0), &mut |event| {
        found.push((event.position.0, event.at_ms, event.data.to_vec()));
        true
    })
    .unwrap();
    found
}

#[test]
fn a_folder_comes_back_as_it_was() {
    let world = World::new();
    let sealed = world.vault.seal(ACCOUNT, b"someone@example.com").unwrap();
    world.commit(30, 1_000);
    world.commit(20, 2_000);
    let shipped = world.ship();
    assert_eq!((shipped.events, shipped.segments, shipped.key_blocks), (50, 1, 1));
    let (restored, to) = world.restore(Until::End).unwrap();
    assert_eq!((restored.last.position, restored.last.at_ms, restored.key_slots), (50, 2_000, 1));
    assert_eq!((restored.last, restored.log_id), (restored.backup, world.store.id()));
    assert_eq!(log_of(&to), events_of(&*world.store));
    for name in ["secret", "operator", "signing-keys", "vault"] {
        assert_eq!(std::fs::read(to.join(name)).unwrap(), std::fs::read(world.data().join(name)).unwrap(), "{name}");
    }
    let folder = DataFolder::open(&to).unwrap();
    assert!(["secret", "operator", "signing-keys", "vault"].iter().all(|name| folder.checks().has(name)));
    let (store, recovery) =
        Store::open(&folder.log(), Options { known: folder.known_log(), ..Options::default() }).unwrap();
    assert_eq!((store.tip(), recovery.clean), (world.store.tip(), true));
    let opened = Vault::open(&to).unwrap().open_sealed(ACCOUNT, &sealed).unwrap();
    assert_eq!(opened.as_deref(), Some(&b"someone@example.com"[..]));
    let error = restore::restore(&world.place(), &to, Until::End, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("is not empty"), "{error:#}");
}

#[test]
fn nothing_is_sent_twice() {
    let world = World::new();
    world.vault.seal(ACCOUNT, b"x").unwrap();
    world.commit(10, 1_000);
    world.ship();
    let before = (world.objects("segments"), world.objects("keys"), world.objects("secrets"));
    let again = world.ship();
    assert_eq!((again.events, again.bytes, again.end.position), (0, 0, 10));
    world.commit(5, 2_000);
    let next = world.ship();
    assert_eq!((next.events, next.segments, next.key_blocks), (5, 1, 0));
    for (name, bytes) in before.0 {
        assert_eq!(world.objects("segments")[&name], bytes, "segments never change");
    }
    assert_eq!((world.objects("keys"), world.objects("secrets")), (before.1, before.2));
    assert_eq!(world.restore(Until::End).unwrap().0.last.position, 15);
}

/// As a follower ships: a segment a commit.
#[test]
fn small_segments_become_one_and_a_restore_that_has_begun_still_finds_them() {
    const HOUR: Millis = 3_600_000;
    let world = World::new();
    let mut shipper = world.shipper();
    let mut pass = |at_ms| {
        world.commit(1, at_ms);
        shipper.pass(&world.source(), &mut |_| {}).unwrap()
    };
    let machine = world.clock.machine();
    for at_ms in 1..=63 {
        pass(at_ms);
    }
    assert_eq!((world.objects("segments").len(), world.manifest().segments), (63, 63));
    let mut read = 0;
    let to = world.root.path().join("restored");
    let restored = restore::restore(&world.place(), &to, Until::End, &mut |_| {
        read += 1;
        if read == 1 {
            pass(64);
        }
    });
    assert_eq!((restored.unwrap().last.position, read), (63, 63));
    let names = |world: &World| world.objects("segments").into_keys().collect::<Vec<_>>();
    let one = segment::name(Position(1), Position(64));
    assert_eq!((names(&world).len(), names(&world).contains(&one)), (65, true));
    // All of it is read from the one.
    let damaged = world.to().join("segments").join(segment::name(Position(7), Position(7)));
    std::fs::write(&damaged, "not a segment").unwrap();
    let (restored, folder) = world.restore(Until::End).unwrap();
    assert_eq!((restored.last.position, log_of(&folder)), (64, events_of(&*world.store)));
    pass(65);
    assert_eq!(world.manifest().segments, 2);
    assert_eq!(names(&world).len(), 66, "an hour is not over");
    // Another process goes on, later.
    drop(shipper);
    world.clock.0.store(SystemClock::default().now() + HOUR + 60_000, Ordering::Relaxed);
    assert!(machine < world.clock.machine());
    let mut shipper = world.shipper();
    for _ in 0..4 {
        shipper.pass(&world.source(), &mut |_| {}).unwrap();
    }
    assert_eq!(names(&world), [one, segment::name(Position(65), Position(65))]);
    assert_eq!(log_of(&world.restore(Until::End).unwrap().1), events_of(&*world.store));
    // Nothing is cut otherwise than before.
    let until = |until| world.restore(until).unwrap().0.last.position;
    assert_eq!((until(Until::Position(Position(40))), until(Until::Time(12))), (40, 12));
}

#[test]
fn what_a_damaged_larger_segment_was_made_of_stays() {
    let world = World::new();
    let mut shipper = world.shipper();
    for at_ms in 1..=64 {
        world.commit(1, at_ms);
        shipper.pass(&world.source(), &mut |_| {}).unwrap();
    }
    drop(shipper);
    let one = world.to().join("segments").join(segment::name(Position(1), Position(64)));
    let mut bytes = std::fs::read(&one).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&one, bytes).unwrap();
    world.clock.0.store(SystemClock::default().now() + 7_200_000, Ordering::Relaxed);
    let mut shipper = world.shipper();
    for _ in 0..8 {
        shipper.pass(&world.source(), &mut |_| {}).unwrap();
    }
    assert_eq!(world.objects("segments").len(), 65);
    assert_eq!(log_of(&world.restore(Until::End).unwrap().1), events_of(&*world.store));
}

#[test]
fn a_large_log_is_many_segments_and_bounded_memory() {
    let world = World::new();
    // 1,280 bytes of an event, 600 in a commit: 768 KiB.
    for at_ms in 1..=14 {
        world.commit(600, at_ms);
    }
    let shipped = world.ship();
    assert!(shipped.segments >= 2, "{shipped:?}");
    assert_eq!((shipped.events, world.manifest().segments), (8_400, shipped.segments));
    let (restored, to) = world.restore(Until::End).unwrap();
    assert_eq!(restored.last.position, 8_400);
    assert_eq!(log_of(&to), events_of(&*world.store));
}

/// A crash anywhere leaves a backup that is whole: as if every object had been written but those after it.
#[test]
fn whatever_was_written_last_the_backup_is_whole() {
    let world = World::new();
    world.vault.seal(ACCOUNT, b"x").unwrap();
    world.commit(10, 1_000);
    world.ship();
    let (first, keys) = (std::fs::read(world.to().join("manifest")).unwrap(), world.objects("keys"));
    world.commit(7, 2_000);
    world.vault.seal(AccountId(Uuid::from_u128(78)), b"x").unwrap();
    world.ship();
    // The second manifest was not written: what it would name is there already, and nothing was deleted, which comes after it.
    std::fs::write(world.to().join("manifest"), first).unwrap();
    keys.iter().for_each(|(name, bytes)| std::fs::write(world.to().join("keys").join(name), bytes).unwrap());
    assert_eq!(world.restore(Until::End).unwrap().0.last.position, 10);
    // The next run sends another segment, which overlaps the one that was left.
    world.commit(1, 3_000);
    let shipped = world.ship();
    assert_eq!((shipped.events, shipped.end.position), (8, 18));
    assert_eq!(world.objects("segments").len(), 3);
    let (restored, to) = world.restore(Until::End).unwrap();
    assert_eq!((restored.last.position, log_of(&to)), (18, events_of(&*world.store)));
}

/// Until which position or time, and up to where it then is: a command's events, which have one time, stay together.
#[test]
fn it_is_put_back_up_to_a_position_or_a_time() {
    let world = World::new();
    // Up to 12: 5,000; up to 40: 6,000, in two commits, and more than a chunk has; up to 45: 6,500; up to 46: 7,000.
    for (events, at_ms) in [(12, 5_000), (20, 6_000), (8, 6_000), (5, 6_500), (1, 7_000)] {
        world.commit(events, at_ms);
    }
    world.ship();
    let rows = [
        (Until::Position(Position(46)), 46, 7_000),
        (Until::Position(Position(99)), 46, 7_000),
        (Until::Position(Position(45)), 45, 6_500),
        (Until::Position(Position(44)), 40, 6_000),
        (Until::Position(Position(40)), 40, 6_000),
        (Until::Position(Position(39)), 12, 5_000),
        (Until::Position(Position(13)), 12, 5_000),
        (Until::Position(Position(12)), 12, 5_000),
        (Until::Time(9_000), 46, 7_000),
        (Until::Time(7_000), 46, 7_000),
        (Until::Time(6_999), 45, 6_500),
        (Until::Time(6_000), 40, 6_000),
        (Until::Time(5_999), 12, 5_000),
    ];
    let all = events_of(&*world.store);
    for (until, position, at_ms) in rows {
        let (restored, to) = world.restore(until).unwrap();
        assert_eq!((restored.last.position, restored.last.at_ms), (position, at_ms), "{until:?}");
        assert_eq!(log_of(&to), all[..position as usize], "{until:?}");
        assert_eq!(restored.backup.position, 46);
    }
    for until in [Until::Position(Position(11)), Until::Position(Position(0)), Until::Time(4_999)] {
        let error = world.restore(until).unwrap_err();
        assert!(format!("{error:#}").contains("there is nothing before that"), "{error:#}");
    }
}

#[test]
fn who_is_erased_stays_erased() {
    let world = World::new();
    let sealed = world.vault.seal(ACCOUNT, b"someone@example.com").unwrap();
    world.commit(3, 1_000);
    world.ship();
    let with_key = world.objects("keys");
    let KeyState::There(key) = world.vault.key(ACCOUNT) else { panic!("it is there") };
    world.vault.erase(ACCOUNT, key).unwrap();
    world.clock.0.store(10_000, Ordering::Relaxed);
    world.ship();
    // Also of events from before it: the keys are always the newest ones.
    let (_, to) = world.restore(Until::Position(Position(3))).unwrap();
    let vault = Vault::open(&to).unwrap();
    assert_eq!((vault.key(ACCOUNT), vault.open_sealed(ACCOUNT, &sealed).unwrap()), (KeyState::Destroyed, None));
    // What was replaced stays for 1 s, then it is nowhere.
    let old = with_key.keys().next().unwrap();
    assert!(world.objects("keys").contains_key(old));
    world.clock.0.store(10_999, Ordering::Relaxed);
    world.ship();
    assert!(world.objects("keys").contains_key(old));
    world.clock.0.store(11_000, Ordering::Relaxed);
    world.ship();
    assert_eq!((world.objects("keys").len(), world.objects("keys").contains_key(old)), (1, false));
    assert!(world.manifest().unused.is_empty());
    world.restore(Until::End).unwrap();
}

#[test]
fn who_signs_up_leaves_no_old_blocks() {
    let world = World::new();
    for number in 1..=5 {
        world.vault.seal(AccountId(Uuid::from_u128(number)), b"x").unwrap();
        world.commit(1, number as u64);
        assert_eq!(world.ship().key_blocks, 1);
    }
    assert_eq!(world.objects("keys").len(), 1);
    assert_eq!(world.restore(Until::End).unwrap().0.key_slots, 5);
}

#[test]
fn another_log_or_another_history_is_refused() {
    let (world, other) = (World::new(), World::new());
    for world in [&world, &other] {
        world.commit(10, 1_000);
        world.ship();
    }
    let manifest = std::fs::read(other.to().join("manifest")).unwrap();
    let own = std::fs::read(world.to().join("manifest")).unwrap();
    std::fs::write(world.to().join("manifest"), manifest).unwrap();
    let error = world.try_shipper().err().unwrap().to_string();
    assert!(error.contains("is a backup of log"), "{error}");
    std::fs::write(world.to().join("manifest"), own).unwrap();
    // A folder that was put back up to a position goes another way from there on.
    world.commit(3, 2_000);
    world.ship();
    let (_, to) = world.restore(Until::Position(Position(10))).unwrap();
    let (id, source) = Source::open(&to).unwrap();
    assert_eq!(id, world.store.id());
    let error = world.shipper().pass(&source, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("was it put back from a backup?"), "{error}");
    // One that was put back whole goes on.
    let (_, to) = world.restore(Until::End).unwrap();
    assert_eq!(world.shipper().pass(&Source::open(&to).unwrap().1, &mut |_| {}).unwrap().events, 0);
}

#[test]
fn two_at_a_time_are_noticed() {
    let world = World::new();
    world.commit(1, 1_000);
    let (mut one, mut two) = (world.shipper(), world.shipper());
    one.pass(&world.source(), &mut |_| {}).unwrap();
    let error = two.pass(&world.source(), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("somebody else has written"), "{error}");
    assert_eq!(world.restore(Until::End).unwrap().0.last.position, 1);
}

#[test]
fn what_is_damaged_or_missing_is_named_with_what_can_be_had() {
    let world = World::new();
    world.vault.seal(ACCOUNT, b"x").unwrap();
    for at_ms in 1..=3 {
        world.commit(10, at_ms * 1_000);
        world.ship();
    }
    let second = segment::name(Position(11), Position(20));
    let (manifest, key) = (world.manifest(), format!("keys/{}", world.manifest().keys[0]));
    let secret = format!("secrets/{}", manifest.files["secret"]);
    let rows = [
        (
            format!("segments/{second}"),
            "it is damaged. Events 11 to 30 cannot be put back; what comes before can: --until 10",
        ),
        (key, "is damaged: without it"),
        (secret, "is damaged"),
        ("manifest".to_owned(), "the manifest is damaged"),
    ];
    for (name, damaged) in rows {
        let path = world.to().join(&name);
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        std::fs::write(&path, bytes).unwrap();
        let error = format!("{:#}", world.restore(Until::End).unwrap_err());
        assert!(error.contains(damaged), "{name}: {error}");
        std::fs::remove_file(&path).unwrap();
        let error = format!("{:#}", world.restore(Until::End).unwrap_err());
        let last = name.rsplit('/').next().unwrap();
        assert!(error.contains(&last[..20.min(last.len())]), "{name}: {error}");
        if name.starts_with("segments") {
            let (restored, _) = world.restore(Until::Position(Position(10))).unwrap();
            assert_eq!(restored.last.position, 10, "what was said can be done");
        }
        std::fs::write(&path, whole).unwrap();
    }
    world.restore(Until::End).unwrap();
}

#[test]
fn a_follower_ships_within_a_second_and_outlives_trouble() {
    let world = World::new();
    world.commit(1, 1_000);
    let output = Output::new(crate::follow::NAME, world.store.clone());
    // A file where the folder is to be.
    std::fs::write(world.to(), "in the way").unwrap();
    let follow = Follow {
        log: world.store.clone(),
        log_id: world.store.id(),
        data: world.data(),
        to: world.to().to_str().unwrap().to_owned(),
        keys_keep_ms: 0,
        clock: Arc::new(SystemClock::default()),
        output: output.clone(),
    };
    let follower = follow.start().unwrap();
    let now = || SystemClock::default().now();
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{what}: {:?}", output.look(now()));
            std::thread::sleep(Duration::from_millis(5));
        }
        begun.elapsed()
    };
    until("trouble", &|| output.look(now()).state == State::Failing);
    std::fs::remove_file(world.to()).unwrap();
    until("goes on", &|| output.look(now()).state == State::Ok && output.look(now()).position == Position(1));
    let mut slowest = Duration::ZERO;
    for at_ms in 1..=4 {
        world.commit(2, at_ms);
        let there = Position(1 + 2 * at_ms);
        slowest = slowest.max(until("ships", &|| output.look(now()).position == there));
        assert_eq!(world.manifest().end.position, there.0, "what it says is so");
    }
    assert!(slowest < Duration::from_millis(1_500), "{slowest:?}");
    // What was there is away: it is not begun anew.
    let away = world.root.path().join("away");
    std::fs::rename(world.to(), &away).unwrap();
    world.commit(1, 9);
    until("is missed", &|| output.look(now()).state == State::Failing);
    std::thread::sleep(Duration::from_millis(100));
    assert!(!world.to().join("manifest").exists());
    std::fs::remove_dir_all(world.to()).ok();
    std::fs::rename(&away, world.to()).unwrap();
    until("goes on again", &|| output.look(now()).state == State::Ok && output.look(now()).position == Position(10));
    world.commit(1, 9);
    drop(follower);
    assert_eq!(world.manifest().end.position, 11, "the last pass is made at the end");
}
