//! Which trace something belongs to, as W3C Trace Context says it: `traceparent` and `tracestate`.

use std::fmt::{self, Display, Write};
use std::sync::Arc;
use uuid::Uuid;

pub const TRACEPARENT: &str = "traceparent";
pub const TRACESTATE: &str = "tracestate";
/// Bytes of a `tracestate` that is passed on; a longer one is dropped, as the recommendation allows.
pub const TRACESTATE_BYTES_MAX: usize = 512;

const SAMPLED: u8 = 1;

pub type TraceId = [u8; 16];
pub type SpanId = [u8; 8];

/// A span of a trace, whose children are yet to come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceContext {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    /// Whether it is recorded by who says so.
    pub sampled: bool,
    /// Others' `tracestate`, unchanged.
    pub state: Option<Arc<str>>,
}

impl TraceContext {
    /// What a caller's headers say. What is malformed is as good as missing: the recommendation wants a new trace then.
    pub fn parse(traceparent: &[u8]) -> Option<TraceContext> {
        let (known, rest) = traceparent.split_at_checked(55)?;
        let version = byte(&known[..2])?;
        // Later versions may have more to say behind a hyphen.
        let whole = if version == 0 { rest.is_empty() } else { rest.first().is_none_or(|next| *next == b'-') };
        if version == 0xff || !whole || [2, 35, 52].iter().any(|at| known[*at] != b'-') {
            return None;
        }
        let (trace_id, span_id) = (bytes::<16>(&known[3..35])?, bytes::<8>(&known[36..52])?);
        let sampled = byte(&known[53..55])? & SAMPLED != 0;
        let named = trace_id != [0; 16] && span_id != [0; 8];
        named.then_some(TraceContext { trace_id, span_id, sampled, state: None })
    }

    /// With the caller's `tracestate`, unless that is none.
    pub fn with_state(mut self, state: Option<&[u8]>) -> TraceContext {
        let state = state.filter(|state| (1..=TRACESTATE_BYTES_MAX).contains(&state.len()));
        let text = state.and_then(|state| std::str::from_utf8(state).ok());
        let printable = text.filter(|text| text.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)));
        self.state = printable.map(Arc::from);
        self
    }

    /// The `traceparent` that says it.
    pub fn traceparent(&self) -> String {
        let flags = if self.sampled { SAMPLED } else { 0 };
        format!("00-{}-{}-{flags:02x}", Hex(&self.trace_id), Hex(&self.span_id))
    }
}

/// A new trace's id. Its last seven bytes are random, which is what ratios are decided by.
pub fn new_trace_id() -> TraceId {
    Uuid::new_v4().into_bytes()
}

/// A new span's id; never zero.
pub fn new_span_id() -> SpanId {
    // The half of a random UUID with its variant in it, which is not zero.
    Uuid::new_v4().into_bytes()[8..].try_into().expect("half of 16 bytes")
}

/// Bytes as the hexadecimal digits that traces are written with.
pub struct Hex<'a>(pub &'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| {
            f.write_char(char::from(DIGITS[usize::from(byte >> 4)]))?;
            f.write_char(char::from(DIGITS[usize::from(byte & 15)]))
        })
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn byte(digits: &[u8]) -> Option<u8> {
    // Upper case is malformed.
    let digit = |digit: u8| DIGITS.iter().position(|known| *known == digit);
    Some((digit(digits[0])? << 4 | digit(digits[1])?) as u8)
}

fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut found = [0; N];
    for (place, digits) in found.iter_mut().zip(digits.chunks_exact(2)) {
        *place = byte(digits)?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_said_is_said_again() {
        let found = TraceContext::parse(GIVEN.as_bytes()).unwrap();
        assert!(found.sampled && found.state.is_none());
        assert_eq!((found.trace_id[0], found.span_id[7]), (0x0a, 0x31));
        assert_eq!(found.traceparent(), GIVEN);
        let unsampled = TraceContext { sampled: false, ..found };
        assert_eq!(unsampled.traceparent(), GIVEN.replace("-01", "-00"));
        let made = TraceContext { trace_id: new_trace_id(), span_id: new_span_id(), ..unsampled };
        assert_eq!(TraceContext::parse(made.traceparent().as_bytes()), Some(made));
    }

    #[test]
    fn what_is_malformed_is_nothing() {
        let table = [
            (GIVEN.to_owned(), true),
            (GIVEN.replace("-01", "-ff"), true),
            // A later version, with and without more.
            (GIVEN.replacen("00-", "cc-", 1), true),
            (format!("{}-more", GIVEN.replacen("00-", "cc-", 1)), true),
            (format!("{}more", GIVEN.replacen("00-", "cc-", 1)), false),
            (format!("{GIVEN}-more"), false),
            (GIVEN.replacen("00-", "ff-", 1), false),
            (GIVEN.to_uppercase(), false),
            (GIVEN.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)), false),
            (GIVEN.replace("b7ad6b7169203331", &"0".repeat(16)), false),
            (GIVEN.replace('-', "_"), false),
            (GIVEN.replace("0af7", "0ag7"), false),
            (GIVEN[..54].to_owned(), false),
            (format!(" {GIVEN}"), false),
            (String::new(), false),
        ];
        for (text, right) in table {
            assert_eq!(TraceContext::parse(text.as_bytes()).is_some(), right, "{text:?}");
        }
    }

    #[test]
    fn a_state_goes_along_unchanged() {
        let context = |state: &[u8]| TraceContext::parse(GIVEN.as_bytes()).unwrap().with_state(Some(state)).state;
        assert_eq!(context(b"rojo=00f067aa0ba902b7, congo=t61"), Some("rojo=00f067aa0ba902b7, congo=t61".into()));
        for dropped in [&b""[..], b"a=\xff", b"a=\n", &[b'a'; TRACESTATE_BYTES_MAX + 1]] {
            assert_eq!(context(dropped), None);
        }
    }
}
