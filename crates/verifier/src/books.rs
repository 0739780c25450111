//! The books: every event of a log, in order, held against everything before it. Independent of the code that sells: it
//! shares with it the events, not what they mean.

use super::people::People;
use super::queue::Queue;
use super::summary::{Attributed, InFlight, Summary};
use super::violation::{Fault, Kind, Violation, ensure, same};
use crate::performance_check::{EventEffect, House, Stage};
use base::id::{AccountId, Category, Millis, OrganizerId, PerformanceId, QueueId, StreamId, UserId};
use domain::wallet::{BALANCE_POINTS_MAX, ChargedBy, Event as WalletEvent};
use domain::{EventData, IdempotencyRecord, REPEAT_KEPT_MS, account, concert, performance, queue};
use eventlog::{Position, Recorded};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A request that was let through takes so long at most, ms.
const ON_THE_WAY_MS: Millis = 60_000;

/// The checker. Feed it every event from position 1 on, then [`finish`](Books::finish).
#[derive(Default)]
pub struct Books {
    last: Position,
    versions: FxHashMap<StreamId, u64>,
    houses: FxHashMap<PerformanceId, House>,
    queues: FxHashMap<QueueId, Queue>,
    /// Performances behind a queue, and from when on nobody holds places there who was not let in.
    gates: FxHashMap<PerformanceId, (QueueId, Millis)>,
    /// Points by user, of wallets that are open.
    balances: FxHashMap<UserId, u64>,
    /// Wallets of users who were erased.
    closed: FxHashSet<UserId>,
    /// Points by organizer; `None` is nobody's account.
    accounts: BTreeMap<Option<OrganizerId>, Attributed>,
    people: People,
    keys: Keys,
    counts: Summary,
}

impl Books {
    pub fn new() -> Books {
        Books::default()
    }

    /// The position of the last event that was taken over.
    pub fn last(&self) -> Position {
        self.last
    }

    /// Takes the next event over, or says what is wrong with it; then the books are of no further use.
    pub fn apply(&mut self, event: Recorded<'_>) -> Result<(), Violation> {
        self.check(&event).map_err(|(kind, what)| {
            let what = format!("{} in {}: {what}", event.name, event.stream);
            Violation { position: event.position, kind, what }
        })
    }

    /// What the whole log shows.
    pub fn finish(&mut self) -> Result<Summary, Violation> {
        let mut summary = std::mem::take(&mut self.counts);
        summary.events = self.last.0;
        summary.streams = self.versions.len() as u64;
        summary.performances = self.houses.len() as u64;
        summary.wallets = self.balances.len() as u64;
        for (performance, house) in &self.houses {
            summary.performances_being_cancelled += u64::from(house.is_being_called_off());
            summary.places += house.places() as u64;
            summary.places_blocked += house.blocked() as u64;
            for reservation in house.reservations() {
                let places = reservation.places() as u64;
                match reservation.stage {
                    Stage::Held | Stage::Paying => summary.places_held += places,
                    Stage::Confirmed | Stage::Cancelling => summary.places_sold += places,
                }
                let waits_for = match reservation.stage {
                    Stage::Held | Stage::Confirmed => continue,
                    Stage::Paying if reservation.spent => "confirmation",
                    Stage::Paying => "payment",
                    Stage::Cancelling if reservation.refunded => "the end of its cancellation",
                    Stage::Cancelling => "refund",
                };
                summary.add_in_flight(InFlight { reservation: reservation.id, performance: *performance, waits_for });
            }
        }
        summary.queues = self.queues.len() as u64;
        summary.entries_waiting = self.queues.values().map(Queue::waiting).sum();
        summary.entries_inside = self.queues.values().map(Queue::inside).sum();
        let outstanding: u128 = self.balances.values().map(|balance| *balance as u128).sum();
        summary.points_outstanding = outstanding;
        let counted = summary.points_charged as i128 - summary.points_spent as i128
            + summary.points_refunded as i128
            + summary.points_adjusted;
        ensure(outstanding as i128 == counted, Kind::PointsOff, || {
            format!("the wallets have {outstanding} points, charged − spent + refunded ± adjusted are {counted}")
        })
        .map_err(|(kind, what)| Violation { position: Position(self.last.0 + 1), kind, what })?;
        summary.attribute(&self.accounts);
        Ok(summary)
    }

    fn check(&mut self, event: &Recorded<'_>) -> Result<(), Fault> {
        same(Kind::LogDamaged, "the position", event.position.0, self.last.0 + 1)?;
        let version = self.versions.entry(event.stream).or_default();
        same(Kind::LogDamaged, "the version", event.version, *version + 1)?;
        *version = event.version;
        self.last = event.position;

        let (key, at) = (event.stream.key, event.at_ms);
        match event.stream.category {
            Category::Performance => self.performance(PerformanceId(key), decode(event)?, at),
            Category::Wallet => self.wallet(UserId(key), decode(event)?, at),
            Category::Account => {
                let event = decode(event)?;
                if let account::Event::ErasureFinished(finished) = &event {
                    self.check_nothing_goes_on(finished.user_id)?;
                }
                self.people.account(AccountId(key), event, at, &mut self.counts)
            }
            Category::Organizer => self.people.organizer(OrganizerId(key), decode(event)?, &mut self.counts),
            Category::Queue => self.queue(QueueId(key), decode(event)?, at),
            Category::Concert => {
                let changed = matches!(decode(event)?, concert::Event::ConcertChanged(_));
                self.counts.concerts += u64::from(!changed);
                let what = if changed { "was not created before" } else { "was created before" };
                ensure(changed == (event.version > 1), Kind::RulesBroken, || format!("{} {what}", event.stream))
            }
        }
    }

    /// Of a user whose erasure is finished.
    fn check_nothing_goes_on(&self, user: UserId) -> Result<(), Fault> {
        let rule = |holds: bool, what: &str| ensure(holds, Kind::RulesBroken, || format!("{what} {user}"));
        rule(!self.balances.contains_key(&user) || self.closed.contains(&user), "the wallet can be charged of")?;
        rule(!self.queues.values().any(|queue| queue.has(user)), "there is a place in a queue of")?;
        rule(!self.houses.values().any(|house| house.has_under_way(user)), "places are held of")
    }

    fn performance(&mut self, id: PerformanceId, event: performance::Event, at: Millis) -> Result<(), Fault> {
        self.gate(id, &event, at)?;
        if let performance::Event::SeatsHeld(held) = &event {
            self.people.check_may_begin(held.user_id)?;
        }
        let Some(house) = self.houses.get_mut(&id) else {
            let performance::Event::PerformanceCreated(event) = event else {
                return Err((Kind::RulesBroken, "the performance was not created before".into()));
            };
            self.houses.insert(id, House::new(id, event)?);
            return Ok(());
        };
        let counts = &mut self.counts;
        match house.apply(event, at)? {
            EventEffect::Other => {}
            EventEffect::Held(repeat) => {
                counts.holds += 1;
                if let Some((user, repeat)) = repeat {
                    self.keys.once(&[id.0, user.0], repeat, at)?;
                }
            }
            EventEffect::Confirmed => counts.purchases_complete += 1,
            EventEffect::Cancelled => counts.cancellations += 1,
            EventEffect::Expired => counts.holds_expired += 1,
            EventEffect::Released => counts.holds_released += 1,
            EventEffect::Refused => counts.payments_refused += 1,
            EventEffect::CancelledAll => counts.performances_cancelled += 1,
        }
        Ok(())
    }

    /// Behind a queue only those hold places who have come in there.
    fn gate(&mut self, id: PerformanceId, event: &performance::Event, at: Millis) -> Result<(), Fault> {
        let gate = self.gates.get(&id).copied();
        let set = |queue: Option<QueueId>, from| queue.map(|queue| (queue, from));
        let new = match event {
            performance::Event::PerformanceCreated(created) => set(created.terms.queue_id, 0),
            performance::Event::PerformanceChanged(changed) => match (gate, changed.terms.queue_id) {
                (Some((before, from)), Some(queue)) if before == queue => Some((queue, from)),
                // Whoever was on the way when it was put up goes through.
                (_, queue) => set(queue, at + ON_THE_WAY_MS),
            },
            performance::Event::SeatsHeld(held) if !held.by_organizer => {
                let Some((queue, _)) = gate.filter(|(_, from)| at >= *from) else { return Ok(()) };
                let came = self.queues.get(&queue).is_some_and(|queue| queue.has_come(held.user_id));
                return ensure(came, Kind::QueuePolicyBroken, || {
                    format!("{} holds places and was never let in by queue {queue}", held.user_id)
                });
            }
            _ => return Ok(()),
        };
        match new {
            Some(gate) => _ = self.gates.insert(id, gate),
            None => _ = self.gates.remove(&id),
        }
        Ok(())
    }

    fn queue(&mut self, id: QueueId, event: queue::Event, at: Millis) -> Result<(), Fault> {
        if let queue::Event::EntryJoined(queue::event::EntryJoined { user_id: Some(user), .. }) = &event {
            self.people.check_may_begin(*user)?;
        }
        if let Some(queue) = self.queues.get_mut(&id) {
            return queue.apply(event, at, &mut self.counts);
        }
        let queue::Event::QueueCreated(event) = event else {
            return Err((Kind::RulesBroken, "the queue was not created before".into()));
        };
        self.queues.insert(id, Queue::new(id, event, at)?);
        Ok(())
    }

    fn wallet(&mut self, user: UserId, event: WalletEvent, at: Millis) -> Result<(), Fault> {
        if let WalletEvent::WalletOpened(_) = event {
            let before = self.balances.insert(user, 0);
            return ensure(before.is_none(), Kind::RulesBroken, || "the wallet was opened before".into());
        }
        let Some(balance) = self.balances.get(&user).copied() else {
            return Err((Kind::RulesBroken, "the wallet was not opened before".into()));
        };
        let is_closed = self.closed.contains(&user);
        let more = match &event {
            WalletEvent::PointsCharged(_) | WalletEvent::PointsSpent(_) | WalletEvent::WalletClosed(_) => true,
            WalletEvent::PointsAdjusted(event) => event.points > 0,
            WalletEvent::WalletOpened(_) | WalletEvent::PointsRefunded(_) => false,
        };
        ensure(!(is_closed && more), Kind::RulesBroken, || "the wallet was closed before".into())?;
        let counts = &mut self.counts;
        let mut account = Attributed::default();
        let (organizer, after) = match event {
            WalletEvent::WalletOpened(_) => unreachable!("handled above"),
            WalletEvent::WalletClosed(event) => {
                self.closed.insert(user);
                (None, event.balance)
            }
            WalletEvent::PointsCharged(event) => {
                self.keys.once(&[user.0], event.repeat, at)?;
                let by_organizer = event.charged_by == Some(ChargedBy::Organizer);
                ensure(by_organizer == event.organizer_id.is_some(), Kind::RulesBroken, || {
                    format!("charged by {:?} for {:?}", event.charged_by, event.organizer_id)
                })?;
                counts.charges += 1;
                counts.points_charged += event.points;
                account.charged = event.points.into();
                (event.organizer_id, event.balance)
            }
            WalletEvent::PointsAdjusted(event) => {
                self.keys.once(&[user.0], event.repeat, at)?;
                counts.points_adjusted += event.points as i128;
                account.adjusted = event.points.into();
                (event.organizer_id, event.balance)
            }
            WalletEvent::PointsSpent(event) => {
                let house = house_of(&mut self.houses, event.performance_id)?;
                house.spent(event.reservation_id, user, event.points, at)?;
                counts.points_spent += event.points;
                account.spent = event.points.into();
                (Some(house.seller(event.organizer_id)?), event.balance)
            }
            WalletEvent::PointsRefunded(event) => {
                let house = house_of(&mut self.houses, event.performance_id)?;
                house.refunded(event.reservation_id, user, event.points)?;
                counts.points_refunded += event.points;
                account.refunded = event.points.into();
                (Some(house.seller(event.organizer_id)?), event.balance)
            }
        };
        let moved = account.net();
        self.accounts.entry(organizer).or_default().add(&account);
        let expected = balance as i128 + moved;
        ensure((0..=BALANCE_POINTS_MAX as i128).contains(&expected), Kind::PointsOff, || {
            format!("the wallet goes from {balance} by {moved} to {expected} points")
        })?;
        same(Kind::PointsOff, "balance", after as i128, expected)?;
        self.balances.insert(user, after);
        Ok(())
    }
}

fn decode<E: EventData>(event: &Recorded<'_>) -> Result<E, Fault> {
    E::decode(event.name, event.data).map_err(|error| (Kind::LogDamaged, error.to_string()))
}

fn house_of(houses: &mut FxHashMap<PerformanceId, House>, id: PerformanceId) -> Result<&mut House, Fault> {
    houses.get_mut(&id).ok_or_else(|| (Kind::PurchasesBroken, format!("there is no performance {id}")))
}

/// The Idempotency-Keys of a day or two: within 24 h one key is one act.
#[derive(Default)]
struct Keys {
    /// When each was used; a day's worth, and the day's before.
    young: FxHashMap<u128, Millis>,
    old: FxHashMap<u128, Millis>,
    since: Millis,
    latest: Millis,
}

impl Keys {
    fn once(&mut self, scope: &[Uuid], repeat: IdempotencyRecord, at: Millis) -> Result<(), Fault> {
        if at >= self.since.saturating_add(REPEAT_KEPT_MS) {
            self.old = std::mem::take(&mut self.young);
            self.since = at;
        }
        // Keys and ids are hashes or random themselves: mixing them is enough.
        let key = scope.iter().fold(repeat.key.0, |key, id| key.rotate_left(43) ^ id.as_u128());
        let before = self.young.insert(key, at).or_else(|| self.old.get(&key).copied());
        // After a clock that was ahead is set back, what it forgot stays forgotten.
        self.latest = self.latest.max(at);
        let again = before.filter(|before| self.latest < before.saturating_add(REPEAT_KEPT_MS));
        ensure(again.is_none(), Kind::RulesBroken, || {
            format!("one Idempotency-Key did two things within 24 h, at {} and {at}", again.unwrap_or_default())
        })
    }
}
