//! Waiting tokens: who somebody is in a queue. They carry the ticket, so nothing has to be looked up.

use super::{Secrets, WAITING_PREFIX, decode, encode};
use base::id::{EntryId, QueueId};
use domain::queue::draw::{Seed, Seeds};

/// entry 16, fingerprint of the redirect URL 4, MAC 16: a multiple of 3, so that base64 has exactly one form of it.
const BYTES: usize = 36;
const SIGNED_BYTES: usize = 20;
const CHARS: usize = BYTES / 3 * 4;

/// What a waiting token says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiting {
    pub entry: EntryId,
    /// Of the redirect URL that was asked for; 0 for none.
    pub redirect: u32,
}

impl Waiting {
    /// What a token keeps of a redirect URL: enough to find it again among those that are allowed.
    pub fn fingerprint(url: &str) -> u32 {
        let hash = blake3::hash(url.as_bytes());
        u32::from_be_bytes(hash.as_bytes()[..4].try_into().expect("a hash has 32 bytes")).max(1)
    }
}

impl Secrets {
    /// A token for somebody's place in a queue.
    pub fn waiting_token(&self, waiting: &Waiting) -> String {
        let mut bytes = [0; BYTES];
        bytes[..16].copy_from_slice(waiting.entry.0.as_bytes());
        bytes[16..SIGNED_BYTES].copy_from_slice(&waiting.redirect.to_be_bytes());
        let mac = blake3::keyed_hash(&self.waiting, &bytes[..SIGNED_BYTES]);
        bytes[SIGNED_BYTES..].copy_from_slice(&mac.as_bytes()[..BYTES - SIGNED_BYTES]);
        encode(WAITING_PREFIX, &bytes)
    }

    /// What a token says; `None` of one that was not made here, or altered. One hash, no allocation: every poll asks.
    pub fn waiting(&self, token: &str) -> Option<Waiting> {
        let bytes: [u8; BYTES] = decode(WAITING_PREFIX, CHARS, token)?;
        let (signed, mac) = bytes.split_at(SIGNED_BYTES);
        let made = blake3::keyed_hash(&self.waiting, signed);
        // Every byte is looked at, wherever they differ.
        let differ = made.as_bytes().iter().zip(mac).fold(0, |differ, (one, other)| differ | (one ^ other));
        let entry = EntryId(uuid::Uuid::from_slice(&signed[..16]).expect("16 bytes"));
        let redirect = u32::from_be_bytes(signed[16..].try_into().expect("4 bytes"));
        (differ == 0).then_some(Waiting { entry, redirect })
    }
}

impl Seeds for Secrets {
    fn seed(&self, queue: QueueId) -> Seed {
        Seed(*blake3::keyed_hash(&self.draw, queue.0.as_bytes()).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_token_speaks_for_its_entry_alone() {
        let secrets = Secrets::from_secret(&[7; 32]);
        let entry = EntryId::of(QueueId::from_random(5), 77);
        let waiting = Waiting { entry, redirect: Waiting::fingerprint("https://tickets.example/") };
        let token = secrets.waiting_token(&waiting);
        assert_eq!(secrets.waiting(&token), Some(waiting));
        assert_eq!(Secrets::from_secret(&[8; 32]).waiting(&token), None);
        for index in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[index] = if altered[index] == b'A' { b'B' } else { b'A' };
            assert_eq!(secrets.waiting(&String::from_utf8(altered).unwrap()), None, "{index}");
        }
        assert_eq!(secrets.waiting(""), None);
        assert_eq!(secrets.waiting(&format!("{token}A")), None);
    }

    #[test]
    fn seeds_are_of_their_queue() {
        let secrets = Secrets::from_secret(&[7; 32]);
        let [one, other] = [5, 6].map(|bits| secrets.seed(QueueId::from_random(bits)));
        assert_ne!(one, other);
        assert_eq!(one, secrets.seed(QueueId::from_random(5)));
    }
}
