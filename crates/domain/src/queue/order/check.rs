//! Whether a line is consistent: its counts, its ranks and its order against the standing of each ticket.

use super::{Counts, Line, Ranks, Standing};

impl Line {
    /// Panics where they differ. Looks at every ticket.
    pub fn check(&self) {
        let (admitted_ever, passed_over_ever) = (self.counts.admitted_ever, self.counts.passed_over_ever);
        let mut counts = Counts { admitted_ever, passed_over_ever, ..Counts::default() };
        let (mut ranks, mut first) = (Ranks::default(), Vec::new());
        for ticket in 1..=self.joined() {
            let standing = self.standing(ticket).expect("a ticket that was given out");
            *counts.of(standing) += 1;
            match (standing, self.place(ticket)) {
                (Standing::First, _) => first.push(ticket),
                (Standing::Waiting, Some(place)) => ranks.insert(place),
                _ => {}
            }
            if let Some(place) = self.place(ticket) {
                assert_eq!(self.ticket_at(place), ticket, "the ticket at place {place}");
            }
        }
        assert_eq!(self.counts, counts, "how many stand where");
        let mut put_first = self.first.clone();
        put_first.sort_unstable();
        assert_eq!(put_first, first, "tickets that were put first");
        self.ranks.check();
        assert!(self.ranks.from(0).eq(ranks.from(0)), "places of those who wait");
    }
}

impl Ranks {
    fn check(&self) {
        let mut before = 0;
        for (block, words) in self.bits.chunks(super::ranks::WORDS).enumerate() {
            assert_eq!(self.sum(block), before, "people who wait before block {block}");
            before += words.iter().map(|word| word.count_ones()).sum::<u32>();
        }
        assert_eq!(self.live, before, "people who wait");
    }
}
