//! Letting people in, by the organizer.

use crate::auth::Organizer;
use crate::kit::body::Body;
use crate::kit::error::Problem;
use crate::kit::extract::{Id, IdempotencyKey};
use crate::kit::reply::Reply;
use crate::route::{Route, routes};
use crate::{Api, EngineHandle};
use actix_web::{HttpResponse, web};
use base::id::{EntryId, QueueId};
use domain::Fingerprint;
use domain::queue::{self, ADMITTED_AT_ONCE_MAX, Admit, AdmitNamed};
use engine::{Done, Failure};
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
/// Idempotency-Key `count` more are let in once only; a call that was broken off goes on where it was.
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
    let (handle, organizer) = (api.handle()?, organizer.0);
    let view = handle.engine.views().queues().get(id.0).ok_or_else(|| Problem::not_found("queue"))?;
    let done = match (body.0.count, body.0.entries, body.0.reason) {
        (Some(count), None, None) => {
            let repeat = key.within(organizer.0.as_bytes());
            let max_active = view.look(|live| live.facts().and_then(|facts| facts.terms.policy.max_active));
            let admit = Admit { organizer, count, repeat, presence: view.clone() };
            admit_count(handle, id.0, admit, max_active).await?
        }
        (Some(_), None, Some(_)) => return Err(Problem::invalid("reason", "goes with entries, not with count")),
        (None, Some(entries), Some(reason)) => {
            let ticket = |(index, entry): (usize, &Uuid)| {
                let entry = EntryId(*entry);
                let ticket = entry.ticket().filter(|_| entry.queue() == id.0);
                ticket.ok_or_else(|| Problem::invalid(format!("entries[{index}]"), "is no entry of this queue"))
            };
            let tickets: Result<Vec<u32>, Problem> = entries.iter().enumerate().map(ticket).collect();
            let admit = AdmitNamed { organizer, tickets: tickets?, reason, presence: view.clone() };
            handle.engine.ask(id.0, admit).await.map_err(Problem::unless_yours)?
        }
        (None, Some(_), None) => return Err(Problem::invalid("reason", "say why they come before others")),
        _ => return Err(Problem::invalid("body", "give count, or entries with reason")),
    };
    let queue::Admissions { admitted, waiting, inside, repeated } = done.answer;
    Ok(Reply::ok().position(done.position).replayed(repeated).json(&Admissions { admitted, waiting, inside }))
}

/// Lets the next `call.count` in, in parts that each are one command, with a key made from that of the call: whoever repeats
/// the call after it was broken off finds the parts that were done, and has the others done.
async fn admit_count(
    handle: &EngineHandle,
    id: QueueId,
    call: Admit,
    max_active: Option<u32>,
) -> Result<Done<queue::Admissions>, Problem> {
    let ask = |count, repeat| handle.engine.ask(id, Admit { count, repeat, ..call.clone() });
    let mut sum = ask(call.count, call.repeat).await.map_err(Problem::unless_yours)?;
    let mut last = sum.answer.admitted;
    for part in 1_u32.. {
        let queue::Admissions { admitted, waiting, inside, .. } = sum.answer;
        let left = call.count.saturating_sub(admitted);
        let is_full = max_active.is_some_and(|max| inside >= max);
        if last != ADMITTED_AT_ONCE_MAX || left == 0 || waiting == 0 || is_full {
            break;
        }
        let key = |key: Fingerprint| Fingerprint::of(&[&key.0.to_be_bytes(), &part.to_be_bytes()]);
        let done = match ask(left, call.repeat.map(key)).await {
            Ok(done) => done,
            // Paused in between, or too much waits: whoever cannot repeat the call learns how many are in.
            Err(Failure::Rejected { .. }) => break,
            Err(Failure::Overloaded) if call.repeat.is_none() => break,
            Err(failure) => return Err(Problem::unless_yours(failure)),
        };
        last = done.answer.admitted;
        let answer = queue::Admissions { admitted: admitted + last, ..done.answer };
        sum = Done { answer, position: done.position };
    }
    Ok(sum)
}
