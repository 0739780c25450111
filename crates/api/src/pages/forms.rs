//! `POST /q/{queue}/join`, `…/leave`, `…/go`: what the page does, for browsers without scripts.

use super::queue::Queue;
use super::scriptless::{check_origin, cookie, place, refused};
use crate::Api;
use crate::kit::error::{Kind, Problem};
use crate::pages::html::PRIVATE;
use crate::queues::entries::Entry;
use crate::route::Route;
use actix_web::http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::EntryId;
use domain::queue::{Claim, Credential, Join, Leave, Person};
use security::secrets::Secrets;
use security::secrets::waiting::Waiting;
use utoipa::openapi::path::HttpMethod;

/// States from which somebody joins anew.
const OVER: &[&str] = &["finished", "expired", "left"];

pub fn routes() -> Vec<Route> {
    vec![
        Route::undocumented(HttpMethod::Post, "/q/{id}/join", join),
        Route::undocumented(HttpMethod::Post, "/q/{id}/leave", leave),
        Route::undocumented(HttpMethod::Post, "/q/{id}/go", go),
    ]
}

async fn join(api: web::Data<Api>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    joined(&api, &request, &id).await.unwrap_or_else(|problem| refused(&request, &problem))
}

async fn leave(api: web::Data<Api>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    left(&api, &request, &id).await.unwrap_or_else(|problem| refused(&request, &problem))
}

async fn go(api: web::Data<Api>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    gone(&api, &request, &id).await.unwrap_or_else(|problem| refused(&request, &problem))
}

/// Who has a place keeps it.
async fn joined(api: &Api, request: &HttpRequest, id: &str) -> Result<HttpResponse, Problem> {
    check_origin(request.headers())?;
    let queue = Queue::named(api, id)?;
    let kept = match place(api, request, &queue)? {
        Some(kept) => entry_of(api, &queue, kept).is_ok_and(|entry| !OVER.contains(&entry.state)).then_some(kept),
        None => None,
    };
    let waiting = match kept {
        Some(kept) => kept,
        None => {
            let done = api
                .handle()?
                .engine
                .ask(queue.id, Join { person: Person::Anonymous(None), by: Credential::Nothing })
                .await?;
            Waiting { entry: EntryId::of(queue.id, done.answer.ticket), redirect: 0 }
        }
    };
    let token = api.state::<Secrets>()?.waiting_token(&waiting);
    Ok(see(&format!("{}/mine", queue.path()), Some(cookie(request, &queue, &token))))
}

async fn left(api: &Api, request: &HttpRequest, id: &str) -> Result<HttpResponse, Problem> {
    check_origin(request.headers())?;
    let queue = Queue::named(api, id)?;
    if let Some(ticket) = place(api, request, &queue)?.and_then(|waiting| waiting.entry.ticket()) {
        api.handle()?.engine.ask(queue.id, Leave { ticket }).await?;
    }
    Ok(see(&format!("{}/mine", queue.path()), None))
}

/// Into the shop: to one of the queue's own URLs, with the admission. Whoever is in already goes on to where they were.
async fn gone(api: &Api, request: &HttpRequest, id: &str) -> Result<HttpResponse, Problem> {
    check_origin(request.headers())?;
    let queue = Queue::named(api, id)?;
    let mine = format!("{}/mine", queue.path());
    let Some(waiting) = place(api, request, &queue)? else { return Ok(see(&mine, None)) };
    let entry = entry_of(api, &queue, waiting)?;
    let (Some(admission), Some(ticket)) = (entry.admission, waiting.entry.ticket()) else {
        return Ok(see(&mine, None));
    };
    match api.handle()?.engine.ask(queue.id, Claim { ticket }).await.map_err(Problem::from) {
        Ok(_) => Ok(see(admission.redirect_url.as_deref().unwrap_or(&mine), None)),
        // It was too late: their page says so.
        Err(problem) if problem.kind == Kind::EntryState => Ok(see(&mine, None)),
        Err(problem) => Err(problem),
    }
}

/// A person in a queue; a sign of life.
pub fn entry_of(api: &Api, queue: &Queue, waiting: Waiting) -> Result<Entry, Problem> {
    let view = api.handle()?.engine.views().queues().get(queue.id).ok_or_else(|| Problem::no_such("queue"))?;
    Entry::of(api, &view, waiting, true)
}

/// 303: look there next.
fn see(path: &str, cookie: Option<String>) -> HttpResponse {
    let mut answer = HttpResponse::SeeOther();
    answer.insert_header((LOCATION, path)).insert_header((CACHE_CONTROL, PRIVATE));
    if let Some(cookie) = cookie {
        answer.insert_header((SET_COOKIE, cookie));
    }
    answer.finish()
}
