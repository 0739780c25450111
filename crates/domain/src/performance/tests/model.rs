//! A performance against a plain reference: lists that are searched from the beginning.

mod plain;

use super::super::{Availability, Performance, SeatsByState};
use super::fixture::*;
use crate::performance::reservation::State;
use crate::performance::seats::chart::Chart;
use crate::performance::{
    Block, Event, FinishPerformanceCancellation, Hold, HoldForBuyer, ReadAvailability, Refusal, Rejection, Sale,
    SeatRequest, Unblock,
};
use crate::process::purchase::RefusePayment;
use crate::testing::{Story, assert_same, reloaded};
use crate::{Aggregate, Fingerprint, IdempotencyRecord, Outcome, REPEAT_KEPT_MS};
use base::id::{Millis, UserId};
use plain::{Deal, Expected, Plain};
use proptest::prelude::*;
use std::collections::BTreeMap;

const USERS: [UserId; 3] = [ANN, BOB, CAT];
const GROUP: u32 = 500;
const LAPSES: usize = 5;

#[derive(Clone, Copy, Debug)]
enum Ask {
    Pay,
    Cancel,
    Extend,
}

#[derive(Clone, Copy, Debug)]
enum News {
    Spent,
    Refused { stale: bool },
    Refunded,
}

#[derive(Clone, Debug)]
enum Act {
    Hold(usize, SeatRequest, Option<(u128, u128)>, bool),
    Ask(usize, usize, Ask),
    /// Of whoever it belongs to.
    Own(usize, Ask),
    News(usize, News),
    Sell(Sale),
    Block(Vec<String>, bool),
    Change(u32, u32),
    Rebuild(House),
    BlockFloor(u32),
    CancelAll,
    RefundReservations(usize),
    Finish,
}

/// Another chart: seats of the two rows, places of the floor, and which row comes first.
#[derive(Clone, Debug)]
struct House {
    first: u32,
    second: u32,
    floor: u32,
    swapped: bool,
}

impl House {
    fn seats(&self) -> Vec<String> {
        let row = |row: u32, count: u32| (1..=count).map(move |seat| format!("A-{row}-{seat}"));
        let rows = [row(1, self.first).collect::<Vec<_>>(), row(2, self.second).collect()];
        if self.swapped { [rows[1].clone(), rows[0].clone()].concat() } else { rows.concat() }
    }

    fn command(&self) -> Request {
        chart(|new| {
            let mut chart = Chart::clone(&terms().chart);
            let rows = &mut chart.sections[0].rows;
            (rows[0].seat_count, rows[1].seat_count) = (Some(self.first), Some(self.second));
            if self.swapped {
                rows.swap(0, 1);
            }
            chart.areas[0].capacity = self.floor;
            new.chart = chart.into();
        })
    }
}

fn labels_of(names: Vec<(u32, u32)>) -> Vec<String> {
    names.into_iter().map(|(row, seat)| format!("A-{row}-{seat}")).collect()
}

fn acts() -> impl Strategy<Value = Act> {
    let some_seats = |max| prop::collection::vec((1..=2u32, 1..=6u32), 0..max).prop_map(labels_of);
    let wish = prop_oneof![
        3 => some_seats(6).prop_map(SeatRequest::Seats),
        2 => (0..6u32).prop_map(best),
        2 => (0..6u32).prop_map(floor),
    ];
    let key = prop_oneof![2 => Just(None), 3 => (0..4u128, 0..2u128).prop_map(Some)];
    let ask = prop_oneof![2 => Just(Ask::Pay), 2 => Just(Ask::Cancel), 1 => Just(Ask::Extend)];
    let news = prop_oneof![
        3 => Just(News::Spent),
        1 => Just(News::Refused { stale: false }),
        1 => Just(News::Refused { stale: true }),
        2 => Just(News::Refunded),
    ];
    let sale = prop_oneof![8 => Just(Sale::Running), 3 => Just(Sale::Paused), 1 => Just(Sale::Closed)];
    let house = (3..6u32, 5..8u32, 3..7u32, any::<bool>());
    let house = house.prop_map(|(first, second, floor, swapped)| House { first, second, floor, swapped });
    let organizer = prop_oneof![
        (1..400u32, 3..6u32).prop_map(|(hold_s, limit)| Act::Change(hold_s, limit)),
        house.prop_map(Act::Rebuild),
        (0..4u32).prop_map(Act::BlockFloor),
    ];
    let end = prop_oneof![
        1 => Just(Act::CancelAll),
        20 => (0..6usize).prop_map(Act::RefundReservations),
        10 => Just(Act::Finish),
    ];
    // Recent reservations are the interesting ones: they are counted from the end.
    prop_oneof![
        8 => (0..3usize, wish, key, prop::bool::weighted(0.1))
            .prop_map(|(user, wish, key, group)| Act::Hold(user, wish, key, group)),
        1 => (0..3usize, 0..6usize, ask.clone()).prop_map(|(user, deal, ask)| Act::Ask(user, deal, ask)),
        6 => (0..6usize, ask).prop_map(|(deal, ask)| Act::Own(deal, ask)),
        5 => (0..6usize, news).prop_map(|(deal, news)| Act::News(deal, news)),
        1 => sale.prop_map(Act::Sell),
        2 => organizer,
        1 => end,
        1 => (some_seats(4), any::<bool>()).prop_map(|(seats, blocks)| Act::Block(seats, blocks)),
    ]
}

/// How far the clock goes before an act, in ms: not at all, to the edges of a hold, over days.
fn jumps() -> impl Strategy<Value = u64> {
    prop_oneof![
        20 => Just(0u64),
        8 => 0..2_000u64,
        4 => prop_oneof![Just(60_000u64), Just(59_999), Just(300_000), Just(299_999), Just(120_000)],
        2 => 0..400_000u64,
        1 => Just(REPEAT_KEPT_MS),
        1 => 0..50 * HOUR * 1000,
    ]
}

struct Run {
    story: Story<Performance>,
    plain: Plain,
    now: Millis,
    watchers: super::watchers::Watchers,
}

impl Run {
    fn new() -> Run {
        let mut story = Story::new(house().0);
        assert_eq!(attempt(&mut story, OPENS - 1000, &create(|_| {})).1, None, "the house opens");
        Run { story, plain: Plain::new(), now: OPENS, watchers: Default::default() }
    }

    fn step(&mut self, act: Act) -> Result<(), TestCaseError> {
        let lapsed = self.plain.lapse(self.now);
        let forgotten = self.may_be_forgotten(&act);
        let (command, expected, held) = self.expect(&act);
        let (_, refused) = attempt(&mut self.story, self.now, &command);
        // What is told again of a reservation that was forgotten, or never was, changes nothing.
        let refused = refused.filter(|_| !matches!(act, Act::News(..) | Act::RefundReservations(_)));
        let place = format!("{act:?} at {}: {refused:?}, {:?}", self.now, self.story.last);
        let expected_events = lapsed + expected.unwrap_or(0);
        prop_assert_eq!(self.story.last.len(), expected_events, "{}", place);
        // A payment that was refused is told to its caller, as the domain says; that is not what is asked here.
        let told = matches!(refused, Some(Rejection::InsufficientPoints { .. } | Rejection::PaymentTimedOut { .. }));
        let refused = refused.as_ref().filter(|_| !told).map(<&str>::from);
        if forgotten && refused == Some("UnknownReservation") {
            return self.compare();
        }
        prop_assert_eq!(refused, expected.err(), "{}", place);
        if let (Some(mut deal), Some(Event::SeatsHeld(event))) = (held, self.story.last.last()) {
            deal.seats = event.seats.iter().map(|seat| seat.seat.clone()).collect();
            prop_assert!(deal.seats.iter().all(|seat| self.plain.is_free(seat)), "{}", place);
            prop_assert_eq!(event.expires_at_ms, deal.expires_at);
            self.plain.deals.push(deal);
        }
        self.story.state.check();
        self.compare()
    }

    /// A day after a hold that came to nothing, its performance may know of it or not.
    fn may_be_forgotten(&self, act: &Act) -> bool {
        let (Act::Ask(_, back, _) | Act::Own(back, _)) = act else { return false };
        let deal = self.plain.deals.get(self.plain.deals.len().wrapping_sub(1 + back));
        deal.is_some_and(|deal| {
            let over = matches!(deal.state, State::Released | State::Expired);
            over && deal.held_at + REPEAT_KEPT_MS < self.now
        })
    }

    /// The command of an act, what the plain house makes of it, and the deal if it holds something.
    fn expect(&mut self, act: &Act) -> (Request, Expected, Option<Deal>) {
        let (now, count) = (self.now, self.plain.deals.len());
        let index = |back: usize| count.wrapping_sub(1 + back);
        let id = |back: usize| r((index(back) as u64).wrapping_add(1));
        match act {
            Act::Hold(user, wish, key, group) => {
                let user = USERS[*user];
                let expected = self.plain.hold(now, user, wish, *key, *group);
                let standing = if let SeatRequest::Area { count, .. } = wish { *count } else { 0 };
                let (held_at, expires_at) = (now, now + self.plain.hold_ms);
                let (state, key) = (State::Held, *key);
                let deal = Deal {
                    user,
                    seats: vec![],
                    standing,
                    state,
                    held_at,
                    first_expires_at: expires_at,
                    expires_at,
                    deadline: 0,
                    left: 0,
                    extended: false,
                    key,
                    by_organizer: *group,
                    lapsed_at: None,
                };
                let repeat = key
                    .map(|(key, content)| IdempotencyRecord { key: Fingerprint(key), content: Fingerprint(content) });
                let wish = wish.clone();
                let command = match *group {
                    true => Request::of(HoldForBuyer { organizer: SELLER, user, wish, repeat }),
                    false => Request::of(Hold { user, wish, repeat }),
                };
                (command, expected, (expected == Ok(1)).then_some(deal))
            }
            Act::Ask(user, back, ask) => {
                let user = USERS[*user];
                (asks(user, id(*back), *ask), self.plain.ask(now, user, index(*back), *ask), None)
            }
            Act::Own(back, ask) => {
                let user = self.plain.deals.get(index(*back)).map_or(ANN, |deal| deal.user);
                (asks(user, id(*back), *ask), self.plain.ask(now, user, index(*back), *ask), None)
            }
            Act::News(back, news) => {
                let deadline = self.plain.deals.get(index(*back)).map_or(0, |deal| deal.deadline);
                let command = match news {
                    News::Spent => confirm(id(*back)),
                    News::Refunded => finish_refund(id(*back)),
                    News::Refused { stale } => Request::of(RefusePayment {
                        reservation: id(*back),
                        reason: Refusal::InsufficientPoints,
                        balance: 0,
                        payment_deadline_ms: deadline + u64::from(*stale),
                    }),
                };
                (command, Ok(self.plain.news(now, index(*back), *news)), None)
            }
            Act::Change(hold_s, limit) => {
                let terms =
                    change(|change| (change.hold_ttl_s, change.seats_per_user_max) = (Some(*hold_s), Some(*limit)));
                (terms, self.plain.change(*hold_s, *limit), None)
            }
            Act::Rebuild(house) => (house.command(), self.plain.rebuild(house), None),
            Act::BlockFloor(blocked) => (block_floor(*blocked), self.plain.block_floor(*blocked), None),
            Act::CancelAll => (cancel_all(), Ok(self.plain.cancel_all()), None),
            Act::RefundReservations(back) => (refund_next(id(*back)), Ok(self.plain.refund_next(index(*back))), None),
            Act::Finish => (Request::of(FinishPerformanceCancellation), Ok(self.plain.finish()), None),
            Act::Sell(wanted) => (sale(*wanted), self.plain.sell(now, *wanted), None),
            Act::Block(seats, blocks) => {
                let (organizer, seats) = (SELLER, seats.clone());
                let expected = self.plain.block(&seats, *blocks);
                let command = match blocks {
                    true => Request::of(Block { organizer, seats }),
                    false => Request::of(Unblock { organizer, seats }),
                };
                (command, expected, None)
            }
        }
    }

    /// Everybody sees what the plain house says.
    fn compare(&mut self) -> Result<(), TestCaseError> {
        let Outcome::Told(Ok(seen)) = self.story.again(&ReadAvailability) else { panic!() };
        self.watchers.check(&self.story.state, self.story.version, &seen);
        let Availability { available, seats, areas, .. } = *seen;
        let SeatsByState { free: unnamed, held, booked, blocked } = seats.labels();
        prop_assert!(unnamed.is_empty(), "who is not named is free");
        let due = self.plain.deals.iter().filter_map(|deal| match deal.state {
            State::Held => Some(deal.expires_at),
            State::Paying => Some(deal.deadline),
            State::Cancelling => Some(0),
            _ => None,
        });
        let unfinished = (self.plain.cancelled() && !self.plain.finished).then_some(0);
        prop_assert_eq!(self.story.state.next_due(), due.chain(unfinished).min());
        if self.plain.cancelled() {
            prop_assert!(held.is_empty() && booked.is_empty() && blocked.is_empty());
            prop_assert!(available.iter().all(|(_, left)| *left == 0) && areas[0].available == 0);
            return Ok(());
        }
        let of = |states: &[State]| -> Vec<String> {
            let owned = |seat: &&String| self.plain.owner(seat).is_some_and(|deal| states.contains(&deal.state));
            self.plain.seats.iter().filter(owned).cloned().collect()
        };
        prop_assert_eq!(held, of(&[State::Held, State::Paying]));
        prop_assert_eq!(booked, of(&[State::Confirmed, State::Cancelling]));
        let out = |seat: &&String| self.plain.blocked.contains(seat);
        prop_assert_eq!(blocked, self.plain.seats.iter().filter(out).cloned().collect::<Vec<_>>());
        prop_assert_eq!(areas[0].available, self.plain.floor_left());
        let available: BTreeMap<String, u32> = available.into_iter().collect();
        let free = self.plain.free();
        let vip = free.iter().filter(|seat| seat.starts_with("A-1-")).count() as u32;
        prop_assert_eq!((available["VIP"], available["R"]), (vip, free.len() as u32 - vip));
        prop_assert_eq!(available["S"], self.plain.floor_left());
        Ok(())
    }
}

fn asks(user: UserId, reservation: base::id::ReservationId, ask: Ask) -> Request {
    match ask {
        Ask::Pay => pay(user, reservation),
        Ask::Cancel => cancel(user, reservation),
        Ask::Extend => extend(user, reservation),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_performance_does_what_the_lists_say(acts in prop::collection::vec((jumps(), acts()), 1..120)) {
        let mut run = Run::new();
        for (jump, act) in acts {
            run.now += jump;
            run.step(act)?;
        }
        let replayed = run.story.replayed();
        replayed.check();
        assert_same(&replayed, &run.story.state, run.story.key);
        assert_same(&reloaded(&replayed), &run.story.state, run.story.key);
    }
}
