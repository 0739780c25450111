//! Data folders to measure with: made by the rules themselves and written through the log, without HTTP in between.

use crate::simulate::Random;
use base::id::{AccountId, ConcertId, Millis, OrganizerId, PerformanceId, ReservationId, StreamId, UserId};
use domain::command::{EventsOf, To};
use domain::performance::reservation::State;
use domain::performance::seats::chart::{Chart, Row, Section, SharedChart};
use domain::performance::{self, Create, Performance, Refusal, SeatRequest, Terms};
use domain::process::purchase::{self, Cancel, Confirm, FinishRefund, Pay, PerformanceWork, RefusePayment};
use domain::process::sign_up::OpenWallet;
use domain::wallet::{self, Wallet};
use domain::{Aggregate, Context, EventData, Fingerprint, IdempotencyRecord, Step};
use engine::lifecycle::{replay, snapshots};
use eventlog::data_folder::DataFolder;
use eventlog::store::{Options, Store};
use eventlog::{Batch, Log, Position};
use rustc_hash::FxHashMap;
use security::secrets::Secrets;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use uuid::Uuid;

const START_MS: Millis = 1_767_225_600_000;
/// Simulated time between two purchases.
const STEP_MS: Millis = 100;
const SEATS_PER_ROW: u32 = 40;
const ROWS: u32 = 50;

/// What to generate.
pub struct LogSize {
    pub wallets: u64,
    /// Of 2,000 seats each.
    pub performances: u64,
    /// Sales, cancellations and given up holds until the log has as many events.
    pub events: u64,
    /// Make a snapshot this many events before the end.
    pub snapshot_before: Option<u64>,
}

/// An aggregate whose events are written.
pub(super) struct GeneratedAggregate<A> {
    pub key: Uuid,
    pub state: A,
    pub version: u64,
}

/// A log that is written as fast as it takes events.
pub(super) struct Output {
    folder: DataFolder,
    pub secrets: Secrets,
    store: Store,
    pub batch: Batch,
}

struct Generator {
    out: Output,
    random: Random,
    now: Millis,
    wallets: Vec<GeneratedAggregate<Wallet>>,
    /// Where a wallet's user is in `wallets`.
    wallet_index: FxHashMap<Uuid, usize>,
    performances: Vec<GeneratedAggregate<Performance>>,
}

/// Writes a data folder.
pub fn generate(data: &Path, wanted: &LogSize) -> anyhow::Result<()> {
    let mut generator = Generator {
        out: Output::open(data)?,
        wallet_index: FxHashMap::default(),
        random: Random::new(1),
        now: START_MS,
        wallets: Vec::new(),
        performances: Vec::new(),
    };
    generator.open_wallets(wanted.wallets)?;
    generator.create_performances(wanted.performances)?;
    let snapshot_at = wanted.snapshot_before.map(|before| wanted.events.saturating_sub(before));
    generator.sell_until(snapshot_at.unwrap_or(wanted.events))?;
    if snapshot_at.is_some() {
        generator.out.snapshot()?;
        generator.sell_until(wanted.events)?;
    }
    generator.out.close()
}

impl Output {
    pub fn open(data: &Path) -> anyhow::Result<Output> {
        let folder = DataFolder::create_or_open(data)?;
        // A server finds the secrets of an installation that has run before.
        let secrets = Secrets::open(folder.path(), false)?;
        let (store, _) = Store::open(&folder.log(), Options::default())?;
        Ok(Output { folder, secrets, store, batch: Batch::new() })
    }

    /// One batch per visit, like the server; waits while too much waits for the disk.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        if !self.batch.is_empty() {
            self.store.append(std::mem::take(&mut self.batch), None)?;
        }
        while !self.store.has_room() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn drain(&mut self) -> anyhow::Result<()> {
        self.flush()?;
        while self.store.durable() < self.store.appended() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// A snapshot of all that was written.
    pub fn snapshot(&mut self) -> anyhow::Result<()> {
        self.drain()?;
        snapshots::make(&self.store, None, &self.folder.snapshots(), &AtomicBool::new(false))?;
        Ok(())
    }

    /// As after an orderly shutdown.
    pub fn close(mut self) -> anyhow::Result<()> {
        self.drain()?;
        self.store.close()?;
        Ok(())
    }
}

/// Replays a data folder from its first event, without a snapshot, decoding everything: events and seconds.
pub fn replay(data: &Path) -> anyhow::Result<(u64, f64)> {
    let folder = DataFolder::open(data)?;
    let (store, _) = Store::open(&folder.log(), Options::default())?;
    let started = Instant::now();
    let mut states = engine::aggregate_store::AggregateStore::default();
    let events = replay::replay_on(replay::threads(), &store, (Position(0), store.durable()), &mut states)?;
    let seconds = started.elapsed().as_secs_f64();
    store.close()?;
    Ok((events, seconds))
}

/// Runs one command on one aggregate and records its events.
pub(super) fn run<S: Step>(
    kept: &mut GeneratedAggregate<S::On>,
    batch: &mut Batch,
    random: u128,
    now: Millis,
    step: &S,
) -> Option<EventsOf<S>> {
    let stream = StreamId { category: S::On::CATEGORY, key: kept.key };
    let mut record = |kept: &mut GeneratedAggregate<S::On>, events: &EventsOf<S>| {
        for event in events {
            kept.version += 1;
            batch.push(stream, kept.version, now, event.name(), |out| event.encode(out));
            kept.state.evolve(event, kept.version, now);
        }
    };
    let lapsed = kept.state.lapsed(now);
    record(kept, &lapsed);
    let events = step.decide(&kept.state, &Context { key: kept.key, now, machine: now, random }).ok()?;
    record(kept, &events);
    Some(events)
}

impl Generator {
    fn bits(&mut self) -> u128 {
        ((self.random.bits() as u128) << 64) | self.random.bits() as u128
    }

    fn open_wallets(&mut self, count: u64) -> anyhow::Result<()> {
        for _ in 0..count {
            let (key, id) = (self.bits(), self.bits());
            let mut wallet = GeneratedAggregate { key: Uuid::from_u128(key), state: Wallet::default(), version: 0 };
            let account = AccountId(Uuid::from_u128(id));
            run(&mut wallet, &mut self.out.batch, id, self.now, &OpenWallet { account });
            self.charge(&mut wallet);
            self.wallet_index.insert(wallet.key, self.wallets.len());
            self.wallets.push(wallet);
            self.out.flush()?;
        }
        Ok(())
    }

    fn charge(&mut self, wallet: &mut GeneratedAggregate<Wallet>) {
        let bits = self.bits();
        let repeat = IdempotencyRecord { key: Fingerprint(bits), content: Fingerprint(1) };
        let command = wallet::Charge {
            points: wallet::CHARGE_POINTS_MAX,
            reference: None,
            by: wallet::ChargedBy::Organizer,
            organizer: Some(OrganizerId(Uuid::from_u128(1))),
            day_points_max: u64::MAX,
            repeat,
        };
        run(wallet, &mut self.out.batch, bits, self.now, &command);
    }

    fn create_performances(&mut self, count: u64) -> anyhow::Result<()> {
        let row = |row: u32| Row {
            row: (row + 1).to_string(),
            grade: ["VIP", "R", "S", "A"][(row * 4 / ROWS) as usize].into(),
            seat_count: Some(SEATS_PER_ROW),
            ..Row::default()
        };
        let section = Section { section: "A".into(), rows: (0..ROWS).map(row).collect() };
        let chart = SharedChart::from(Chart { sections: vec![section], areas: Vec::new() });
        let prices = [("VIP", 400), ("R", 300), ("S", 200), ("A", 100)];
        for _ in 0..count {
            let id = PerformanceId::from_random(self.random.bits());
            let mut performance = GeneratedAggregate { key: id.0, state: Performance::default(), version: 0 };
            let far = self.now + 10 * 365 * 24 * 3_600_000;
            let create = Create {
                concert: ConcertId(Uuid::from_u128(1)),
                organizer: OrganizerId(Uuid::from_u128(2)),
                terms: Terms {
                    starts_at_ms: far,
                    sale_opens_at_ms: self.now,
                    sale_closes_at_ms: far,
                    cancellation_closes_at_ms: far,
                    hold_ttl_s: 300,
                    payment_ttl_s: 60,
                    extension_s: 0,
                    seats_per_user_max: 100,
                    lapsed_holds_max: 0,
                    ..Terms::usual(0, 0)
                },
                prices: prices.map(|(grade, points)| (grade.to_owned(), points)).into(),
                chart: chart.clone(),
                content: Fingerprint(3),
            };
            run(&mut performance, &mut self.out.batch, 0, self.now, &create);
            self.performances.push(performance);
            self.out.flush()?;
        }
        Ok(())
    }

    fn sell_until(&mut self, events: u64) -> anyhow::Result<()> {
        while self.out.store.appended().0 < events {
            self.now += STEP_MS;
            self.sell();
            self.out.flush()?;
        }
        Ok(())
    }

    /// One buyer's visit: hold two seats, then give them up, let them lapse, keep them, or cancel them later.
    fn sell(&mut self) {
        let (bits, visit) = (self.bits(), self.random.below(10));
        let performance = self.random.below(self.performances.len() as u64) as usize;
        let wallet = self.random.below(self.wallets.len() as u64) as usize;
        let (performance, wallet) = (&mut self.performances[performance], &mut self.wallets[wallet]);
        let (user, now) = (UserId(wallet.key), self.now);
        let row = 1 + (bits as u32 % ROWS);
        let first = 1 + 2 * ((bits >> 32) as u32 % (SEATS_PER_ROW / 2));
        let wish = SeatRequest::Seats(vec![format!("A-{row}-{first}"), format!("A-{row}-{}", first + 1)]);
        let hold = performance::Hold { user, wish, repeat: None };
        let held = run(performance, &mut self.out.batch, bits, now, &hold);
        let Some(Some(performance::Event::SeatsHeld(held))) = held.as_ref().map(|events| events.last()) else {
            return self.make_room(bits);
        };
        let reservation = held.reservation_id;
        match visit {
            0..=1 => {}
            2..=3 => {
                let cancel = Cancel { user, reservation };
                run(performance, &mut self.out.batch, bits, now, &cancel);
            }
            _ => {
                let (batch, pay) = (&mut self.out.batch, Pay { user, reservation });
                if run(performance, batch, 0, now, &pay).is_some() {
                    settle(performance, wallet, batch, now, reservation);
                }
            }
        }
    }

    /// The seats were taken: somebody cancels, so that the sale can go on for as many events as are wanted.
    fn make_room(&mut self, bits: u128) {
        let index = bits as usize % self.performances.len();
        let sold = self.performances[index].state.reservations().find(|found| found.state == State::Confirmed);
        let Some((user, reservation)) = sold.map(|sold| (sold.user, sold.id)) else { return };
        let wallet = &mut self.wallets[self.wallet_index[&user.0]];
        let (performance, batch) = (&mut self.performances[index], &mut self.out.batch);
        if run(performance, batch, 0, self.now, &Cancel { user, reservation }).is_some() {
            settle(performance, wallet, batch, self.now, reservation);
        }
    }
}

/// The rest of a payment or cancellation, through the wallet and back.
fn settle(
    performance: &mut GeneratedAggregate<Performance>,
    wallet: &mut GeneratedAggregate<Wallet>,
    batch: &mut Batch,
    now: Millis,
    reservation: ReservationId,
) {
    let (state, id) = (&performance.state, PerformanceId(performance.key));
    match state.reservation(reservation).and_then(|reservation| purchase::owed(state, id, reservation)) {
        Some(PerformanceWork::Spend(To(_, spend))) => {
            let payment_deadline_ms = spend.deadline_ms;
            if run(wallet, batch, 0, now, &spend).is_some() {
                run(performance, batch, 0, now, &Confirm { reservation });
            } else {
                let reason = Refusal::InsufficientPoints;
                let refuse = RefusePayment { reservation, reason, balance: 0, payment_deadline_ms };
                run(performance, batch, 0, now, &refuse);
            }
        }
        Some(PerformanceWork::GiveBack(To(_, give_back))) => {
            run(wallet, batch, 0, now, &give_back);
            run(performance, batch, 0, now, &FinishRefund { reservation });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use verifier::Books;

    #[test]
    fn what_is_generated_is_as_long_as_wanted_and_holds() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = LogSize { wallets: 50, performances: 3, events: 5_000, snapshot_before: Some(1_000) };
        generate(folder.path(), &wanted).unwrap();
        let (events, _) = replay(folder.path()).unwrap();
        assert!(events >= 5_000, "{events}");
        let (store, _) = Store::open(&folder.path().join("log"), Options::default()).unwrap();
        let mut books = Books::new();
        store
            .read_from(Position(0), &mut |event| {
                books.apply(event).unwrap();
                true
            })
            .unwrap();
        assert!(books.finish().unwrap().purchases_complete > 100);
    }
}
