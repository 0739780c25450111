//! Personal data, sealed with a key of its own per account. The sealed bytes live in the log for ever; the keys live here,
//! in `<data>/vault`, and can be destroyed one by one: then the events stay and the person is gone.
//!
//! The file is a row of 64-byte slots: tag 8, account 16, key 32, check 8 (of all before). Where a key was destroyed the tag
//! is another one and the key is zeros: so it is known to have been destroyed, also when a crash came before the log heard of
//! it. A slot of zeros is one that an earlier version destroyed, or that a crash left before its account came to be.

use crate::secrets::random_bytes;
use base::id::AccountId;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use eventlog::data_folder::checks::Checks;
use rustc_hash::{FxHashMap, FxHashSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// Its name in the data folder.
pub const FILE: &str = "vault";
/// The length of a slot.
pub const SLOT_BYTES: u64 = 64;
const TAG: [u8; 8] = *b"onsale-1";
const DESTROYED_TAG: [u8; 8] = *b"erased-1";
const NONCE_BYTES: usize = 24;

const FAILED: &str = "the vault could not be written before; restart";
/// What it means to do without keys.
const WITHOUT: &str = "accounts without a key are then taken for erased, and their e-mails may sign up as new users";

/// One key of one account: a later one has another place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeySlot(u32);

/// The keys of all accounts. Blocks on the disk: not to be called from an HTTP worker.
pub struct Vault {
    file: File,
    slots: Mutex<Slots>,
    /// How many slots are known to be on disk. Its lock is held during a sync, so that those who wait meanwhile share the
    /// next one.
    synced: Mutex<Synced>,
}

/// What is known of an account's key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    There(KeySlot),
    /// On purpose: the account was erased, whether the log says so yet or not.
    Destroyed,
    /// There never was one.
    None,
}

/// Where each account's key is. Keys themselves stay in the file: a million of them need not be in memory.
#[derive(Default)]
struct Slots {
    by_account: FxHashMap<AccountId, u32>,
    destroyed: FxHashSet<AccountId>,
    count: u32,
}

struct Synced {
    slots: u32,
    /// A sync that failed says nothing about what is on disk any more: no later one is believed.
    failed: bool,
}

/// The vault's file as it was found at the start, before anything in it is changed.
pub struct Found {
    there: bool,
    slots: Slots,
    /// Slots of nothing but zeros.
    zeros: usize,
    /// There is the beginning of a slot at the end, or one that is not whole: the trace of a crash before its account came to
    /// be, or damage.
    torn: bool,
}

impl Found {
    /// Reads the vault of the folder `data`. Any slot but the last one that is not whole is an error.
    pub fn read(data: &Path) -> io::Result<Found> {
        let path = data.join(FILE);
        let named = |error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
        match File::open(&path) {
            Ok(file) => read_slots(&file).map_err(named),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Found { there: false, slots: Slots::default(), zeros: 0, torn: false })
            }
            Err(error) => Err(named(error)),
        }
    }

    /// Whether it has the account's key, or destroyed it.
    pub fn knows(&self, account: AccountId) -> bool {
        self.slots.by_account.contains_key(&account) || self.slots.destroyed.contains(&account)
    }

    /// Opens it for use, unless it has lost keys: `lost` are the accounts that are in the log, were not erased, and that it
    /// does not [know](Found::knows). Then nothing is changed.
    pub fn open(self, checks: &Checks, lost: &[AccountId]) -> io::Result<Vault> {
        let path = checks.folder().join(FILE);
        let accepted = checks.is_accepted(FILE);
        // What an earlier version destroyed just before a crash cannot be told from zeros: so many may be erased.
        let erased_before = self.there && !checks.has(FILE) && lost.len() <= self.zeros;
        if !lost.is_empty() && !accepted && !erased_before {
            let what = match (self.there, self.torn) {
                (false, _) => "is missing".to_owned(),
                (true, true) => "is damaged or cut off at its end, where an account's key was".to_owned(),
                (true, false) => format!(
                    "has no key of {} of the log's accounts (one is {}), which nobody erased: it is older than the log, or of \
                     another folder",
                    lost.len(),
                    lost[0].0
                ),
            };
            return Err(checks.refuse(FILE, &what, WITHOUT));
        }
        if !self.there && checks.has(FILE) {
            tracing::warn!(path = %path.display(), "the file was missing, and is made anew: no account needs it");
        }
        let named = |error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
        let mut slots = self.slots;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(named)?;
        File::open(checks.folder()).and_then(|folder| folder.sync_all()).map_err(named)?;
        if self.torn {
            file.set_len(u64::from(slots.count) * SLOT_BYTES).map_err(named)?;
        }
        for account in lost {
            tracing::warn!(account = %account.0, "the account has no key: it is taken for erased");
            let at = u64::from(slots.count) * SLOT_BYTES;
            file.write_all_at(&slot_bytes(DESTROYED_TAG, *account, &[0; 32]), at).map_err(named)?;
            slots.destroyed.insert(*account);
            slots.count += 1;
        }
        file.sync_all().map_err(named)?;
        // From now on every key that is destroyed leaves its trace.
        checks.note(FILE, &DESTROYED_TAG)?;
        let synced = Mutex::new(Synced { slots: slots.count, failed: false });
        Ok(Vault { file, slots: Mutex::new(slots), synced })
    }
}

impl Vault {
    /// Opens the vault of the folder `data`, or makes an empty one, whatever accounts the log has.
    pub fn open(data: &Path) -> io::Result<Vault> {
        Found::read(data)?.open(&Checks::open(data)?, &[])
    }

    /// Whether the data folder has one.
    pub fn exists(data: &Path) -> bool {
        data.join(FILE).exists()
    }

    /// Seals `plain` under the account's key, which is made now if there is none; the key is on disk when this returns.
    pub fn seal(&self, account: AccountId, plain: &[u8]) -> io::Result<String> {
        let key = self.key_for(account, true)?.expect("it is made");
        seal_with(&key, account, plain)
    }

    /// The same, but only with a key that is there: `None` when there is none (any more).
    pub fn seal_again(&self, account: AccountId, plain: &[u8]) -> io::Result<Option<String>> {
        self.key_for(account, false)?.map(|key| seal_with(&key, account, plain)).transpose()
    }

    /// Names the account's key as it is now; another one made later has another name. Where it was destroyed, what was sealed
    /// for the account is gone.
    pub fn key(&self, account: AccountId) -> KeyState {
        let slots = lock(&self.slots);
        match slots.by_account.get(&account) {
            Some(slot) => KeyState::There(KeySlot(*slot)),
            None if slots.destroyed.contains(&account) => KeyState::Destroyed,
            None => KeyState::None,
        }
    }

    /// What [`seal`](Self::seal) sealed; `None` when the account's key was destroyed, or the text is not what was sealed.
    pub fn open_sealed(&self, account: AccountId, sealed: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(slot) = lock(&self.slots).by_account.get(&account).copied() else { return Ok(None) };
        let Ok(bytes) = STANDARD_NO_PAD.decode(sealed) else { return Ok(None) };
        let Some((nonce, sealed)) = bytes.split_first_chunk::<NONCE_BYTES>() else { return Ok(None) };
        let Some(key) = self.read_key(slot)? else { return Ok(None) };
        let cipher = XChaCha20Poly1305::new(&key.into());
        Ok(cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: account.0.as_bytes() }).ok())
    }

    /// Destroys the account's key, if it still is the one of this name: nothing that was sealed with it can be read again.
    /// On disk when this returns.
    pub fn erase(&self, account: AccountId, key: KeySlot) -> io::Result<()> {
        let mut synced = lock(&self.synced);
        if synced.failed {
            return Err(io::Error::other(FAILED));
        }
        if self.key(account) != KeyState::There(key) {
            return Ok(());
        }
        let destroyed = slot_bytes(DESTROYED_TAG, account, &[0; 32]);
        let written = self.file.write_all_at(&destroyed, u64::from(key.0) * SLOT_BYTES);
        // Until it is on disk the account keeps its key's place: whoever asks again must not be told that it is gone.
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            synced.failed = true;
            return Err(error);
        }
        let mut slots = lock(&self.slots);
        slots.by_account.remove(&account);
        slots.destroyed.insert(account);
        Ok(())
    }

    fn key_for(&self, account: AccountId, make: bool) -> io::Result<Option<[u8; 32]>> {
        let (slot, key) = {
            let mut slots = lock(&self.slots);
            match slots.by_account.get(&account) {
                Some(slot) => match self.read_key(*slot)? {
                    Some(key) => (*slot, key),
                    None if make => return Err(io::Error::other("the account is being erased")),
                    None => return Ok(None),
                },
                None if !make => return Ok(None),
                None => {
                    let (slot, key) = (slots.count, random_bytes());
                    self.file.write_all_at(&slot_bytes(TAG, account, &key), u64::from(slot) * SLOT_BYTES)?;
                    slots.by_account.insert(account, slot);
                    slots.destroyed.remove(&account);
                    slots.count += 1;
                    (slot, key)
                }
            }
        };
        self.sync_to(slot)?;
        Ok(Some(key))
    }

    fn sync_to(&self, slot: u32) -> io::Result<()> {
        let mut synced = lock(&self.synced);
        if synced.failed {
            return Err(io::Error::other(FAILED));
        }
        if slot < synced.slots {
            return Ok(());
        }
        let written = lock(&self.slots).count;
        if let Err(error) = self.file.sync_data() {
            synced.failed = true;
            return Err(error);
        }
        synced.slots = written;
        Ok(())
    }

    /// `None` while it is being destroyed.
    fn read_key(&self, slot: u32) -> io::Result<Option<[u8; 32]>> {
        let mut bytes = [0; SLOT_BYTES as usize];
        self.file.read_exact_at(&mut bytes, u64::from(slot) * SLOT_BYTES)?;
        match is_whole(&bytes) {
            true if bytes[..8] == TAG => Ok(Some(bytes[24..56].try_into().expect("32 bytes"))),
            true => Ok(None),
            false => Err(io::Error::other(format!("slot {slot} of the vault is damaged; restore the file"))),
        }
    }
}

fn seal_with(key: &[u8; 32], account: AccountId, plain: &[u8]) -> io::Result<String> {
    let nonce = random_bytes::<NONCE_BYTES>();
    let cipher = XChaCha20Poly1305::new(key.into());
    let sealed = cipher
        .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: account.0.as_bytes() })
        .map_err(|_| io::Error::other("too much to seal"))?;
    Ok(STANDARD_NO_PAD.encode([&nonce[..], &sealed].concat()))
}

/// Whether a slot of the file is one that counts, or zeros: for who copies it.
pub fn is_slot(slot: &[u8]) -> bool {
    let empty = [0; SLOT_BYTES as usize];
    <&[u8; SLOT_BYTES as usize]>::try_from(slot).is_ok_and(|slot| is_whole(slot) || *slot == empty)
}

fn is_whole(slot: &[u8; SLOT_BYTES as usize]) -> bool {
    (slot[..8] == TAG || slot[..8] == DESTROYED_TAG) && slot[56..] == check_of(&slot[..56])
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check_of(bytes: &[u8]) -> [u8; 8] {
    blake3::hash(bytes).as_bytes()[..8].try_into().expect("a hash has 32 bytes")
}

fn slot_bytes(tag: [u8; 8], account: AccountId, key: &[u8; 32]) -> [u8; SLOT_BYTES as usize] {
    let mut bytes = [0; SLOT_BYTES as usize];
    bytes[..8].copy_from_slice(&tag);
    bytes[8..24].copy_from_slice(account.0.as_bytes());
    bytes[24..56].copy_from_slice(key);
    let check = check_of(&bytes[..56]);
    bytes[56..].copy_from_slice(&check);
    bytes
}

fn read_slots(file: &File) -> io::Result<Found> {
    let len = file.metadata()?.len();
    let whole = (len / SLOT_BYTES) as u32;
    let torn = !len.is_multiple_of(SLOT_BYTES);
    let mut found = Found { there: true, slots: Slots::default(), zeros: 0, torn };
    let slots = &mut found.slots;
    let mut reader = io::BufReader::with_capacity(1 << 16, file);
    for slot in 0..whole {
        let mut bytes = [0; SLOT_BYTES as usize];
        io::Read::read_exact(&mut reader, &mut bytes)?;
        if is_whole(&bytes) {
            let account = AccountId(Uuid::from_slice(&bytes[8..24]).expect("16 bytes"));
            if bytes[..8] == TAG {
                slots.by_account.insert(account, slot);
                slots.destroyed.remove(&account);
            } else if !slots.by_account.contains_key(&account) {
                slots.destroyed.insert(account);
            }
        } else if bytes == [0; SLOT_BYTES as usize] {
            found.zeros += 1;
        } else if bytes.starts_with(b"onsale-") && bytes[7] > TAG[7] && bytes[56..] == check_of(&bytes[..56]) {
            return Err(io::Error::other(format!("slot {slot} was written by a newer version")));
        } else if slot + 1 == whole {
            found.torn = true;
            break;
        } else {
            return Err(io::Error::other(format!(
                "slot {slot} is damaged; put the file back from a backup of this folder"
            )));
        }
        slots.count = slot + 1;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u128) -> AccountId {
        AccountId(Uuid::from_u128(number))
    }

    fn open_without(data: &Path, lost: &[AccountId]) -> io::Result<Vault> {
        Found::read(data)?.open(&Checks::open(data).unwrap(), lost)
    }

    fn open(data: &Path) -> io::Result<Vault> {
        open_without(data, &[])
    }

    #[test]
    fn what_is_sealed_opens_for_its_account_only_also_after_a_restart() {
        let data = tempfile::tempdir().unwrap();
        let vault = open(data.path()).unwrap();
        let sealed = vault.seal(account(1), b"someone@example.com").unwrap();
        let again = vault.seal(account(1), b"someone@example.com").unwrap();
        vault.seal(account(2), b"other").unwrap();
        assert_ne!(sealed, again, "equal data must not look equal");
        drop(vault);
        let vault = open(data.path()).unwrap();
        for text in [&sealed, &again] {
            assert_eq!(vault.open_sealed(account(1), text).unwrap().as_deref(), Some(&b"someone@example.com"[..]));
        }
        assert_eq!(vault.open_sealed(account(2), &sealed).unwrap(), None);
        assert_eq!(vault.open_sealed(account(3), &sealed).unwrap(), None);
        assert_eq!(std::fs::metadata(data.path().join(FILE)).unwrap().len(), 128);
    }

    #[test]
    fn an_erased_key_is_gone_for_good() {
        let data = tempfile::tempdir().unwrap();
        let vault = open(data.path()).unwrap();
        let sealed = vault.seal(account(1), b"someone").unwrap();
        let other = vault.seal(account(2), b"other").unwrap();
        let KeyState::There(key) = vault.key(account(1)) else { panic!("it has a key") };
        vault.erase(account(1), key).unwrap();
        assert_eq!((vault.key(account(1)), vault.seal_again(account(1), b"x").unwrap()), (KeyState::Destroyed, None));
        // A new key is another one: who meant the old one does not destroy it.
        let later = vault.seal(account(1), b"somebody else").unwrap();
        vault.erase(account(1), key).unwrap();
        assert!(vault.open_sealed(account(1), &later).unwrap().is_some());
        for vault in [vault, open(data.path()).unwrap()] {
            assert!(matches!(vault.key(account(1)), KeyState::There(_)));
            assert_eq!(vault.open_sealed(account(1), &sealed).unwrap(), None);
            assert!(vault.open_sealed(account(1), &later).unwrap().is_some());
            assert!(vault.open_sealed(account(2), &other).unwrap().is_some());
        }
    }

    #[test]
    fn a_torn_last_slot_is_cut_off_and_any_other_damage_is_an_error() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join(FILE);
        let vault = open(data.path()).unwrap();
        let sealed = vault.seal(account(1), b"someone").unwrap();
        drop(vault);
        let good = std::fs::read(&path).unwrap();
        let half_written = [&good[..], &TAG, &[9; 20], &[0; 36]].concat();
        for torn in [[&good[..], &TAG].concat(), half_written] {
            std::fs::write(&path, torn).unwrap();
            let vault = open(data.path()).unwrap();
            assert_eq!(vault.open_sealed(account(1), &sealed).unwrap().as_deref(), Some(&b"someone"[..]));
            let next = vault.seal(account(2), b"next").unwrap();
            assert!(open(data.path()).unwrap().open_sealed(account(2), &next).unwrap().is_some());
        }
        let mut damaged = [&good[..], &good[..]].concat();
        damaged[30] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        assert!(open(data.path()).err().unwrap().to_string().contains("slot 0 is damaged"));
        let mut newer = good;
        newer[7] = b'2';
        let check = check_of(&newer[..56]);
        newer[56..64].copy_from_slice(&check);
        std::fs::write(&path, newer).unwrap();
        assert!(open(data.path()).err().unwrap().to_string().contains("newer version"));
    }

    #[test]
    fn many_threads_make_one_key_per_account() {
        let data = tempfile::tempdir().unwrap();
        let vault = open(data.path()).unwrap();
        let sealed: Vec<(AccountId, String)> = std::thread::scope(|scope| {
            let seal = |thread: u128| {
                let vault = &vault;
                scope.spawn(move || {
                    (0..8)
                        .map(|n| (account((n + thread) % 8), n))
                        .map(|(id, _)| (id, vault.seal(id, b"x").unwrap()))
                        .collect::<Vec<_>>()
                })
            };
            let threads: Vec<_> = (0..8).map(seal).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(std::fs::metadata(data.path().join(FILE)).unwrap().len(), 8 * SLOT_BYTES);
        for (id, sealed) in sealed {
            assert!(vault.open_sealed(id, &sealed).unwrap().is_some());
        }
    }

    /// What the log knows of and the vault does not was either destroyed by it, or is lost.
    #[test]
    fn lost_keys_are_refused_and_destroyed_ones_are_known() {
        let origin = tempfile::tempdir().unwrap();
        let path = origin.path().join(FILE);
        let vault = open(origin.path()).unwrap();
        vault.seal(account(1), b"one").unwrap();
        vault.seal(account(2), b"two").unwrap();
        let older = std::fs::read(&path).unwrap();
        vault.seal(account(3), b"three").unwrap();
        let KeyState::There(key) = vault.key(account(1)) else { panic!("it has a key") };
        // A crash comes before the log hears of it.
        vault.erase(account(1), key).unwrap();
        drop(vault);
        let good = std::fs::read(&path).unwrap();
        let live = [1, 2, 3].map(account);
        let start = || {
            let found = Found::read(origin.path())?;
            let lost: Vec<AccountId> = live.into_iter().filter(|account| !found.knows(*account)).collect();
            let before = std::fs::read(&path).ok();
            let opened = found.open(&Checks::open(origin.path()).unwrap(), &lost);
            if opened.is_err() {
                assert_eq!(std::fs::read(&path).ok(), before, "it is left alone");
            }
            opened
        };
        assert_eq!(start().unwrap().key(account(1)), KeyState::Destroyed);
        let flipped = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            bytes
        };
        let mut table = vec![
            (None, "is missing"),
            (Some(vec![]), "has no key of 3"),
            (Some(older), "has no key of 1"),
            (Some(vec![0; good.len()]), "has no key of 3"),
        ];
        table.extend((0..128).map(|at| (Some(flipped(at)), "is damaged")));
        table.extend((128..192).map(|at| (Some(flipped(at)), "is damaged or cut off")));
        table.extend((129..192).map(|len| (Some(good[..len].to_vec()), "is damaged or cut off")));
        table.push((Some(good[..128].to_vec()), "has no key of 1"));
        for (bytes, what) in &table {
            match bytes {
                Some(bytes) => std::fs::write(&path, bytes).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            let error = start().err().expect(what).to_string();
            assert!(error.contains(what) && error.contains("vault") && !error.contains('\n'), "{what}: {error}");
            assert!(error.contains("put "), "{error}");
            std::fs::write(&path, &good).unwrap();
        }
        // Somebody says that they are lost for good.
        std::fs::remove_file(&path).unwrap();
        let checks = origin.path().join("checks");
        let noted = std::fs::read_to_string(&checks).unwrap();
        std::fs::write(&checks, noted + "accept vault\n").unwrap();
        for _ in 0..2 {
            let vault = start().unwrap();
            assert!(live.iter().all(|account| vault.key(*account) == KeyState::Destroyed));
        }
    }

    #[test]
    fn of_a_version_before_so_many_may_be_erased_as_there_are_slots_of_zeros() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join(FILE), [0; 128]).unwrap();
        let lost = [1, 2, 3].map(account);
        assert!(open_without(data.path(), &lost).is_err());
        let vault = open_without(data.path(), &lost[..2]).unwrap();
        assert_eq!(vault.key(account(2)), KeyState::Destroyed);
        assert!(open_without(data.path(), &[account(4)]).is_err(), "once");
    }
}
