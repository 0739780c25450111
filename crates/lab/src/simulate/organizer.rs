//! What the simulated organizer does to the performances while the crowd buys.

use super::random::Random;
use super::request::Request;
use base::id::{Millis, OrganizerId, PerformanceId};
use domain::Expected;
use domain::performance::seats::chart::{Area, Chart, Row, Section};
use domain::performance::{
    Block, BlockAreas, CancelPerformance, Change, ChangeChart, Sale, SetSale, ShowCancellation, Unblock,
};
use uuid::Uuid;

/// When the simulated time begins.
pub const START_MS: Millis = 1_800_000_000_000;

pub const ID: OrganizerId = OrganizerId(Uuid::from_u128(0x0a));

/// Five VIP seats, four R seats, four standing places.
pub fn first_chart() -> Chart {
    chart([5, 4], 4)
}

fn chart([first, second]: [u32; 2], capacity: u32) -> Chart {
    let row = |row: &str, grade: &str, count| Row {
        row: row.into(),
        grade: grade.into(),
        seat_count: Some(count),
        ..Row::default()
    };
    let rows = vec![row("1", "VIP", first), row("2", "R", second)];
    Chart {
        sections: vec![Section { section: "A".into(), rows }],
        areas: vec![Area { area: "F".into(), grade: "R".into(), capacity }],
    }
}

/// The next thing that the organizer does.
pub fn command(performance: PerformanceId, random: &mut Random) -> Request {
    let organizer = ID;
    match random.below(20) {
        0..=5 => {
            let sale = *random.pick(&[Sale::Paused, Sale::Running, Sale::Running]).unwrap_or(&Sale::Running);
            Request::SetSale(performance, SetSale { organizer, sale })
        }
        6..=8 => Request::BlockSeats(performance, Block { organizer, seats: vec![seat(random)] }),
        9..=11 => Request::UnblockSeats(performance, Unblock { organizer, seats: vec![seat(random)] }),
        12..=13 => {
            let areas = vec![("F".into(), random.below(3) as u32)];
            Request::BlockAreas(performance, BlockAreas { organizer, areas })
        }
        14..=15 => Request::ChangePerformance(performance, Box::new(change(random))),
        16..=18 => Request::ChangeChart(performance, other_chart(random)),
        // Seldom: it is the end of half of what there is to buy.
        _ if random.chance(25) => {
            let reason = "simulated".into();
            Request::CancelPerformance(performance, CancelPerformance { organizer, reason })
        }
        _ => Request::ShowCancellation(performance, ShowCancellation { organizer }),
    }
}

fn change(random: &mut Random) -> Change {
    let some =
        |random: &mut Random, from: u64, to: u64| random.chance(50).then(|| (from + random.below(to - from)) as u32);
    let dear = random.below(200);
    let instant = |random: &mut Random| START_MS + 5_000_000 + random.below(50_000_000);
    let end = |random: &mut Random| random.chance(15).then(|| random.chance(50).then(|| instant(random)));
    let (sale_closes_at_ms, cancellation_closes_at_ms) = (end(random), end(random));
    let expected = if random.chance(70) { Expected::Any } else { Expected::OneOf(vec![random.below(40)]) };
    Change {
        sale: random.chance(20).then_some(Sale::Running),
        starts_at_ms: random.chance(25).then(|| instant(random)),
        sale_closes_at_ms,
        cancellation_closes_at_ms,
        hold_ttl_s: some(random, 60, 240),
        payment_ttl_s: some(random, 30, 120),
        extension_s: some(random, 0, 60),
        seats_per_user_max: some(random, 2, 6),
        lapsed_holds_max: some(random, 0, 8),
        prices: random.chance(50).then(|| [("VIP".to_owned(), 50 + dear), ("R".to_owned(), 20 + dear)].into()),
        ..Change::nothing(ID, expected)
    }
}

/// A little larger or smaller, its rows in another order, with other neighbours.
fn other_chart(random: &mut Random) -> ChangeChart {
    let mut chart = chart([4 + random.below(4) as u32, 3 + random.below(4) as u32], 3 + random.below(4) as u32);
    let rows = &mut chart.sections[0].rows;
    if random.chance(50) {
        rows[0].breaks_after = vec!["2".into()];
        rows[1].accessible = vec!["1".into()];
    }
    if random.chance(30) {
        let count = rows[1].seat_count.take().unwrap_or_default();
        rows[1].seats = (1..=count).rev().map(|number| number.to_string()).collect();
    }
    if random.chance(50) {
        rows.swap(0, 1);
    }
    let expected = if random.chance(80) { Expected::Any } else { Expected::OneOf(vec![1 + random.below(3)]) };
    ChangeChart { organizer: ID, expected, chart: chart.into(), prices: None }
}

/// A seat of the chart, as long as the chart is as it was made.
pub(super) fn seat(random: &mut Random) -> String {
    if random.chance(50) { format!("A-1-{}", 1 + random.below(5)) } else { format!("A-2-{}", 1 + random.below(4)) }
}
