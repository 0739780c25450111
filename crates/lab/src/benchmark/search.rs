//! How long the search for seats takes: one performance of 100,000 seats in this process, no server, no disk.

use super::goals::figure;
use super::{FigureFilter, Progress};
use crate::stats::{Latencies, Rng};
use anyhow::ensure;
use base::id::{ConcertId, Millis, OrganizerId, PerformanceId, UserId};
use base::report::Figure;
use domain::performance::event::SeatsBlocked;
use domain::performance::seats::chart::{Chart, Row, Section};
use domain::performance::{Create, Event, Hold, Performance, Rejection, SeatRequest, Terms};
use domain::process::purchase::Cancel;
use domain::{Aggregate, Context, Fingerprint, Step};
use std::time::Instant;
use uuid::Uuid;

const SECTIONS: u32 = 10;
const ROWS_PER_SECTION: u32 = 400;
const SEATS_PER_ROW: u32 = 25;
const NOW: Millis = 1_800_000_000_000;
/// Searches under each load; every tenth is of a group.
const SEARCHES: u32 = 1_000;
const GRADES: [&str; 4] = ["VIP", "R", "S", "A"];

/// The figures of this file.
pub const NAMES: [&str; 2] = ["best_available_p99", "replacement_p99"];

/// How full the hall is: whether a seat is taken.
type Occupancy = fn(&mut Rng, u32) -> bool;
const LOADS: [(&str, Occupancy); 5] = [
    ("empty", |_, _| false),
    ("half full", |random, _| random.draw() % 2 == 0),
    ("mostly full", |random, _| random.draw() % 50 != 0),
    ("every second seat taken", |_, seat| seat % 2 == 0),
    ("full but for the last row", |_, seat| seat < (SECTIONS * ROWS_PER_SECTION - 1) * SEATS_PER_ROW),
];

/// Measures what is wanted.
pub fn measure(wanted: &FigureFilter, progress: &Progress) -> anyhow::Result<Vec<Figure>> {
    if !wanted.any(&NAMES) {
        return Ok(Vec::new());
    }
    progress.says(NAMES[0]);
    let mut worst = [0.0_f64; 2];
    let mut notes = [const { Vec::new() }; 2];
    for (name, taken) in LOADS {
        let mut hall = Hall::new(taken)?;
        let found = [hall.search(Hall::best)?, hall.search(Hall::named)?];
        for (index, found) in found.iter().enumerate().filter(|(_, found)| found.count() > 0) {
            let p99 = found.percentile_ms(0.99);
            worst[index] = worst[index].max(p99);
            notes[index].push(format!("{name} {p99:.3}, at most {:.3}", found.percentile_ms(1.0)));
        }
    }
    progress.step();
    let figures = NAMES.into_iter().zip(worst).zip(notes);
    let figures =
        figures.map(|((name, worst), notes)| Figure { note: notes.join("; "), ..figure(name, Some(worst), None) });
    Ok(figures.filter(|figure| wanted.any(&[figure.name])).collect())
}

/// One performance, and how many events it has.
struct Hall {
    state: Performance,
    version: u64,
    key: Uuid,
    random: Rng,
}

impl Hall {
    fn new(taken: Occupancy) -> anyhow::Result<Hall> {
        let key = PerformanceId::from_random(1).0;
        let mut hall = Hall { state: Performance::default(), version: 0, key, random: Rng::new(7, 1) };
        hall.run(&terms()).map_err(|refused| anyhow::anyhow!("{refused:?}"))?;
        let mut seats = Vec::new();
        for seat in 0..SECTIONS * ROWS_PER_SECTION * SEATS_PER_ROW {
            if taken(&mut hall.random, seat) {
                seats.push(label(seat));
            }
        }
        let available = SECTIONS * ROWS_PER_SECTION * SEATS_PER_ROW - seats.len() as u32;
        hall.take(&[Event::SeatsBlocked(SeatsBlocked { seats, available })]);
        Ok(hall)
    }

    fn take(&mut self, events: &[Event]) {
        for event in events {
            self.version += 1;
            self.state.evolve(event, self.version, NOW);
        }
    }

    fn run<S>(&mut self, command: &S) -> Result<Vec<Event>, Rejection>
    where
        S: Step<On = Performance, Refusal = Rejection>,
    {
        let random = u128::from(self.random.draw());
        let events = command.decide(&self.state, &Context { key: self.key, now: NOW, machine: NOW, random })?;
        self.take(&events);
        Ok(events)
    }

    /// Runs commands and gives back what they took, so that the load stays as it is. Only their own time counts.
    fn search(&mut self, next: fn(&mut Hall) -> (UserId, Hold)) -> anyhow::Result<Latencies> {
        let mut latencies = Latencies::default();
        for _ in 0..SEARCHES {
            let (user, command) = next(self);
            let started = Instant::now();
            let result = self.run(&command);
            let took = started.elapsed();
            match result {
                Ok(events) => {
                    let Some(Event::SeatsHeld(held)) = events.last() else { continue };
                    self.run(&Cancel { user, reservation: held.reservation_id })
                        .map_err(|refused| anyhow::anyhow!("{refused:?}"))?;
                    // Of the seats asked for by name only the refused ones are of interest here.
                    if !matches!(command, Hold { wish: SeatRequest::Seats(_), .. }) {
                        latencies.record(took);
                    }
                }
                Err(refused) => {
                    let expected = matches!(refused, Rejection::SeatsTaken { .. } | Rejection::TooFewLeft { .. });
                    ensure!(expected, "{refused:?}");
                    latencies.record(took);
                }
            }
        }
        Ok(latencies)
    }

    fn user(&mut self) -> UserId {
        UserId(Uuid::from_u128(u128::from(self.random.draw())))
    }

    /// Two to four people mostly, up to a hundred; any seat, or of a grade or a section.
    fn best(&mut self) -> (UserId, Hold) {
        let user = self.user();
        let count = match self.random.draw() % 10 {
            0 => 1 + self.random.draw() % 100,
            _ => 1 + self.random.draw() % 4,
        } as u32;
        let grade = GRADES[self.random.draw() as usize % GRADES.len()].to_owned();
        let section = format!("S{}", self.random.draw() % u64::from(SECTIONS));
        let (grade, section) = match self.random.draw() % 4 {
            0 => (None, None),
            1 => (None, Some(section)),
            _ => (Some(grade), None),
        };
        let wish = SeatRequest::Best { grade, section, count, accessible: 0 };
        (user, Hold { user, wish, repeat: None })
    }

    /// Neighbours by name, anywhere.
    fn named(&mut self) -> (UserId, Hold) {
        let user = self.user();
        let count = 1 + self.random.draw() as u32 % 4;
        let row = self.random.draw() as u32 % (SECTIONS * ROWS_PER_SECTION);
        let first = row * SEATS_PER_ROW + self.random.draw() as u32 % (SEATS_PER_ROW - count);
        let wish = SeatRequest::Seats((first..first + count).map(label).collect());
        (user, Hold { user, wish, repeat: None })
    }
}

fn label(seat: u32) -> String {
    let row = seat / SEATS_PER_ROW;
    format!("S{}-{}-{}", row / ROWS_PER_SECTION, row % ROWS_PER_SECTION + 1, seat % SEATS_PER_ROW + 1)
}

fn terms() -> Create {
    let section = |number: u32| Section {
        section: format!("S{number}"),
        rows: (1..=ROWS_PER_SECTION)
            .map(|row| Row {
                row: row.to_string(),
                grade: GRADES[number as usize % GRADES.len()].to_owned(),
                seat_count: Some(SEATS_PER_ROW),
                ..Row::default()
            })
            .collect(),
    };
    let far = NOW + 365 * 24 * 3_600_000;
    Create {
        concert: ConcertId(Uuid::from_u128(1)),
        organizer: OrganizerId(Uuid::from_u128(2)),
        terms: Terms {
            starts_at_ms: far,
            sale_opens_at_ms: NOW,
            sale_closes_at_ms: far,
            cancellation_closes_at_ms: far,
            hold_ttl_s: 300,
            payment_ttl_s: 60,
            extension_s: 0,
            seats_per_user_max: 100,
            lapsed_holds_max: 0,
            ..Terms::usual(0, 0)
        },
        prices: GRADES.map(|grade| (grade.to_owned(), 100)).into(),
        chart: Chart { sections: (0..SECTIONS).map(section).collect(), areas: Vec::new() }.into(),
        content: Fingerprint(3),
    }
}
