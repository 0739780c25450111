//! Instants as the API writes and reads them: RFC 3339, UTC, milliseconds.

use base::clock::{self, LAST_MS};
use base::id::Millis;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::openapi::schema::{KnownFormat, SchemaFormat};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};

/// An instant, written like `2026-11-21T10:00:00.000Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Time(pub Millis);

impl Time {
    /// The 24 bytes, without any allocation: every reservation that is answered has two to four of them.
    pub fn format(self) -> [u8; 24] {
        clock::rfc3339(self.0)
    }
}

/// The day, counted from 1970-01-01, that a text like `2026-11-21` names.
pub fn parse_day(text: &str) -> Option<u32> {
    let at: Time = serde_json::from_str(&format!("\"{text}T00:00:00Z\"")).ok()?;
    // What RFC 3339 reads differently from what is written here was no such day.
    (at.to_string().get(..10) == Some(text)).then_some((at.0 / 86_400_000) as u32)
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.format()).expect("digits and punctuation"))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.format()).expect("digits and punctuation"))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let parsed = OffsetDateTime::parse(&text, &Rfc3339).ok();
        let ms = parsed.and_then(|at| Millis::try_from(at.unix_timestamp_nanos() / 1_000_000).ok());
        ms.filter(|ms| *ms <= LAST_MS)
            .map(Time)
            .ok_or_else(|| D::Error::custom("expected a time like 2026-11-21T10:00:00Z (RFC 3339), from 1970 on"))
    }
}

impl utoipa::PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .examples(["2026-11-21T10:00:00.000Z"])
            .into()
    }
}

impl utoipa::ToSchema for Time {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_rfc_3339() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_255_200_123, "2026-11-21T10:00:00.123Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (LAST_MS, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ];
        for (ms, text) in table {
            assert_eq!(Time(ms).to_string(), text);
        }
    }

    #[test]
    fn every_day_reads_as_it_is_written() {
        for day in (0..100_000).chain(2_932_000..2_932_896) {
            let time = Time(day * 86_400_000 + 45_296_789);
            let text = serde_json::to_string(&time).unwrap();
            assert_eq!(serde_json::from_str::<Time>(&text).unwrap(), time, "{text}");
        }
    }

    #[test]
    fn only_rfc_3339_from_1970_on_is_read() {
        assert_eq!(
            serde_json::from_str::<Time>("\"2026-11-21T19:00:00.1239+09:00\"").unwrap(),
            Time(1_795_255_200_123)
        );
        for wrong in ["\"2026-11-21\"", "\"1969-12-31T23:59:59Z\"", "17", "\"\"", "\"2026-02-30T00:00:00Z\"", "null"] {
            assert!(serde_json::from_str::<Time>(wrong).is_err(), "{wrong}");
        }
    }
}
