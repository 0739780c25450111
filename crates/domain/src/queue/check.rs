//! Whether a queue is consistent: its line, who was let in, who has which ticket, and who was passed over.

use super::Queue;
use super::order::{Kind, Standing};
use base::id::Millis;
use std::collections::BTreeSet;

impl Queue {
    /// About how much there is to look at.
    pub(super) fn parts(&self) -> usize {
        self.line.joined() as usize + self.inside.len()
    }

    pub(super) fn check_derived(&self) {
        self.line.check();
        self.inside.check();
        self.people.check();
        assert_eq!(self.people.len(), self.line.joined() as usize, "people who joined");
        assert!(self.tokens.len() <= self.people.len(), "tokens, at most one a person");
        for ticket in 1..=self.line.joined() {
            let standing = self.line.standing(ticket).expect("a ticket that was given out");
            let claimed = self.inside.get(ticket).map(|session| session.is_claimed);
            let inside = standing.is_inside().then_some(standing == Standing::Active);
            assert_eq!(claimed, inside, "ticket {ticket}: whether its session is claimed, and its standing");
            let passed_over = self.passed_over.contains_key(&ticket);
            assert_eq!(passed_over, standing == Standing::PassedOver, "ticket {ticket}: passed over");
            let visitor = self.people.visitor(ticket).is_some();
            assert_eq!(visitor, self.line.kind(ticket) == Some(Kind::Visitor), "ticket {ticket}: a visitor");
        }
        let absent_s = self.created.as_ref().and_then(|created| created.facts.terms.absent_after_s);
        let given_up = absent_s.iter().flat_map(|absent_s| {
            self.passed_over.iter().map(|(ticket, since)| (since + Millis::from(*absent_s) * 1_000, *ticket))
        });
        assert_eq!(self.given_up_at, given_up.collect::<BTreeSet<_>>(), "when places are given up");
    }
}
