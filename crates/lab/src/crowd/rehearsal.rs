//! A rehearsal: the sale that is expected, written down, and whether it held.
//!
//! ```toml
//! buyers = 20000
//! seats = 8000
//! queue = true
//! connections = 256
//! watchers = 1000
//!
//! [goals]
//! hold_p99_ms = 250
//! pay_p99_ms = 250
//! sold_within_s = 120
//! sales_per_s = 200
//! ```

use super::args::CrowdArgs;
use anyhow::{Context, ensure};
use base::report::{Figure, Report};
use serde::Deserialize;
use std::path::Path;

/// A file of this is a few lines.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// The sale that is expected. What is not said is as without a plan.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rehearsal {
    buyers: u32,
    seats: u32,
    #[serde(default)]
    queue: bool,
    connections: Option<u16>,
    watchers: Option<u32>,
    #[serde(default)]
    goals: Goals,
}

/// When the sale holds; what is not said does not matter.
#[derive(Clone, Copy, PartialEq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goals {
    /// Of 100 holds 99 are answered within this, ms; and so with payments.
    hold_p99_ms: Option<f64>,
    pay_p99_ms: Option<f64>,
    /// From the opening to the last sale, s.
    sold_within_s: Option<f64>,
    sales_per_s: Option<f64>,
}

impl Rehearsal {
    /// Reads the file at `path`; an error says which line is wrong.
    pub fn read(path: &Path) -> anyhow::Result<Rehearsal> {
        let named = || path.display().to_string();
        let bytes = std::fs::metadata(path).with_context(named)?.len();
        ensure!(bytes <= FILE_BYTES_MAX, "{}: {bytes} bytes are too many for a plan", path.display());
        let text = std::fs::read_to_string(path).with_context(named)?;
        let rehearsal: Rehearsal = toml::from_str(&text).with_context(named)?;
        for (name, value, most) in [
            ("buyers", rehearsal.buyers, 1_000_000),
            ("seats", rehearsal.seats, 90_000),
            ("connections", rehearsal.connections.map_or(1, u32::from), 4096),
        ] {
            ensure!((1..=most).contains(&value), "{}: {name} = {value}: 1 to {most} is expected", path.display());
        }
        ensure!(rehearsal.watchers.unwrap_or(0) <= 100_000, "{}: at most 100,000 watchers", path.display());
        Ok(rehearsal)
    }

    /// Has the crowd play it.
    pub fn apply(&self, args: &mut CrowdArgs) {
        args.buyers = self.buyers;
        args.seats = self.seats;
        args.queue = self.queue;
        args.connections = self.connections.unwrap_or(args.connections);
        args.watchers = self.watchers.unwrap_or(args.watchers);
    }

    /// Holds the figures against the goals; then the report is right only if none is short.
    pub fn judge(&self, report: &mut Report) {
        let goals = self.goals;
        let within_ms = goals.sold_within_s.map(|seconds| seconds * 1000.0);
        let rows = [
            ("sales", "1/s", goals.sales_per_s),
            ("hold_p99", "ms", goals.hold_p99_ms),
            ("pay_p99", "ms", goals.pay_p99_ms),
            ("sale", "ms", within_ms),
        ];
        for (name, unit, goal) in rows.into_iter().filter(|row| row.2.is_some()) {
            let known = report.figures.iter().position(|figure| figure.name == name);
            let place = known.unwrap_or_else(|| {
                // Nobody held or paid: that is no sale.
                report.figures.push(Figure { name, unit, ..Figure::default() });
                report.figures.len() - 1
            });
            report.figures[place].at_least = goal;
            report.figures[place].judge();
        }
        report.ok &= !report.is_short();
    }
}

/// Whether the sale held, in words.
pub fn text(report: &Report) -> String {
    let short: Vec<&str> =
        report.figures.iter().filter(|figure| figure.ok == Some(false)).map(|figure| figure.name).collect();
    match (report.ok, short.is_empty()) {
        (true, _) => "the sale holds\n".to_owned(),
        (false, false) => format!("the sale does not hold: {}\n", short.join(", ")),
        (false, true) => "the sale does not hold: the books are wrong, or answers were not as expected\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<Rehearsal> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Rehearsal::read(file.path())
    }

    #[test]
    fn a_plan_that_makes_no_sense_is_refused() {
        let rows = [
            ("buyers = 10", "missing field `seats`"),
            ("buyers = 10\nseats = 5\nsets = 6", "unknown field `sets`"),
            ("buyers = 0\nseats = 5", "buyers = 0: 1 to 1000000"),
            ("buyers = 1\nseats = 500000", "seats = 500000"),
            ("buyers = 1\nseats = 5\n[goals]\nhold_ms = 3", "unknown field `hold_ms`"),
        ];
        for (text, part) in rows {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn figures_are_held_against_the_goals() {
        let plan =
            read("buyers = 10\nseats = 5\n[goals]\nhold_p99_ms = 20\nsales_per_s = 100\nsold_within_s = 9").unwrap();
        // Sales a second, p99 of holds, how long the sale took; what is said.
        let rows = [
            (120.0, Some(19.0), 8_000.0, "the sale holds\n"),
            (80.0, Some(19.0), 8_000.0, "the sale does not hold: sales\n"),
            (120.0, Some(21.0), 9_500.0, "the sale does not hold: sale, hold_p99\n"),
            (120.0, None, 8_000.0, "the sale does not hold: hold_p99\n"),
        ];
        for (sales, hold, sale, expected) in rows {
            let mut report = Report::new("crowd");
            report.ok = true;
            report.figures = vec![Figure::plain("sales", sales, "1/s"), Figure::plain("sale", sale, "ms")];
            report.figures.extend(hold.map(|hold| Figure::plain("hold_p99", hold, "ms")));
            plan.judge(&mut report);
            assert_eq!(text(&report), expected);
            assert_eq!(report.ok, expected == "the sale holds\n");
        }
        let mut wrong = Report::new("crowd");
        plan.judge(&mut wrong);
        assert!(!wrong.ok, "what was wrong before stays so");
    }
}
