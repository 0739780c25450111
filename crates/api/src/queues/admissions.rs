//! Letting people in, by the organizer.

use crate::Api;
use crate::auth::Organizer;
use crate::kit::body::Body;
use crate::kit::error::{Kind, Problem};
use crate::kit::extract::{Id, IdempotencyKey};
use crate::kit::reply::Reply;
use crate::route::{Route, routes};
use actix_web::{HttpResponse, web};
use base::id::{EntryId, QueueId};
use domain::queue::{Answer, Command};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Who is to be let in: so many, or these.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AdmissionsRequest)]
pub struct NewAdmissions {
    /// The next ones in line, of a queue with a manual policy. Who is away is passed over.
    #[schema(minimum = 1, maximum = 10_000)]
    count: Option<u32>,
    /// These people. With a manual policy at once; otherwise they are put before all others, and let in when the policy
    /// allows it.
    #[schema(min_items = 1, max_items = 1_000)]
    entries: Option<Vec<Uuid>>,
    /// Why `entries` come before others: recorded.
    #[schema(min_length = 1, max_length = 200)]
    reason: Option<String>,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
pub struct Admissions {
    /// How many were let in: fewer than asked for when fewer wait, or when `max_active` are inside.
    admitted: u32,
    /// People who wait now.
    waiting: u32,
    /// People inside now: admitted or active.
    inside: u32,
}

pub fn routes() -> Vec<Route> {
    routes![admit]
}

/// Let people in
///
/// The answer is durable: who was let in finds the admission at the next poll, whatever happens. With the same
/// Idempotency-Key `count` more are let in once only.
#[utoipa::path(
    post, path = "/v1/queues/{id}/admissions", tag = "queues", operation_id = "admit", request_body = NewAdmissions,
    security(("organizer" = [])),
    params(
        ("id" = Uuid, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "8 to 255 visible ASCII characters; for `count`")),
    responses(
        (status = 200, description = "Let in", body = Admissions, headers(
            ("Onsale-Position" = u64), ("Idempotency-Replayed" = bool))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`queue-not-manual`, `queue-not-open` (with `state` and `opens_at`), `queue-busy` (with \
            `inside` and `max_active`), `queue-closed`, `queue-full`, `entry-state` (with `entry` and `state`)",
            body = crate::kit::error::ProblemBody),
    )
)]
pub async fn admit(
    api: web::Data<Api>,
    organizer: Organizer,
    id: Id<QueueId>,
    key: IdempotencyKey,
    body: Body<NewAdmissions>,
) -> Result<HttpResponse, Problem> {
    let (shop, organizer) = (api.shop()?, organizer.0);
    let view = shop.engine.views().queues().get(id.0).ok_or_else(|| Problem::not_found("queue"))?;
    let command = match (body.0.count, body.0.entries, body.0.reason) {
        (Some(count), None, None) => {
            let repeat = key.within(organizer.0.as_bytes());
            Command::Admit { organizer, count, repeat, presence: view.clone() }
        }
        (Some(_), None, Some(_)) => return Err(Problem::invalid("reason", "goes with entries, not with count")),
        (None, Some(entries), Some(reason)) => {
            let ticket = |(index, entry): (usize, &Uuid)| {
                let entry = EntryId(*entry);
                let ticket = entry.ticket().filter(|_| entry.queue() == id.0);
                ticket.ok_or_else(|| Problem::invalid(format!("entries[{index}]"), "is no entry of this queue"))
            };
            let tickets: Result<Vec<u32>, Problem> = entries.iter().enumerate().map(ticket).collect();
            Command::AdmitNamed { organizer, tickets: tickets?, reason, presence: view.clone() }
        }
        (None, Some(_), None) => return Err(Problem::invalid("reason", "say why they come before others")),
        _ => return Err(Problem::invalid("body", "give count, or entries with reason")),
    };
    let done = shop.engine.ask(id.0, command).await.map_err(Problem::unless_yours)?;
    let Answer::Admitted { admitted, waiting, inside, repeated } = done.answer else {
        return Err(Problem::new(Kind::Internal, "A queue did not say how many."));
    };
    Ok(Reply::ok().position(done.position).replayed(repeated).json(&Admissions { admitted, waiting, inside }))
}
