//! The vault, block by block: a block whose keys are as they were is not copied again.

use anyhow::{Context, bail};
use security::vault::{self, SLOT_BYTES};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// Slots of a block: 256 KiB of them.
pub const BLOCK_SLOTS: u64 = 4096;
const BLOCK_BYTES: u64 = BLOCK_SLOTS * SLOT_BYTES;
/// A slot that is being written is looked at again.
const LOOKS: usize = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Takes a block that is new or has changed: its number, its name, and its bytes.
pub type Take<'a> = dyn FnMut(usize, String, Vec<u8>) -> anyhow::Result<()> + 'a;

/// Reads the vault of the folder `data` from its block number `from` on and calls `take` with what `known` does not have. An
/// error when it is damaged, or has lost keys: then what was copied before is the better one.
pub fn changed(data: &Path, known: &[String], from: usize, take: &mut Take<'_>) -> anyhow::Result<()> {
    let path = data.join(vault::FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && known.is_empty() => return Ok(()),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let slots = file.metadata()?.len() / SLOT_BYTES;
    let blocks = slots.div_ceil(BLOCK_SLOTS) as usize;
    if blocks < known.len() {
        bail!("{} has fewer keys than the backup: it is older, or cut off", path.display());
    }
    for block in from..blocks {
        let start = block as u64 * BLOCK_SLOTS;
        let bytes = read(&file, start, (slots - start).min(BLOCK_SLOTS)).with_context(|| path.display().to_string())?;
        let name = name(block, &bytes);
        if known.get(block) != Some(&name) {
            take(block, name, bytes)?;
        }
    }
    Ok(())
}

/// What a block is called: its number, how many slots it has, their hash. It says nothing about a key.
fn name(block: usize, bytes: &[u8]) -> String {
    format!("{block:08}-{:04}-{}", bytes.len() / SLOT_BYTES as usize, &blake3::hash(bytes).to_hex()[..32])
}

/// Whether a block only has more keys than the one that is called so: then nobody was erased.
pub fn extends(bytes: &[u8], called: &str) -> bool {
    let slots = called.split('-').nth(1).and_then(|slots| slots.parse::<usize>().ok());
    slots.and_then(|slots| bytes.get(..slots * SLOT_BYTES as usize)).is_some_and(|before| is_named(before, called))
}

/// Whether these are the bytes of the block that is called so.
pub fn is_named(bytes: &[u8], called: &str) -> bool {
    called.get(..8).and_then(|block| block.parse().ok()).is_some_and(|block| name(block, bytes) == called)
}

/// Whole slots. The last one of the file may be what a crash left, or is being written.
fn read(file: &File, first: u64, count: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; (count * SLOT_BYTES) as usize];
    for look in 1.. {
        file.read_exact_at(&mut bytes, first * SLOT_BYTES)?;
        match bytes.chunks(SLOT_BYTES as usize).position(|slot| !vault::is_slot(slot)) {
            None => break,
            Some(at) if look < LOOKS => {
                debug_assert!((at as u64) < BLOCK_SLOTS);
                std::thread::sleep(LOOK_AGAIN);
            }
            Some(at) if at as u64 + 1 == count && file.metadata()?.len() / SLOT_BYTES == first + count => {
                bytes.truncate(at * SLOT_BYTES as usize);
                break;
            }
            Some(at) => bail!("slot {} is damaged; what the backup has of it stays", first + at as u64),
        }
    }
    Ok(bytes)
}

/// Whether a vault has room for the blocks that a manifest names: all but the last one are full.
pub fn fits(block: usize, blocks: usize, bytes: usize) -> bool {
    bytes as u64 == BLOCK_BYTES || (block + 1 == blocks && (bytes as u64) < BLOCK_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::id::AccountId;
    use security::vault::{KeyState, Vault};
    use uuid::Uuid;

    fn taken(data: &Path, known: &[String], from: usize) -> Vec<(usize, String, usize)> {
        let mut found = Vec::new();
        changed(data, known, from, &mut |block, name, bytes| {
            assert!(is_named(&bytes, &name) && !is_named(&bytes[1..], &name));
            found.push((block, name, bytes.len()));
            Ok(())
        })
        .unwrap();
        found
    }

    #[test]
    fn only_blocks_that_changed_are_taken() {
        let data = tempfile::tempdir().unwrap();
        assert!(taken(data.path(), &[], 0).is_empty());
        let vault = Vault::open(data.path()).unwrap();
        let account = |number: u128| AccountId(Uuid::from_u128(number));
        vault.seal(account(1), b"x").unwrap();
        // A full block and one more key, without a sync for each.
        let path = data.path().join(vault::FILE);
        let slot = std::fs::read(&path).unwrap();
        std::fs::write(&path, slot.repeat(BLOCK_SLOTS as usize + 1)).unwrap();
        let first = taken(data.path(), &[], 0);
        assert_eq!(first.iter().map(|(block, _, len)| (*block, *len)).collect::<Vec<_>>(), [(0, 262_144), (1, 64)]);
        let known: Vec<String> = first.into_iter().map(|(_, name, _)| name).collect();
        assert!(known[0].starts_with("00000000-4096-") && known[1].starts_with("00000001-0001-"), "{known:?}");
        assert!(
            extends(&slot.repeat(2), &known[1]) && !extends(&[0; 128], &known[1]) && !extends(&slot[1..], &known[1])
        );
        assert!(taken(data.path(), &known, 0).is_empty());

        let vault = Vault::open(data.path()).unwrap();
        vault.seal(account(2), b"x").unwrap();
        assert_eq!(taken(data.path(), &known, 1).len(), 1, "the last one has grown");
        let KeyState::There(key) = vault.key(account(1)) else { panic!("it is there") };
        vault.erase(account(1), key).unwrap();
        assert_eq!(taken(data.path(), &known, 0).iter().map(|found| found.0).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn what_is_damaged_or_has_lost_keys_is_not_taken() {
        let data = tempfile::tempdir().unwrap();
        let vault = Vault::open(data.path()).unwrap();
        for number in 1..=3 {
            vault.seal(AccountId(Uuid::from_u128(number)), b"x").unwrap();
        }
        let path = data.path().join(vault::FILE);
        let whole = std::fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        damaged[70] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        let error = changed(data.path(), &[], 0, &mut |_, _, _| Ok(())).unwrap_err();
        assert!(format!("{error:#}").contains("slot 1 is damaged"), "{error:#}");
        std::fs::write(&path, &whole[..100]).unwrap();
        assert_eq!(taken(data.path(), &[], 0)[0].2, 64, "a torn end is no key");
        let known = ["a".to_owned(), "b".to_owned()];
        let error = changed(data.path(), &known, 0, &mut |_, _, _| Ok(())).unwrap_err();
        assert!(error.to_string().contains("fewer keys"), "{error:#}");
    }
}
