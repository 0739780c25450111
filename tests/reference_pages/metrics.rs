use super::{cell, head};
use api::ops::metrics::Metrics;
use std::fmt::Write;

pub fn page() -> String {
    let mut text = head(
        "Metrics",
        "What `GET /metrics` tells, in the text format of Prometheus. A histogram also has `_bucket`, `_sum` and `_count`. The \
         dashboards in `deploy/grafana` and the alerts in `deploy/alerts` rest on these names.",
    );
    text += "\n| figure | labels | what it tells |\n|---|---|---|\n";
    for figure in Metrics::new().descriptions() {
        let labels = figure.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(" ");
        writeln!(text, "| `{}` | {labels} | {} |", figure.name, cell(&figure.help)).unwrap();
    }
    text
}
