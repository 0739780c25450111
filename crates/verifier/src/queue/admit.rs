//! Letting in, and passing over: who was first in line, and whether the policy let them.

use super::*;
use domain::queue::{EXTENDED_MS_MAX, LEARN_MS_MAX};

/// Calls of an organizer that are remembered by their Idempotency-Key, per queue.
const CALLS_MAX: usize = 1_000;

impl Queue {
    pub(super) fn admit(&mut self, event: &EntriesAdmitted, at: Millis) -> Result<(), Fault> {
        rule(!event.entries.is_empty(), || "it is about nobody".into())?;
        self.check_word(event)?;
        self.note_call(event)?;
        count("admitted before", event.admitted_before, self.admitted)?;
        for entry in &event.entries {
            let until = entry.claim_until_ms.unwrap_or(event.claim_until_ms);
            rule(event.claim_until_ms <= until, || format!("the claim of {} ends before all others'", entry.ticket))?;
            self.check_claim(entry.ticket, at, until)?;
            self.admit_one(entry, event.by, until)?;
        }
        self.admitted += event.entries.len() as u32;
        if let Some(max) = self.terms.policy.max_active {
            ensure(self.inside <= max, Kind::QueuePolicyBroken, || {
                format!("{} are inside, and at most {max} may be", self.inside)
            })?;
        }
        if let Some(rate) = self.terms.policy.rate {
            let lately = self.window.admit(rate, at, event.entries.len() as u32);
            ensure(lately <= rate.count.into(), Kind::QueuePolicyBroken, || {
                format!("{lately} were let in within {} s, {} may be", rate.interval_s, rate.count)
            })?;
        }
        self.check_counts(event.waiting, event.inside)
    }

    /// Everybody has at least the time that the queue gives to come; and no more, once they must have learned of it.
    fn check_claim(&self, ticket: u32, at: Millis, until: Millis) -> Result<(), Fault> {
        let earliest = at + Millis::from(self.terms.claim_ttl_s) * 1_000;
        rule((earliest..=earliest + LEARN_MS_MAX).contains(&until), || {
            format!("the claim of {ticket} ends at {until}, not within {LEARN_MS_MAX} ms from {earliest}")
        })
    }

    /// Nobody's time to come becomes shorter, or much longer.
    pub(super) fn extend(&mut self, event: &ClaimsExtended, at: Millis) -> Result<(), Fault> {
        rule(!event.tickets.is_empty(), || "it is about nobody".into())?;
        let until = event.claim_until_ms;
        rule((at..=at + EXTENDED_MS_MAX).contains(&until), || {
            format!("claims are extended to {until}, not within {EXTENDED_MS_MAX} ms from {at}")
        })?;
        for ticket in &event.tickets {
            let stage = self.stage(*ticket)?;
            rule(stage == Stage::Admitted, || format!("ticket {ticket} is {stage:?}: there is no claim to extend"))?;
            let Some(session) = self.sessions.get_mut(ticket) else { continue };
            rule(session.until < until, || format!("the claim of {ticket} lasts until {} already", session.until))?;
            session.until = until;
        }
        Ok(())
    }

    /// Whether anybody may be let in at all, on this word.
    fn check_word(&self, event: &EntriesAdmitted) -> Result<(), Fault> {
        let policy = |holds, what: &str| ensure(holds, Kind::QueuePolicyBroken, || what.to_owned());
        policy(self.is_open, "the queue has not opened")?;
        policy(self.state == State::Open, "the queue lets nobody in")?;
        match event.by {
            AdmittedBy::Policy => policy(!self.terms.policy.manual, "people are let in by hand only")?,
            AdmittedBy::Count | AdmittedBy::Name => {
                policy(self.terms.policy.manual, "people are let in by the policy")?
            }
        }
        let named = event.by == AdmittedBy::Name;
        let reason = event.reason.as_ref().is_some_and(|reason| !reason.trim().is_empty());
        rule(reason == named, || format!("let in by {:?}, and the reason is {:?}", event.by, event.reason))?;
        let keyed = event.repeat.is_some();
        rule(!keyed || event.by == AdmittedBy::Count, || format!("let in by {:?} and with a key", event.by))
    }

    /// One call lets people in once, in one event or several, one right behind the other.
    fn note_call(&mut self, event: &EntriesAdmitted) -> Result<(), Fault> {
        let Some(call) = event.repeat.filter(|_| event.repeat != self.last_call) else { return Ok(()) };
        let again = self.calls.contains(&call);
        ensure(!again, Kind::QueuePolicyBroken, || "one Idempotency-Key let people in twice".into())?;
        self.calls.push_back(call);
        if self.calls.len() > CALLS_MAX {
            self.calls.pop_front();
        }
        Ok(())
    }

    fn admit_one(&mut self, entry: &AdmittedEntry, by: AdmittedBy, until: Millis) -> Result<(), Fault> {
        let AdmittedEntry { ticket, .. } = *entry;
        self.check_entry(entry.entry_id, ticket)?;
        let stage = self.stage(ticket)?;
        ensure(!stage.is_inside(), Kind::QueueOrderBroken, || format!("ticket {ticket} was let in before"))?;
        let may = stage.waits() || (by == AdmittedBy::Name && stage == Stage::PassedOver);
        ensure(may, Kind::QueueOrderBroken, || format!("ticket {ticket} is {stage:?} and was let in"))?;
        if by != AdmittedBy::Name {
            let next = self.order.next().map(|(_, next)| next);
            ensure(next == Some(ticket), Kind::QueueOrderBroken, || {
                format!("ticket {ticket} was let in, and it was the turn of {next:?}")
            })?;
        }
        let somebody = &self.people[ticket as usize - 1];
        let is_subject = match somebody.known {
            IdentityKind::User => *entry.subject == *uuid::Uuid::from_u128(somebody.key).to_string(),
            IdentityKind::Visitor => Fingerprint::of(&[entry.subject.as_bytes()]).0 == somebody.key,
            IdentityKind::Key | IdentityKind::Nobody => *entry.subject == *entry.entry_id.to_string(),
        };
        rule(is_subject, || format!("ticket {ticket} is not that of {}", entry.subject))?;
        self.move_to(ticket, &[stage], Stage::Admitted)?;
        self.sessions.insert(ticket, Session { until, claimed_at: Millis::MAX, idle_s: u32::MAX });
        Ok(())
    }

    pub(super) fn pass_over(&mut self, event: &EntriesPassedOver, at: Millis) -> Result<(), Fault> {
        let may = self.is_open && self.state == State::Open;
        ensure(may, Kind::QueuePolicyBroken, || "it is nobody's turn: the queue lets nobody in".into())?;
        rule(!event.tickets.is_empty(), || "it is about nobody".into())?;
        for ticket in &event.tickets {
            let stood = self.move_to(*ticket, &[Stage::Waiting, Stage::First], Stage::PassedOver)?;
            self.passed_at = self.passed_at.max(stood);
            self.passed_over.insert(*ticket, at);
        }
        count("waiting", event.waiting, self.waiting)
    }

    /// Whoever stood before somebody who was passed over was let in: else it was not their turn.
    pub(super) fn check_passed(&mut self) -> Result<(), Fault> {
        let Some(passed_at) = self.passed_at.take() else { return Ok(()) };
        let early = self.order.next().filter(|(place, _)| *place < passed_at);
        ensure(early.is_none(), Kind::QueueOrderBroken, || {
            format!("ticket {} waits, and others behind it were passed over", early.unwrap_or_default().1)
        })
    }

    pub(super) fn put_first(&mut self, event: &EntriesPutFirst) -> Result<(), Fault> {
        rule(!event.reason.trim().is_empty(), || "there is no reason".into())?;
        let by_policy = !self.terms.policy.manual && self.state != State::Closed;
        ensure(by_policy, Kind::QueuePolicyBroken, || "nobody is put first in this queue now".into())?;
        self.move_all(&event.tickets, &[Stage::Waiting, Stage::PassedOver], Stage::First)?;
        count("waiting", event.waiting, self.waiting)
    }
}
