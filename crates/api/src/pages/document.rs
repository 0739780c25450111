//! Bytes that everybody gets: made, compressed and tagged once, and sent as they are.

use crate::kit::compress::{GZIP, VARY_ENCODING, accepts_gzip, tag_of_compressed};
use crate::kit::reply::not_modified;
use crate::kit::tags::content_hash;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// Something public, with its headers. Clones of its bytes are the same memory.
pub struct Document {
    headers: Vec<(HeaderName, HeaderValue)>,
    plain: Tagged,
    /// `None` of what is no text.
    compressed: Option<Tagged>,
}

struct Tagged {
    etag: HeaderValue,
    bytes: Bytes,
}

impl Document {
    /// A text: it is sent as small as gzip makes it, to who understands that.
    pub fn text(media_type: &'static str, cached: &'static str, text: String) -> Document {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(text.as_bytes()).expect("a Vec takes every byte");
        let bytes = gzip.finish().expect("a Vec takes every byte").into();
        let document = Document::whole(media_type, cached, text.into());
        let etag = tag_of_compressed(&document.plain.etag);
        Document { compressed: Some(Tagged { etag, bytes }), ..document }.with(VARY, VARY_ENCODING)
    }

    /// What is no text, an image say.
    pub fn whole(media_type: &'static str, cached: &'static str, bytes: Bytes) -> Document {
        let etag = tag(&bytes);
        let headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static(media_type)),
            (CACHE_CONTROL, HeaderValue::from_static(cached)),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        Document { headers, plain: Tagged { etag, bytes }, compressed: None }
    }

    /// With a header more. The tag is another one, too: whoever has the bytes already has them with the old headers.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Document {
        self.plain.etag = tag(&[self.plain.etag.as_bytes(), value.as_bytes()].concat());
        if let Some(compressed) = &mut self.compressed {
            compressed.etag = tag_of_compressed(&self.plain.etag);
        }
        self.headers.push((name, value));
        self
    }

    /// The bytes, or that they are as known.
    pub fn answer(&self, request: &HttpRequest) -> HttpResponse {
        if let Some(mut unchanged) = not_modified(request, &self.plain.etag) {
            for (name, value) in self.headers.iter().filter(|(name, _)| [CACHE_CONTROL, VARY].contains(name)) {
                unchanged.headers_mut().insert(name.clone(), value.clone());
            }
            return unchanged;
        }
        let compressed = self.compressed.as_ref().filter(|_| accepts_gzip(request.headers()));
        let Tagged { etag, bytes } = compressed.unwrap_or(&self.plain);
        let mut answer = HttpResponse::Ok().body(bytes.clone());
        let headers = answer.headers_mut();
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        headers.insert(ETAG, etag.clone());
        if compressed.is_some() {
            headers.insert(CONTENT_ENCODING, GZIP);
        }
        answer
    }

    /// What it has as it is sent.
    #[cfg(test)]
    pub fn sent_bytes(&self) -> usize {
        self.compressed.as_ref().unwrap_or(&self.plain).bytes.len()
    }

    #[cfg(test)]
    pub fn plain(&self) -> &str {
        std::str::from_utf8(&self.plain.bytes).expect("a text")
    }
}

fn tag(bytes: &[u8]) -> HeaderValue {
    let etag = format!("\"{}\"", content_hash(bytes));
    HeaderValue::from_str(&etag).expect("hexadecimal digits and quotes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{ACCEPT_ENCODING, IF_NONE_MATCH};
    use actix_web::test::TestRequest;

    #[test]
    fn it_is_sent_as_asked() {
        let text = Document::text("text/css", "public, max-age=1", "a{}".repeat(1_000));
        let image = Document::whole("image/png", "public, max-age=1", Bytes::from_static(b"png"));
        let tag = text.plain.etag.to_str().unwrap().to_owned();
        let compressed_tag = format!("{}-gzip\"", tag.trim_end_matches('"'));
        let table = [
            (&text, (ACCEPT_ENCODING, "identity".to_owned()), 200, tag.clone(), None),
            (&text, (ACCEPT_ENCODING, "br, gzip".to_owned()), 200, compressed_tag.clone(), Some("gzip")),
            (&text, (IF_NONE_MATCH, tag.clone()), 304, tag.clone(), None),
            (&text, (IF_NONE_MATCH, compressed_tag), 304, tag.clone(), None),
            (&text, (IF_NONE_MATCH, "\"other\"".to_owned()), 200, tag, None),
            (&image, (ACCEPT_ENCODING, "gzip".to_owned()), 200, image.plain.etag.to_str().unwrap().into(), None),
        ];
        for (document, header, status, etag, encoding) in table {
            let request = TestRequest::default().insert_header(header.clone()).to_http_request();
            let answer = document.answer(&request);
            let told = |name| answer.headers().get(name).map(|value: &HeaderValue| value.to_str().unwrap().to_owned());
            assert_eq!(answer.status().as_u16(), status, "{header:?}");
            assert_eq!(told(ETAG), Some(etag), "{header:?}");
            assert_eq!(told(CONTENT_ENCODING).as_deref(), encoding, "{header:?}");
            assert_eq!(told(CACHE_CONTROL).as_deref(), Some("public, max-age=1"), "{header:?}");
        }
        assert!(text.sent_bytes() < 100);
        let before = text.plain.etag.clone();
        assert_ne!(text.with(CONTENT_TYPE, HeaderValue::from_static("text/plain")).plain.etag, before);
    }
}
