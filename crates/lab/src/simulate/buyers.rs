//! Which commands the simulated crowd sends, and what their answers promise.

use super::organizer::{self, seat};
use super::random::Random;
use super::request::Request;
use base::id::{AccountId, ConcertId, Millis, PerformanceId, ReservationId, StreamId, UserId};
use domain::performance::reservation::State;
use domain::performance::{Create, Extend, Follows, SeatRequest, Terms};
use domain::process::purchase::{Cancel, Pay};
use domain::process::sign_up::{self, OpenWallet};
use domain::{Fingerprint, IdempotencyRecord, account, performance, wallet};
use rustc_hash::{FxHashMap, FxHashSet};
use uuid::Uuid;

const USERS: u128 = 6;

/// The crowd: who there is, what they hold, and what was promised to them.
pub struct Buyers {
    performances: Vec<PerformanceId>,
    users: Vec<UserId>,
    /// Reservations that were acknowledged, with their holder.
    reservations: Vec<(UserId, ReservationId)>,
    /// What each key stood for: the reservation or charge that the first answer named. A key is scoped by user and by
    /// what it was sent to.
    promised: FxHashMap<(StreamId, UserId, Fingerprint), Uuid>,
    /// The furthest that each reservation was acknowledged to have come.
    reached: FxHashMap<ReservationId, State>,
    keys: u64,
    /// Requests that may be sent again.
    sent: Vec<Request>,
    /// Who signed up with which e-mail, as far as it was acknowledged; nobody who was erased comes back.
    people: FxHashMap<AccountId, UserId>,
    erased: FxHashSet<UserId>,
}

impl Buyers {
    pub fn new(random: &mut Random) -> Buyers {
        Buyers {
            performances: (0..2).map(|_| PerformanceId::from_random(random.bits())).collect(),
            users: (1..=USERS).map(|user| UserId(Uuid::from_u128((user << 64) | (user * 0x1234_5678_9abc)))).collect(),
            reservations: Vec::new(),
            promised: FxHashMap::default(),
            reached: FxHashMap::default(),
            keys: 0,
            sent: Vec::new(),
            people: FxHashMap::default(),
            erased: FxHashSet::default(),
        }
    }

    /// What there must be before anybody can buy.
    pub fn opening(&self, now: Millis) -> Vec<Request> {
        let chart = organizer::first_chart();
        let create = |performance: &PerformanceId| {
            let create = Create {
                concert: ConcertId(Uuid::from_u128(0x0c)),
                organizer: organizer::ID,
                terms: Terms {
                    starts_at_ms: now + 40_000_000,
                    sale_opens_at_ms: now,
                    sale_closes_at_ms: now + 40_000_000,
                    cancellation_closes_at_ms: now + 30_000_000,
                    hold_ttl_s: 120,
                    payment_ttl_s: 60,
                    extension_s: 30,
                    seats_per_user_max: 4,
                    lapsed_holds_max: 5,
                    follows_starts_at: Some(Follows { sale_closes_at: true, cancellation_closes_at: false }),
                    ..Terms::usual(0, 0)
                },
                prices: [("VIP".to_owned(), 100), ("R".to_owned(), 40)].into(),
                chart: chart.clone().into(),
                content: Fingerprint::of(&[b"simulated"]),
            };
            Request::CreatePerformance(*performance, Box::new(create))
        };
        let open = |user: &UserId| Request::OpenWallet(*user, OpenWallet { account: account_of(*user) });
        self.performances.iter().map(create).chain(self.users.iter().map(open)).collect()
    }

    /// The next request: a new one, or one that was sent before.
    pub fn next(&mut self, random: &mut Random) -> Request {
        if random.chance(15)
            && let Some(again) = random.pick(&self.sent)
        {
            return match again.clone() {
                // A repeated sign-up comes with a user id of its own.
                Request::SignUp(id, sign_up::Create { key, .. }) => sign_up(id, key, random),
                again => again,
            };
        }
        let command = self.fresh(random);
        if self.sent.len() < 64 {
            self.sent.push(command.clone());
        } else {
            self.sent[random.below(64) as usize] = command.clone();
        }
        command
    }

    fn fresh(&mut self, random: &mut Random) -> Request {
        let performance = self.performances[random.below(2) as usize];
        let user = self.users[random.below(USERS as u64) as usize];
        let known = random.pick(&self.reservations).copied();
        match (random.below(100), known) {
            (0..=14, _) => {
                let points = 1 + random.below(250);
                let repeat = self.repeat(random, points);
                let (by, organizer) = match random.below(3) {
                    0 => (wallet::ChargedBy::Organizer, Some(organizer::ID)),
                    1 => (wallet::ChargedBy::Operator, None),
                    _ => (wallet::ChargedBy::User, None),
                };
                let (reference, day_points_max) = (None, 3_000);
                Request::Charge(user, wallet::Charge { points, reference, by, organizer, day_points_max, repeat })
            }
            (15..=19, _) => {
                let points = random.below(200) as i64 - 100;
                let repeat = self.repeat(random, points as u64);
                let organizer = random.chance(50).then_some(organizer::ID);
                let reason = "simulated".into();
                Request::Adjust(user, wallet::Adjust { points, reason, organizer, repeat })
            }
            (20..=69, Some((user, reservation))) => {
                // Now and then somebody else's.
                let user = if random.chance(5) { self.users[0] } else { user };
                match random.below(10) {
                    0..=5 => Request::Pay(Pay { user, reservation }),
                    6..=8 => Request::Cancel(Cancel { user, reservation }),
                    _ => Request::Extend(Extend { user, reservation }),
                }
            }
            (70..=76, _) => organizer::command(performance, random),
            (77..=80, _) => self.person(random),
            _ => {
                let wish = wish(random);
                let content = Fingerprint::of(&[format!("{wish:?}").as_bytes()]);
                let repeat = random.chance(70).then(|| IdempotencyRecord { key: self.key(random), content });
                if random.chance(10) {
                    let hold = performance::HoldForBuyer { organizer: organizer::ID, user, wish, repeat };
                    return Request::HoldForBuyer(performance, hold);
                }
                Request::Hold(performance, performance::Hold { user, wish, repeat })
            }
        }
    }

    /// Somebody signs up, in, out, or is erased.
    fn person(&mut self, random: &mut Random) -> Request {
        const TTL_MS: Millis = 600_000;
        let id = AccountId(Uuid::from_u128(0xacc0 + random.below(3) as u128 * 0x0101_0101));
        let user = self.people.get(&id).copied().unwrap_or(self.users[0]);
        match random.below(10) {
            0..=2 => sign_up(id, random.chance(50).then(|| self.key(random)), random),
            3..=4 => Request::SignIn(id),
            5..=6 => {
                let (session, expires_at_ms) = (Fingerprint(random.below(8) as u128), Millis::MAX);
                Request::EndSession(id, account::EndSession { user, session, expires_at_ms, ttl_ms: TTL_MS })
            }
            7 => Request::EndSessions(id, account::EndSessions { user, ttl_ms: TTL_MS }),
            8 => Request::ReadAccount(id),
            _ => Request::Erase(id, account::Erase { user, ttl_ms: TTL_MS }),
        }
    }

    /// An account's answer names nobody who was erased.
    pub fn met(&mut self, id: AccountId, user: UserId) -> Result<(), String> {
        if self.erased.contains(&user) {
            return Err(format!("{user} was erased and is there again"));
        }
        self.people.insert(id, user);
        Ok(())
    }

    pub fn erased(&mut self, user: UserId) {
        self.erased.insert(user);
    }

    fn repeat(&mut self, random: &mut Random, points: u64) -> IdempotencyRecord {
        IdempotencyRecord { key: self.key(random), content: Fingerprint::of(&[&points.to_le_bytes()]) }
    }

    /// Mostly a new key, sometimes one that stood for something else.
    fn key(&mut self, random: &mut Random) -> Fingerprint {
        if !random.chance(5) {
            self.keys += 1;
        }
        Fingerprint::of(&[&self.keys.to_le_bytes()])
    }

    /// A hold was acknowledged; an error when it breaks an earlier promise. So with all below.
    pub fn held(
        &mut self,
        stream: StreamId,
        user: UserId,
        repeat: Option<IdempotencyRecord>,
        id: ReservationId,
    ) -> Result<(), String> {
        if let Some(repeat) = repeat {
            self.promise((stream, user, repeat.key), id.0)?;
        }
        if !self.reservations.contains(&(user, id)) {
            self.reservations.push((user, id));
        }
        Ok(())
    }

    pub fn paid(&mut self, id: ReservationId, state: State) -> Result<(), String> {
        match state {
            State::Confirmed => _ = self.reached.entry(id).or_insert(State::Confirmed),
            // Paid, and then the performance was cancelled before the answer left.
            State::Cancelling | State::Cancelled => {}
            state => return Err(format!("payment of {id} was acknowledged as {state:?}")),
        }
        Ok(())
    }

    pub fn cancelled(&mut self, id: ReservationId, state: State) -> Result<(), String> {
        if !matches!(state, State::Cancelled | State::Released) {
            return Err(format!("cancellation of {id} was acknowledged as {state:?}"));
        }
        self.reached.insert(id, state);
        Ok(())
    }

    /// A key was answered with what it stands for.
    pub fn promise(&mut self, key: (StreamId, UserId, Fingerprint), id: Uuid) -> Result<(), String> {
        match self.promised.insert(key, id) {
            Some(first) if first != id => Err(format!("one key was answered with {first} and then with {id}")),
            _ => Ok(()),
        }
    }

    /// What was acknowledged last of each reservation: asked again at the end, it must be so still.
    pub fn promises(&self) -> Vec<(UserId, ReservationId, Option<State>)> {
        let reached = |id: &ReservationId| self.reached.get(id).copied();
        self.reservations.iter().map(|(user, id)| (*user, *id, reached(id))).collect()
    }

    /// Everybody's wallet.
    pub fn users(&self) -> &[UserId] {
        &self.users
    }
}

fn account_of(user: UserId) -> AccountId {
    AccountId(Uuid::from_u128(user.0.as_u128() ^ 0xacc))
}

fn sign_up(id: AccountId, key: Option<Fingerprint>, random: &mut Random) -> Request {
    let user = UserId(Uuid::from_u128(((random.bits() as u128) << 64) | random.bits() as u128));
    Request::SignUp(id, sign_up::Create { user, sealed: "sealed".into(), key })
}

fn wish(random: &mut Random) -> SeatRequest {
    if random.chance(10) {
        let seats = Box::new(SeatRequest::Seats(vec![seat(random)]));
        return SeatRequest::Both { seats, area: "F".into(), count: 1 + random.below(2) as u32 };
    }
    match random.below(10) {
        0..=5 => SeatRequest::Seats((0..1 + random.below(3)).map(|_| seat(random)).collect()),
        6..=7 => {
            let grade = random.chance(50).then(|| "R".to_owned());
            SeatRequest::Best {
                grade,
                section: None,
                count: 1 + random.below(3) as u32,
                accessible: random.below(8) as u32 / 7,
            }
        }
        _ => SeatRequest::Area { area: "F".into(), count: 1 + random.below(3) as u32 },
    }
}
