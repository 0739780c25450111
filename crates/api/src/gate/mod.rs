//! The gate: whether somebody may pass to a site that is behind a queue. A proxy before the site asks with every request.
//!
//! The first request brings the admission; the gate begins the session with it and gives the site a cookie, a pass, so that
//! the next ones need no more than that. Everything but the beginning is answered from memory.
//!
//! - [`address`]: where they wanted to go; [`cookie`]: the pass

pub mod address;
pub mod cookie;

use crate::Api;
use crate::kit::error::{Kind, Problem};
use crate::kit::extract::Id;
use crate::kit::query;
use crate::kit::reply::Reply;
use crate::queues::admission_token::{self, Admissions};
use crate::route::{Route, routes};
use actix_web::http::header::{CACHE_CONTROL, HeaderMap, HeaderName, LOCATION, REFERRER_POLICY, SET_COOKIE, VARY};
use actix_web::{HttpRequest, HttpResponse, web};
use address::Address;
use base::id::{EntryId, Millis, QueueId};
use cookie::PassCookie;
use domain::queue::admitted::Session;
use domain::queue::{Claim, EntryRejection};
use engine::Failure;
use engine::views::queues::QueueView;
use security::secrets::Secrets;
use security::secrets::pass::Pass;
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::Arc;
use utoipa::IntoParams;

/// Whose session lets a request pass.
const ONSALE_ENTRY: HeaderName = HeaderName::from_static("onsale-entry");
/// What an answer depends on.
const VARIES_BY: &str = "Cookie, Onsale-Admission, X-Original-URI, X-Forwarded-Uri, X-Forwarded-Proto";

/// How the gate answers, and what stands in for a header.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GateQuery {
    /// 1: who may not pass, or is to go on at another address, is sent there by 302; otherwise by 401, which proxies expect.
    #[param(minimum = 0, maximum = 1, required = false, value_type = u32)]
    redirect: Option<String>,
    /// An admission, where no header and no address carries it.
    #[param(required = false, value_type = String)]
    onsale_admission: Option<String>,
}

/// Why somebody is not let through now.
struct Shut {
    reason: &'static str,
    detail: Cow<'static, str>,
}

/// Who passes, with the cookie that they get if an admission was taken.
struct Passed {
    entry: EntryId,
    set_cookie: Option<String>,
}

/// One request, and what it is judged by.
struct Visit<'a> {
    admissions: &'a Admissions,
    secrets: &'a Secrets,
    view: Arc<QueueView>,
    now: Millis,
    headers: &'a HeaderMap,
    cookie: PassCookie,
    address: Option<Address>,
    redirects: bool,
}

pub fn routes() -> Vec<Route> {
    routes![pass_gate]
}

/// Ask whether somebody may pass to a site behind a queue
///
/// For the proxy before the site, with every request: nginx `auth_request`, Caddy and Traefik `forward_auth`, HAProxy. The
/// request brings the cookie that the gate gave, or an admission: in the header, in the query of the address that the proxy
/// passes on (`X-Original-URI`, `X-Forwarded-Uri`), or in the gate's own query. An admission is taken for its own queue, from
/// an address until it expires, and begins the session if that has not begun. It becomes a cookie of the site (`HttpOnly`,
/// `SameSite=Lax`, `Secure` where `X-Forwarded-Proto` is `https`) that ends with the session; who came with one in the address
/// is then sent to the same address without it, so that it stays in no history and no Referer. `reason` of the refusal is
/// `no-admission`, `bad-admission`, `expired`, `session-ended`, or `clean-address`: nothing is wrong, go on there.
#[utoipa::path(
    get, path = "/v1/queues/{id}/gate", tag = "queues", operation_id = "pass_gate",
    params(
        ("id" = Uuid, Path), GateQuery,
        ("Onsale-Admission" = Option<String>, Header, description = "An admission: it counts as long as its session"),
        ("X-Original-URI" = Option<String>, Header, description = "The address that is asked for at the site"),
        ("X-Forwarded-Uri" = Option<String>, Header, description = "The same; if both are sent they must be equal"),
        ("X-Forwarded-Proto" = Option<String>, Header, description = "`https`: the cookie is `Secure`")),
    responses(
        (status = 200, description = "They may pass", headers(
            ("Onsale-Entry" = String, description = "Whose session it is"),
            ("Set-Cookie" = String, description = "To be passed on, when an admission was taken"))),
        (status = 302, description = "With `redirect=1`: go there", headers(("Location" = String), ("Set-Cookie" = String))),
        (status = 401, description = "`gate-shut` (with `reason`, `queue_id`, `location`): go to Location, the queue's page or \
            the address without the admission", body = crate::kit::error::ProblemBody, headers(
            ("Location" = String), ("Set-Cookie" = String))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn pass_gate(api: web::Data<Api>, id: Id<QueueId>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let query: GateQuery = query::read(request.query_string())?;
    let redirects = match query.redirect.as_deref() {
        None | Some("0") => false,
        Some("1") => true,
        Some(_) => return Err(Problem::invalid("redirect", "must be 0 or 1")),
    };
    let handle = api.handle()?;
    let view = handle.engine.views().queues().get(id.0).filter(|view| view.state().is_some());
    let visit = Visit {
        admissions: api.state()?,
        secrets: api.state()?,
        view: view.ok_or_else(|| Problem::no_such("queue"))?,
        now: handle.clock.now(),
        headers: request.headers(),
        cookie: PassCookie::of(id.0, request.headers()),
        address: Address::of(request.headers()),
        redirects,
    };
    let passed = match visit.admission(query.onsale_admission.as_deref()) {
        Some((admission, is_in_address)) => visit.begin(admission, is_in_address).await?,
        None => Err(Shut::new("no-admission", "Wait in the queue: its page is at Location.")),
    };
    // A good pass counts, whatever somebody has put into the address.
    let passed = passed.or_else(|shut| visit.by_cookie(shut));
    let marked = visit.address.as_ref().filter(|address| address.is_marked && Address::is_read_only(visit.headers));
    match (passed, marked) {
        (Ok(passed), Some(address)) => {
            let why =
                Shut::new("clean-address", "You may pass. Go on at Location, where the address has no admission.");
            visit.send(&address.clean, why, passed.set_cookie)
        }
        (Ok(passed), None) => Ok(visit.pass(passed)),
        (Err(shut), _) => {
            let page = format!("{}/q/{}", api.config.public_url.as_ref().map_or("", |url| url.as_str()), id.0);
            visit.send(&page, shut, None)
        }
    }
}

impl Visit<'_> {
    /// The admission that counts, and whether it comes from an address.
    fn admission<'a>(&'a self, in_query: Option<&'a str>) -> Option<(&'a str, bool)> {
        let mut held = self.headers.get_all(admission_token::HEADER);
        if let Some(first) = held.next() {
            // Two of them are none: one may be the client's own, beside the proxy's.
            let is_only = held.next().is_none();
            return Some((first.to_str().ok().filter(|_| is_only).unwrap_or("?"), false));
        }
        let in_address = self.address.as_ref().and_then(|address| address.admission.as_deref());
        in_address.or(in_query).map(|admission| (admission, true))
    }

    /// Lets somebody pass by an admission; it begins their session, if that has not begun.
    async fn begin(&self, admission: &str, is_in_address: bool) -> Result<Result<Passed, Shut>, Problem> {
        let claims = match admission_token::checked(self.admissions, self.view.id, admission) {
            Ok(claims) => claims,
            Err(problem) => return Ok(Err(Shut { reason: "bad-admission", detail: problem.detail })),
        };
        // An address is kept where others may read it: in a history, a log, a bookmark.
        if is_in_address && self.now >= claims.exp.saturating_mul(1_000) {
            return Ok(Err(Shut::new("expired", "The admission came too late. Wait in the queue.")));
        }
        let Some((entry, ticket)) = claims.jti.parse().ok().and_then(|entry: EntryId| Some((entry, entry.ticket()?)))
        else {
            return Err(Problem::internal("An admission of ours names no entry."));
        };
        let pass = Pass { entry, number: claims.pos };
        if self.session(pass).is_some_and(|session| !session.is_claimed) {
            match self.admissions.engine.ask(self.view.id, Claim { ticket }).await {
                Ok(_) => {}
                Err(Failure::Rejected { rejection: EntryRejection::WrongStanding { .. }, .. }) => {
                    return Ok(Err(Shut::ended()));
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        let session = self.session(pass).filter(|session| session.is_claimed);
        Ok(session.ok_or_else(Shut::ended).map(|session| {
            self.view.hear(ticket, 0, self.now);
            let set_cookie = self.cookie.set(&self.secrets.pass(&pass), session.until_ms, self.now);
            Passed { entry, set_cookie: Some(set_cookie) }
        }))
    }

    /// Lets somebody pass by the cookie that they got. From memory.
    fn by_cookie(&self, shut: Shut) -> Result<Passed, Shut> {
        let passes = self.cookie.values(self.headers).filter_map(|pass| self.secrets.passed(pass));
        let mut had_one = false;
        for pass in passes.filter(|pass| pass.entry.queue() == self.view.id) {
            had_one = true;
            if let (Some(ticket), Some(_)) = (pass.entry.ticket(), self.session(pass)) {
                self.view.hear(ticket, 0, self.now);
                return Ok(Passed { entry: pass.entry, set_cookie: None });
            }
        }
        Err(if had_one && shut.reason == "no-admission" { Shut::ended() } else { shut })
    }

    /// The session that a pass is of, unless it has ended.
    fn session(&self, pass: Pass) -> Option<Session> {
        let ticket = pass.entry.ticket().filter(|_| pass.entry.queue() == self.view.id)?;
        let session = self.view.look(|live| live.inside.get(ticket).cloned());
        session.filter(|session| session.number == pass.number && self.now < session.until_ms)
    }

    fn pass(&self, passed: Passed) -> HttpResponse {
        let reply = headers().fold(Reply::ok(), |reply, (name, value)| reply.put(name, value));
        let reply = reply.put(ONSALE_ENTRY, &passed.entry.to_string());
        passed.set_cookie.iter().fold(reply, |reply, cookie| reply.put(SET_COOKIE, cookie)).empty()
    }

    /// Sends somebody elsewhere, in the way that the proxy understands.
    fn send(&self, location: &str, why: Shut, set_cookie: Option<String>) -> Result<HttpResponse, Problem> {
        let set_cookie = set_cookie.iter().map(|cookie| (SET_COOKIE, cookie.as_str()));
        let put = headers().chain(set_cookie);
        if self.redirects {
            return Ok(put.fold(Reply::found(location), |reply, (name, value)| reply.put(name, value)).empty());
        }
        let problem = Problem::new(Kind::GateShut, why.detail)
            .with("reason", why.reason)
            .with("queue_id", self.view.id.to_string())
            .with("location", location)
            .header(LOCATION, location);
        Err(put.fold(problem, |problem, (name, value)| problem.header(name, value)))
    }
}

impl Shut {
    fn new(reason: &'static str, detail: &'static str) -> Shut {
        Shut { reason, detail: detail.into() }
    }

    fn ended() -> Shut {
        Shut::new("session-ended", "The session has ended, or was never begun in time. Wait in the queue.")
    }
}

/// An answer is of one browser and of one instant; and the address that was asked for may carry an admission.
fn headers<'a>() -> impl Iterator<Item = (HeaderName, &'a str)> {
    [(CACHE_CONTROL, "private, no-store"), (VARY, VARIES_BY), (REFERRER_POLICY, "no-referrer")].into_iter()
}
