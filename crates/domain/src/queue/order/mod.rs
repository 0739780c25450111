//! The line: where everybody stands. Known to the queue itself and, as far as it is durable, to whoever shows it.
//!
//! - [`standing`]: how somebody stands; [`ranks`]: how many wait before a place; [`joins`]: since when
//! - [`index`]: found by a hash; [`chunked_vec`]: lists of millions

mod check;
pub mod chunked_vec;
mod drawn;
pub(super) mod index;
pub mod joins;
pub(super) mod ranks;
mod standing;
mod tight;

use super::draw::{self, Seed};
use super::event::*;
use base::id::Millis;
pub use drawn::Drawn;
use drawn::OfLine;
use ranks::Ranks;
use serde::{Deserialize, Serialize};
pub use standing::Standing;
use std::collections::BTreeSet;
use std::sync::Arc;
use tight::push_tightly;

/// Who somebody is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    User = 0,
    Visitor = 1,
    /// Known by the waiting token alone.
    Anonymous = 2,
}

impl Kind {
    pub fn of(joined: &EntryJoined) -> Kind {
        match joined {
            EntryJoined { user_id: Some(_), .. } => Kind::User,
            EntryJoined { visitor: Some(_), .. } => Kind::Visitor,
            _ => Kind::Anonymous,
        }
    }
}

/// Who waits where, and how many did what. Tickets count from 1, places from 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Whether there is an order.
    opened: bool,
    /// [`Standing`] and, times 16, [`Kind`] of each ticket.
    tickets: Vec<u8>,
    /// The tickets that were drawn, by place. They stay as they are, and are the same for all who know the line.
    drawn: Arc<Vec<u32>>,
    /// The places of those who were drawn, by ticket; `u32::MAX` for none.
    places: Arc<Vec<u32>>,
    /// The places of those who wait in order.
    ranks: Ranks,
    /// The tickets of people who come before all others, in order.
    first: Vec<u32>,
    pub counts: Counts,
}

/// What a draw is of.
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Draws. Takes as long as it takes.
    pub fn draw(self, seed: Seed) -> Drawn {
        let line = Line { tickets: self.0, ..Line::default() };
        let sealed = line.sealed();
        let drawn = draw::order(seed, &sealed);
        let mut places = vec![u32::MAX; line.tickets.len()];
        let mut ranks = Ranks::default();
        for (place, ticket) in (0..).zip(&drawn) {
            places[*ticket as usize - 1] = place;
            if line.standing(*ticket) == Some(Standing::Waiting) {
                ranks.insert(place);
            }
        }
        let sealed = draw::hex(&draw::seal(&sealed));
        let (drawn, places) = (Arc::new(drawn), Arc::new(places));
        Drawn(Arc::new(OfLine { seed, tickets: line.tickets, sealed, drawn, places, ranks }))
    }
}

/// How many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// People who wait and were not passed over.
    pub waiting: u32,
    pub passed_over: u32,
    /// Admitted, and not come yet.
    pub admitted: u32,
    pub active: u32,
    pub blocked: u32,
    /// Ever.
    pub admitted_ever: u32,
    pub finished: u32,
    pub expired: u32,
    pub left: u32,
    pub given_up: u32,
    /// How often somebody was passed over.
    pub passed_over_ever: u32,
}

impl Counts {
    /// People in a session, or expected.
    pub fn inside(&self) -> u32 {
        self.admitted + self.active
    }

    fn of(&mut self, standing: Standing) -> &mut u32 {
        match standing {
            Standing::Waiting | Standing::First => &mut self.waiting,
            Standing::PassedOver => &mut self.passed_over,
            Standing::Admitted => &mut self.admitted,
            Standing::Active => &mut self.active,
            Standing::Finished => &mut self.finished,
            Standing::Expired => &mut self.expired,
            Standing::Left => &mut self.left,
            Standing::GivenUp => &mut self.given_up,
            Standing::Blocked => &mut self.blocked,
        }
    }
}

impl Line {
    /// How many joined, ever: the last ticket.
    pub fn joined(&self) -> u32 {
        self.tickets.len() as u32
    }

    /// Whether there is an order: the pre-queue was drawn, or there is none.
    pub fn is_opened(&self) -> bool {
        self.opened
    }

    pub fn standing(&self, ticket: u32) -> Option<Standing> {
        let code = self.tickets.get(ticket.checked_sub(1)? as usize)? & 15;
        Some(Standing::ALL[code as usize - 1])
    }

    pub fn kind(&self, ticket: u32) -> Option<Kind> {
        let code = self.tickets.get(ticket.checked_sub(1)? as usize)? >> 4;
        Some([Kind::User, Kind::Visitor, Kind::Anonymous][code as usize])
    }

    /// The place in the order; `None` before there is one, and of those who left before.
    pub fn place(&self, ticket: u32) -> Option<u32> {
        let index = ticket.checked_sub(1)?;
        if !self.opened || index >= self.joined() {
            return None;
        }
        match self.places.get(index as usize) {
            Some(place) => Some(*place).filter(|place| *place != u32::MAX),
            None => Some(index - self.places.len() as u32 + self.drawn.len() as u32),
        }
    }

    /// The ticket that has this place.
    pub fn ticket_at(&self, place: u32) -> u32 {
        match self.drawn.get(place as usize) {
            Some(ticket) => *ticket,
            None => place - self.drawn.len() as u32 + self.places.len() as u32 + 1,
        }
    }

    /// How many will be let in before somebody who waits. Of one who was passed over: were they back now.
    pub fn rank(&self, ticket: u32) -> Option<u32> {
        match self.standing(ticket)? {
            Standing::Waiting | Standing::PassedOver => {
                Some(self.first.len() as u32 + self.ranks.before(self.place(ticket)?))
            }
            Standing::First if self.opened => {
                self.first.iter().position(|first| *first == ticket).map(|rank| rank as u32)
            }
            _ => None,
        }
    }

    /// The ticket of somebody who waits, by rank.
    pub fn at_rank(&self, rank: u32) -> Option<u32> {
        match self.first.get(rank as usize) {
            Some(ticket) => Some(*ticket),
            None => self.ranks.nth(rank - self.first.len() as u32).map(|place| self.ticket_at(place)),
        }
    }

    /// The tickets of people who wait, the next one first. `back` are the places of people who come back among them.
    pub fn upcoming<'a>(&'a self, back: &'a BTreeSet<u32>) -> impl Iterator<Item = u32> + 'a {
        let front = self.ranks.next(0).unwrap_or(u32::MAX - 64);
        let (mut waiting, mut back) = (self.ranks.from(front).peekable(), back.iter().copied().peekable());
        let in_order = std::iter::from_fn(move || match (waiting.peek(), back.peek()) {
            (Some(one), Some(other)) if other < one => back.next(),
            (None, Some(_)) => back.next(),
            _ => waiting.next(),
        });
        let in_order = in_order.map(|place| self.ticket_at(place));
        self.first.iter().copied().chain(in_order).take(if self.opened { usize::MAX } else { 0 })
    }

    /// The tickets that were put first, in order.
    pub fn first(&self) -> &[u32] {
        &self.first
    }

    /// The tickets that a draw now would be of: all but those who are gone.
    pub fn sealed(&self) -> Vec<u32> {
        let stays = |ticket: &u32| self.standing(*ticket).is_some_and(|standing| !standing.is_over());
        (1..=self.joined()).filter(stays).collect()
    }

    /// The tickets that were drawn, in their order.
    pub fn drawn(&self) -> &[u32] {
        &self.drawn
    }

    /// How many places were given out, ever: the next one.
    pub fn places(&self) -> u32 {
        self.joined() - self.drawn_until() + self.drawn.len() as u32
    }

    /// The last ticket before the draw; 0 where nothing was drawn. The next one has the place behind all who were drawn.
    pub fn drawn_until(&self) -> u32 {
        self.places.len() as u32
    }

    pub fn apply(&mut self, event: &Event, at_ms: Millis) {
        match event {
            // Without a pre-queue there is an order from the start: that of joining.
            Event::QueueCreated(event) => self.opened = event.terms.opens_at_ms <= at_ms,
            Event::EntryJoined(event) => self.join(event),
            Event::QueueDrawn(event) => self.draw(event),
            Event::EntriesAdmitted(event) => self.counts.admitted_ever += event.entries.len() as u32,
            Event::EntriesPassedOver(event) => self.counts.passed_over_ever += event.tickets.len() as u32,
            _ => {}
        }
        if let Some((standing, tickets)) = event.moved() {
            self.set_all(tickets, standing);
        }
    }

    fn join(&mut self, joined: &EntryJoined) {
        let code = Standing::Waiting as u8 | (Kind::of(joined) as u8) << 4;
        let len = self.tickets.len() + 1;
        push_tightly(&mut self.tickets, len, code);
        self.counts.waiting += 1;
        if let Some(place) = self.place(joined.ticket) {
            self.ranks.insert(place);
        }
    }

    /// What a draw now would be of. Copies a byte for each ticket.
    pub fn seal(&self) -> Sealed {
        Sealed(self.tickets.clone())
    }

    /// Whether a draw is of this line, as it is now.
    pub fn is_of(&self, drawn: &Drawn, seed: Seed) -> bool {
        drawn.0.seed == seed && drawn.0.tickets == self.tickets
    }

    fn draw(&mut self, event: &QueueDrawn) {
        self.opened = true;
        let Some(seed) = Seed::read(&event.seed) else {
            let sealed = self.sealed();
            return self.take_order(sealed);
        };
        let ready = event.ready.as_ref().filter(|drawn| self.is_of(drawn, seed)).cloned();
        let Drawn(drawn) = ready.unwrap_or_else(|| self.seal().draw(seed));
        (self.drawn, self.places, self.ranks) = (drawn.drawn.clone(), drawn.places.clone(), drawn.ranks.clone());
    }

    /// Takes the order of joining, where the recorded seed cannot be read.
    fn take_order(&mut self, order: Vec<u32>) {
        let mut places = vec![u32::MAX; self.tickets.len()];
        for (place, ticket) in (0..).zip(&order) {
            places[*ticket as usize - 1] = place;
            if self.standing(*ticket) == Some(Standing::Waiting) {
                self.ranks.insert(place);
            }
        }
        (self.drawn, self.places) = (Arc::new(order), Arc::new(places));
    }

    /// Those who are let in mostly stand one behind the other: the next place is looked at before the list of all, which is
    /// too long for a processor's memory.
    fn set_all(&mut self, tickets: impl IntoIterator<Item = u32>, standing: Standing) {
        let mut next = None;
        for ticket in tickets {
            let place = next.filter(|next| self.has_place(ticket, *next)).or_else(|| self.place(ticket));
            self.set_at(ticket, place, standing);
            next = place.map(|place| place + 1);
        }
    }

    fn has_place(&self, ticket: u32, place: u32) -> bool {
        self.opened && self.drawn.get(place as usize) == Some(&ticket)
    }

    fn set_at(&mut self, ticket: u32, place: Option<u32>, standing: Standing) {
        let Some(before) = self.standing(ticket) else { return };
        if before == standing {
            return;
        }
        if before == Standing::First {
            // Mostly it is the first one, who is let in.
            let at = self.first.iter().position(|first| *first == ticket);
            at.map(|at| self.first.remove(at));
        }
        if standing == Standing::First {
            self.first.push(ticket);
        }
        if let Some(place) = place {
            match standing {
                Standing::Waiting => self.ranks.insert(place),
                _ => self.ranks.remove(place),
            }
        }
        *self.counts.of(before) -= 1;
        *self.counts.of(standing) += 1;
        let code = &mut self.tickets[ticket as usize - 1];
        *code = *code & !15 | standing as u8;
    }
}
