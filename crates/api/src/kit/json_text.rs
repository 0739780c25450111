//! Texts of JSON bodies in one form: Unicode's NFC, however they are written and escaped. So whatever a handler reads, stores
//! and compares is composed; bodies whose exact texts matter are read as [`super::body::Verbatim`].

use base::text::nfc;
use std::borrow::Cow;

/// The body with every string composed. As it is where that changes nothing, and where it is not JSON.
pub fn composed(body: &[u8]) -> Cow<'_, [u8]> {
    if body.is_ascii() && !body.windows(2).any(|pair| pair == b"\\u") {
        return Cow::Borrowed(body);
    }
    let (mut made, mut copied, mut at) = (Vec::new(), 0, 0);
    while let Some(start) = body[at..].iter().position(|byte| *byte == b'"').map(|found| at + found) {
        let Some(end) = end_of_string(body, start) else { break };
        at = end;
        let Ok(text) = serde_json::from_slice::<String>(&body[start..end]) else { continue };
        if let Cow::Owned(text) = nfc(&text) {
            made.extend_from_slice(&body[copied..start]);
            serde_json::to_writer(&mut made, &text).expect("a Vec takes every byte");
            copied = end;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(body);
    }
    made.extend_from_slice(&body[copied..]);
    Cow::Owned(made)
}

/// Behind the quote that ends the string at `start`.
fn end_of_string(body: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match body.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_composed_and_nothing_else_is_touched() {
        let table: [(&str, &str); 9] = [
            (r#"{"title":"ABBA","n":1}"#, r#"{"title":"ABBA","n":1}"#),
            ("{\"title\":\"e\u{301}\", \"n\": 1.50}", "{\"title\":\"é\", \"n\": 1.50}"),
            (r#"{"title":"e\u0301\n\"x\""}"#, r#"{"title":"é\n\"x\""}"#),
            (r#"{"e\u0301":["\u1102\u1161", "나"]}"#, r#"{"é":["나", "나"]}"#),
            (r#"{"a":"\u0041"}"#, r#"{"a":"\u0041"}"#),
            ("{\"a\":\"é\\\\\",\"b\":\"e\u{301}\"}", "{\"a\":\"é\\\\\",\"b\":\"é\"}"),
            (r#"{"a":"\ud800e\u0301"}"#, r#"{"a":"\ud800e\u0301"}"#),
            ("{\"a\":\"e\u{301}", "{\"a\":\"e\u{301}"),
            ("é\"\\", "é\"\\"),
        ];
        for (body, expected) in table {
            assert_eq!(String::from_utf8_lossy(&composed(body.as_bytes())), expected, "{body}");
        }
        let broken = b"{\"a\":\"\xff\",\"b\":\"e\xcc\x81\"}";
        assert_eq!(&composed(broken)[..], b"{\"a\":\"\xff\",\"b\":\"\xc3\xa9\"}");
    }
}
