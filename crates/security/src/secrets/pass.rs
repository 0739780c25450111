//! Passes of the gate: that somebody's session in a queue has begun. A site's browser keeps one as a cookie; it says who it is,
//! not until when, so it never has to be renewed and counts for nothing once the session has ended.

use super::{PASS_PREFIX, Secrets, decode, encode};
use base::id::EntryId;

/// entry 16, number of the admission 4, MAC 16: a multiple of 3, so that base64 has exactly one form of it.
const BYTES: usize = 36;
const SIGNED_BYTES: usize = 20;
const CHARS: usize = BYTES / 3 * 4;

/// What a pass says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pass {
    pub entry: EntryId,
    /// Counts the queue's admissions from 1: a pass of an earlier session of the same entry is of no use in a later one.
    pub number: u32,
}

impl Secrets {
    /// A pass for somebody's session.
    pub fn pass(&self, pass: &Pass) -> String {
        let mut bytes = [0; BYTES];
        bytes[..16].copy_from_slice(pass.entry.0.as_bytes());
        bytes[16..SIGNED_BYTES].copy_from_slice(&pass.number.to_be_bytes());
        let mac = blake3::keyed_hash(&self.pass, &bytes[..SIGNED_BYTES]);
        bytes[SIGNED_BYTES..].copy_from_slice(&mac.as_bytes()[..BYTES - SIGNED_BYTES]);
        encode(PASS_PREFIX, &bytes)
    }

    /// What a pass says; `None` of one that was not made here, or altered. One hash, no allocation: every page of a site asks.
    pub fn passed(&self, text: &str) -> Option<Pass> {
        let bytes: [u8; BYTES] = decode(PASS_PREFIX, CHARS, text)?;
        let (signed, mac) = bytes.split_at(SIGNED_BYTES);
        let made = blake3::keyed_hash(&self.pass, signed);
        // Every byte is looked at, wherever they differ.
        let differ = made.as_bytes().iter().zip(mac).fold(0, |differ, (one, other)| differ | (one ^ other));
        let entry = EntryId(uuid::Uuid::from_slice(&signed[..16]).expect("16 bytes"));
        let number = u32::from_be_bytes(signed[16..].try_into().expect("4 bytes"));
        (differ == 0).then_some(Pass { entry, number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::waiting::Waiting;
    use base::id::QueueId;

    #[test]
    fn a_pass_speaks_for_one_session_alone() {
        let secrets = Secrets::from_secret(&[7; 32]);
        let entry = EntryId::of(QueueId::from_random(5), 77);
        let pass = Pass { entry, number: 3 };
        let text = secrets.pass(&pass);
        assert_eq!(secrets.passed(&text), Some(pass));
        assert_eq!(Secrets::from_secret(&[8; 32]).passed(&text), None);
        for index in 0..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[index] = if altered[index] == b'A' { b'B' } else { b'A' };
            assert_eq!(secrets.passed(&String::from_utf8(altered).unwrap()), None, "{index}");
        }
        // Of the same bytes, but signed for something else.
        let waiting = secrets.waiting_token(&Waiting { entry, redirect: 3 });
        let renamed = waiting.replacen(super::super::WAITING_PREFIX, PASS_PREFIX, 1);
        for wrong in ["", &format!("{text}A"), &waiting, &renamed] {
            assert_eq!(secrets.passed(wrong), None, "{wrong}");
        }
    }
}
