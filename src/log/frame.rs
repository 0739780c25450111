//! The bytes of the log. All integers are little-endian.

use crate::id::{Millis, StreamId};

/// Appends one framed event: `len u32` (of what follows), `category u8`, `key [16]`, `version u64`, `at_ms u64`,
/// `name_len u8`, name, JSON.
pub fn write_event(
    out: &mut Vec<u8>,
    stream: StreamId,
    version: u64,
    at_ms: Millis,
    name: &str,
    write: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(stream.category as u8);
    out.extend_from_slice(stream.key.as_bytes());
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&at_ms.to_le_bytes());
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
    write(out);
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
}
