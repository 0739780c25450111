//! A queue as everybody may see it, the same for all: enough for whoever knows their ticket to find their place and rank.

use super::QueueView;
use super::queue_deltas::QueueDelta;
use base::id::Millis;
use domain::queue::draw::{Lots, Seed};
use std::sync::Arc;

/// Places of a draw that are marked: between two of a million there are some 980 people, and whose place is taken from where
/// their lot lies between the two is wrong by 10 places on average.
pub const MARKS_MAX: usize = 1_024;

/// A queue, for everybody.
pub struct PublicLine {
    /// Its `moves` are `None`: where there is an order, ranks are told as samples.
    pub news: QueueDelta,
    pub polls_per_s_max: u64,
    /// `None` before the draw, and where there was nothing to draw.
    pub draw: Option<Draw>,
}

/// What a draw was by, and where its lots lie.
pub struct Draw {
    pub seed: String,
    pub sealed: String,
    /// The last ticket before it. Later ones have the places behind all who were drawn, in the order of their tickets.
    pub last_ticket: u32,
    /// How many were drawn.
    pub drawn: u32,
    /// The first 32 bits of the lots at some places: of mark `i` out of `n`, the place `i * drawn / n`, rounded down.
    pub marks: Arc<[u32]>,
}

impl QueueView {
    /// The queue as it is now; `None` before it was made.
    pub fn public_line(&self, now: Millis) -> Option<PublicLine> {
        let (news, polls_per_s_max, drawn) = self.look(|live| {
            let facts = live.facts()?;
            let news = live.news(live.version, None, now)?;
            let lots = facts.seed.clone().zip(facts.sealed.clone());
            let drawn = live.line.drawn();
            let tickets = || (0..marks_of(drawn.len())).map(|mark| drawn[place_of(mark, drawn.len())]).collect();
            let marked: Vec<u32> = if self.marks.get().is_none() { tickets() } else { vec![] };
            let drawn = lots.map(|lots| (lots, live.line.drawn_until(), drawn.len() as u32, marked));
            Some((news, live.polls.get(), drawn))
        })?;
        let draw = drawn.and_then(|((seed, sealed), last_ticket, drawn, marked)| {
            // A seed that cannot be read drew nothing.
            let lots = Lots::new(Seed::read(&seed)?, Seed::read(&sealed)?.0);
            let marks = || marked.iter().map(|ticket| (lots.of(*ticket) >> 96) as u32).collect();
            Some(Draw { marks: self.marks.get_or_init(marks).clone(), seed, sealed, last_ticket, drawn })
        });
        Some(PublicLine { news, polls_per_s_max, draw })
    }
}

fn marks_of(drawn: usize) -> usize {
    drawn.min(MARKS_MAX)
}

fn place_of(mark: usize, drawn: usize) -> usize {
    mark * drawn / marks_of(drawn)
}
