//! Queues: made and run by organizers, for a performance of theirs or for any other site.

use crate::auth::Organizer;
use crate::kit::body::Body;
use crate::kit::error::Problem;
use crate::kit::extract::{Id, IdempotencyKey, IfMatch, Page, given};
use crate::kit::reply::{Reply, etag, not_modified};
use crate::kit::time::Time;
use crate::route::{Route, routes};
use crate::{Api, EngineHandle};
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::{OrganizerId, QueueId};
use domain::queue::draw::Seeds;
use domain::queue::{Change, Create, Describe, Description, JoinPolicy, SetState, State, Terms, policy};
use domain::{Expected, Fingerprint};
use engine::Done;
use security::secrets::Secrets;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A queue to be.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueueRequest)]
pub struct NewQueue {
    #[schema(min_length = 1, max_length = 200, examples("Autumn tour"))]
    name: String,
    /// Where people may be sent when it is their turn: exactly these URLs, nothing else.
    #[serde(default)]
    #[schema(max_items = 20)]
    redirect_urls: Vec<String>,
    policy: Policy,
    /// Whoever comes before waits in the pre-queue, which is drawn at random then. Now, unless given.
    opens_at: Option<Time>,
    /// How long an admitted person has to come, s: from when they were told to ask again, if that is later than their turn.
    #[serde(default = "claim_ttl_s")]
    #[schema(minimum = 1, maximum = 300, default = 120)]
    claim_ttl_s: u32,
    /// How long a session lasts once it was claimed, s.
    #[serde(default = "session_ttl_s")]
    #[schema(minimum = 1, maximum = 86_400, default = 900)]
    session_ttl_s: u32,
    /// After so long without a sign of life a session ends, s. Never, unless given.
    #[schema(minimum = 10, maximum = 86_400)]
    idle_ttl_s: Option<u32>,
    /// After so long the place of somebody who was passed over is given up, s. Never, unless given.
    #[schema(minimum = 1, maximum = 86_400)]
    absent_after_s: Option<u32>,
    /// A purchase ends the buyer's session.
    #[serde(default = "purchase_completes")]
    #[schema(default = true)]
    purchase_completes: bool,
    /// Who may join: `anyone`, unless given.
    // A request from before this was known is still the same request.
    #[serde(skip_serializing_if = "Option::is_none")]
    join: Option<QueueJoin>,
}

/// Who may join a queue. `anyone`, in whatever way; `account`: users with a session; `identity`: users who send the token of the
/// organizer's identity provider; `visitor`: whom the organizer's own backend brings, with its key; `token`: who has a token that
/// the organizer has signed for this queue.
#[derive(Clone, Copy, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueJoin {
    #[default]
    Anyone,
    Account,
    Identity,
    Visitor,
    Token,
}

fn claim_ttl_s() -> u32 {
    120
}

fn session_ttl_s() -> u32 {
    900
}

fn purchase_completes() -> bool {
    true
}

/// Who is let in, and when: by `rate`, by `max_active`, by both (then both hold), or by hand.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueuePolicy)]
pub struct Policy {
    rate: Option<Rate>,
    /// So many people inside at a time, admitted ones who have not come yet included.
    #[schema(minimum = 1, maximum = 1_000_000)]
    max_active: Option<u32>,
    /// Nobody is let in but by `POST …/admissions`.
    #[serde(default)]
    manual: bool,
}

impl NewQueue {
    /// One that sends people nowhere, lets so many in a minute, and is open at once.
    pub fn plain(name: &str, count_per_minute: u32) -> NewQueue {
        NewQueue {
            name: name.into(),
            redirect_urls: vec![],
            policy: Policy {
                rate: Some(Rate { count: count_per_minute, interval_s: 60 }),
                max_active: None,
                manual: false,
            },
            opens_at: None,
            claim_ttl_s: claim_ttl_s(),
            session_ttl_s: session_ttl_s(),
            idle_ttl_s: None,
            absent_after_s: None,
            purchase_completes: purchase_completes(),
            join: None,
        }
    }
}

/// So many people in a time: evenly, and never more in any interval of that length.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueueRate)]
pub struct Rate {
    #[schema(minimum = 1, maximum = 100_000)]
    count: u32,
    #[schema(minimum = 1, maximum = 3_600)]
    interval_s: u32,
}

/// A queue.
#[derive(Serialize, ToSchema)]
pub struct Queue {
    queue_id: Uuid,
    organizer_id: Uuid,
    name: String,
    /// `open`, `paused` (people may come and wait, nobody is let in) or `closed` (for good).
    #[schema(value_type = String, examples("open"))]
    state: State,
    policy: Policy,
    redirect_urls: Vec<String>,
    opens_at: Time,
    /// Whether there is an order: the pre-queue was drawn, or there was none.
    opened: bool,
    claim_ttl_s: u32,
    session_ttl_s: u32,
    idle_ttl_s: Option<u32>,
    absent_after_s: Option<u32>,
    purchase_completes: bool,
    join: QueueJoin,
    /// People who wait.
    waiting: u32,
    /// What everybody in line is told; null when there is nothing to tell.
    notice: Option<String>,
    /// SHA-256 of the seed of the draw; see `/draw`.
    commitment: String,
    created_at: Time,
    version: u64,
}

/// A page of queues, in the order of their ids.
#[derive(Serialize, ToSchema)]
pub struct Queues {
    items: Vec<Queue>,
    /// For `?cursor=`; null on the last page.
    next_cursor: Option<String>,
}

/// What is to be changed of a queue; what is left out stays. `state` alone needs no If-Match.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueChange {
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, inline)]
    state: Option<Wanted>,
    #[serde(default, deserialize_with = "given")]
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(max_items = 20, nullable = false)]
    redirect_urls: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    policy: Option<Policy>,
    /// Not once it has opened.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    opens_at: Option<Time>,
    /// Of admissions from now on.
    #[serde(default, deserialize_with = "given")]
    #[schema(minimum = 1, maximum = 300, nullable = false)]
    claim_ttl_s: Option<u32>,
    /// Of sessions that are claimed from now on.
    #[serde(default, deserialize_with = "given")]
    #[schema(minimum = 1, maximum = 86_400, nullable = false)]
    session_ttl_s: Option<u32>,
    /// Null: never.
    #[serde(default, deserialize_with = "given_or_null")]
    #[schema(minimum = 10, maximum = 86_400, value_type = Option<u32>)]
    idle_ttl_s: Option<Option<u32>>,
    /// Null: never.
    #[serde(default, deserialize_with = "given_or_null")]
    #[schema(minimum = 1, maximum = 86_400, value_type = Option<u32>)]
    absent_after_s: Option<Option<u32>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    purchase_completes: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    /// Whoever is in stays in.
    #[schema(nullable = false, inline)]
    join: Option<QueueJoin>,
}

/// What a queue is to be from now on.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = QueueState)]
pub enum Wanted {
    Open,
    Paused,
    Closed,
}

/// A field that may be left out, or be null.
fn given_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::<u32>::deserialize(deserializer).map(Some)
}

pub fn routes() -> Vec<Route> {
    routes![list, create, read, change]
}

/// Create a queue
#[utoipa::path(
    post, path = "/v1/queues", tag = "queues", operation_id = "create_queue", request_body = NewQueue,
    security(("organizer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "8 to 255 visible ASCII characters")),
    responses(
        (status = 201, description = "Created", body = Queue, headers(
            ("Location" = String), ("Onsale-Position" = u64), ("Idempotency-Replayed" = bool), ("ETag" = String))),
        (status = 422, description = "`idempotency-key-reused`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn create(
    api: web::Data<Api>,
    organizer: Organizer,
    key: IdempotencyKey,
    body: Body<NewQueue>,
) -> Result<HttpResponse, Problem> {
    let done = create_queue(api.handle()?, api.state()?, organizer.0, key.text(), body.0).await?;
    let (replayed, version) = (done.answer.repeated, done.answer.version);
    Ok(Reply::created(&format!("/v1/queues/{}", done.answer.id))
        .position(done.position)
        .replayed(replayed)
        .etag(etag(version))
        .json(&Queue::from(done.answer)))
}

pub async fn create_queue(
    handle: &EngineHandle,
    secrets: &Secrets,
    organizer: OrganizerId,
    key: Option<&str>,
    new: NewQueue,
) -> Result<Done<Description>, Problem> {
    // The key is the id: the same key again finds the same queue, also years later.
    let bits = |id: u128| QueueId::from_random(id as u64 ^ (id >> 64) as u64);
    let id = match key {
        Some(key) => bits(Uuid::new_v5(&organizer.0, format!("queue {key}").as_bytes()).as_u128()),
        None => bits(handle.ids.next()),
    };
    let content = Fingerprint::of(&[&serde_json::to_vec(&new).expect("plain data")]);
    let terms = Terms {
        name: new.name,
        redirect_urls: new.redirect_urls,
        policy: new.policy.into(),
        opens_at_ms: new.opens_at.map_or(handle.clock.now(), |at| at.0),
        claim_ttl_s: new.claim_ttl_s,
        session_ttl_s: new.session_ttl_s,
        idle_ttl_s: new.idle_ttl_s,
        absent_after_s: new.absent_after_s,
        purchase_completes: new.purchase_completes,
        join: new.join.unwrap_or_default().into(),
    };
    let commitment = secrets.seed(id).commitment();
    Ok(handle.engine.ask(id, Create { organizer, terms, commitment, content }).await?)
}

/// List the own queues
#[utoipa::path(
    get, path = "/v1/queues", tag = "queues", operation_id = "list_queues", security(("organizer" = [])),
    params(crate::kit::extract::PageQuery),
    responses((status = 200, description = "A page of queues", body = Queues))
)]
pub async fn list(api: web::Data<Api>, organizer: Organizer, page: Page) -> Result<HttpResponse, Problem> {
    let handle = api.handle()?;
    let mut ids = handle.engine.views().queues().of(organizer.0, page.after.map(QueueId), page.limit + 1);
    let more = ids.len() > page.limit;
    ids.truncate(page.limit);
    let next_cursor = ids.last().filter(|_| more).map(|last| Page::cursor(last.0));
    let mut items = Vec::with_capacity(ids.len());
    for id in ids {
        items.push(handle.engine.ask(id, Describe).await?.answer.into());
    }
    Ok(Reply::ok().json(&Queues { items, next_cursor }))
}

/// Read a queue
#[utoipa::path(
    get, path = "/v1/queues/{id}", tag = "queues", operation_id = "read_queue",
    params(("id" = Uuid, Path), ("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The queue", body = Queue, headers(("ETag" = String))),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(api: web::Data<Api>, id: Id<QueueId>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let done = api.handle()?.engine.ask(id.0, Describe).await?;
    let etag = etag(done.answer.version);
    match not_modified(&request, &etag) {
        Some(unchanged) => Ok(unchanged),
        None => Ok(Reply::ok().etag(etag).json(&Queue::from(done.answer))),
    }
}

/// Change, pause, resume or close a queue
///
/// A version is good for an edit as long as neither terms nor state were changed since, however many came and went. Nobody
/// who waits loses their place by any of it. A closed queue stays closed: who is inside may finish.
#[utoipa::path(
    patch, path = "/v1/queues/{id}", tag = "queues", operation_id = "change_queue", request_body = QueueChange,
    security(("organizer" = [])),
    params(
        ("id" = Uuid, Path),
        ("If-Match" = Option<String>, Header, description = "The ETag of the version that is changed; required for all but `state`")),
    responses(
        (status = 200, description = "The queue", body = Queue, headers(("Onsale-Position" = u64), ("ETag" = String))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`queue-closed`, `queue-opened`", body = crate::kit::error::ProblemBody),
        (status = 412, description = "`precondition-failed`", body = crate::kit::error::ProblemBody),
        (status = 428, description = "`precondition-required`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn change(
    api: web::Data<Api>,
    organizer: Organizer,
    id: Id<QueueId>,
    if_match: IfMatch,
    body: Body<QueueChange>,
) -> Result<HttpResponse, Problem> {
    let (handle, organizer, change) = (api.handle()?, organizer.0, body.0);
    let state = change.state.map(|state| match state {
        Wanted::Open => State::Open,
        Wanted::Paused => State::Paused,
        Wanted::Closed => State::Closed,
    });
    let done = match (change.has_terms(), state) {
        (false, None) => return Err(Problem::invalid("body", "give at least one field that is to be changed")),
        (false, Some(state)) => {
            handle.engine.ask(id.0, SetState { organizer, state }).await.map_err(Problem::unless_yours)?
        }
        (true, Some(_)) => {
            return Err(Problem::invalid("state", "is changed by itself: everything or nothing of an edit happens"));
        }
        (true, None) => {
            let change = change.of(organizer, if_match.required()?);
            handle.engine.ask(id.0, change).await.map_err(Problem::unless_yours)?
        }
    };
    let etag = etag(done.answer.version);
    Ok(Reply::ok().position(done.position).etag(etag).json(&Queue::from(done.answer)))
}

impl QueueChange {
    fn of(self, organizer: OrganizerId, expected: Expected) -> Change {
        Change {
            organizer,
            expected,
            name: self.name,
            redirect_urls: self.redirect_urls,
            policy: self.policy.map(Policy::into),
            opens_at_ms: self.opens_at.map(|at| at.0),
            claim_ttl_s: self.claim_ttl_s,
            session_ttl_s: self.session_ttl_s,
            idle_ttl_s: self.idle_ttl_s,
            absent_after_s: self.absent_after_s,
            purchase_completes: self.purchase_completes,
            join: self.join.map(QueueJoin::into),
        }
    }

    fn has_terms(&self) -> bool {
        let QueueChange { state: _, name, redirect_urls, policy, opens_at, claim_ttl_s, session_ttl_s, .. } = self;
        let QueueChange { idle_ttl_s, absent_after_s, purchase_completes, join, .. } = self;
        name.is_some()
            || redirect_urls.is_some()
            || policy.is_some()
            || opens_at.is_some()
            || claim_ttl_s.is_some()
            || session_ttl_s.is_some()
            || idle_ttl_s.is_some()
            || absent_after_s.is_some()
            || purchase_completes.is_some()
            || join.is_some()
    }
}

impl From<QueueJoin> for JoinPolicy {
    fn from(asked: QueueJoin) -> JoinPolicy {
        match asked {
            QueueJoin::Anyone => JoinPolicy::Anyone,
            QueueJoin::Account => JoinPolicy::Account,
            QueueJoin::Identity => JoinPolicy::Identity,
            QueueJoin::Visitor => JoinPolicy::Visitor,
            QueueJoin::Token => JoinPolicy::Token,
        }
    }
}

impl From<JoinPolicy> for QueueJoin {
    fn from(found: JoinPolicy) -> QueueJoin {
        match found {
            JoinPolicy::Anyone => QueueJoin::Anyone,
            JoinPolicy::Account => QueueJoin::Account,
            JoinPolicy::Identity => QueueJoin::Identity,
            JoinPolicy::Visitor => QueueJoin::Visitor,
            JoinPolicy::Token => QueueJoin::Token,
        }
    }
}

impl From<Policy> for policy::Policy {
    fn from(asked: Policy) -> policy::Policy {
        let rate = asked.rate.map(|Rate { count, interval_s }| policy::Rate { count, interval_s });
        policy::Policy { rate, max_active: asked.max_active, manual: asked.manual }
    }
}

impl From<policy::Policy> for Policy {
    fn from(found: policy::Policy) -> Policy {
        let rate = found.rate.map(|policy::Rate { count, interval_s }| Rate { count, interval_s });
        Policy { rate, max_active: found.max_active, manual: found.manual }
    }
}

impl From<Description> for Queue {
    fn from(found: Description) -> Queue {
        let terms = found.terms;
        Queue {
            queue_id: found.id.0,
            organizer_id: found.organizer.0,
            name: terms.name,
            state: found.state,
            policy: terms.policy.into(),
            redirect_urls: terms.redirect_urls,
            opens_at: Time(terms.opens_at_ms),
            opened: found.opened,
            claim_ttl_s: terms.claim_ttl_s,
            session_ttl_s: terms.session_ttl_s,
            idle_ttl_s: terms.idle_ttl_s,
            absent_after_s: terms.absent_after_s,
            purchase_completes: terms.purchase_completes,
            join: terms.join.into(),
            waiting: found.counts.waiting,
            notice: found.notice,
            commitment: found.commitment,
            created_at: Time(found.created_at_ms),
            version: found.version,
        }
    }
}
