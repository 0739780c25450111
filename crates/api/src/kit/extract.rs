//! What handlers take from a request besides its body: the id in its path, its Idempotency-Key, its page.

use super::error::{Kind, Problem};
use super::query;
use super::tags::opaque;
use actix_web::dev::Payload;
use actix_web::http::header::{HeaderValue, IF_MATCH};
use actix_web::{FromRequest, HttpRequest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use config::{PAGE_ITEMS, PAGE_ITEMS_MAX};
use domain::{Expected, Fingerprint};
use serde::Deserialize;
use std::future::{Ready, ready};
use std::str::FromStr;
use uuid::Uuid;

/// The `{id}` of the path. What is not a UUID names nothing.
pub struct Id<T>(pub T);

impl<T: FromStr> FromRequest for Id<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        const UUID_CHARS: usize = 36;
        let text = request.match_info().get("id").filter(|text| text.len() == UUID_CHARS);
        let id = text.and_then(|text| text.parse().ok());
        ready(id.map(Id).ok_or_else(|| Problem::not_found("thing: the path's id is not a UUID of one")))
    }
}

/// The `{key_id}` of the path.
pub struct KeyId(pub Uuid);

impl FromRequest for KeyId {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.match_info().get("key_id").and_then(|text| Uuid::parse_str(text).ok());
        ready(id.map(KeyId).ok_or_else(|| Problem::not_found("key")))
    }
}

/// The Idempotency-Key, if there is one.
pub struct IdempotencyKey(Option<HeaderValue>);

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// domain.md: 8-255 visible ASCII.
const IDEMPOTENCY_KEY_CHARS: std::ops::RangeInclusive<usize> = 8..=255;

impl IdempotencyKey {
    /// The key as text.
    pub fn text(&self) -> Option<&str> {
        self.0.as_ref().and_then(|value| value.to_str().ok())
    }

    /// The key, where there must be one.
    pub fn required(&self) -> Result<&str, Problem> {
        self.text().ok_or_else(|| {
            Problem::new(
                Kind::IdempotencyKeyRequired,
                "Send an Idempotency-Key header of 8 to 255 visible ASCII characters, a new one for each new charge; \
                 with the same one a charge that was sent twice happens once.",
            )
        })
    }

    /// The key within a scope: the same key of somebody else is another key.
    pub fn within(&self, scope: &[u8]) -> Option<Fingerprint> {
        self.0.as_ref().map(|key| Fingerprint::of(&[scope, key.as_bytes()]))
    }
}

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut keys = request.headers().get_all(IDEMPOTENCY_KEY);
        let key = keys.next();
        let fits = key.is_none_or(|key| {
            IDEMPOTENCY_KEY_CHARS.contains(&key.len()) && key.as_bytes().iter().all(u8::is_ascii_graphic)
        });
        ready(if fits && keys.next().is_none() {
            Ok(IdempotencyKey(key.cloned()))
        } else {
            Err(Problem::invalid("Idempotency-Key", "must be one header of 8 to 255 visible ASCII characters"))
        })
    }
}

/// The If-Match of an edit: the version that the caller has seen.
pub struct IfMatch(Option<Expected>);

impl IfMatch {
    /// What the edit may replace, where it must be said.
    pub fn required(self) -> Result<Expected, Problem> {
        self.0.ok_or_else(Problem::precondition_required)
    }

    /// What the edit may replace, if it is said.
    pub fn given(self) -> Option<Expected> {
        self.0
    }

    /// RFC 9110, 13.1.1: `*`, or a list of tags. Ours begin with the version; others match nothing. A weak one is ours as
    /// well: a proxy that compresses makes them weak, and whoever edits names a version, not bytes.
    fn read<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> Option<Expected> {
        let lists: Vec<&[u8]> = values.map(HeaderValue::as_bytes).collect();
        let tags = lists.iter().flat_map(|list| list.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
        let mut versions = Vec::new();
        for tag in tags {
            if tag == b"*" {
                return Some(Expected::Any);
            }
            let text = opaque(tag).and_then(|text| std::str::from_utf8(text).ok());
            let version = text.and_then(|text| text.split('-').next());
            let version = version.filter(|version| version.bytes().all(|byte| byte.is_ascii_digit()));
            versions.extend(version.and_then(|version| version.parse::<u64>().ok()));
        }
        (!lists.is_empty()).then_some(Expected::OneOf(versions))
    }
}

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(IfMatch(IfMatch::read(request.headers().get_all(IF_MATCH)))))
    }
}

/// For fields of an edit that may be left out, but are not null.
pub fn given<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Which part of a list: `?limit=&cursor=`.
pub struct Page {
    pub limit: usize,
    /// The id of the last item of the page before.
    pub after: Option<Uuid>,
}

/// As it stands in the query.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items at most; 50 unless given.
    #[param(minimum = 1, maximum = 500, required = false, value_type = u32)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    #[param(required = false, value_type = String)]
    cursor: Option<String>,
}

impl Page {
    /// The cursor that continues after `last`.
    pub fn cursor(last: Uuid) -> String {
        URL_SAFE_NO_PAD.encode(last.as_bytes())
    }

    fn read(query: &str) -> Result<Page, Problem> {
        let query: PageQuery = query::read(query)?;
        Page::of(query.limit.as_deref(), query.cursor.as_deref())
    }

    /// The page that a query asks for.
    pub fn of(limit: Option<&str>, cursor: Option<&str>) -> Result<Page, Problem> {
        let limit = limit.map_or(Some(PAGE_ITEMS), |limit| limit.parse().ok());
        let limit = limit
            .filter(|limit| (1..=PAGE_ITEMS_MAX).contains(limit))
            .ok_or_else(|| Problem::invalid("limit", format!("must be 1 to {PAGE_ITEMS_MAX}")))?;
        let after = cursor.map(|cursor| {
            let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
            bytes
                .and_then(|bytes| Uuid::from_slice(&bytes).ok())
                .ok_or_else(|| Problem::invalid("cursor", "must be the next_cursor of the page before, unchanged"))
        });
        Ok(Page { limit, after: after.transpose()? })
    }
}

impl FromRequest for Page {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Page::read(request.query_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_names_the_version_that_it_replaces() {
        let table: [(&[&str], Option<Expected>); 9] = [
            (&[], None),
            (&["*"], Some(Expected::Any)),
            (&["\"7\""], Some(Expected::OneOf(vec![7]))),
            (&["\"7-before\", \"8\"", "\"9\""], Some(Expected::OneOf(vec![7, 8, 9]))),
            (&["W/\"7\""], Some(Expected::OneOf(vec![7]))),
            (&["W/\"7-after\", \"8;gzip\""], Some(Expected::OneOf(vec![7, 8]))),
            (&["\"9--gzip\"", "W/\"10-br\""], Some(Expected::OneOf(vec![9, 10]))),
            (&["w/\"7\", W/7, \"+7\", \"7x\""], Some(Expected::OneOf(vec![]))),
            (&["7", "\"x\"", ""], Some(Expected::OneOf(vec![]))),
        ];
        for (headers, expected) in table {
            let values: Vec<HeaderValue> = headers.iter().map(|value| HeaderValue::from_str(value).unwrap()).collect();
            assert_eq!(IfMatch::read(values.iter()), expected, "{headers:?}");
        }
    }

    #[test]
    fn pages() {
        let id = Uuid::from_u128(7);
        let page = Page::read(&format!("limit=500&cursor={}", Page::cursor(id))).unwrap();
        assert_eq!((page.limit, page.after), (500, Some(id)));
        assert_eq!(Page::read("").map(|page| (page.limit, page.after)).unwrap(), (50, None));
        for wrong in ["limit=0", "limit=501", "limit=-1", "limit=x", "cursor=x", "colour=red", "limit=1&limit=2"] {
            assert_eq!(Page::read(wrong).err().map(|problem| problem.kind), Some(Kind::InvalidRequest), "{wrong}");
        }
    }
}
