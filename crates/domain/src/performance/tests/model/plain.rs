//! The plain house: what is expected of each act.

use super::*;

/// A reservation, said as simply as it can be.
#[derive(Clone, Debug)]
pub(super) struct Deal {
    pub(super) user: UserId,
    pub(super) seats: Vec<String>,
    pub(super) standing: u32,
    pub(super) state: State,
    pub(super) held_at: Millis,
    pub(super) first_expires_at: Millis,
    pub(super) expires_at: Millis,
    pub(super) deadline: Millis,
    pub(super) left: Millis,
    pub(super) extended: bool,
    pub(super) key: Option<(u128, u128)>,
    pub(super) by_organizer: bool,
    /// When it came to nothing.
    pub(super) lapsed_at: Option<Millis>,
}

impl Deal {
    pub(super) fn live(&self) -> bool {
        matches!(self.state, State::Held | State::Paying | State::Confirmed | State::Cancelling)
    }

    pub(super) fn places(&self) -> u32 {
        self.seats.len() as u32 + self.standing
    }
}

/// The house of the fixture, in plain lists.
pub(super) struct Plain {
    pub(super) seats: Vec<String>,
    pub(super) blocked: Vec<String>,
    pub(super) deals: Vec<Deal>,
    pub(super) sale: Sale,
    /// Places of the floor, and how many of them are blocked.
    pub(super) floor: u32,
    pub(super) floor_blocked: u32,
    pub(super) hold_ms: u64,
    pub(super) limit: u32,
    /// Whether everybody has got everything back after the cancellation.
    pub(super) finished: bool,
}

/// What is expected: events (how many after what lapses), or the rejection's name.
pub(super) type Expected = Result<usize, &'static str>;

impl Plain {
    pub(super) fn new() -> Plain {
        Plain {
            seats: House { first: 4, second: 6, floor: 5, swapped: false }.seats(),
            blocked: vec![],
            deals: vec![],
            sale: Sale::Running,
            floor: 5,
            floor_blocked: 0,
            hold_ms: 300_000,
            limit: 4,
            finished: false,
        }
    }

    pub(super) fn cancelled(&self) -> bool {
        self.sale == Sale::Cancelled
    }

    pub(super) fn change(&mut self, hold_s: u32, limit: u32) -> Expected {
        let changed = (hold_s as u64 * 1000, limit);
        if self.cancelled() {
            return Err("PerformanceCancelled");
        }
        let before = (self.hold_ms, self.limit);
        (self.hold_ms, self.limit) = changed;
        Ok(usize::from(before != changed))
    }

    pub(super) fn rebuild(&mut self, house: &House) -> Expected {
        let seats = house.seats();
        let owned = |seat: &&String| self.owner(seat).is_some();
        let taken = self.floor - self.floor_left();
        if self.cancelled() {
            return Err("PerformanceCancelled");
        }
        if self.seats.iter().filter(owned).any(|seat| !seats.contains(seat)) || taken > house.floor {
            return Err("PlacesInUse");
        }
        let same = self.seats == seats && self.floor == house.floor;
        (self.seats, self.floor) = (seats, house.floor);
        let seats = &self.seats;
        self.blocked.retain(|blocked| seats.contains(blocked));
        Ok(usize::from(!same))
    }

    pub(super) fn block_floor(&mut self, blocked: u32) -> Expected {
        if self.cancelled() {
            return Err("PerformanceCancelled");
        }
        if blocked > self.floor_left() + self.floor_blocked {
            return Err("AreasTaken");
        }
        let before = std::mem::replace(&mut self.floor_blocked, blocked);
        Ok(usize::from(before != blocked))
    }

    pub(super) fn cancel_all(&mut self) -> usize {
        if self.cancelled() {
            return 0;
        }
        self.sale = Sale::Cancelled;
        let held = self.deals.iter_mut().filter(|deal| deal.state == State::Held);
        1 + held.map(|deal| deal.state = State::Released).count()
    }

    pub(super) fn refund_next(&mut self, deal: usize) -> usize {
        let cancelled = self.cancelled();
        let Some(deal) = self.deals.get_mut(deal).filter(|_| cancelled) else { return 0 };
        match deal.state {
            State::Held => deal.state = State::Released,
            State::Confirmed => deal.state = State::Cancelling,
            _ => return 0,
        }
        1
    }

    pub(super) fn finish(&mut self) -> usize {
        let done = self.cancelled() && !self.finished && !self.deals.iter().any(Deal::live);
        self.finished |= done;
        usize::from(done)
    }

    pub(super) fn owner(&self, seat: &str) -> Option<&Deal> {
        let mut owners = self.deals.iter().filter(|deal| deal.live() && deal.seats.iter().any(|of| of == seat));
        let owner = owners.next();
        assert!(owners.next().is_none(), "two owners of {seat}");
        owner
    }

    pub(super) fn is_free(&self, seat: &str) -> bool {
        self.owner(seat).is_none() && !self.blocked.iter().any(|blocked| blocked == seat)
    }

    pub(super) fn free(&self) -> Vec<&String> {
        self.seats.iter().filter(|seat| self.is_free(seat)).collect()
    }

    pub(super) fn floor_left(&self) -> u32 {
        self.floor
            - self.floor_blocked
            - self.deals.iter().filter(|deal| deal.live()).map(|deal| deal.standing).sum::<u32>()
    }

    /// Those that the user took, or those that the organizer holds for the user.
    pub(super) fn places_of(&self, user: UserId, by_organizer: bool) -> u32 {
        let of = |deal: &&Deal| deal.live() && deal.user == user && deal.by_organizer == by_organizer;
        self.deals.iter().filter(of).map(Deal::places).sum()
    }

    /// Lets time do its part; gives the number of holds that lapse.
    pub(super) fn lapse(&mut self, now: Millis) -> usize {
        let lapsed = self.deals.iter_mut().filter(|deal| deal.state == State::Held && deal.expires_at <= now);
        lapsed.map(|deal| (deal.state, deal.lapsed_at) = (State::Expired, Some(now))).count()
    }

    /// Holds of a user that came to nothing within the hour; a change of mind is none, but minutes of them are one each.
    fn lapses_of(&self, now: Millis, user: UserId) -> usize {
        let of_user = self.deals.iter().filter(|deal| deal.user == user && !deal.by_organizer);
        let mut over: Vec<(Millis, &Deal)> = of_user.filter_map(|deal| Some((deal.lapsed_at?, deal))).collect();
        over.sort_by_key(|(at, _)| *at);
        let (mut lapses, mut moments, mut last) = (Vec::new(), 0, 0);
        for (at, deal) in over {
            let held = at - deal.held_at;
            if deal.state == State::Expired || held >= 60_000 {
                lapses.push(at);
                continue;
            }
            moments = if at >= last + 3_600_000 { held } else { moments + held };
            last = at;
            if moments >= 60_000 {
                moments -= 60_000;
                lapses.push(at);
            }
        }
        lapses.into_iter().filter(|at| now < at + 3_600_000).count()
    }

    pub(super) fn hold(
        &self,
        now: Millis,
        user: UserId,
        wish: &SeatRequest,
        key: Option<(u128, u128)>,
        group: bool,
    ) -> Expected {
        let limit = if group { GROUP } else { self.limit };
        if let Some((key, content)) = key {
            let used = |deal: &&Deal| deal.user == user && deal.key.is_some_and(|(used, _)| used == key);
            if let Some(first) = self.deals.iter().rev().find(used)
                && now < first.held_at + REPEAT_KEPT_MS
            {
                return if first.key == Some((key, content)) { Ok(0) } else { Err("KeyReused") };
            }
        }
        if let SeatRequest::Seats(seats) = wish {
            let twice = |seat: &String| seats.iter().filter(|other| *other == seat).count() > 1;
            match () {
                () if seats.is_empty() => return Err("NoPlaces"),
                () if seats.len() > limit as usize => return Err("TooManyPlaces"),
                () if seats.iter().any(|seat| !self.seats.contains(seat)) => return Err("UnknownSeats"),
                () if seats.iter().any(twice) => return Err("RepeatedSeat"),
                () => {}
            }
        }
        let fits = match wish {
            SeatRequest::Seats(seats) => seats.iter().all(|seat| self.is_free(seat)),
            SeatRequest::Best { count, .. } => *count as usize <= self.free().len(),
            SeatRequest::Area { count, .. } => *count <= self.floor_left(),
            SeatRequest::Both { .. } => unreachable!("the table has these"),
        };
        match wish.count() {
            0 => Err("NoPlaces"),
            count if count > limit => Err("TooManyPlaces"),
            count if matches!(wish, SeatRequest::Area { .. }) && count > self.floor => Err("Invalid"),
            count if matches!(wish, SeatRequest::Best { .. }) && count as usize > self.seats.len() => Err("Invalid"),
            _ if self.cancelled() => Err("PerformanceCancelled"),
            _ if self.sale != Sale::Running || !(at(0)..at(CLOSES)).contains(&now) => Err("SaleNotOpen"),
            _ if !group && self.lapses_of(now, user) > LAPSES => Err("TooManyLapsedHolds"),
            count if self.places_of(user, group) + count > limit => Err("SeatLimit"),
            _ if fits => Ok(1),
            _ if matches!(wish, SeatRequest::Seats(_)) => Err("SeatsTaken"),
            _ => Err("TooFewLeft"),
        }
    }

    pub(super) fn sell(&mut self, now: Millis, sale: Sale) -> Expected {
        match (self.sale, sale) {
            (Sale::Cancelled, _) => Err("PerformanceCancelled"),
            (Sale::Closed, Sale::Closed) => Ok(0),
            (_, Sale::Closed) => {
                self.sale = sale;
                Ok(1)
            }
            (Sale::Closed, _) => Err("SaleClosed"),
            _ if now >= at(CLOSES) => Err("SaleEnded"),
            (was, sale) if was == sale => Ok(0),
            (_, sale) => {
                self.sale = sale;
                Ok(1)
            }
        }
    }

    pub(super) fn block(&mut self, seats: &[String], blocks: bool) -> Expected {
        let twice = |seat: &String| seats.iter().filter(|other| *other == seat).count() > 1;
        if self.cancelled() {
            return Err("PerformanceCancelled");
        }
        if seats.is_empty() {
            return Err("NoPlaces");
        }
        if seats.iter().any(|seat| !self.seats.contains(seat)) {
            return Err("UnknownSeats");
        }
        if seats.iter().any(twice) {
            return Err("RepeatedSeat");
        }
        let before = self.blocked.len();
        if !blocks {
            self.blocked.retain(|blocked| !seats.contains(blocked));
        } else if seats.iter().any(|seat| self.owner(seat).is_some()) {
            return Err("SeatsUnavailable");
        } else {
            let free: Vec<String> = seats.iter().filter(|seat| self.is_free(seat)).cloned().collect();
            self.blocked.extend(free);
        }
        Ok(usize::from(before != self.blocked.len()))
    }

    /// What a user asks of a reservation.
    pub(super) fn ask(&mut self, now: Millis, user: UserId, deal: usize, ask: Ask) -> Expected {
        let cancelled = self.cancelled();
        let Some(deal) = self.deals.get_mut(deal).filter(|deal| deal.user == user) else {
            return Err("UnknownReservation");
        };
        match (ask, deal.state) {
            (Ask::Cancel, State::Cancelled | State::Cancelling | State::Released) => Ok(0),
            (_, State::Expired) => Err("HoldExpired"),
            (Ask::Cancel, State::Held) => {
                (deal.state, deal.lapsed_at) = (State::Released, Some(now));
                Ok(1)
            }
            (Ask::Cancel, State::Confirmed) if now >= at(CANCELLABLE) && !cancelled => Err("CancellationClosed"),
            (Ask::Cancel, State::Confirmed) => {
                deal.state = State::Cancelling;
                Ok(1)
            }
            (Ask::Pay, State::Confirmed) => Ok(0),
            (Ask::Pay | Ask::Extend, State::Held) if cancelled => Err("PerformanceCancelled"),
            (Ask::Pay, State::Held) => {
                deal.state = State::Paying;
                (deal.deadline, deal.left) = (now + 60_000, deal.expires_at - now);
                Ok(1)
            }
            (Ask::Extend, State::Held) if deal.extended => Err("ExtensionNotAllowed"),
            (Ask::Extend, State::Held) => {
                let cap = deal.first_expires_at + 120_000;
                if deal.expires_at >= cap {
                    return Err("ExtensionGainsNothing");
                }
                deal.expires_at = cap.min(deal.expires_at + 120_000);
                deal.extended = true;
                Ok(1)
            }
            _ => Err("WrongState"),
        }
    }

    /// What the wallet says of a reservation: never refused.
    pub(super) fn news(&mut self, now: Millis, deal: usize, news: News) -> usize {
        let Some(deal) = self.deals.get_mut(deal) else { return 0 };
        match (news, deal.state) {
            (News::Spent, State::Paying) => deal.state = State::Confirmed,
            (News::Refused { stale: false }, State::Paying) => {
                deal.state = State::Held;
                let end = deal.first_expires_at + if deal.extended { 420_000 } else { 300_000 };
                deal.expires_at = (now + deal.left.max(60_000)).min(end.max(now));
            }
            (News::Refunded, State::Cancelling) => deal.state = State::Cancelled,
            _ => return 0,
        }
        1
    }
}
