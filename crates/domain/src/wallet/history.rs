//! What a wallet shows of its past: its latest movements, packed. There may be millions of wallets with a few movements
//! each, so a movement takes about 30 bytes; its balance is not stored but counted back from the wallet's.

use super::ChargedBy;
use base::id::{Millis, OrganizerId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Movements that a wallet shows; older ones are in the log.
pub const ENTRIES_SHOWN_MAX: usize = 1_000;
/// So many more are kept before the oldest go, all at once.
const ENTRIES_SPARE: usize = 250;

/// What moved the points.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    Charged,
    /// A reservation was paid.
    Spent,
    /// A paid reservation was cancelled.
    Refunded,
    /// The operator corrected the balance.
    Adjusted,
}

/// One movement of points.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The version of the wallet that it made.
    pub version: u64,
    pub at_ms: Millis,
    pub kind: EntryKind,
    /// Added when positive, taken when negative.
    pub points: i64,
    /// Points after it.
    pub balance: u64,
    /// The charge, the adjustment, or the reservation.
    pub id: Uuid,
    pub charged_by: Option<ChargedBy>,
    /// On whose account it is, as far as that was recorded.
    pub organizer: Option<OrganizerId>,
    /// A charge's reference, an adjustment's or refund's reason.
    pub text: Option<String>,
}

/// A part of a statement, the newest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// There are more, before the last of these.
    pub more: bool,
    /// The wallet has movements that it does not show any more.
    pub older: bool,
}

/// The latest movements of one wallet.
#[derive(Default, Clone, Serialize, Deserialize)]
pub(super) struct History {
    /// [`Line`]s, the oldest first.
    packed: Vec<u8>,
    /// Who had to do with this wallet; lines name them by their place here.
    organizers: Box<[OrganizerId]>,
    lines: u32,
    /// Lines were dropped.
    older: bool,
}

/// A movement as it is packed.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    version: u64,
    at_ms: Millis,
    kind: EntryKind,
    points: i64,
    id: [u8; 16],
    charged_by: Option<ChargedBy>,
    /// 1 + the place of the organizer; 0 for none.
    organizer: u32,
    text: Option<&'a str>,
}

impl History {
    /// Takes a movement over; its `balance` is not kept.
    pub fn push(&mut self, entry: &Entry) {
        let line = Line {
            version: entry.version,
            at_ms: entry.at_ms,
            kind: entry.kind,
            points: entry.points,
            id: entry.id.into_bytes(),
            charged_by: entry.charged_by,
            organizer: entry.organizer.map_or(0, |organizer| self.place(organizer)),
            text: entry.text.as_deref(),
        };
        let packed = std::mem::take(&mut self.packed);
        self.packed = postcard::to_extend(&line, packed).expect("a line is plain data, and a Vec takes every byte");
        self.lines += 1;
        if self.lines as usize >= ENTRIES_SHOWN_MAX + ENTRIES_SPARE {
            self.drop_oldest();
        }
    }

    /// How many movements there are.
    pub fn len(&self) -> usize {
        self.lines as usize
    }

    /// Panics where the movements do not come to `balance`, or do not read back.
    pub fn check(&self, balance: u64) {
        let lines: Vec<Line<'_>> = Lines(&self.packed).collect();
        assert_eq!(lines.len(), self.len(), "movements that are packed");
        assert!(
            lines.is_sorted_by(|one, next| one.version < next.version),
            "movements are in the order of their versions"
        );
        let known = |line: &Line<'_>| line.organizer as usize <= self.organizers.len();
        assert!(lines.iter().all(known), "organizers of movements are known");
        if !self.older {
            let sum: i64 = lines.iter().map(|line| line.points).sum();
            assert_eq!(sum, balance as i64, "what all movements come to");
        }
    }

    /// Whether an organizer charged this user, sold to them, or had a correction on its account.
    pub fn knows(&self, organizer: OrganizerId) -> bool {
        self.organizers.contains(&organizer)
    }

    /// At most `limit` movements before version `before`, the newest first; of one organizer, or all. `balance` is what
    /// the wallet has now.
    pub fn page(&self, organizer: Option<OrganizerId>, before: Option<u64>, limit: usize, balance: u64) -> Page {
        let lines: Vec<Line<'_>> = Lines(&self.packed).collect();
        let shown = &lines[lines.len().saturating_sub(ENTRIES_SHOWN_MAX)..];
        let mut page = Page { entries: Vec::new(), more: false, older: self.older || shown.len() < lines.len() };
        let mut balance = balance as i64;
        for line in shown.iter().rev() {
            let after = balance;
            balance -= line.points;
            let of = (line.organizer > 0).then(|| self.organizers[line.organizer as usize - 1]);
            if before.is_some_and(|before| line.version >= before) || (organizer.is_some() && of != organizer) {
                continue;
            }
            if page.entries.len() == limit {
                page.more = true;
                break;
            }
            page.entries.push(Entry {
                version: line.version,
                at_ms: line.at_ms,
                kind: line.kind,
                points: line.points,
                balance: after as u64,
                id: Uuid::from_bytes(line.id),
                charged_by: line.charged_by,
                organizer: of,
                text: line.text.map(str::to_owned),
            });
        }
        page
    }

    fn place(&mut self, organizer: OrganizerId) -> u32 {
        let known = self.organizers.iter().position(|known| *known == organizer);
        let place = known.unwrap_or_else(|| {
            self.organizers = self.organizers.iter().copied().chain([organizer]).collect();
            self.organizers.len() - 1
        });
        place as u32 + 1
    }

    fn drop_oldest(&mut self) {
        let mut lines = Lines(&self.packed);
        let dropped = self.lines as usize - ENTRIES_SHOWN_MAX;
        let _ = lines.by_ref().take(dropped).count();
        let kept = lines.0.len();
        self.packed.drain(..self.packed.len() - kept);
        self.lines = ENTRIES_SHOWN_MAX as u32;
        self.older = true;
    }
}

/// Reads packed lines one after the other.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let (line, rest) = postcard::take_from_bytes(self.0).expect("a packed line reads back");
        self.0 = rest;
        Some(line)
    }
}
