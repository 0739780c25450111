//! RouteContext every route: the gate while the server starts, limits, OPTIONS and CORS, request ids, problem bodies, compression,
//! panics, figures and logs.
//!
//! Hot: one per request. It adds no box of its own; the handles of its figures are looked up once per method and status.

use super::client_address::client_address;
use super::connections::Connection;
use super::cors;
use crate::kit::body::Reading;
use crate::kit::error::rate_limit_status::RateLimitStatus;
use crate::kit::error::{Kind, Problem};
use crate::middleware::rate_limits;
use crate::middleware::trace::{Answered, Ids, Trace};
use crate::ops::metrics;
use crate::{Api, Phase};
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{RequestHead, Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, ORIGIN, UPGRADE};
use actix_web::http::{ConnectionType, Method, Version};
use actix_web::{Error, HttpResponse, ResponseError, web};
use base::trace_context::TraceContext;
use config::{HEADER_BYTES_MAX, SLOW_REQUEST, URI_BYTES_MAX};
use security::secrets::random_bytes;
use std::cell::{Cell, RefCell};
use std::future::{Future, Ready, ready};
use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready as ready_or_pending};
use std::time::{Duration, Instant};

/// What is asked for here, one path or another.
const EVERY_METHOD: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_CHARS_MAX: usize = 128;
/// Under overload each worker says so once in a while, not with every request.
const REPEATED_LOG_EVERY: Duration = Duration::from_secs(1);

/// What there is to know about a path.
#[derive(Clone, Copy)]
pub struct RouteContext {
    pub path: &'static str,
    /// Its methods; empty where there is no such path.
    pub allow: &'static str,
    pub body_bytes_max: usize,
    /// Whether its POST costs a password's hash.
    pub sign_in: bool,
    /// Whether it answers while the server starts.
    pub open_always: bool,
}

/// The middleware of one path.
pub struct Observe {
    context: RouteContext,
    api: web::Data<Api>,
}

impl Observe {
    pub fn new(context: RouteContext, api: &web::Data<Api>) -> Observe {
        Observe { context, api: api.clone() }
    }
}

impl<S> Transform<S, ServiceRequest> for Observe
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
    S::Future: Unpin,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Transform = Observer<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        let route = Route {
            context: self.context,
            api: self.api.clone(),
            figures: RefCell::new(Vec::new()),
            logged_at: Cell::new(None),
        };
        ready(Ok(Observer(Rc::new((service, route)))))
    }
}

/// One path on one worker.
struct Route {
    context: RouteContext,
    api: web::Data<Api>,
    /// By method and status; a handful.
    figures: RefCell<Vec<(&'static str, u16, metrics::Request)>>,
    logged_at: Cell<Option<Instant>>,
}

pub struct Observer<S>(Rc<(S, Route)>);

impl<S> Service<ServiceRequest> for Observer<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
    S::Future: Unpin,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Future = Observed<S>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.0.poll_ready(context)
    }

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let started = Instant::now();
        let (service, route) = &*self.0;
        if let Some(connection) = request.conn_data::<Rc<Connection>>() {
            connection.begin();
        }
        let request_id = given_id(&request).unwrap_or_else(next_id);
        let traces = route.api.traces.get();
        let trace = traces.and_then(|tracer| Trace::begin(&route.api, tracer, request.head(), started));
        let mut left = None;
        let stage = match route.admit(&request) {
            _ if *request.method() == Method::CONNECT => {
                Stage::Answered(Some(request.error_response(Problem::method_not_allowed(EVERY_METHOD))))
            }
            Ok(()) if *request.method() == Method::OPTIONS && request.uri().path() == "*" => {
                Stage::Answered(Some(request.into_response(allowing(EVERY_METHOD))))
            }
            Err(problem) => Stage::Answered(Some(request.error_response(problem))),
            Ok(()) if *request.method() == Method::OPTIONS && !route.context.allow.is_empty() => {
                Stage::Answered(Some(route.options(request)))
            }
            Ok(()) => {
                let counted = rate_limits::count(&route.api.limits, &request, route.context.sign_in, started);
                let refused = counted.map(|found| left = found).err();
                match (Reading::of(&mut request, route.context.body_bytes_max, route.body_timeout()), refused) {
                    (Some(reading), refused) => Stage::Reading(reading, Some((request, refused))),
                    (None, Some(problem)) => Stage::Answered(Some(request.error_response(problem))),
                    (None, None) => Stage::Answering(service.call(request)),
                }
            }
        };
        Observed { stage, started, left, request_id: Some(request_id), trace, observer: self.0.clone() }
    }
}

enum Stage<F> {
    /// Also before a refusal that does not depend on the body: none of it is left on the connection.
    Reading(Reading, Option<(ServiceRequest, Option<Problem>)>),
    Answering(F),
    Answered(Option<ServiceResponse<BoxBody>>),
}

pub struct Observed<S: Service<ServiceRequest>> {
    stage: Stage<S::Future>,
    started: Instant,
    left: Option<RateLimitStatus>,
    request_id: Option<HeaderValue>,
    /// None where nothing is traced.
    trace: Option<Box<Trace>>,
    observer: Rc<(S, Route)>,
}

impl<S> Future for Observed<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
    S::Future: Unpin,
{
    type Output = Result<ServiceResponse<BoxBody>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        const ENDED: &str = "not polled after its end";
        let this = &mut *self;
        let (service, route) = &*this.observer;
        let response = loop {
            match &mut this.stage {
                Stage::Reading(reading, request) => {
                    let read = match Pin::new(&mut *reading).poll(context) {
                        Poll::Pending if reading.waits() && request.as_ref().is_some_and(|(it, _)| has_no_end(it)) => {
                            reading.finish()
                        }
                        polled => ready_or_pending!(polled),
                    };
                    let (request, refused) = request.take().expect(ENDED);
                    let given = read.and_then(|bytes| refused.map_or_else(|| Reading::give(&request, bytes), Err));
                    this.stage = match given {
                        Ok(()) => Stage::Answering(service.call(request)),
                        Err(problem) => Stage::Answered(Some(request.error_response(problem))),
                    };
                }
                Stage::Answering(answer) => {
                    // A handler that panics has broken off in the middle of nothing that anybody else sees: what is
                    // shared is behind locks and channels that cope with it.
                    let poll = AssertUnwindSafe(|| Pin::new(answer).poll(context));
                    if let Some(trace) = &mut this.trace {
                        trace.enter();
                    }
                    let polled = std::panic::catch_unwind(poll);
                    if let Some(trace) = &mut this.trace {
                        trace.leave();
                    }
                    match polled {
                        Ok(answered) => break ready_or_pending!(answered)?,
                        Err(_) => {
                            let request_id = this.request_id.take().expect(ENDED);
                            let trace = this.trace.take();
                            return Poll::Ready(Err(route.panicked(request_id, this.started, trace)));
                        }
                    }
                }
                Stage::Answered(response) => break response.take().expect(ENDED),
            }
        };
        let request_id = this.request_id.take().expect(ENDED);
        let elapsed = this.started.elapsed();
        let trace = this.trace.as_deref().map(Trace::context);
        let mut response = route.finish(response, request_id, trace, this.left, elapsed);
        if let Some(trace) = this.trace.take() {
            let method = method_name(response.request().method().as_str());
            route.end(trace, method, response.status().as_u16(), this.started, elapsed);
        }
        let streams = matches!(response.response().body().size(), BodySize::Stream);
        if streams && response.request().version() < Version::HTTP_11 {
            close_after(&mut response);
        }
        let request = response.request();
        if let Some(connection) = request.conn_data::<Rc<Connection>>() {
            connection.end(this.started + elapsed, request.version(), streams);
        }
        Poll::Ready(Ok(response))
    }
}

/// HTTP/1.0 knows no chunks: a body of unknown length is sent as it is and ends with the connection (RFC 9112, 6.3).
fn close_after(response: &mut ServiceResponse<BoxBody>) {
    let head = response.response_mut().head_mut();
    head.no_chunking(true);
    head.set_connection_type(ConnectionType::Close);
}

/// The answer to a request whose handler panicked: the request itself is lost with it.
#[derive(Debug)]
struct Panicked {
    request_id: HeaderValue,
    body: Vec<u8>,
}

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a handler panicked")
    }
}

impl ResponseError for Panicked {
    fn error_response(&self) -> HttpResponse {
        let problem = internal();
        let mut answer = HttpResponse::with_body(problem.status(), BoxBody::new(self.body.clone()));
        problem.put_headers(answer.headers_mut());
        answer.headers_mut().insert(X_REQUEST_ID, self.request_id.clone());
        answer
    }
}

fn internal() -> Problem {
    Problem::new(Kind::Internal, "This is our mistake. Tell us the request_id.")
}

impl Route {
    fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.api.live.load().body_timeout_ms)
    }

    /// Before its body is read.
    fn admit(&self, request: &ServiceRequest) -> Result<(), Problem> {
        if !self.context.open_always && self.api.phase() == Phase::Starting {
            return Err(Problem::starting());
        }
        check_head(request)?;
        Reading::check_length(request.headers(), self.context.body_bytes_max)
    }

    /// What can be asked here, and by which web pages.
    fn options(&self, request: ServiceRequest) -> ServiceResponse<BoxBody> {
        let mut answer = allowing(self.context.allow);
        let origins = &self.api.live.load().cors_origins;
        cors::preflight(origins, request.headers(), self.context.allow, answer.headers_mut());
        request.into_response(answer)
    }

    #[cold]
    fn panicked(&self, request_id: HeaderValue, started: Instant, trace: Option<Box<Trace>>) -> Error {
        let (status, elapsed) = (Kind::Internal.status(), started.elapsed());
        self.api.refusals[Kind::Internal as usize].inc();
        self.count("other", status, elapsed);
        let id = request_id.to_str().unwrap_or_default();
        let ids = trace.as_deref().map(|trace| Ids::of(trace.context()));
        let (trace_id, span_id) = Ids::both(&ids);
        tracing::error!(
            request_id = id,
            trace_id,
            span_id,
            route = self.context.path,
            status,
            "request failed: its handler panicked"
        );
        if let Some(trace) = trace {
            self.end(trace, "other", status, started, elapsed);
        }
        let body = internal().render(id);
        Panicked { request_id, body }.into()
    }

    fn end(&self, trace: Box<Trace>, method: &'static str, status: u16, started: Instant, elapsed: Duration) {
        trace.end(&self.api, &Answered { method, route: self.context.path, status, started, elapsed });
    }

    fn finish(
        &self,
        mut response: ServiceResponse<BoxBody>,
        request_id: HeaderValue,
        trace: Option<&TraceContext>,
        mut left: Option<RateLimitStatus>,
        elapsed: Duration,
    ) -> ServiceResponse<BoxBody> {
        let status = response.status().as_u16();
        if status >= 400 {
            (response, left) = self.explain(response, &request_id, left);
        } else {
            response = self.api.compressed.compress(response);
        }
        let method = method_name(response.request().method().as_str());
        if self.api.phase() != Phase::Warming {
            self.count(method, status, elapsed);
        }
        if status >= 500 || elapsed >= SLOW_REQUEST {
            self.log(method, status, elapsed, &request_id, trace, response.request().head());
        } else if tracing::enabled!(tracing::Level::DEBUG) {
            let ids = Ids::said(trace, response.request().head());
            let (trace_id, span_id) = Ids::both(&ids);
            tracing::debug!(
                request_id = request_id.to_str().unwrap_or_default(),
                trace_id,
                span_id,
                client = %self.client(response.request().head()),
                method,
                route = self.context.path,
                status,
                ms = elapsed.as_secs_f64() * 1000.0,
                "request"
            );
        }
        response.headers_mut().insert(X_REQUEST_ID, request_id);
        if self.api.phase() == Phase::Stopping {
            // Whoever would ask again on this connection would find it closed.
            response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
        if let Some(left) = left {
            left.put_headers(response.headers_mut());
        }
        let origins = &self.api.live.load().cors_origins;
        if !origins.is_empty() {
            let origin = response.request().headers().get(ORIGIN).cloned();
            cors::answer(origins, origin.as_ref(), response.headers_mut());
        }
        response
    }

    /// Gives a refusal its body, which names the request; and says what is left of the limit that refused, if one did.
    fn explain(
        &self,
        response: ServiceResponse<BoxBody>,
        request_id: &HeaderValue,
        left: Option<RateLimitStatus>,
    ) -> (ServiceResponse<BoxBody>, Option<RateLimitStatus>) {
        let given = response.response().error().and_then(|error| error.as_error::<Problem>()).cloned();
        let problem = match given {
            Some(problem) => problem,
            // A page that says it to people.
            None if is_page(response.headers()) => return (response, left),
            // Not one of ours: a part of actix-web refused, or a handler answered a bare status.
            None if response.status().is_client_error() => {
                Problem::new(Kind::InvalidRequest, "The request cannot be read.")
            }
            None if response.response().error().is_none() => return (response, left),
            None => internal(),
        };
        if self.api.phase() != Phase::Warming {
            self.api.refusals[problem.kind as usize].inc();
        }
        let body = problem.render(request_id.to_str().unwrap_or_default());
        let mut answer = HttpResponse::with_body(problem.status(), BoxBody::new(body));
        problem.put_headers(answer.headers_mut());
        if *response.request().method() == Method::CONNECT {
            // What follows is none of HTTP.
            answer.head_mut().set_connection_type(ConnectionType::Close);
        }
        (response.into_response(answer), problem.left.or(left))
    }

    fn count(&self, method: &'static str, status: u16, elapsed: Duration) {
        let mut figures = self.figures.borrow_mut();
        let known = figures.iter().position(|(of, code, _)| *code == status && *of == method);
        let index = known.unwrap_or_else(|| {
            figures.push((method, status, self.api.metrics.request(self.context.path, method, status)));
            figures.len() - 1
        });
        let (.., request) = &figures[index];
        request.total.inc();
        request.seconds.observe(elapsed.as_secs_f64());
    }

    /// Only asked for when something is logged.
    fn client(&self, head: &RequestHead) -> IpAddr {
        let found = client_address(head, &self.api.live.load().proxy_trusted);
        found.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    #[cold]
    fn log(
        &self,
        method: &str,
        status: u16,
        elapsed: Duration,
        request_id: &HeaderValue,
        trace: Option<&TraceContext>,
        head: &RequestHead,
    ) {
        let client = self.client(head);
        let ids = Ids::said(trace, head);
        let (trace_id, span_id) = Ids::both(&ids);
        let (request_id, route) = (request_id.to_str().unwrap_or_default(), self.context.path);
        let ms = elapsed.as_secs_f64() * 1000.0;
        if status == 503 {
            let now = Instant::now();
            if self.logged_at.get().is_some_and(|at| now - at < REPEATED_LOG_EVERY) {
                return;
            }
            self.logged_at.set(Some(now));
            tracing::warn!(request_id, trace_id, span_id, %client, method, route, status, ms, "refused: not at the moment");
        } else if status >= 500 {
            tracing::error!(request_id, trace_id, span_id, %client, method, route, status, ms, "request failed");
        } else {
            tracing::warn!(request_id, trace_id, span_id, %client, method, route, status, ms, "slow request");
        }
    }
}

fn is_page(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|media_type| media_type.as_bytes().starts_with(b"text/html"))
}

fn allowing(methods: &'static str) -> HttpResponse {
    let mut answer = HttpResponse::NoContent().finish();
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

/// Whether a request asks for a WebSocket: actix takes all that follows for its body. Nothing here has WebSockets, so it is
/// answered as if it had not asked (RFC 9110, 7.8).
#[cold]
fn has_no_end(request: &ServiceRequest) -> bool {
    let asked = request.headers().get(UPGRADE).and_then(|asked| asked.to_str().ok());
    asked.is_some_and(|asked| asked.trim().eq_ignore_ascii_case("websocket"))
}

/// Refuses heads that nobody sends who means well. What is larger still, actix refuses without a body.
fn check_head(request: &ServiceRequest) -> Result<(), Problem> {
    let uri = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    if uri > URI_BYTES_MAX {
        let detail = format!("Path and query have at most {URI_BYTES_MAX} bytes.");
        return Err(Problem::new(Kind::UriTooLong, detail).with("bytes_max", URI_BYTES_MAX));
    }
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers > HEADER_BYTES_MAX {
        let detail = format!("A request's headers have at most {HEADER_BYTES_MAX} bytes.");
        return Err(Problem::new(Kind::HeadersTooLarge, detail).with("bytes_max", HEADER_BYTES_MAX));
    }
    Ok(())
}

/// A closed set: anybody can send any method, and none of them may make a new figure.
fn method_name(method: &str) -> &'static str {
    const NAMES: [&str; 7] = ["GET", "POST", "HEAD", "DELETE", "PATCH", "PUT", "OPTIONS"];
    NAMES.into_iter().find(|name| *name == method).unwrap_or("other")
}

/// The caller's own id for the request, if it can stand in a header and in a log.
fn given_id(request: &ServiceRequest) -> Option<HeaderValue> {
    let id = request.headers().get(X_REQUEST_ID)?;
    let fits = (1..=REQUEST_ID_CHARS_MAX).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    fits.then(|| id.clone())
}

/// A new id: 8 random digits of this worker, then a count.
fn next_id() -> HeaderValue {
    thread_local! {
        static NEXT: Cell<(u32, u64)> = Cell::new((u32::from_ne_bytes(random_bytes()), 1));
    }
    let (prefix, count) = NEXT.with(|next| {
        let (prefix, count) = next.get();
        next.set((prefix, count + 1));
        (prefix, count)
    });
    // By hand: the machinery of formatting costs more than the rest of this.
    let mut text = *b"00000000-00000000";
    let mut put = |at: usize, digits: usize, mut value: u64| {
        for index in (at..at + digits).rev() {
            text[index] = b"0123456789abcdef"[(value & 15) as usize];
            value >>= 4;
        }
    };
    put(0, 8, prefix as u64);
    put(9, 8, count);
    HeaderValue::from_bytes(&text).expect("hexadecimal digits")
}
