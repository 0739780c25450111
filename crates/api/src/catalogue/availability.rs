//! Availability: which places are left. Asked for by everyone, all the time.
//!
//! That nothing changed is answered from a number that the log's thread keeps up to date: no actor is asked and no body is
//! made. What changed is rendered once per version, however many ask. [`crate::streams::watch`] streams it.

use super::performance::tag;
use crate::kit::blocking::off_worker;
use crate::kit::error::Problem;
use crate::kit::extract::Id;
use crate::kit::query;
use crate::kit::reply::{Reply, not_modified};
use crate::route::{Route, routes};
use crate::streams::watchers::Watch;
use crate::{Api, EngineHandle};
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::{Millis, PerformanceId};
use bytes::Bytes;
use domain::performance::Availability as Found;
use domain::performance::seats::best::PlacesByKind;
use domain::performance::{AreaAvailability, Hours, ReadAvailability, ReadChanges, SaleState};
use engine::views::AvailabilityView;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize, Serializer};
use std::sync::{Arc, PoisonError, RwLock};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Which places are not free. Every seat of the chart that is not named here is available.
#[derive(Serialize, ToSchema)]
pub struct Availability {
    performance_id: Uuid,
    /// Counts changes; also the ETag.
    version: u64,
    /// Always `true`: this is everything, not the changes since another version.
    full: bool,
    state: SaleState,
    /// Free places per grade, standing areas included.
    #[serde(serialize_with = "as_map")]
    #[schema(value_type = std::collections::BTreeMap<String, u32>)]
    available: Vec<(String, u32)>,
    /// `available`, told apart by what the places are for: the best seats are standard ones unless others are asked for.
    #[serde(serialize_with = "as_map")]
    #[schema(value_type = std::collections::BTreeMap<String, PlacesByKind>)]
    available_by_kind: Vec<(String, PlacesByKind)>,
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

/// What changed since an earlier version. Each place that did is named once, with the state that it has now.
#[derive(Serialize, ToSchema)]
pub struct AvailabilityChanges {
    performance_id: Uuid,
    version: u64,
    /// The version that these changes lead from.
    since: u64,
    /// Always `false`: seats that are not named are as they were.
    full: bool,
    state: SaleState,
    /// Free places per grade, whether they changed or not.
    #[serde(serialize_with = "as_map")]
    #[schema(value_type = std::collections::BTreeMap<String, u32>)]
    available: Vec<(String, u32)>,
    /// `available`, told apart by what the places are for.
    #[serde(serialize_with = "as_map")]
    #[schema(value_type = std::collections::BTreeMap<String, PlacesByKind>)]
    available_by_kind: Vec<(String, PlacesByKind)>,
    changes: ChangedSeats,
    /// Standing areas that changed.
    areas: Vec<AreaAvailability>,
}

/// Seats that changed, by what they are now.
#[derive(Serialize, ToSchema)]
pub struct ChangedSeats {
    free: Vec<String>,
    held: Vec<String>,
    booked: Vec<String>,
    blocked: Vec<String>,
}

/// Everything, or what changed since the version asked for.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only the document knows it: each kind is rendered by itself")]
pub enum AvailabilityOrChanges {
    Full(Availability),
    Changes(AvailabilityChanges),
}

/// As it stands in the query.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SinceQuery {
    /// A version that you know: the answer is what changed since then. When that is not known (any more), or too much, the
    /// answer is everything, with `"full": true`: then forget what you knew.
    #[param(minimum = 0, required = false, value_type = u64)]
    since: Option<String>,
}

fn as_map<T: Serialize, S: Serializer>(pairs: &[(String, T)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(grade, available)| (grade, available)))
}

/// The performances that were asked for, with what is needed to answer without an actor. One for each that exists.
#[derive(Default)]
pub struct Shown(RwLock<FxHashMap<PerformanceId, Arc<Entry>>>);

/// What is known of one performance without asking it.
pub struct Entry {
    pub view: Arc<AvailabilityView>,
    /// Held while a body is made: those who ask meanwhile wait for the same one.
    making: tokio::sync::Mutex<()>,
    /// Who watches.
    pub watch: Watch,
}

/// All of it, rendered.
pub struct Body {
    pub version: u64,
    pub bytes: Bytes,
}

pub fn routes() -> Vec<Route> {
    routes![read]
}

/// Read which places are left
///
/// Poll with If-None-Match: an unchanged performance costs next to nothing. With `since` the answer is short. To be told
/// of changes, watch `/availability/events`.
#[utoipa::path(
    get, path = "/v1/performances/{id}/availability", tag = "performances", operation_id = "read_availability",
    params(("id" = Uuid, Path), ("If-None-Match" = Option<String>, Header), SinceQuery),
    responses(
        (status = 200, description = "What is left; with `since`, what changed", body = AvailabilityOrChanges,
            headers(("ETag" = String))),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(api: web::Data<Api>, id: Id<PerformanceId>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let handle = api.handle()?;
    let since = if request.query_string().is_empty() { None } else { read_since(request.query_string())? };
    let entry = api.state::<Shown>()?.entry(handle, id.0).await?;
    let now = handle.clock.now();
    let version = entry.view.version();
    if let Some(unchanged) = not_modified(&request, &entry.tag(version, now)) {
        return Ok(unchanged);
    }
    if let Some(since) = since
        && let Some(changed) = changes_since(handle, id.0, since).await?
    {
        let tag = entry.tag(changed.version, now);
        return Ok(Reply::ok().etag(tag).json_bytes(render_changes(id.0, since, *changed, now)));
    }
    let body = match entry.body(version, now) {
        Some(bytes) => Body { version, bytes },
        None => entry.make(handle, id.0, now).await?,
    };
    Ok(Reply::ok().etag(entry.tag(body.version, now)).json_bytes(body.bytes))
}

fn read_since(query: &str) -> Result<Option<u64>, Problem> {
    let query: SinceQuery = query::read(query)?;
    let since = query.since.as_deref().map(|since| {
        since.parse().map_err(|_| Problem::invalid("since", "must be a version: what `version` or the ETag said"))
    });
    since.transpose()
}

/// `None` when it is not known any more, or not yet: what was restored from a backup may be behind those who saw it before.
pub async fn changes_since(
    handle: &EngineHandle,
    id: PerformanceId,
    since: u64,
) -> Result<Option<Box<Found>>, Problem> {
    let changed = handle.engine.ask(id, ReadChanges { since }).await?.answer;
    Ok(changed.filter(|changed| changed.version >= since))
}

impl Shown {
    /// What is known of a performance; refused when there is none.
    pub async fn entry(&self, handle: &EngineHandle, id: PerformanceId) -> Result<Arc<Entry>, Problem> {
        match self.get(id) {
            Some(entry) => Ok(entry),
            None => self.find(handle, id).await,
        }
    }

    fn get(&self, id: PerformanceId) -> Option<Arc<Entry>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// The first time that a performance is asked for.
    async fn find(&self, handle: &EngineHandle, id: PerformanceId) -> Result<Arc<Entry>, Problem> {
        ask(handle, id).await?;
        let view = handle.engine.views().availability(id).ok_or_else(|| Problem::no_such("performance"))?;
        let entry = Arc::new(Entry { view, making: tokio::sync::Mutex::default(), watch: Watch::default() });
        Ok(self.0.write().unwrap_or_else(PoisonError::into_inner).entry(id).or_insert(entry).clone())
    }
}

async fn ask(handle: &EngineHandle, id: PerformanceId) -> Result<Box<Found>, Problem> {
    Ok(handle.engine.ask(id, ReadAvailability).await?.answer)
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

    /// All of it, of this instant; made once for all who ask at the same time.
    pub async fn make(&self, handle: &EngineHandle, id: PerformanceId, now: Millis) -> Result<Body, Problem> {
        let _making = self.making.lock().await;
        let version = self.view.version();
        if let Some(bytes) = self.body(version, now) {
            return Ok(Body { version, bytes });
        }
        let found = ask(handle, id).await?;
        // Not of other hours than those that are known here: somebody is changing them.
        let Hours { opens_at_ms, closes_at_ms, .. } = found.hours;
        let same = self.view.hours() == (opens_at_ms, closes_at_ms);
        let version = found.version;
        let bytes = match found.seats.len() {
            few if few <= RENDERED_HERE_MAX => render(id, *found, now),
            // A full stadium takes long enough that others would notice.
            _ => off_worker(move || render(id, *found, now)).await?,
        };
        if same && self.keeps(now) {
            self.view.store_body(version, bytes.clone());
        }
        Ok(Body { version, bytes })
    }
}

/// Seats that are rendered on the worker that was asked.
const RENDERED_HERE_MAX: usize = 5_000;

fn render(id: PerformanceId, found: Found, now: Millis) -> Bytes {
    let seats = found.seats.labels();
    let shown = Availability {
        performance_id: id.0,
        version: found.version,
        full: true,
        state: found.hours.state(now),
        available: found.available,
        available_by_kind: found.available_by_kind,
        seats: Seats { held: seats.held, booked: seats.booked, blocked: seats.blocked },
        areas: found.areas,
    };
    serde_json::to_vec(&shown).expect("plain data").into()
}

/// The changes as JSON.
pub fn render_changes(id: PerformanceId, since: u64, changed: Found, now: Millis) -> Vec<u8> {
    let seats = changed.seats.labels();
    let shown = AvailabilityChanges {
        performance_id: id.0,
        version: changed.version,
        since,
        full: false,
        state: changed.hours.state(now),
        available: changed.available,
        available_by_kind: changed.available_by_kind,
        changes: ChangedSeats { free: seats.free, held: seats.held, booked: seats.booked, blocked: seats.blocked },
        areas: changed.areas,
    };
    serde_json::to_vec(&shown).expect("plain data")
}
