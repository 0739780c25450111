//! What both commands write and read: times, and how far they are.

use anyhow::Context;
use base::id::Millis;
use indicatif::{ProgressBar, ProgressStyle};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// E.g. `2026-12-24T10:00:00.5Z`.
pub fn rfc3339(at_ms: Millis) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000).ok();
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{at_ms} ms"))
}

/// When `text` is, ms.
pub fn instant(text: &str) -> anyhow::Result<Millis> {
    let at = OffsetDateTime::parse(text, &Rfc3339).context("a time is written 2026-12-24T10:00:00Z")?;
    Millis::try_from(at.unix_timestamp_nanos() / 1_000_000).context("it is before 1970")
}

/// How far it is.
pub fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} position {human_pos}");
    ProgressBar::new_spinner().with_style(style.expect("the template is a constant that parses"))
}
