//! Lists that come from SQL: `Onsale-After`, cursors, and what is said when the read models are behind or away.

use super::error::{Kind, Problem};
use super::reply::Reply;
use crate::Api;
use actix_web::dev::Payload;
use actix_web::http::header::HeaderName;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use config::{PAGE_ITEMS, PAGE_ITEMS_MAX};
use eventlog::{Log, Position};
use readmodels::read::Reader;
use readmodels::{Row, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

/// The position that the answer has to know of: the `Onsale-Position` of one's own write.
pub const ONSALE_AFTER: HeaderName = HeaderName::from_static("onsale-after");
/// Bytes of a cursor that tell an altered one.
const CHECK_BYTES: usize = 8;

/// The `Onsale-After` of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct After(Option<Position>);

impl FromRequest for After {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut given = request.headers().get_all(ONSALE_AFTER);
        let Some(first) = given.next() else { return ready(Ok(After(None))) };
        let number = first.to_str().ok().and_then(|text| text.parse().ok());
        ready(match number {
            Some(number) if given.next().is_none() => Ok(After(Some(Position(number)))),
            _ => Err(Problem::invalid("Onsale-After", "must be the Onsale-Position of an answer")),
        })
    }
}

/// Where lists, history, search and reports come from.
pub struct ReadModels {
    /// None when that is switched off.
    pub reader: Option<Reader>,
    /// What they follow.
    pub log: Arc<dyn Log>,
}

/// The read models, at least as far as the caller wants them.
pub struct Models<'a> {
    reader: &'a Reader,
    /// Up to where what is read from now on is complete.
    position: Position,
}

impl<'a> Models<'a> {
    /// Waits for what the caller wants to see, a little.
    pub async fn after(api: &'a Api, after: After) -> Result<Models<'a>, Problem> {
        let ReadModels { reader, log } = api.state()?;
        let reader = reader.as_ref().ok_or_else(switched_off)?;
        let Some(wanted) = after.0 else {
            return Ok(Models { reader, position: reader.position().await.map_err(unavailable)? });
        };
        let durable = log.durable();
        if wanted > durable {
            let detail = format!("the log has come to {durable}: send the Onsale-Position of an answer of this server");
            return Err(Problem::invalid("Onsale-After", detail));
        }
        let patience = Duration::from_millis(api.live.load().read_wait_ms);
        let position = reader.wait(wanted, patience).await.map_err(unavailable)?;
        if position < wanted {
            return Err(Problem::new(
                Kind::ReadModelsBehind,
                "It is recorded, and not visible in lists yet. Try again after the time in Retry-After.",
            )
            .with("position", position.0)
            .with("wanted_position", wanted.0)
            .with("lag_events", durable.0.saturating_sub(position.0)));
        }
        Ok(Models { reader, position })
    }

    /// The rows of a query.
    pub async fn rows(&self, sql: &str, parameters: Vec<Value>) -> Result<Vec<Row>, Problem> {
        self.reader.query(sql, parameters).await.map_err(unavailable)
    }

    /// The answer, saying up to where it is complete.
    pub fn reply(&self, body: &impl Serialize) -> HttpResponse {
        Reply::ok().position(self.position).json(body)
    }

    /// Up to where what is read is complete.
    pub fn position(&self) -> Position {
        self.position
    }
}

fn switched_off() -> Problem {
    Problem::new(Kind::ReadModelsUnavailable, "This server runs without read models (read_models.run = \"off\").")
}

fn unavailable(error: readmodels::Error) -> Problem {
    match error.kind {
        readmodels::Kind::Missing => {
            Problem::new(Kind::ReadModelsUnavailable, "The tables of this list are being made. Try again in a moment.")
        }
        readmodels::Kind::Away | readmodels::Kind::Taken | readmodels::Kind::Refused => {
            tracing::debug!(%error, "the read models cannot be read");
            Problem::new(Kind::ReadModelsUnavailable, "Their database cannot be reached. Selling goes on.")
        }
        readmodels::Kind::Data | readmodels::Kind::Statement => {
            tracing::error!(%error, "a list does not fit the read models' tables");
            Problem::new(Kind::ReadModelsUnavailable, "The tables of this list are of another version of Onsale.")
        }
    }
}

/// A query that grows with its filters.
pub struct Sql {
    pub text: String,
    pub parameters: Vec<Value>,
}

impl Sql {
    pub fn new(text: String) -> Sql {
        Sql { text, parameters: Vec::new() }
    }

    /// Adds a piece of SQL and the next parameter behind it.
    pub fn add(&mut self, text: &str, parameter: impl Into<Value>) -> &mut Sql {
        self.parameters.push(parameter.into());
        self.text.push_str(text);
        self.text.push_str(&format!("${}", self.parameters.len()));
        self
    }
}

/// Items of a page: `?limit=`.
pub fn limit(given: Option<&str>) -> Result<usize, Problem> {
    let limit = given.map_or(Some(PAGE_ITEMS), |limit| limit.parse().ok());
    let limit = limit.filter(|limit| (1..=PAGE_ITEMS_MAX).contains(limit));
    limit.ok_or_else(|| Problem::invalid("limit", format!("must be 1 to {PAGE_ITEMS_MAX}")))
}

/// One list with its filters: a cursor of another list, or of other filters, is none of it.
pub struct Scope([u8; 32]);

impl Scope {
    /// `filters` are whatever decides which items there are, and whose.
    pub fn of(list: &str, filters: &[&str]) -> Scope {
        let mut hasher = blake3::Hasher::new_derive_key("onsale cursor 1");
        for part in [&[list], filters].concat() {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        Scope(*hasher.finalize().as_bytes())
    }

    /// The cursor that continues after an item with these keys.
    pub fn cursor(&self, keys: &impl Serialize) -> String {
        let keys = postcard::to_allocvec(keys).expect("keys are plain data");
        let check = self.check(&keys);
        URL_SAFE_NO_PAD.encode([&check[..], &keys].concat())
    }

    /// The keys in a cursor.
    pub fn keys<T: DeserializeOwned>(&self, cursor: Option<&str>) -> Result<Option<T>, Problem> {
        let Some(cursor) = cursor else { return Ok(None) };
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
            let (check, keys) = bytes.split_at_checked(CHECK_BYTES)?;
            (check == self.check(keys)).then(|| postcard::from_bytes(keys).ok()).flatten()
        };
        let keys = read().ok_or_else(|| {
            Problem::invalid("cursor", "must be the next_cursor of the page before, unchanged, with the same filters")
        })?;
        Ok(Some(keys))
    }

    fn check(&self, keys: &[u8]) -> [u8; CHECK_BYTES] {
        let hash = blake3::keyed_hash(&self.0, keys);
        hash.as_bytes()[..CHECK_BYTES].try_into().expect("a hash is longer")
    }
}

/// Takes a page's items out of rows of which one more was asked for, and says whether there are more.
pub fn cut(rows: &mut Vec<Row>, limit: usize) -> bool {
    let more = rows.len() > limit;
    rows.truncate(limit);
    more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_of_one_list_and_its_filters() {
        let scope = Scope::of("reservations", &["ada", ""]);
        let cursor = scope.cursor(&(7u64, "x"));
        assert_eq!(scope.keys::<(u64, String)>(Some(&cursor)).unwrap(), Some((7, "x".into())));
        assert_eq!(scope.keys::<u64>(None).unwrap(), None);
        for other in [Scope::of("reservations", &["", "ada"]), Scope::of("reservation", &["sada", ""])] {
            assert!(other.keys::<(u64, String)>(Some(&cursor)).is_err());
        }
        for at in 0..cursor.len() {
            let mut altered = cursor.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(scope.keys::<(u64, String)>(Some(&altered)).is_err(), "{altered}");
        }
        for wrong in ["", "A", "!!!!", "AAAAAAAAAAA"] {
            assert!(scope.keys::<u64>(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
