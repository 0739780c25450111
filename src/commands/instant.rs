//! Instants, as commands write and read them (RFC 3339).

use anyhow::Context;
use base::clock::{self, LAST_MS};
use base::id::Millis;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// With milliseconds, always: `2026-11-21T10:00:00.000Z`. What is too late for a year of four digits is told in ms.
pub fn rfc3339(at_ms: Millis) -> String {
    if at_ms > LAST_MS {
        return format!("{at_ms} ms");
    }
    String::from_utf8_lossy(&clock::rfc3339(at_ms)).into_owned()
}

/// As short as it can be said: `2026-12-24T10:00:00Z`, `2026-12-24T10:00:00.5Z`.
pub fn rfc3339_short(at_ms: Millis) -> String {
    let text = rfc3339(at_ms);
    let Some((second, fraction)) = text.strip_suffix('Z').and_then(|text| text.split_once('.')) else { return text };
    match fraction.trim_end_matches('0') {
        "" => format!("{second}Z"),
        fraction => format!("{second}.{fraction}Z"),
    }
}

/// When `text` is, ms.
pub fn instant(text: &str) -> anyhow::Result<Millis> {
    let at = OffsetDateTime::parse(text, &Rfc3339).context("a time is written 2026-12-24T10:00:00Z")?;
    Millis::try_from(at.unix_timestamp_nanos() / 1_000_000).context("it is before 1970")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_in_two_lengths_and_read() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00Z"),
            (1_795_255_200_000, "2026-11-21T10:00:00.000Z", "2026-11-21T10:00:00Z"),
            (1_795_255_200_500, "2026-11-21T10:00:00.500Z", "2026-11-21T10:00:00.5Z"),
            (1_795_255_200_120, "2026-11-21T10:00:00.120Z", "2026-11-21T10:00:00.12Z"),
            (1_795_255_200_007, "2026-11-21T10:00:00.007Z", "2026-11-21T10:00:00.007Z"),
            (LAST_MS, "9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ];
        for (at_ms, long, short) in table {
            assert_eq!((rfc3339(at_ms).as_str(), rfc3339_short(at_ms).as_str()), (long, short));
            assert_eq!((instant(long).unwrap(), instant(short).unwrap()), (at_ms, at_ms));
            let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000).unwrap();
            assert_eq!(at.format(&Rfc3339).unwrap(), short, "as the library writes it");
        }
        for too_late in [LAST_MS + 1, Millis::MAX] {
            assert_eq!(
                (rfc3339(too_late), rfc3339_short(too_late)),
                (format!("{too_late} ms"), format!("{too_late} ms"))
            );
        }
        assert!(instant("yesterday").is_err() && instant("1969-12-31T23:59:59Z").is_err());
    }
}
