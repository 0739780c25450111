//! From which addresses an account's password was right lately. Whoever tries passwords from everywhere uses up what may be
//! tried with an e-mail; who comes from where they came from before is not locked out by that.
//!
//! A table of fixed size, in memory only: what is forgotten, or was before the last start, is strange once more.

use base::id::AccountId;
use config::FAMILIAR_MAX;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Entries of one set, the newest first: a line of cache.
const WAYS: usize = 8;

/// Accounts with addresses, by hash. An empty place is 0.
#[derive(Default)]
pub struct KnownAddresses {
    /// Made when somebody signs in for the first time.
    sets: OnceLock<Vec<Mutex<[u64; WAYS]>>>,
    hash: RandomState,
}

impl KnownAddresses {
    /// The account's password was right, from there.
    pub fn greet(&self, account: AccountId, address: IpAddr) {
        let entry = self.entry(account, address);
        let mut set = self.set(entry).lock().unwrap_or_else(PoisonError::into_inner);
        let last = set.iter().position(|known| *known == entry).unwrap_or(WAYS - 1);
        set[..=last].rotate_right(1);
        set[0] = entry;
    }

    pub fn knows(&self, account: AccountId, address: IpAddr) -> bool {
        let entry = self.entry(account, address);
        self.set(entry).lock().unwrap_or_else(PoisonError::into_inner).contains(&entry)
    }

    /// A household has a /64.
    fn entry(&self, account: AccountId, address: IpAddr) -> u64 {
        let network = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => (u128::from(address) >> 64 << 64).to_be_bytes(),
        };
        self.hash.hash_one((account.0.as_bytes(), network)).max(1)
    }

    fn set(&self, entry: u64) -> &Mutex<[u64; WAYS]> {
        let sets = self.sets.get_or_init(|| (0..FAMILIAR_MAX / WAYS).map(|_| Mutex::default()).collect());
        &sets[entry as usize % sets.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn who_was_here_is_known_and_nobody_else() {
        let addresses = KnownAddresses::default();
        let account = |number: u128| AccountId(Uuid::from_u128(number));
        let at = |address: &str| address.parse::<IpAddr>().unwrap();
        addresses.greet(account(1), at("203.0.113.1"));
        addresses.greet(account(1), at("2001:db8::1"));
        let table = [
            (1, "203.0.113.1", true),
            (1, "203.0.113.2", false),
            (2, "203.0.113.1", false),
            (1, "2001:db8::ffff", true),
            (1, "2001:db8:0:1::1", false),
        ];
        for (number, address, known) in table {
            assert_eq!(addresses.knows(account(number), at(address)), known, "{number} {address}");
        }
        // Each set forgets the one that was there longest ago.
        for number in 2..=100_000 {
            addresses.greet(account(number), at("203.0.113.1"));
        }
        assert!(addresses.knows(account(100_000), at("203.0.113.1")));
        assert_eq!(addresses.sets.get().unwrap().len() * WAYS, FAMILIAR_MAX);
    }
}
