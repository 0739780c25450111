//! What a crowd's run comes to, as JSON and as text.

use super::api::{Kind, Tally};
use super::books::Books;
use crate::stats::Latencies;
use base::report::{Figure, Report, grouped, table};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::time::Duration;

/// What the crowd left behind, for the summary.
pub struct Outcome {
    pub buyers: u32,
    pub seed: u64,
    pub tally: Tally,
    pub books: Books,
    pub sale: Duration,
    pub confirmed: u64,
}

/// The kinds that are part of the sale itself, with the names of their figures.
const SALE_FIGURES: [(Kind, &str); 3] =
    [(Kind::Hold, "hold_p99"), (Kind::Pay, "pay_p99"), (Kind::Cancel, "cancel_p99")];

/// The report; `log` is the outcome of `verify`, where there was a log to verify.
pub fn report(outcome: Outcome, log: Option<Map<String, Value>>, took: Duration) -> Report {
    let mut report = Report::new("crowd");
    let tally = &outcome.tally;
    report.seconds = took.as_secs_f64();
    let sales = outcome.confirmed as f64 / outcome.sale.as_secs_f64().max(1e-9);
    report.figures.push(Figure::plain("sales", sales, "1/s"));
    report.figures.push(Figure::plain("sale", outcome.sale.as_secs_f64() * 1000.0, "ms"));
    for (kind, name) in SALE_FIGURES {
        if let Some(latencies) = tally.latencies.get(&kind) {
            report.figures.push(Figure::plain(name, latencies.percentile_ms(0.99), "ms"));
        }
    }
    report.books = outcome.books.to_json();
    let log_holds = log.as_ref().is_none_or(|log| log.get("ok") == Some(&json!(true)));
    if let Some(log) = log {
        report.books.insert("log".into(), Value::Object(log));
    }
    report.books.insert("ok".into(), json!(outcome.books.ok() && log_holds));
    report.ok = report.books_hold() && tally.unexpected == 0;
    let requests: Vec<Value> = tally.latencies.iter().map(|(kind, latencies)| request(*kind, latencies)).collect();
    report.more = json!({
        "seed": outcome.seed, "buyers": outcome.buyers, "confirmed": outcome.confirmed,
        "sale_seconds": outcome.sale.as_secs_f64(), "requests": requests, "refusals": tally.refusals,
        "sent_again": tally.sent_again, "unexpected": tally.unexpected, "first_unexpected": tally.first_unexpected,
    })
    .as_object()
    .expect("an object")
    .clone();
    report
}

fn request(kind: Kind, latencies: &Latencies) -> Value {
    json!({
        "kind": kind.as_str(), "count": latencies.count(), "p50_ms": latencies.percentile_ms(0.5),
        "p95_ms": latencies.percentile_ms(0.95), "p99_ms": latencies.percentile_ms(0.99),
    })
}

/// The report for people.
pub fn text(report: &Report) -> String {
    let more = &report.more;
    let number = |value: &Value| grouped(value.as_u64().unwrap_or_default());
    let ms = |value: &Value| format!("{:.2} ms", value.as_f64().unwrap_or_default());
    let mut rows = vec![["requests", "count", "p50", "p95", "p99"].map(str::to_owned).to_vec()];
    for request in more["requests"].as_array().into_iter().flatten() {
        let kind = request["kind"].as_str().unwrap_or_default().to_owned();
        rows.push(vec![
            kind,
            number(&request["count"]),
            ms(&request["p50_ms"]),
            ms(&request["p95_ms"]),
            ms(&request["p99_ms"]),
        ]);
    }
    let mut refusals = vec![vec!["refusals".to_owned(), "count".to_owned()]];
    for (reason, count) in more["refusals"].as_object().into_iter().flatten() {
        refusals.push(vec![reason.clone(), number(count)]);
    }
    let mut out = format!("{}\n{}\n", table(&rows), table(&refusals));
    let sales = report.figures.first().and_then(|figure| figure.value).unwrap_or_default();
    let _ = writeln!(
        out,
        "{} of {} buyers bought, the last one {:.2} s after the sale opened: {} sales/s (seed {})",
        number(&more["confirmed"]),
        number(&more["buyers"]),
        more["sale_seconds"].as_f64().unwrap_or_default(),
        grouped(sales as u64),
        more["seed"],
    );
    if more["unexpected"] != json!(0) {
        let first = more["first_unexpected"].as_str().unwrap_or_default();
        let _ = writeln!(out, "{} answers that nobody should get; the first: {first}", number(&more["unexpected"]));
    }
    let _ = writeln!(out, "books {}", if report.books_hold() { "hold" } else { "DO NOT HOLD" });
    for (name, value) in report.books.iter().filter(|(name, value)| *name != "ok" && !value.is_null()) {
        let _ = writeln!(out, "  {}: {}", name.replace('_', " "), in_words(value));
    }
    out
}

/// The log's check is an object of its own: what it found, without the counts of what is there.
fn in_words(value: &Value) -> String {
    if let Value::String(text) = value {
        return text.clone();
    }
    let Value::Object(check) = value else { return value.to_string() };
    let events = check.get("counts").and_then(|counts| counts["events"].as_u64()).unwrap_or_default();
    match check.get("violation") {
        Some(violation) => format!("does not hold: {violation}"),
        None => format!("holds, {} events", grouped(events)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::api::Tally;
    use crate::crowd::books::Books;

    fn outcome() -> Outcome {
        let mut tally = Tally::default();
        tally.latencies.entry(Kind::Hold).or_default().record(Duration::from_millis(2));
        tally.refusals.insert("seats-unavailable".into(), 1234);
        let sale = Duration::from_millis(500);
        Outcome { buyers: 5000, seed: 7, tally, books: Books::default(), sale, confirmed: 1000 }
    }

    #[test]
    fn a_run_is_ok_when_the_books_and_the_log_hold_and_every_answer_was_one_to_expect() {
        let log = |ok: bool| Some(json!({"ok": ok}).as_object().unwrap().clone());
        for (log, unexpected, want) in
            [(None, 0, true), (log(true), 0, true), (log(false), 0, false), (log(true), 1, false)]
        {
            let mut outcome = outcome();
            outcome.tally.unexpected = unexpected;
            assert_eq!(report(outcome, log, Duration::ZERO).ok, want);
        }
        let mut bad = outcome();
        bad.books.first = Some("seat A-1-1 was confirmed to two buyers".into());
        assert!(!report(bad, None, Duration::ZERO).ok);
    }

    #[test]
    fn both_forms_say_the_same() {
        let report = report(outcome(), None, Duration::from_secs(3));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["tool"], "crowd");
        assert_eq!(json["figures"][0], json!({"name": "sales", "value": 2000, "unit": "1/s"}));
        assert_eq!(json["refusals"]["seats-unavailable"], 1234);
        assert_eq!(json["requests"][0]["kind"], "hold");
        assert_eq!(json["books"]["ok"], true);
        let text = text(&report);
        for part in ["hold  ", "2.00 ms", "seats-unavailable", "1,234", "2,000 sales/s", "books hold", "seed 7"] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn the_logs_check_is_told_in_words() {
        assert_eq!(in_words(&json!({"ok": true, "points_off": 0, "counts": {"events": 4095}})), "holds, 4,095 events");
        let violation = json!({"ok": false, "violation": "position 7: a seat has two owners"});
        assert_eq!(in_words(&violation), "does not hold: \"position 7: a seat has two owners\"");
        assert_eq!(in_words(&json!(3)), "3");
    }
}
