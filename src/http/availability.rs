//! Availability: which places are left. Asked for by everyone, all the time.
//!
//! That nothing changed is answered from a number that the log's thread keeps up to date: no actor is asked and no body is
//! made. What changed is rendered once per version, however many ask.

use super::error::{Kind, Problem};
use super::extract::Id;
use super::performances::{described, tag};
use super::reply::{Reply, not_modified};
use super::{Api, Endpoint, Shop};
use crate::actors::views::AvailabilityView;
use crate::domain::performance::{Answer, AreaAvailability, Availability as Found, Command, Description, SaleState};
use crate::id::{Millis, PerformanceId};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use rustc_hash::FxHashMap;
use serde::{Serialize, Serializer};
use std::sync::{Arc, PoisonError, RwLock};
use utoipa::ToSchema;
use uuid::Uuid;

/// Which places are not free. Every seat of the chart that is not named here is available.
#[derive(Serialize, ToSchema)]
pub struct Availability {
    performance_id: Uuid,
    /// Counts changes; also the ETag.
    version: u64,
    state: SaleState,
    /// Free places per grade, standing areas included.
    #[serde(serialize_with = "as_map")]
    #[schema(value_type = std::collections::BTreeMap<String, u32>)]
    available: Vec<(String, u32)>,
    seats: Seats,
    areas: Vec<AreaAvailability>,
}

/// Seats by their labels.
#[derive(Serialize, ToSchema)]
#[schema(as = TakenSeats)]
pub struct Seats {
    held: Vec<String>,
    booked: Vec<String>,
    blocked: Vec<String>,
}

fn as_map<S: Serializer>(pairs: &[(String, u32)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(grade, available)| (grade, available)))
}

/// The performances that were asked for, with what is needed to answer without an actor. One for each that exists.
#[derive(Default)]
pub struct Shown(RwLock<FxHashMap<PerformanceId, Arc<Entry>>>);

struct Entry {
    view: Arc<AvailabilityView>,
    /// Held while a body is made: those who ask meanwhile wait for the same one.
    making: tokio::sync::Mutex<()>,
}

pub fn endpoint() -> Endpoint {
    Endpoint::at("/v1/performances/{id}/availability").get(read)
}

/// Read which places are left
///
/// Poll with If-None-Match: an unchanged performance costs next to nothing.
#[utoipa::path(
    get, path = "/v1/performances/{id}/availability", tag = "performances", operation_id = "read_availability",
    params(("id" = Uuid, Path), ("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "What is left", body = Availability, headers(("ETag" = String))),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "`not-found`", body = super::openapi::Problem),
    )
)]
pub async fn read(api: web::Data<Api>, id: Id<PerformanceId>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let shop = api.shop()?;
    let entry = match shop.shown.get(id.0) {
        Some(entry) => entry,
        None => shop.shown.find(shop, id.0).await?,
    };
    let now = shop.clock.now();
    let version = entry.view.version();
    if let Some(unchanged) = not_modified(&request, &entry.tag(version, now)) {
        return Ok(unchanged);
    }
    let (version, body) = match entry.body(version, now) {
        Some(body) => (version, body),
        None => entry.make(shop, id.0, now).await?,
    };
    Ok(Reply::ok().etag(entry.tag(version, now)).json_bytes(body))
}

impl Shown {
    fn get(&self, id: PerformanceId) -> Option<Arc<Entry>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// The first time that a performance is asked for.
    async fn find(&self, shop: &Shop, id: PerformanceId) -> Result<Arc<Entry>, Problem> {
        describe(shop, id).await?;
        let view = shop.engine.views().availability(id).ok_or_else(|| Problem::no_such("performance"))?;
        let entry = Arc::new(Entry { view, making: tokio::sync::Mutex::default() });
        Ok(self.0.write().unwrap_or_else(PoisonError::into_inner).entry(id).or_insert(entry).clone())
    }
}

async fn describe(shop: &Shop, id: PerformanceId) -> Result<Description, Problem> {
    Ok(described(shop.engine.performance(id, Command::Describe).await?)?.answer)
}

impl Entry {
    fn tag(&self, version: u64, now: Millis) -> actix_web::http::header::HeaderValue {
        let (opens_at_ms, closes_at_ms) = self.view.hours();
        tag(version, opens_at_ms, closes_at_ms, now)
    }

    /// Kept bodies are of the sale's hours: before and after them few ask, and the state in them would be wrong.
    fn keeps(&self, now: Millis) -> bool {
        let (opens_at_ms, closes_at_ms) = self.view.hours();
        (opens_at_ms..closes_at_ms).contains(&now)
    }

    fn body(&self, version: u64, now: Millis) -> Option<Bytes> {
        if self.keeps(now) { self.view.body(version) } else { None }
    }

    async fn make(&self, shop: &Shop, id: PerformanceId, now: Millis) -> Result<(u64, Bytes), Problem> {
        let _making = self.making.lock().await;
        let version = self.view.version();
        if let Some(body) = self.body(version, now) {
            return Ok((version, body));
        }
        let description = describe(shop, id).await?;
        let done = shop.engine.performance(id, Command::Availability).await?;
        let Answer::Availability(found) = done.answer else {
            return Err(Problem::new(Kind::Internal, "A performance did not show what is left."));
        };
        // The two answers may be of two versions. That is of no matter unless the organizer paused or resumed the sale
        // in between; then the body is not of any one version, and is not kept.
        let after = if found.version == description.version { description.clone() } else { describe(shop, id).await? };
        let version = found.version;
        let body = render(id, *found, description.state(now));
        let same = |one: &Description, other: &Description| {
            (one.sale, one.sale_opens_at_ms, one.sale_closes_at_ms)
                == (other.sale, other.sale_opens_at_ms, other.sale_closes_at_ms)
        };
        if self.keeps(now) && same(&after, &description) {
            self.view.store_body(version, body.clone());
        }
        Ok((version, body))
    }
}

fn render(id: PerformanceId, found: Found, state: SaleState) -> Bytes {
    let shown = Availability {
        performance_id: id.0,
        version: found.version,
        state,
        available: found.available,
        seats: Seats { held: found.held, booked: found.booked, blocked: found.blocked },
        areas: found.areas,
    };
    serde_json::to_vec(&shown).expect("plain data").into()
}
