//! Around every route: the gate while the server starts, request ids, problem bodies, figures and logs.
//!
//! Hot: one per request. It adds no box of its own; the handles of its figures are looked up once per method and status.

use super::body::Reading;
use super::client_address::client_address;
use super::error::{Kind, Problem};
use super::{Api, Phase};
use crate::config::SLOW_REQUEST;
use crate::metrics;
use crate::secrets::random_bytes;
use actix_web::body::BoxBody;
use actix_web::dev::{RequestHead, Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{Error, HttpResponse, web};
use std::cell::{Cell, RefCell};
use std::future::{Future, Ready, ready};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready as ready_or_pending};
use std::time::{Duration, Instant};

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_CHARS_MAX: usize = 128;
/// Under overload each worker says so once in a while, not with every request.
const REPEATED_LOG_EVERY: Duration = Duration::from_secs(1);

/// The middleware of one path.
pub struct Observe {
    path: &'static str,
    body_bytes_max: usize,
    api: web::Data<Api>,
}

impl Observe {
    pub fn new(path: &'static str, body_bytes_max: usize, api: &web::Data<Api>) -> Observe {
        Observe { path, body_bytes_max, api: api.clone() }
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
            path: self.path,
            open_always: super::health::is_path(self.path),
            body_bytes_max: self.body_bytes_max,
            api: self.api.clone(),
            figures: RefCell::new(Vec::new()),
            logged_at: Cell::new(None),
        };
        ready(Ok(Observer(Rc::new((service, route)))))
    }
}

/// One path on one worker.
struct Route {
    path: &'static str,
    open_always: bool,
    body_bytes_max: usize,
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
        let request_id = given_id(&request).unwrap_or_else(next_id);
        let stage = match route.admit(&request) {
            Err(problem) => Stage::Refused(Some(request.error_response(problem))),
            Ok(()) => match Reading::of(&mut request, route.body_bytes_max, route.body_timeout()) {
                Some(reading) => Stage::Reading(reading, Some(request)),
                None => Stage::Answering(service.call(request)),
            },
        };
        Observed { stage, started, request_id: Some(request_id), observer: self.0.clone() }
    }
}

enum Stage<F> {
    Reading(Reading, Option<ServiceRequest>),
    Answering(F),
    Refused(Option<ServiceResponse<BoxBody>>),
}

pub struct Observed<S: Service<ServiceRequest>> {
    stage: Stage<S::Future>,
    started: Instant,
    request_id: Option<HeaderValue>,
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
                    let read = ready_or_pending!(Pin::new(reading).poll(context));
                    let request = request.take().expect(ENDED);
                    this.stage = match read {
                        Ok(bytes) => {
                            Reading::give(&request, bytes);
                            Stage::Answering(service.call(request))
                        }
                        Err(problem) => Stage::Refused(Some(request.error_response(problem))),
                    };
                }
                Stage::Answering(answer) => break ready_or_pending!(Pin::new(answer).poll(context))?,
                Stage::Refused(response) => break response.take().expect(ENDED),
            }
        };
        let request_id = this.request_id.take().expect(ENDED);
        Poll::Ready(Ok(route.finish(response, request_id, this.started.elapsed())))
    }
}

impl Route {
    fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.api.live.load().body_timeout_ms)
    }

    /// Before its body is read.
    fn admit(&self, request: &ServiceRequest) -> Result<(), Problem> {
        if !self.open_always && self.api.phase() == Phase::Starting {
            return Err(Problem::starting());
        }
        Reading::check_length(request.headers(), self.body_bytes_max)
    }

    fn finish(
        &self,
        mut response: ServiceResponse<BoxBody>,
        request_id: HeaderValue,
        elapsed: Duration,
    ) -> ServiceResponse<BoxBody> {
        let status = response.status().as_u16();
        if status >= 400 {
            response = self.explain(response, &request_id);
        }
        let method = method_name(response.request().method().as_str());
        if self.api.phase() != Phase::Warming {
            self.count(method, status, elapsed);
        }
        if status >= 500 || elapsed >= SLOW_REQUEST {
            let client = self.client(response.request().head());
            self.log(method, status, elapsed, &request_id, client);
        } else {
            tracing::debug!(
                request_id = request_id.to_str().unwrap_or_default(),
                client = %self.client(response.request().head()),
                method,
                route = self.path,
                status,
                ms = elapsed.as_secs_f64() * 1000.0,
                "request"
            );
        }
        response.headers_mut().insert(X_REQUEST_ID, request_id);
        response
    }

    /// Gives a refusal its body, which names the request.
    fn explain(&self, response: ServiceResponse<BoxBody>, request_id: &HeaderValue) -> ServiceResponse<BoxBody> {
        let given = response.response().error().and_then(|error| error.as_error::<Problem>()).cloned();
        let problem = match given {
            Some(problem) => problem,
            // Not one of ours: a part of actix-web refused, or a handler answered a bare status.
            None if response.status().is_client_error() => {
                Problem::new(Kind::InvalidRequest, "The request cannot be read.")
            }
            None if response.response().error().is_none() => return response,
            None => Problem::new(Kind::Internal, "This is our mistake. Tell us the request_id."),
        };
        if self.api.phase() != Phase::Warming {
            self.api.refusals[problem.kind as usize].inc();
        }
        let body = problem.render(request_id.to_str().unwrap_or_default());
        let mut answer = HttpResponse::with_body(problem.status(), BoxBody::new(body));
        problem.put_headers(answer.headers_mut());
        response.into_response(answer)
    }

    fn count(&self, method: &'static str, status: u16, elapsed: Duration) {
        let mut figures = self.figures.borrow_mut();
        let known = figures.iter().position(|(of, code, _)| *code == status && *of == method);
        let index = known.unwrap_or_else(|| {
            figures.push((method, status, self.api.metrics.request(self.path, method, status)));
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
    fn log(&self, method: &str, status: u16, elapsed: Duration, request_id: &HeaderValue, client: IpAddr) {
        let request_id = request_id.to_str().unwrap_or_default();
        let ms = elapsed.as_secs_f64() * 1000.0;
        if status == 503 {
            let now = Instant::now();
            if self.logged_at.get().is_some_and(|at| now - at < REPEATED_LOG_EVERY) {
                return;
            }
            self.logged_at.set(Some(now));
            tracing::warn!(request_id, %client, method, route = self.path, status, ms, "refused: not at the moment");
        } else if status >= 500 {
            tracing::error!(request_id, %client, method, route = self.path, status, ms, "request failed");
        } else {
            tracing::warn!(request_id, %client, method, route = self.path, status, ms, "slow request");
        }
    }
}

/// A closed set: anybody can send any method, and none of them may make a new figure.
fn method_name(method: &str) -> &'static str {
    const NAMES: [&str; 6] = ["GET", "POST", "HEAD", "DELETE", "PATCH", "PUT"];
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
