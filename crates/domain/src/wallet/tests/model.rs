//! A wallet against a plain reference: sums over a list of what happened.

use super::*;
use crate::testing::coverage::variant_of;
use crate::testing::reloaded;
use proptest::prelude::*;

/// What a wallet is, said as simply as it can be.
#[derive(Default)]
struct Plain {
    open: bool,
    /// Points that came and went.
    moves: Vec<i128>,
    /// When, which key, which content; of charges and adjustments.
    requests: Vec<(Millis, u128, u128)>,
    spent: Vec<(u64, u64)>,
    refunded: Vec<u64>,
}

/// The points that move, if any, or the name of the rejection.
type Expected = Result<Option<i128>, &'static str>;

impl Plain {
    fn balance(&self) -> i128 {
        self.moves.iter().sum()
    }

    /// What may yet come back.
    fn refundable(&self) -> i128 {
        let open = self.spent.iter().filter(|(nth, _)| !self.refunded.contains(nth));
        open.map(|(_, points)| *points as i128).sum()
    }

    fn decide(&self, now: Millis, act: &Act) -> Expected {
        if !self.open {
            return match act {
                Act::Open => Ok(Some(0)),
                Act::Refund { .. } => Err("NeverSpent"),
                _ => Err("UnknownWallet"),
            };
        }
        match *act {
            Act::Open | Act::Read => Ok(None),
            Act::Charge { points, key } => match self.repeated(now, key, points as u128) {
                Some(repeated) => repeated,
                None if points == 0 || points > CHARGE_POINTS_MAX => Err("PointsOutOfRange"),
                None => self.room(points as i128),
            },
            Act::Adjust { points, key } => match self.repeated(now, key, points as u128) {
                Some(repeated) => repeated,
                None if points == 0 || points.unsigned_abs() > BALANCE_POINTS_MAX => Err("PointsOutOfRange"),
                None if self.balance() + (points as i128) < 0 => Err("InsufficientPoints"),
                None if points < 0 => Ok(Some(points as i128)),
                None => self.room(points as i128),
            },
            Act::Spend { nth, points, in_ms } => match () {
                () if self.spent.iter().any(|(spent, _)| *spent == nth) => Ok(None),
                () if in_ms <= 0 => Err("TooLate"),
                () if self.balance() < points as i128 => Err("InsufficientPoints"),
                () => Ok(Some(-(points as i128))),
            },
            Act::Refund { nth } => match self.spent.iter().find(|(spent, _)| *spent == nth) {
                None => Err("NeverSpent"),
                Some(_) if self.refunded.contains(&nth) => Ok(None),
                Some((_, points)) => Ok(Some(*points as i128)),
            },
        }
    }

    fn room(&self, points: i128) -> Expected {
        let fits = self.balance() + points + self.refundable() <= BALANCE_POINTS_MAX as i128;
        if fits { Ok(Some(points)) } else { Err("BalanceTooLarge") }
    }

    fn repeated(&self, now: Millis, key: u128, content: u128) -> Option<Expected> {
        let latest = self.requests.iter().rev().find(|(_, known, _)| *known == key);
        let (_, _, known) = latest.filter(|(at, ..)| now < at + REPEAT_KEPT_MS)?;
        Some(if *known == content { Ok(None) } else { Err("KeyReused") })
    }

    fn evolve(&mut self, now: Millis, act: &Act, moved: i128) {
        self.moves.push(moved);
        match *act {
            Act::Open => self.open = true,
            Act::Charge { points, key } => self.requests.push((now, key, points as u128)),
            Act::Adjust { points, key } => self.requests.push((now, key, points as u128)),
            Act::Spend { nth, points, .. } => self.spent.push((nth, points)),
            Act::Refund { nth } => self.refunded.push(nth),
            Act::Read => {}
        }
    }
}

#[derive(Clone, Debug)]
enum Act {
    Open,
    Read,
    Charge { points: u64, key: u128 },
    Adjust { points: i64, key: u128 },
    Spend { nth: u64, points: u64, in_ms: i64 },
    Refund { nth: u64 },
}

impl Act {
    fn command(&self, now: Millis) -> Attempt<Wallet> {
        match *self {
            Act::Open => row(open()),
            Act::Read => row(Read),
            Act::Charge { points, key } => row(charge(points, key)),
            Act::Adjust { points, key } => row(adjust(points, key)),
            Act::Spend { nth, points, in_ms } => row(spend(nth, points, now.saturating_add_signed(in_ms))),
            Act::Refund { nth } => row(refund(nth)),
        }
    }
}

fn acts() -> impl Strategy<Value = Act> {
    let points = prop_oneof![0..20u64, Just(CHARGE_POINTS_MAX), Just(CHARGE_POINTS_MAX + 1)];
    let most = BALANCE_POINTS_MAX as i64;
    let adjusted = prop_oneof![-20..20i64, Just(most), Just(-most), Just(most + 1), (most - 30)..most];
    prop_oneof![
        1 => Just(Act::Open),
        1 => Just(Act::Read),
        6 => (points, 0..12u128).prop_map(|(points, key)| Act::Charge { points, key }),
        3 => (adjusted, 0..12u128).prop_map(|(points, key)| Act::Adjust { points, key }),
        6 => (1..8u64, 0..25u64, -1..3i64).prop_map(|(nth, points, in_ms)| Act::Spend { nth, points, in_ms }),
        4 => (1..8u64).prop_map(|nth| Act::Refund { nth }),
    ]
}

/// How far the clock goes before an act: mostly nowhere, sometimes to the edge of a day, sometimes back.
fn jumps() -> impl Strategy<Value = i64> {
    let day = DAY as i64;
    prop_oneof![6 => 0..3i64, 1 => Just(day), 1 => Just(day - 1), 1 => 0..day, 1 => -5..0i64]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_wallet_does_what_the_sums_say(acts in prop::collection::vec((jumps(), acts()), 1..80)) {
        let mut story = Story::<Wallet>::new(USER.0);
        let mut plain = Plain::default();
        let mut now = T;
        for (jump, act) in acts {
            now = now.saturating_add_signed(jump);
            story.random += 1;
            let expected = plain.decide(now, &act);
            let result = act.command(now).run(&mut story, now);
            match (&expected, &result) {
                (Err(name), Err(rejection)) => prop_assert_eq!(*name, variant_of(rejection)),
                (Ok(None), Ok(_)) => prop_assert!(story.last.is_empty()),
                (Ok(Some(_)), Ok(_)) => prop_assert_eq!(story.last.len(), 1),
                _ => prop_assert!(false, "{:?}: must be {:?}, is {:?}", act, expected, result),
            }
            if let Ok(Some(moved)) = expected {
                plain.evolve(now, &act, moved);
            }
            prop_assert_eq!(story.state.0.balance as i128, plain.balance());
            prop_assert!(plain.balance() >= 0 && plain.balance() <= BALANCE_POINTS_MAX as i128);
        }
        prop_assert!(!plain.open || statement(&mut story, None, 7) == (recorded(&story), false));
        assert_same(&story.replayed(), &story.state, story.key);
        assert_same(&reloaded(&story.replayed()), &story.state, story.key);
    }
}
