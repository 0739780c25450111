//! Names of things: ids, positions, versions, points, instants. Newtypes, so that no two are ever mixed up.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize, schemars::JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Uuid {
                id.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> $name {
                $name(id)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map($name)
            }
        }
    };
}

uuid_id!(
    /// A person who buys; also the key of their wallet.
    UserId
);
uuid_id!(
    /// An account: a keyed hash of the lower-cased e-mail, which makes the e-mail unique without revealing it.
    AccountId
);
uuid_id!(
    /// A tenant that sells tickets.
    OrganizerId
);
uuid_id!(
    /// A concert, which has performances.
    ConcertId
);
uuid_id!(
    /// One performance of a concert. Its first half is a hash of its last 62 bits: see [`ReservationId`].
    PerformanceId
);
uuid_id!(
    /// A reservation. Its last 62 bits are its performance's, so that it finds its way to the actor that owns it
    /// without an index.
    ReservationId
);

uuid_id!(
    /// A queue of people. Like a performance's: its first half is a hash of its last 62 bits.
    QueueId
);
uuid_id!(
    /// Somebody's entry in a queue: its ticket, and the queue's last 62 bits.
    EntryId
);

/// The low 62 bits of a version 8 UUID: all of its last eight bytes but the two variant bits.
const TAIL_BITS: u64 = (1 << 62) - 1;

/// A version 8 UUID of 60 bits of head and 62 bits of tail.
fn uuid_v8(head: u64, tail: u64) -> Uuid {
    let mut bytes = [0u8; 16];
    bytes[..8].copy_from_slice(&(head << 4).to_be_bytes());
    bytes[8..].copy_from_slice(&(tail & TAIL_BITS).to_be_bytes());
    // The four version bits sit between the 48th and the 53rd bit: the head's last 12 bits move behind them.
    let low = (head & 0xfff) as u16;
    bytes[..6].copy_from_slice(&(head >> 12).to_be_bytes()[2..]);
    bytes[6..8].copy_from_slice(&low.to_be_bytes());
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn tail(id: Uuid) -> u64 {
    id.as_u64_pair().1 & TAIL_BITS
}

impl PerformanceId {
    /// The performance of 62 random bits.
    pub fn from_random(bits: u64) -> PerformanceId {
        let tail = bits & TAIL_BITS;
        let head = blake3::hash(&tail.to_be_bytes());
        let head = u64::from_be_bytes(head.as_bytes()[..8].try_into().expect("eight bytes"));
        PerformanceId(uuid_v8(head >> 4, tail))
    }
}

impl ReservationId {
    /// The reservation of 60 random bits in `performance`.
    pub fn from_random(performance: PerformanceId, bits: u64) -> ReservationId {
        ReservationId(uuid_v8(bits >> 4, tail(performance.0)))
    }

    /// The performance that this reservation is of (of a made-up id: one that does not exist).
    pub fn performance(self) -> PerformanceId {
        PerformanceId::from_random(tail(self.0))
    }
}

impl QueueId {
    /// The queue of 62 random bits.
    pub fn from_random(bits: u64) -> QueueId {
        QueueId(PerformanceId::from_random(bits).0)
    }
}

impl EntryId {
    /// The entry with this ticket.
    pub fn of(queue: QueueId, ticket: u32) -> EntryId {
        EntryId(uuid_v8(u64::from(ticket), tail(queue.0)))
    }

    /// The queue that this entry is of (of a made-up id: one that does not exist).
    pub fn queue(self) -> QueueId {
        QueueId::from_random(tail(self.0))
    }

    /// The ticket; `None` of an id that is no entry's.
    pub fn ticket(self) -> Option<u32> {
        let high = self.0.as_u64_pair().0;
        let head = (high >> 16) << 12 | high & 0xfff;
        let ticket = u32::try_from(head).ok().filter(|ticket| *ticket > 0)?;
        (EntryId(uuid_v8(head, tail(self.0))) == self).then_some(ticket)
    }
}

/// Declares the categories once: none can be missing in a list of all.
macro_rules! categories {
    ($($variant:ident = $code:literal $name:literal),+ $(,)?) => {
        /// What a stream is about; with the key it names the stream.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Category {
            $($variant = $code),+
        }

        impl Category {
            pub const ALL: [Category; [$($code),+].len()] = [$(Category::$variant),+];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Category::$variant => $name),+
                }
            }
        }
    };
}

categories! {
    Performance = 1 "performance",
    Wallet = 2 "wallet",
    Account = 3 "account",
    Organizer = 4 "organizer",
    Concert = 5 "concert",
    Queue = 6 "queue",
}

impl Category {
    pub fn from_code(code: u8) -> Option<Category> {
        Category::ALL.into_iter().find(|category| *category as u8 == code)
    }
}

/// One aggregate's stream of events, written `category-uuid`, e.g. `wallet-0190…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct StreamId {
    pub category: Category,
    pub key: Uuid,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.category.as_str(), self.key)
    }
}

impl std::str::FromStr for StreamId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, key) = text.split_once('-').ok_or("a stream is written category-uuid, e.g. wallet-0190…")?;
        let category = Category::ALL
            .into_iter()
            .find(|category| category.as_str() == name)
            .ok_or_else(|| format!("no category {name:?}; there are {:?}", Category::ALL.map(Category::as_str)))?;
        let key = Uuid::parse_str(key).map_err(|error| format!("{key:?} is not a UUID: {error}"))?;
        Ok(StreamId { category, key })
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = u64;

/// Where new ids come from: random in the server, seeded in the simulator.
pub trait Ids: Send + Sync {
    /// 128 random bits.
    fn next(&self) -> u128;
}

/// Ids from the operating system's randomness.
pub struct RandomIds;

impl Ids for RandomIds {
    fn next(&self) -> u128 {
        Uuid::new_v4().as_u128() ^ (Uuid::new_v4().as_u128().rotate_left(61))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_knows_its_performance() {
        for bits in [0, 1, 0xdead_beef_1234_5678, u64::MAX] {
            let performance = PerformanceId::from_random(bits);
            let reservation = ReservationId::from_random(performance, bits.rotate_left(17));
            assert_eq!(reservation.performance(), performance);
            assert_eq!(performance.0.get_version_num(), 8);
            assert_eq!(reservation.0.get_version_num(), 8);
        }
    }

    #[test]
    fn an_entry_knows_its_queue_and_ticket() {
        for (bits, ticket) in [(0, 1), (0xdead_beef_1234_5678, 4096), (u64::MAX, u32::MAX)] {
            let queue = QueueId::from_random(bits);
            let entry = EntryId::of(queue, ticket);
            assert_eq!((entry.queue(), entry.ticket()), (queue, Some(ticket)));
        }
        assert_eq!(EntryId(Uuid::from_u128(7)).ticket(), None);
        assert_eq!(EntryId(uuid_v8(1 << 33, 5)).ticket(), None);
    }

    #[test]
    fn a_stream_reads_as_it_is_written() {
        let stream = StreamId { category: Category::Wallet, key: Uuid::from_u128(7) };
        assert_eq!(stream.to_string().parse(), Ok(stream));
        assert!("wallet".parse::<StreamId>().is_err());
        assert!("cellar-00000000-0000-0000-0000-000000000007".parse::<StreamId>().is_err());
    }
}
