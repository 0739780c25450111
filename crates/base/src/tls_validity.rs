//! How long a certificate is valid: the one field of it that is told. Everything else is rustls' business.

use anyhow::{Context, ensure};

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Of `TBSCertificate`, RFC 5280, 4.1: the version, which may be left out.
const VERSION: u8 = 0xa0;

/// Until when, s since 1970. An error where it is no certificate in DER.
pub fn not_after_s(certificate: &[u8]) -> anyhow::Result<i64> {
    let (certificate, _) = content(certificate, SEQUENCE)?;
    let (mut fields, _) = content(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = content(fields, VERSION)?.1;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        let tag = *fields.first().context("the certificate ends early")?;
        fields = content(fields, tag)?.1;
    }
    let (validity, _) = content(fields, SEQUENCE)?;
    let tag = *validity.first().context("the certificate is valid from nowhere")?;
    let (_, end) = content(validity, tag)?;
    let tag = *end.first().context("the certificate is valid for ever")?;
    let (text, _) = content(end, tag)?;
    seconds(tag, std::str::from_utf8(text)?)
}

/// What is in the first element, which is to have this tag, and what follows it.
fn content(bytes: &[u8], tag: u8) -> anyhow::Result<(&[u8], &[u8])> {
    const CUT: &str = "the certificate is cut off";
    let [found, first, rest @ ..] = bytes else { anyhow::bail!(CUT) };
    ensure!(*found == tag, "the certificate has {found:#x} where {tag:#x} belongs");
    let (length, rest) = match *first {
        short if short < 0x80 => (usize::from(short), rest),
        long => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f)).context(CUT)?;
            ensure!(digits.len() <= 4, "the certificate is too long");
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
    };
    rest.split_at_checked(length).context(CUT)
}

/// `YYMMDDhhmmssZ` until 2049, `YYYYMMDDhhmmssZ` after it; RFC 5280, 4.1.2.5.
fn seconds(tag: u8, text: &str) -> anyhow::Result<i64> {
    let years = match tag {
        UTC_TIME => 2,
        GENERALIZED_TIME => 4,
        _ => anyhow::bail!("the certificate has no time where one belongs"),
    };
    let wrong = || format!("{text:?} is no time of a certificate");
    ensure!(text.is_ascii() && text.len() == years + 11 && text.ends_with('Z'), wrong());
    let number = |from: usize, digits: usize| text[from..from + digits].parse::<i64>().with_context(wrong);
    let year = match number(0, years)? {
        year if years == 4 => year,
        year if year < 50 => 2000 + year,
        year => 1900 + year,
    };
    let (month, day) = (number(years, 2)?, number(years + 2, 2)?);
    let (hour, minute, second) = (number(years + 4, 2)?, number(years + 6, 2)?, number(years + 8, 2)?);
    ensure!((1..=12).contains(&month) && (1..=31).contains(&day), wrong());
    Ok(((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days since 1970 of the Gregorian calendar, whose years are taken to begin in March, so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_of_two_kinds() {
        let table = [
            (UTC_TIME, "700101000000Z", 0),
            (UTC_TIME, "491231235959Z", 2_524_607_999),
            (GENERALIZED_TIME, "20500101000000Z", 2_524_608_000),
            (UTC_TIME, "240229120000Z", 1_709_208_000),
            (GENERALIZED_TIME, "99991231235959Z", 253_402_300_799),
        ];
        for (tag, text, expected) in table {
            assert_eq!(seconds(tag, text).unwrap(), expected, "{text}");
        }
        for text in ["", "700101000000", "7001010000000Z", "701301000000Z", "70010100000xZ"] {
            assert!(seconds(UTC_TIME, text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for bytes in [&b""[..], &[SEQUENCE], &[SEQUENCE, 0x84, 1], &[SEQUENCE, 5, 0], &[SEQUENCE, 0], b"BEGIN"] {
            assert!(not_after_s(bytes).is_err(), "{bytes:?}");
        }
    }
}
