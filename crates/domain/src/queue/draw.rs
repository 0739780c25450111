//! The draw of the pre-queue, so that anyone can check it.
//!
//! The seed is fixed before anybody waits: its SHA-256 is published with the queue. When the queue opens the list of tickets
//! is sealed, and the seed published. The order is by SHA-256 of seed, sealed list's hash and ticket: no buyer who wants a
//! better place can choose any of the three. It binds buyers, not the house: whoever has the installation's secret knows the
//! seed beforehand, and could steer the order by joins of their own just before the list is sealed.

use base::id::QueueId;
use ring::digest::{SHA256, digest};
use std::fmt::Write;

/// A seed of the draw.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl std::fmt::Debug for Seed {
    /// It is secret until the draw.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(…)")
    }
}

impl Seed {
    /// What is published of it before the draw: its SHA-256, 64 hex digits.
    pub fn commitment(&self) -> String {
        hex(&sha256(&self.0))
    }

    /// 64 hex digits.
    pub fn text(&self) -> String {
        hex(&self.0)
    }

    /// Reads what [`text`](Self::text) wrote.
    pub fn read(text: &str) -> Option<Seed> {
        let digits = text.as_bytes();
        let mut seed = [0; 32];
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in seed.iter_mut().zip(digits.chunks(2)) {
            let digit = |digit: u8| (digit as char).to_digit(16);
            *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
        }
        Some(Seed(seed))
    }
}

/// Where seeds come from: the same for a queue each time, and not to be guessed.
pub trait Seeds: Send + Sync {
    fn seed(&self, queue: QueueId) -> Seed;
}

impl<F: Fn(QueueId) -> Seed + Send + Sync> Seeds for F {
    fn seed(&self, queue: QueueId) -> Seed {
        self(queue)
    }
}

/// The hash that seals a list of tickets: of their numbers, ascending, in decimal, with commas between them.
pub fn seal(tickets: &[u32]) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&SHA256);
    let mut text = String::new();
    for (index, ticket) in tickets.iter().enumerate() {
        text.clear();
        let comma = if index == 0 { "" } else { "," };
        write!(text, "{comma}{ticket}").expect("a String takes every character");
        context.update(text.as_bytes());
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// What the order of a draw is by.
pub struct Lots([u8; 32 + 32 + 10]);

impl Lots {
    /// Of a seed and the hash that sealed the tickets.
    pub fn new(seed: Seed, sealed: [u8; 32]) -> Lots {
        let mut text = [0; 32 + 32 + 10];
        text[..32].copy_from_slice(&seed.0);
        text[32..64].copy_from_slice(&sealed);
        Lots(text)
    }

    /// A ticket's lot: the lowest comes first. The first 128 bits of SHA-256(seed ‖ sealed ‖ ticket in decimal); that two
    /// of them are the same happens once in 10^20 draws of a billion.
    pub fn of(&self, ticket: u32) -> u128 {
        let mut text = self.0;
        let len = decimal(ticket, &mut text[64..]);
        let hash = digest(&SHA256, &text[..64 + len]);
        u128::from_be_bytes(hash.as_ref()[..16].try_into().expect("32 bytes"))
    }
}

/// The tickets in the order that is drawn.
pub fn order(seed: Seed, tickets: &[u32]) -> Vec<u32> {
    let lots = Lots::new(seed, seal(tickets));
    let mut drawn: Vec<(u128, u32)> = tickets.iter().map(|ticket| (lots.of(*ticket), *ticket)).collect();
    drawn.sort_unstable();
    drawn.into_iter().map(|(_, ticket)| ticket).collect()
}

/// 64 hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes every character");
        text
    })
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Writes a number's digits to the front of `out`; how many.
fn decimal(mut number: u32, out: &mut [u8]) -> usize {
    let mut digits = [0; 10];
    let mut count = 0;
    while number > 0 || count == 0 {
        digits[count] = b'0' + (number % 10) as u8;
        number /= 10;
        count += 1;
    }
    for (place, digit) in out.iter_mut().zip(digits[..count].iter().rev()) {
        *place = *digit;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_draw_is_what_other_programs_make_of_it() {
        // Python: h = lambda b: hashlib.sha256(b).digest(); s = bytes(range(32)); l = h(b"1,2,4,10")
        // sorted([1, 2, 4, 10], key=lambda t: h(s + l + str(t).encode())), h(s).hex(), l.hex()
        let seed = Seed(std::array::from_fn(|index| index as u8));
        assert_eq!(seed.commitment(), "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd");
        assert_eq!(hex(&seal(&[1, 2, 4, 10])), "749c8bb492849efb1a7b87b7593e0cfdcf4ab305f792aa31f4d32f4077f39966");
        assert_eq!(order(seed, &[1, 2, 4, 10]), [2, 4, 1, 10]);
        assert_eq!(Seed::read(&seed.text()), Some(seed));
        assert_eq!(Seed::read("xy"), None);
    }

    #[test]
    fn everybody_has_the_same_chance() {
        let tickets: Vec<u32> = (1..=10).collect();
        let mut firsts = [0; 10];
        for number in 0..10_000u32 {
            let mut seed = [0; 32];
            seed[..4].copy_from_slice(&number.to_le_bytes());
            firsts[order(Seed(seed), &tickets)[0] as usize - 1] += 1;
        }
        assert!(firsts.iter().all(|times| (850..1150).contains(times)), "{firsts:?}");
    }
}
