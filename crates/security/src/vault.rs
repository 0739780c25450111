//! Personal data, sealed with a key of its own per account. The sealed bytes live in the log for ever; the keys live here,
//! in `<data>/vault`, and can be destroyed one by one: then the events stay and the person is gone.
//!
//! The file is a row of 64-byte slots: tag 8, account 16, key 32, check 8 (of all before). A slot of zeros was erased.

use crate::secrets::random_bytes;
use base::id::AccountId;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rustc_hash::FxHashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

const FILE: &str = "vault";
const SLOT_BYTES: u64 = 64;
const TAG: [u8; 8] = *b"onsale-1";
const NONCE_BYTES: usize = 24;

const FAILED: &str = "the vault could not be written before; restart";

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

/// Where each account's key is. Keys themselves stay in the file: a million of them need not be in memory.
struct Slots {
    by_account: FxHashMap<AccountId, u32>,
    count: u32,
}

struct Synced {
    slots: u32,
    /// A sync that failed says nothing about what is on disk any more: no later one is believed.
    failed: bool,
}

impl Vault {
    /// Whether the data folder has one.
    pub fn exists(data: &Path) -> bool {
        data.join(FILE).exists()
    }

    /// Opens the vault, or makes an empty one. A torn slot at the end is the trace of a crash before its account came to
    /// be, and is cut off; any other unreadable slot is an error.
    pub fn open(data: &Path) -> io::Result<Vault> {
        let path = data.join(FILE);
        let named = |error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(named)?;
        File::open(data).and_then(|folder| folder.sync_all()).map_err(named)?;
        let slots = read_slots(&file).map_err(named)?;
        file.set_len(slots.count as u64 * SLOT_BYTES).map_err(named)?;
        let synced = Mutex::new(Synced { slots: slots.count, failed: false });
        Ok(Vault { file, slots: Mutex::new(slots), synced })
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

    /// Names the account's key as it is now; another one made later has another name. `None` when it has none: what was
    /// sealed for the account is gone.
    pub fn slot(&self, account: AccountId) -> Option<KeySlot> {
        lock(&self.slots).by_account.get(&account).copied().map(KeySlot)
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
        if self.slot(account) != Some(key) {
            return Ok(());
        }
        let written = self.file.write_all_at(&[0; SLOT_BYTES as usize], key.0 as u64 * SLOT_BYTES);
        // Until it is on disk the account keeps its key's place: whoever asks again must not be told that it is gone.
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            synced.failed = true;
            return Err(error);
        }
        lock(&self.slots).by_account.remove(&account);
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
                    self.file.write_all_at(&slot_bytes(account, &key), slot as u64 * SLOT_BYTES)?;
                    slots.by_account.insert(account, slot);
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
        self.file.read_exact_at(&mut bytes, slot as u64 * SLOT_BYTES)?;
        Ok(is_whole(&bytes).then(|| bytes[24..56].try_into().expect("32 bytes")))
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

fn is_whole(slot: &[u8; SLOT_BYTES as usize]) -> bool {
    slot[..8] == TAG && slot[56..] == check_of(&slot[..56])
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check_of(bytes: &[u8]) -> [u8; 8] {
    blake3::hash(bytes).as_bytes()[..8].try_into().expect("a hash has 32 bytes")
}

fn slot_bytes(account: AccountId, key: &[u8; 32]) -> [u8; SLOT_BYTES as usize] {
    let mut bytes = [0; SLOT_BYTES as usize];
    bytes[..8].copy_from_slice(&TAG);
    bytes[8..24].copy_from_slice(account.0.as_bytes());
    bytes[24..56].copy_from_slice(key);
    let check = check_of(&bytes[..56]);
    bytes[56..].copy_from_slice(&check);
    bytes
}

fn read_slots(file: &File) -> io::Result<Slots> {
    let len = file.metadata()?.len();
    let whole = (len / SLOT_BYTES) as u32;
    let mut slots = Slots { by_account: FxHashMap::default(), count: 0 };
    let mut reader = io::BufReader::with_capacity(1 << 16, file);
    for slot in 0..whole {
        let mut bytes = [0; SLOT_BYTES as usize];
        io::Read::read_exact(&mut reader, &mut bytes)?;
        if is_whole(&bytes) {
            let account = AccountId(Uuid::from_slice(&bytes[8..24]).expect("16 bytes"));
            slots.by_account.insert(account, slot);
        } else if bytes != [0; SLOT_BYTES as usize] {
            if slot + 1 == whole && bytes[..8] == TAG {
                break;
            }
            let what = match bytes.starts_with(b"onsale-") && bytes[7] != TAG[7] {
                true => "was written by a newer version",
                false => "is damaged; restore the file",
            };
            return Err(io::Error::other(format!("slot {slot} {what}")));
        }
        slots.count = slot + 1;
    }
    Ok(slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u128) -> AccountId {
        AccountId(Uuid::from_u128(number))
    }

    #[test]
    fn what_is_sealed_opens_for_its_account_only_also_after_a_restart() {
        let data = tempfile::tempdir().unwrap();
        let vault = Vault::open(data.path()).unwrap();
        let sealed = vault.seal(account(1), b"someone@example.com").unwrap();
        let again = vault.seal(account(1), b"someone@example.com").unwrap();
        vault.seal(account(2), b"other").unwrap();
        assert_ne!(sealed, again, "equal data must not look equal");
        drop(vault);
        let vault = Vault::open(data.path()).unwrap();
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
        let vault = Vault::open(data.path()).unwrap();
        let sealed = vault.seal(account(1), b"someone").unwrap();
        let other = vault.seal(account(2), b"other").unwrap();
        let key = vault.slot(account(1)).unwrap();
        vault.erase(account(1), key).unwrap();
        assert_eq!((vault.slot(account(1)), vault.seal_again(account(1), b"x").unwrap()), (None, None));
        // A new key is another one: who meant the old one does not destroy it.
        let later = vault.seal(account(1), b"somebody else").unwrap();
        vault.erase(account(1), key).unwrap();
        assert!(vault.open_sealed(account(1), &later).unwrap().is_some());
        for vault in [vault, Vault::open(data.path()).unwrap()] {
            assert_eq!(vault.open_sealed(account(1), &sealed).unwrap(), None);
            assert!(vault.open_sealed(account(1), &later).unwrap().is_some());
            assert!(vault.open_sealed(account(2), &other).unwrap().is_some());
        }
    }

    #[test]
    fn a_torn_last_slot_is_cut_off_and_any_other_damage_is_an_error() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join(FILE);
        let vault = Vault::open(data.path()).unwrap();
        let sealed = vault.seal(account(1), b"someone").unwrap();
        drop(vault);
        let good = std::fs::read(&path).unwrap();
        let half_written = [&good[..], &TAG, &[9; 20], &[0; 36]].concat();
        for torn in [[&good[..], &TAG].concat(), half_written] {
            std::fs::write(&path, torn).unwrap();
            let vault = Vault::open(data.path()).unwrap();
            assert_eq!(vault.open_sealed(account(1), &sealed).unwrap().as_deref(), Some(&b"someone"[..]));
            let next = vault.seal(account(2), b"next").unwrap();
            assert!(Vault::open(data.path()).unwrap().open_sealed(account(2), &next).unwrap().is_some());
        }
        let mut damaged = [&good[..], &good[..]].concat();
        damaged[30] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        assert!(Vault::open(data.path()).err().unwrap().to_string().contains("slot 0 is damaged"));
        let mut newer = good;
        newer[7] = b'2';
        std::fs::write(&path, newer).unwrap();
        assert!(Vault::open(data.path()).err().unwrap().to_string().contains("newer version"));
    }

    #[test]
    fn many_threads_make_one_key_per_account() {
        let data = tempfile::tempdir().unwrap();
        let vault = Vault::open(data.path()).unwrap();
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
}
