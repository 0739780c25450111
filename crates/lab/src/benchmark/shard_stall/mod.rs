//! How long one command holds its shard, each at the largest size that is allowed: everybody else whose keys are on that
//! shard waits as long. In this process, by the very code that a server runs, without a disk.

use super::goals::figure;
use super::{FigureFilter, Progress};
use base::id::{AccountId, ConcertId, Millis, PerformanceId, QueueId};
use base::report::Figure;
use domain::performance::seats::chart::{
    AREAS_MAX, Area, Chart, Layout, Prices, ROWS_MAX, Row, SECTIONS_MAX, Section, SharedChart,
};
use domain::performance::{self, Change, ChangeChart, ChartShown, Create, SeatRequest, Terms};
use domain::process::sign_up;
use domain::queue::policy::Policy;
use domain::queue::{self, AllPresent, Person};
use domain::{Expected, Fingerprint, account};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use uuid::Uuid;

mod people;
mod shard;

use shard::{NOW, ORGANIZER, SEED, Shard, Stopwatch, user};

/// The figures of this file.
pub const NAMES: [&str; 1] = ["shard_stall"];
/// Rounds; of a command the median counts.
const ROUNDS: usize = 3;
const ROWS: u32 = 1_000;
const SEATS_PER_ROW: u32 = 100;
const SEATS: u32 = ROWS * SEATS_PER_ROW;
/// Labels that one block names.
const BLOCKED: u32 = 10_000;
/// Of one user, and of a group that the organizer holds for.
const BEST: u32 = 100;
const GROUP: u32 = 500;
/// Changes of the prices.
const CHANGES: u64 = 20;

const HOLD_TTL_S: u32 = 300;
/// People in a pre-queue, and those who are let in at a time.
const WAITING: u32 = 1_000_000;
const WAITING_QUICK: u32 = 50_000;

/// A command and how long it held the shard in each round.
type HoldTimes = Vec<(&'static str, Vec<Duration>)>;

/// Measures what is wanted.
pub fn measure(wanted: &FigureFilter, quick: bool, progress: &Progress) -> anyhow::Result<Vec<Figure>> {
    if !wanted.any(&NAMES) {
        return Ok(Vec::new());
    }
    progress.says(NAMES[0]);
    let mut held = HoldTimes::new();
    for _ in 0..ROUNDS {
        let mut note = |name: &'static str, took: Duration| match held.iter_mut().find(|(known, _)| *known == name) {
            Some((_, times)) => times.push(took),
            None => held.push((name, vec![took])),
        };
        empty_house(&mut note)?;
        full_house(&mut note)?;
        erased_holder(&mut note)?;
        cancelled_house(&mut note)?;
        pre_queue(if quick { WAITING_QUICK } else { WAITING }, &mut note)?;
        people::wallet(&mut note)?;
        people::account(&mut note)?;
        people::sellers(&mut note)?;
    }
    let mut rows: Vec<(&str, f64)> = held.iter().map(|(name, times)| (*name, median_ms(times))).collect();
    rows.sort_by(|one, other| other.1.total_cmp(&one.1));
    let longest = rows.first().map(|(_, ms)| *ms);
    let lines = rows.iter().map(|(name, ms)| format!("\n  {ms:8.3} ms  {name}"));
    progress.step();
    Ok(vec![Figure { note: lines.collect(), ..figure(NAMES[0], longest, None) }])
}

fn median_ms(times: &[Duration]) -> f64 {
    let ms: Vec<f64> = times.iter().map(|took| took.as_secs_f64() * 1e3).collect();
    crate::stats::median(&ms)
}

impl Shard {
    /// The same, where it is refused.
    fn refused(&mut self, house: PerformanceId, command: performance::Hold) -> anyhow::Result<Duration> {
        let (reply, mut outcome) = oneshot::channel();
        let started = Stopwatch::start();
        self.core.accept(house, command, reply, self.now);
        let took = started.elapsed();
        self.log.commit();
        anyhow::ensure!(outcome.try_recv()?.is_err(), "it was to be refused");
        Ok(took)
    }

    fn ticks(&mut self) -> Duration {
        let started = Stopwatch::start();
        self.core.tick(self.now);
        let took = started.elapsed();
        self.log.commit();
        self.rest(took)
    }

    fn house(&mut self, key: u128) -> anyhow::Result<(PerformanceId, Duration)> {
        let house = PerformanceId::from_random(key as u64);
        let chart = chart(false).prepare(&prices(1), None).map_err(|invalid| anyhow::anyhow!("{invalid:?}"))?;
        let (took, _) = self.asks(house, create(chart))?;
        Ok((house, took))
    }

    /// Gives the longest of the holds.
    fn hold_all(&mut self, house: PerformanceId) -> anyhow::Result<Duration> {
        let mut longest = Duration::ZERO;
        for seat in 0..SEATS {
            let wish = SeatRequest::Seats(vec![label(seat)]);
            let (took, _) = self.asks(house, performance::Hold { user: user(u128::from(seat)), wish, repeat: None })?;
            longest = longest.max(took);
        }
        Ok(longest)
    }

    fn laid_out(&mut self, house: PerformanceId) -> anyhow::Result<(Duration, SharedChart, Arc<Layout>)> {
        let (took, ChartShown { chart, layout, .. }) = self.asks(house, performance::ShowChart)?;
        Ok((took, chart, layout))
    }
}

fn prices(points: u64) -> Prices {
    [("R".to_owned(), points), ("S".to_owned(), points)].into()
}

/// 100,000 seats with printed numbers; `turned`, in another order.
fn chart(turned: bool) -> SharedChart {
    let row = |row: u32| {
        let mut seats: Vec<String> = (0..SEATS_PER_ROW).map(|seat| (seat * 2 + 1).to_string()).collect();
        if turned {
            seats.reverse();
        }
        Row { row: row.to_string(), grade: "R".into(), seats, ..Row::default() }
    };
    let mut rows: Vec<Row> = (1..=ROWS).map(row).collect();
    if turned {
        rows.reverse();
    }
    Chart { sections: vec![Section { section: "A".into(), rows }], areas: vec![] }.into()
}

/// As many sections and rows as there may be.
fn many_rows() -> Chart {
    let row = |row: usize| Row {
        row: row.to_string(),
        grade: "R".into(),
        seats: (1..=5).map(|seat: u32| seat.to_string()).collect(),
        ..Row::default()
    };
    let rows_each = ROWS_MAX / SECTIONS_MAX;
    let section = |section: usize| Section { section: section.to_string(), rows: (0..rows_each).map(row).collect() };
    Chart { sections: (0..SECTIONS_MAX).map(section).collect(), areas: vec![] }
}

fn label(seat: u32) -> String {
    format!("A-{}-{}", seat / SEATS_PER_ROW + 1, seat % SEATS_PER_ROW * 2 + 1)
}

fn block(seats: impl Iterator<Item = u32>) -> performance::Block {
    performance::Block { organizer: ORGANIZER, seats: seats.map(label).collect() }
}

fn best(count: u32) -> performance::Hold {
    let wish = SeatRequest::Best { grade: None, section: None, count, accessible: 0 };
    performance::Hold { user: user(u128::from(SEATS) + 7), wish, repeat: None }
}

fn empty_house(note: &mut dyn FnMut(&'static str, Duration)) -> anyhow::Result<()> {
    let mut shard = Shard::new();
    let (house, took) = shard.house(1)?;
    note("create a performance of 100,000 seats", took);
    let rows = SharedChart::from(many_rows()).prepare(&prices(1), None);
    let rows = rows.map_err(|invalid| anyhow::anyhow!("{invalid:?}"))?;
    let id = PerformanceId::from_random(78);
    let (took, _) = shard.asks(id, create(rows))?;
    note("create one of 2,000 sections and 20,000 rows", took);
    note("block 10,000 seats", shard.asks(house, block(0..BLOCKED))?.0);
    let unblock = performance::Unblock { organizer: ORGANIZER, seats: (0..BLOCKED).map(label).collect() };
    note("unblock 10,000 seats", shard.asks(house, unblock)?.0);
    let changes = performance::ReadChanges { since: 1 };
    note("what changed of 10,000 seats", shard.asks(house, changes)?.0);
    for part in 0..SEATS / BLOCKED {
        shard.asks(house, block((part * BLOCKED..(part + 1) * BLOCKED).filter(|seat| seat % 2 == 0)))?;
    }
    let (took, _) = shard.asks(house, best(BEST))?;
    note("best 100 of a hall with every second seat taken", took);
    let wish = SeatRequest::Best { grade: None, section: None, count: GROUP, accessible: 0 };
    let (organizer, user) = (ORGANIZER, user(3));
    let group = performance::HoldForBuyer { organizer, user, wish, repeat: None };
    note("best 500 of it for a group", shard.asks(house, group)?.0);
    let named = SeatRequest::Seats((0..BEST).map(|seat| label(seat * 2)).collect());
    let named = performance::Hold { user, wish: named, repeat: None };
    note("100 seats by name, all taken", shard.refused(house, named)?);
    for part in 0..SEATS / BLOCKED {
        let left = (part * BLOCKED..(part + 1) * BLOCKED).filter(|seat| seat % 2 == 1 && *seat > 4 * (BEST + GROUP));
        shard.asks(house, block(left))?;
    }
    let blocks = performance::ShowBlocks { organizer: ORGANIZER };
    note("show 100,000 blocked seats", shard.asks(house, blocks)?.0);

    let areas = (0..AREAS_MAX).map(|area| Area { area: area.to_string(), grade: "S".into(), capacity: 500 });
    let floor = SharedChart::from(Chart { sections: vec![], areas: areas.collect() });
    let id = PerformanceId::from_random(77);
    shard.asks(id, create(floor))?;
    let areas = (0..AREAS_MAX).map(|area| (area.to_string(), 100)).collect();
    note("block places of 200 areas", shard.asks(id, performance::BlockAreas { organizer: ORGANIZER, areas })?.0);
    Ok(())
}

fn create(chart: SharedChart) -> Create {
    Create {
        concert: ConcertId(Uuid::from_u128(1)),
        organizer: ORGANIZER,
        terms: Terms {
            starts_at_ms: NOW + 9_000_000,
            sale_opens_at_ms: NOW,
            sale_closes_at_ms: NOW + 9_000_000,
            cancellation_closes_at_ms: NOW + 9_000_000,
            hold_ttl_s: HOLD_TTL_S,
            payment_ttl_s: 60,
            extension_s: 0,
            seats_per_user_max: BEST,
            lapsed_holds_max: 5,
            ..Terms::usual(0, 0)
        },
        prices: prices(1),
        chart,
        content: Fingerprint(1),
    }
}

fn full_house(note: &mut dyn FnMut(&'static str, Duration)) -> anyhow::Result<()> {
    let mut shard = Shard::new();
    let (house, _) = shard.house(2)?;
    note("100,000 holds: the longest", shard.hold_all(house)?);
    note("availability of a full house", shard.asks(house, performance::ReadAvailability)?.0);
    note("describe it", shard.asks(house, performance::Describe)?.0);
    note("best 4 of a full house", shard.refused(house, best(4))?);
    let (took, before, from) = shard.laid_out(house)?;
    note("show its chart", took);
    let new =
        chart(true).prepare(&prices(1), Some((&before, &from))).map_err(|invalid| anyhow::anyhow!("{invalid:?}"))?;
    let new = ChangeChart { organizer: ORGANIZER, expected: Expected::Any, chart: new, prices: None };
    let (took, _) = shard.asks(house, new)?;
    note("another chart, of 100,000 seats with as many reservations", took);
    drop((before, from));
    // Again and again: what was held keeps the names and prices of each.
    let mut longest = Duration::ZERO;
    for points in 2..=CHANGES + 1 {
        let (_, current, layout) = shard.laid_out(house)?;
        let prepared = current.prepare_prices(&prices(points), &layout);
        let prepared = prepared.map_err(|invalid| anyhow::anyhow!("{invalid:?}"))?;
        let change = Change {
            prices: Some(prices(points)),
            prepared: Some(prepared),
            ..Change::nothing(ORGANIZER, Expected::Any)
        };
        longest = longest.max(shard.asks(house, change)?.0);
    }
    note("other prices, 20 times: the longest", longest);
    shard.now += Millis::from(HOLD_TTL_S) * 1_000;
    note("100,000 holds run out: each part", shard.ticks());
    Ok(())
}

/// Sixteen people are erased at a time, each with a hold among 100,000.
fn erased_holder(note: &mut dyn FnMut(&'static str, Duration)) -> anyhow::Result<()> {
    let mut shard = Shard::new();
    let (house, _) = shard.house(4)?;
    shard.hold_all(house)?;
    for number in 0..16 {
        let (id, user) = (AccountId(Uuid::from_u128(100 + number)), user(number));
        shard.asks(id, sign_up::Create { user, sealed: "s".into(), key: None })?;
        shard.asks(id, account::Erase { user, ttl_ms: 1_000 })?;
    }
    note("end what goes on of 16 people who are erased", shard.ticks());
    Ok(())
}

fn cancelled_house(note: &mut dyn FnMut(&'static str, Duration)) -> anyhow::Result<()> {
    let mut shard = Shard::new();
    let (house, _) = shard.house(3)?;
    shard.hold_all(house)?;
    let cancel = performance::CancelPerformance { organizer: ORGANIZER, reason: "Storm.".into() };
    note("cancel a performance of 100,000 holds", shard.asks(house, cancel)?.0);
    let mut longest = Duration::ZERO;
    loop {
        let started = Stopwatch::start();
        let more = shard.core.refund_next(shard.now);
        longest = longest.max(started.elapsed());
        shard.log.commit();
        if !more {
            break;
        }
    }
    note("each part of the cancellation", longest);
    Ok(())
}

fn pre_queue(waiting: u32, note: &mut dyn FnMut(&'static str, Duration)) -> anyhow::Result<()> {
    let mut shard = Shard::new();
    let id = QueueId(Uuid::from_u128(5));
    let terms = queue::Terms {
        name: "Q".into(),
        redirect_urls: vec![],
        policy: Policy { rate: None, max_active: None, manual: true },
        opens_at_ms: NOW + 1_000,
        claim_ttl_s: 30,
        session_ttl_s: 600,
        idle_ttl_s: None,
        absent_after_s: None,
        purchase_completes: false,
        join: queue::event::JoinPolicy::Anyone,
    };
    let (commitment, content) = (SEED.commitment(), Fingerprint(1));
    shard.asks(id, queue::Create { organizer: ORGANIZER, terms, commitment, content })?;
    for person in 0..waiting {
        let person = Person::User(user(u128::from(person)));
        shard.asks(id, queue::Join::of(person))?;
    }
    shard.now = NOW + 1_000;
    note("seal a pre-queue of a million", shard.ticks());
    for draw in shard.core.take_errands() {
        let (stream, made) = (draw.stream(), draw.make());
        let started = Stopwatch::start();
        shard.core.made(stream, Some(made), shard.now);
        note("open it as it was drawn", started.elapsed());
        shard.log.commit();
    }
    let tickets: Vec<u32> = (1..=queue::NAMED_MAX as u32).collect();
    let presence = Arc::new(AllPresent);
    let reason = "Guests".into();
    let named = queue::AdmitNamed { organizer: ORGANIZER, tickets, reason, presence: presence.clone() };
    note("let 1,000 in by name", shard.asks(id, named)?.0);
    let (mut left, mut longest) = (queue::ADMITTED_MAX, Duration::ZERO);
    while left > 0 {
        let admit = queue::Admit { organizer: ORGANIZER, count: left, repeat: None, presence: presence.clone() };
        let (part, let_in) = shard.asks(id, admit)?;
        anyhow::ensure!(let_in.admitted > 0, "nobody was let in, and {left} should have been");
        (left, longest) = (left - let_in.admitted, longest.max(part));
    }
    note("let the next 10,000 in: each part", longest);
    shard.now += 31_000;
    note("their claims run out: each part", shard.ticks());
    Ok(())
}
