//! Compression, where it pays: bodies of a kilobyte and more of text, for who accepts gzip.
//!
//! What many ask for (a chart, an availability, this API's description) is compressed once: a body with an ETag is kept
//! compressed, by its hash. So the right bytes come back whatever the path, the caller and the version.

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, VARY};
use bytes::Bytes;
use config::{COMPRESSED_BODY_BYTES_MIN, COMPRESSED_CACHE_BYTES_MAX};
use flate2::Compression;
use flate2::write::GzEncoder;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// What the tag of a compressed body ends in, before its closing quote: strong tags differ where bytes differ.
const TAG_SUFFIX: &[u8] = b"-gzip";

pub const GZIP: HeaderValue = HeaderValue::from_static("gzip");
pub const VARY_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");

/// Bodies that were compressed before.
#[derive(Default)]
pub struct Compressed(Mutex<CompressedBodies>);

#[derive(Default)]
struct CompressedBodies {
    by_hash: FxHashMap<[u8; 32], Bytes>,
    oldest_first: VecDeque<[u8; 32]>,
    bytes: usize,
}

impl Compressed {
    /// The answer, compressed if that pays and the caller understands it.
    pub fn compress(&self, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        let large =
            matches!(response.response().body().size(), BodySize::Sized(bytes) if bytes >= COMPRESSED_BODY_BYTES_MIN);
        if !large || response.status() != 200 || !is_text(response.headers()) {
            return response;
        }
        let accepted = accepts_gzip(response.request().headers());
        let mut response = response;
        response.headers_mut().append(VARY, VARY_ENCODING);
        if !accepted {
            return response;
        }
        let tag = response.headers().get(ETAG).map(tag_of_compressed);
        let mut compressed = false;
        let mut response = response.map_body(|_, body| match body.try_into_bytes() {
            Ok(bytes) => {
                compressed = true;
                BoxBody::new(self.of(bytes, tag.is_some()))
            }
            Err(body) => body,
        });
        if compressed {
            response.headers_mut().insert(CONTENT_ENCODING, GZIP);
            tag.map(|tag| response.headers_mut().insert(ETAG, tag));
        }
        response
    }

    fn of(&self, bytes: Bytes, keep: bool) -> Bytes {
        if !keep {
            return gzip(&bytes);
        }
        let hash = *blake3::hash(&bytes).as_bytes();
        if let Some(kept) = self.kept().by_hash.get(&hash) {
            return kept.clone();
        }
        // Without the lock: two who ask for the same at once do it twice, and everybody else goes on.
        let made = gzip(&bytes);
        self.kept().keep(hash, made.clone());
        made
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, CompressedBodies> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CompressedBodies {
    fn keep(&mut self, hash: [u8; 32], body: Bytes) {
        if body.len() > COMPRESSED_CACHE_BYTES_MAX / 4 || self.by_hash.contains_key(&hash) {
            return;
        }
        self.bytes += body.len();
        self.oldest_first.push_back(hash);
        self.by_hash.insert(hash, body);
        while self.bytes > COMPRESSED_CACHE_BYTES_MAX {
            let Some(oldest) = self.oldest_first.pop_front() else { break };
            self.bytes -= self.by_hash.remove(&oldest).map_or(0, |body| body.len());
        }
    }
}

/// Fast rather than small: labels of seats repeat so much that level 1 takes nine tenths away.
pub fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes).expect("a Vec takes every byte");
    encoder.finish().expect("a Vec takes every byte").into()
}

fn is_text(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let stream = media_type.starts_with(b"text/event-stream");
    !stream
        && !headers.contains_key(CONTENT_ENCODING)
        && (media_type.starts_with(b"text/")
            || media_type.starts_with(b"application/json")
            || media_type.starts_with(b"application/javascript")
            || media_type.starts_with(b"image/svg"))
}

/// `"7"` becomes `"7-gzip"`.
pub fn tag_of_compressed(tag: &HeaderValue) -> HeaderValue {
    let tag = tag.as_bytes().strip_suffix(b"\"").unwrap_or(tag.as_bytes());
    HeaderValue::from_bytes(&[tag, TAG_SUFFIX, b"\""].concat()).expect("a tag stays a tag")
}

/// RFC 9110, 12.5.3: named, or covered by `*`, and not with a weight of zero.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(ACCEPT_ENCODING).filter_map(|list| list.to_str().ok());
    let mut any = false;
    for coding in lists.flat_map(|list| list.split(',')) {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let wanted = weight.is_none_or(|weight| weight.trim().parse().is_ok_and(|weight: f32| weight > 0.0));
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            return wanted;
        }
        any |= name == "*" && wanted;
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use std::io::Read;

    #[test]
    fn what_a_caller_accepts() {
        let table = [
            ("gzip", true),
            ("br, GZIP", true),
            ("gzip;q=0.5, br", true),
            ("*", true),
            ("br;q=1.0, *;q=0.1", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("*;q=0", false),
            ("br", false),
            ("identity", false),
            ("gzip;q=much", false),
            ("", false),
        ];
        for (given, accepted) in table {
            let request = TestRequest::default().insert_header((ACCEPT_ENCODING, given)).to_http_request();
            assert_eq!(accepts_gzip(request.headers()), accepted, "{given}");
        }
        assert!(!accepts_gzip(TestRequest::default().to_http_request().headers()));
    }

    #[test]
    fn what_is_kept_is_right_and_bounded() {
        let compressed = Compressed::default();
        let body = |index: u64| {
            let mut bytes = vec![0; COMPRESSED_CACHE_BYTES_MAX / 8];
            // Nothing that gzip could make small.
            blake3::Hasher::new().update(&index.to_be_bytes()).finalize_xof().fill(&mut bytes);
            Bytes::from(bytes)
        };
        for index in (0..20).chain(18..20) {
            let mut back = Vec::new();
            flate2::read::GzDecoder::new(&*compressed.of(body(index), true)).read_to_end(&mut back).unwrap();
            assert!(back == body(index), "{index}");
        }
        let kept = compressed.kept();
        assert!(kept.bytes <= COMPRESSED_CACHE_BYTES_MAX && kept.by_hash.len() >= 4, "{}", kept.by_hash.len());
        assert_eq!(kept.by_hash.len(), kept.oldest_first.len());
        assert_eq!(kept.bytes, kept.by_hash.values().map(Bytes::len).sum::<usize>());
    }

    #[test]
    fn tags_differ_where_bytes_differ() {
        assert_eq!(tag_of_compressed(&HeaderValue::from_static("\"7\"")), "\"7-gzip\"");
    }
}
