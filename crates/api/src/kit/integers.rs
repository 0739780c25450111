//! Integers however they are written: `100.0` and `1e2` are 100 (JSON Schema 2020-12, 6.3 of its core: a number whose
//! fraction is zero is an integer). Programs without integers write them so.
//!
//! By their digits, not by floating point: no digit is lost.

/// More digits than any integer here has.
const DIGITS_MAX: usize = 20;

/// The same JSON with every such number as digits alone; `None` when there is none. A line stays as long as it was, wherever
/// the digits are not more than what stood there.
pub fn written_plainly(json: &[u8]) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    let (mut at, mut copied) = (0, 0);
    while at < json.len() {
        match json[at] {
            b'"' => at = end_of_string(json, at),
            b'-' | b'0'..=b'9' => {
                let in_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let end = at + json[at..].iter().take_while(|byte| in_number(byte)).count();
                if let Some(plain) = plain(&json[at..end]) {
                    let out = out.get_or_insert_with(|| Vec::with_capacity(json.len() + DIGITS_MAX));
                    out.extend_from_slice(&json[copied..at]);
                    out.extend_from_slice(&plain);
                    out.extend(std::iter::repeat_n(b' ', (end - at).saturating_sub(plain.len())));
                    copied = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    out.map(|mut out| {
        out.extend_from_slice(&json[copied..]);
        out
    })
}

/// Behind the closing quote of the string that begins at `start`.
fn end_of_string(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < json.len() {
        match json[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

/// The digits of a number that is an integer, and is not written as one.
fn plain(number: &[u8]) -> Option<Vec<u8>> {
    let (minus, rest) = number.strip_prefix(b"-").map_or((false, number), |rest| (true, rest));
    let mark = rest.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (digits, exponent) = match mark {
        Some(mark) => (&rest[..mark], std::str::from_utf8(&rest[mark + 1..]).ok()?.parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let point = digits.iter().position(|byte| *byte == b'.');
    if mark.is_none() && point.is_none() && number != b"-0" {
        return None;
    }
    let (whole, fraction) = point.map_or((digits, &[][..]), |point| (&digits[..point], &digits[point + 1..]));
    let mut digits = [whole, fraction].concat();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let significant = digits.iter().rposition(|byte| *byte != b'0').map_or(0, |last| last + 1);
    let leading = digits.iter().take_while(|byte| **byte == b'0').count();
    if significant == 0 {
        return Some(b"0".to_vec());
    }
    // So many of the digits are before the point.
    let before_point = usize::try_from(whole.len() as i64 + i64::from(exponent)).ok()?;
    if significant > before_point || before_point - leading > DIGITS_MAX {
        return None;
    }
    digits.resize(before_point, b'0');
    let sign: &[u8] = if minus { b"-" } else { b"" };
    Some([sign, &digits[leading..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let table = [
            ("100.0", Some("100")),
            ("1e2", Some("100")),
            ("1E+2", Some("100")),
            ("-1.50e1", Some("-15")),
            ("120e-1", Some("12")),
            ("0.001e3", Some("1")),
            ("0e5", Some("0")),
            ("-0", Some("0")),
            ("-0.0", Some("0")),
            ("0e999999999", Some("0")),
            ("12345678901234567890.0", Some("12345678901234567890")),
            ("1.5", None),
            ("1e-1", None),
            ("100", None),
            ("-5", None),
            ("1e21", None),
            ("1e999999999", None),
            ("1e99999999999", None),
            ("1e-2147483648", None),
            ("123456789012345678901.0", None),
            ("1.", Some("1")),
            ("1e", None),
            ("-", None),
            (".", None),
            ("1-2", None),
        ];
        for (number, expected) in table {
            assert_eq!(plain(number.as_bytes()).as_deref(), expected.map(str::as_bytes), "{number}");
        }
    }

    #[test]
    fn all_else_stays_as_it_is() {
        let table = [
            (r#"{"a":100.0,"b":"1e2","c":[1e2, 1.5]}"#, Some(r#"{"a":100  ,"b":"1e2","c":[100, 1.5]}"#)),
            (r#"{"a":"\"1.0","b":1.0}"#, Some(r#"{"a":"\"1.0","b":1  }"#)),
            (r#"{"a":"\\","b":2e0}"#, Some(r#"{"a":"\\","b":2  }"#)),
            (r#"{"a":1,"b":"1.0"}"#, None),
            (r#"{"a":"1.0"#, None),
            (r#"{"a":"1.0\"#, None),
            ("", None),
        ];
        for (json, expected) in table {
            let written = written_plainly(json.as_bytes());
            assert_eq!(written.as_deref(), expected.map(str::as_bytes), "{json}");
        }
    }
}
