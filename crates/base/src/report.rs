//! What a tool found: one object for scripts, one table for people.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::fmt::Write;

/// What a run found. Its JSON is one object on the last line of stdout.
#[derive(Serialize)]
pub struct Report {
    pub tool: &'static str,
    pub version: &'static str,
    pub machine: Machine,
    /// How long the whole run took.
    #[serde(serialize_with = "tenths")]
    pub seconds: f64,
    pub figures: Vec<Figure>,
    /// The check of the books: `ok`, and a count of each kind of violation.
    pub books: Map<String, Value>,
    /// The run worked, the books hold and no figure is short.
    pub ok: bool,
    /// What only this tool has to say, beside the rest.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Report {
    pub fn new(tool: &'static str) -> Report {
        Report {
            tool,
            version: env!("CARGO_PKG_VERSION"),
            machine: Machine::here(),
            seconds: 0.0,
            figures: Vec::new(),
            books: Map::new(),
            ok: false,
            more: Map::new(),
        }
    }

    pub fn books_hold(&self) -> bool {
        self.books.get("ok") == Some(&Value::Bool(true))
    }

    /// Some figure is below its goal, or was not measured.
    pub fn is_short(&self) -> bool {
        self.figures.iter().any(|figure| figure.ok == Some(false))
    }
}

/// The machine that a figure belongs to.
#[derive(Serialize)]
pub struct Machine {
    pub cores: usize,
    pub cpu: String,
    pub memory_bytes: u64,
}

impl Machine {
    /// This machine; what it does not tell is empty or 0.
    pub fn here() -> Machine {
        let line = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or(String::new(), |(_, value)| value.trim().to_owned())
        };
        let kib = line("/proc/meminfo", "MemTotal").split(' ').next().and_then(|kib| kib.parse::<u64>().ok());
        Machine {
            cores: std::thread::available_parallelism().map_or(0, |cores| cores.get()),
            cpu: line("/proc/cpuinfo", "model name"),
            memory_bytes: kib.unwrap_or(0) << 10,
        }
    }
}

/// One figure. `value` is a rate (`1/s`: more is better), a time (`ms`), a size (`bytes`) or a `share` (less is better).
#[derive(Serialize, Clone, Default)]
pub struct Figure {
    /// Never changes, so that scripts can rely on it.
    pub name: &'static str,
    /// None when it could not be measured; `note` says why.
    #[serde(serialize_with = "rounded_or_null")]
    pub value: Option<f64>,
    pub unit: &'static str,
    /// The figure of the same run that it is held against, and `value` as a share of that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rounded_or_null")]
    pub ratio: Option<f64>,
    /// The goal for `ratio` where there is one, otherwise for `value`; of a time or a size the most that is good enough.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rounded_or_null")]
    pub at_least: Option<f64>,
    /// What the design hopes for; it decides nothing.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rounded_or_null")]
    pub aim: Option<f64>,
    /// Whether the goal is met; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ok: Option<bool>,
    /// Latencies of the requests behind a rate.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rounded_or_null")]
    pub p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rounded_or_null")]
    pub p99_ms: Option<f64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Figure {
    /// A figure without a goal.
    pub fn plain(name: &'static str, value: f64, unit: &'static str) -> Figure {
        Figure { name, value: Some(value), unit, ..Figure::default() }
    }

    /// Sets `ok` from what was measured and the goal.
    pub fn judge(&mut self) {
        let measured = if self.against.is_some() { self.ratio } else { self.value };
        self.ok = self.at_least.map(|goal| match measured {
            None => false,
            Some(share) if self.against.is_some() => share >= goal,
            // What is to be much, but for what nobody may be asked more of.
            Some(value) if self.unit == "1/s" && !self.name.ends_with("_max") => value >= goal,
            Some(value) => value <= goal,
        });
    }

    /// A goal as text: a share of the rival, or an amount.
    fn goal(&self, goal: Option<f64>) -> String {
        match goal {
            None => String::new(),
            Some(goal) if self.against.is_some() => percent(goal),
            Some(goal) => amount(goal, self.unit),
        }
    }
}

/// Whole numbers from 1,000 on, four digits after the point below; more would pretend.
fn round(value: f64) -> f64 {
    let step = if value.abs() >= 1000.0 { 1.0 } else { 10_000.0 };
    (value * step).round() / step
}

fn tenths<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((value * 10.0).round() / 10.0)
}

fn rounded_or_null<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value.map(round) {
        // 41200 rather than 41200.0.
        Some(value) if value.fract() == 0.0 && value.abs() < 9e15 => serializer.serialize_i64(value as i64),
        Some(value) => serializer.serialize_f64(value),
        None => serializer.serialize_none(),
    }
}

fn percent(share: f64) -> String {
    if share < 0.1 { format!("{:.1} %", share * 100.0) } else { format!("{:.0} %", share * 100.0) }
}

/// A value with its unit, e.g. `41,200/s`, `1.84 ms`, `431 MB`.
pub fn amount(value: f64, unit: &str) -> String {
    match unit {
        "1/s" => format!("{}/s", grouped(value.round() as u64)),
        "ms" if value >= 100.0 => format!("{} ms", grouped(value.round() as u64)),
        "ms" => format!("{value:.2} ms"),
        "bytes" if value >= 1e6 => format!("{} MB", grouped((value / 1e6).round() as u64)),
        "bytes" => format!("{} bytes", grouped(value.round() as u64)),
        "share" => percent(value),
        _ => format!("{value} {unit}"),
    }
}

/// 1234567 as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Rows under a heading, in columns: the first one to the left, the others to the right.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column| {
        rows.iter().filter_map(|row: &Vec<String>| row.get(column)).map(|cell: &String| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let _ = if column == 0 { write!(line, "{cell:<width$}") } else { write!(line, "  {cell:>width$}") };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The figures as a table: what was measured, its share of its rival, the goals, and `ok` or `short` in words.
pub fn figures_table(figures: &[Figure]) -> String {
    let head = ["figure", "measured", "share", "of", "at least", "aim", "p50", "p99", ""];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for figure in figures {
        let ms = |ms: Option<f64>| ms.map_or(String::new(), |ms| amount(ms, "ms"));
        rows.push(vec![
            figure.name.to_owned(),
            figure.value.map_or("-".to_owned(), |value| amount(value, figure.unit)),
            figure.ratio.map_or(String::new(), percent),
            figure.against.unwrap_or_default().to_owned(),
            figure.goal(figure.at_least),
            figure.goal(figure.aim),
            ms(figure.p50_ms),
            ms(figure.p99_ms),
            figure.ok.map_or("", |ok| if ok { "ok" } else { "short" }).to_owned(),
        ]);
    }
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hold() -> Figure {
        let mut figure = Figure::plain("hold_durable", 41200.3, "1/s");
        figure.against = Some("noop_post");
        figure.ratio = Some(0.44);
        figure.at_least = Some(0.5);
        figure.judge();
        figure
    }

    #[test]
    fn the_json_has_the_shape_of_the_design() {
        let mut report = Report::new("benchmark");
        report.machine = Machine { cores: 2, cpu: "x".into(), memory_bytes: 8 };
        report.seconds = 41.2;
        report.figures = vec![hold()];
        report.books = json!({"ok": true, "places_sold_twice": 0}).as_object().unwrap().clone();
        let text = serde_json::to_string(&report).unwrap();
        let want = format!(
            "{{\"tool\":\"benchmark\",\"version\":\"{}\",\"machine\":{{\"cores\":2,\"cpu\":\"x\",\"memory_bytes\":8}},\
             \"seconds\":41.2,\"figures\":[{{\"name\":\"hold_durable\",\"value\":41200,\"unit\":\"1/s\",\
             \"against\":\"noop_post\",\"ratio\":0.44,\"at_least\":0.5,\"ok\":false}}],\
             \"books\":{{\"ok\":true,\"places_sold_twice\":0}},\"ok\":false}}",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(text, want);
        assert!(report.is_short() && report.books_hold());
    }

    #[test]
    fn goals_are_judged_by_their_kind() {
        let rows = [
            ("1/s", None, Some(9.0), None, Some(10.0), Some(false)),
            ("1/s", None, Some(10.0), None, Some(10.0), Some(true)),
            ("ms", None, Some(9.0), None, Some(10.0), Some(true)),
            ("ms", None, Some(11.0), None, Some(10.0), Some(false)),
            ("bytes", None, Some(11.0), None, Some(10.0), Some(false)),
            ("1/s", Some("noop_get"), Some(1.0), Some(0.9), Some(0.8), Some(true)),
            ("1/s", Some("noop_get"), Some(1.0), None, Some(0.8), Some(false)),
            ("ms", None, None, None, Some(10.0), Some(false)),
            ("1/s", None, Some(1.0), None, None, None),
        ];
        for (unit, against, value, ratio, at_least, want) in rows {
            let mut figure = Figure { name: "x", unit, against, value, ratio, at_least, ..Figure::default() };
            figure.judge();
            assert_eq!(figure.ok, want, "{unit} {value:?} {ratio:?} {at_least:?}");
        }
    }

    #[test]
    fn people_read_words() {
        let mut skipped = Figure { name: "replay", unit: "1/s", at_least: Some(500_000.0), ..Figure::default() };
        skipped.judge();
        let table = figures_table(&[hold(), skipped]);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[1].starts_with("hold_durable") && lines[1].ends_with("short"), "{table}");
        assert!(lines[1].contains("41,200/s") && lines[1].contains("44 %") && lines[1].contains("50 %"), "{table}");
        assert!(lines[2].contains("500,000/s") && lines[2].ends_with("short"), "{table}");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn amounts() {
        for (value, unit, want) in [
            (1_234_567.4, "1/s", "1,234,567/s"),
            (1.844, "ms", "1.84 ms"),
            (2999.6, "ms", "3,000 ms"),
            (431e6, "bytes", "431 MB"),
            (1871.4, "bytes", "1,871 bytes"),
            (0.4, "share", "40 %"),
            (0.012, "share", "1.2 %"),
        ] {
            assert_eq!(amount(value, unit), want);
        }
    }
}
