//! The trace of a request: which it is, and what is noted on the way. Where nothing is traced there is none, and that is one
//! branch; of the requests that are not to be seen in the end, a few moments were noted and nothing was allocated.

use crate::{Api, Phase};
use actix_web::dev::RequestHead;
use actix_web::http::header::{HeaderMap, HeaderName};
use base::moments::{self, Recorder};
use base::trace_context::{Hex, TRACEPARENT, TRACESTATE, TraceContext};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};
use traces::sampler::WHOLE;
use traces::{Begun, Command, Request, Sampling, Tracer};

const PARENT: HeaderName = HeaderName::from_static(TRACEPARENT);
const STATE: HeaderName = HeaderName::from_static(TRACESTATE);
/// What a thread keeps for the next requests: as many as it answers at a time, mostly.
const KEPT_MAX: usize = 256;

thread_local! {
    #[allow(clippy::vec_box, reason = "the boxes are what is kept")]
    static KEPT: RefCell<Vec<Box<Trace>>> = const { RefCell::new(Vec::new()) };
}

/// A request that may have to be seen.
pub struct Trace {
    begun: Begun,
    /// Not here while the thread works on the request.
    recorder: Option<Recorder>,
}

/// How a request was answered.
pub struct Answered {
    pub method: &'static str,
    pub route: &'static str,
    pub status: u16,
    pub started: Instant,
    pub elapsed: Duration,
}

impl Trace {
    pub fn begin(api: &Api, tracer: &Tracer, head: &RequestHead, now: Instant) -> Option<Box<Trace>> {
        // The server asks itself.
        if api.phase() == Phase::Warming {
            return None;
        }
        let caller = caller(&head.headers);
        // Whoever reads the events can go on with a trace that somebody has begun, and with one that will be seen.
        let passed_on = caller.is_some();
        let (begun, limited) = tracer.sampler.begin(caller, sampling(api), now);
        if limited.is_some() {
            tracer.limited();
        }
        let origin = (passed_on || begun.reason.is_some()).then(|| Arc::new(begun.context.clone()));
        let mut trace = match KEPT.with_borrow_mut(Vec::pop) {
            Some(mut kept) => {
                kept.begun = begun;
                kept
            }
            None => Box::new(Trace { begun, recorder: Some(Recorder::default()) }),
        };
        if let Some(recorder) = &mut trace.recorder {
            recorder.begin(origin);
        }
        Some(trace)
    }

    /// The thread begins to work on the request.
    pub fn enter(&mut self) {
        if let Some(recorder) = self.recorder.take() {
            moments::enter(recorder);
        }
    }

    /// And goes on with others.
    pub fn leave(&mut self) {
        self.recorder = moments::leave();
    }

    pub fn context(&self) -> &TraceContext {
        &self.begun.context
    }

    /// The request was answered: has it sent, if it is to be seen.
    pub fn end(mut self: Box<Trace>, api: &Api, answered: &Answered) {
        let Some(tracer) = api.traces.get() else { return };
        let Some(recorder) = &mut self.recorder else { return };
        let ended = answered.started + answered.elapsed;
        let outcome = (answered.status >= 500, answered.elapsed);
        match tracer.sampler.end(self.begun.reason, outcome, sampling(api), ended) {
            Ok(Some(reason)) => tracer.send(Request {
                parent: self.begun.parent,
                context: self.begun.context.clone(),
                reason,
                method: answered.method,
                route: Some(answered.route).filter(|route| route.starts_with('/')),
                scheme: if api.config.tls_certificate.is_some() { "https" } else { "http" },
                status: answered.status,
                started: answered.started,
                ended,
                commands: recorder.commands().iter().filter_map(|moments| Command::of(moments)).collect(),
                queries: recorder.take_queries(),
            }),
            Ok(None) => {}
            Err(_) => tracer.limited(),
        }
        KEPT.with_borrow_mut(|kept| {
            if kept.len() < KEPT_MAX {
                kept.push(self);
            }
        });
    }
}

/// What is wanted now.
fn sampling(api: &Api) -> Sampling {
    let live = api.live.load();
    Sampling {
        ratio: live.traces_sample_ratio.of(WHOLE),
        slow: Duration::from_millis(live.traces_slow_ms),
        per_s_max: live.traces_requests_per_s_max,
    }
}

/// The trace that a caller says its request belongs to. Of two there is none.
fn caller(headers: &HeaderMap) -> Option<TraceContext> {
    let parent = headers.get(&PARENT)?;
    if headers.get_all(&PARENT).count() > 1 {
        return None;
    }
    let context = TraceContext::parse(parent.as_bytes())?;
    let mut states = headers.get_all(&STATE).map(|state| state.as_bytes());
    Some(match (states.next(), states.next()) {
        (one, None) => context.with_state(one),
        // One list in several headers.
        _ => {
            let all: Vec<&[u8]> = headers.get_all(&STATE).map(|state| state.as_bytes()).collect();
            context.with_state(Some(&all.join(&b","[..])))
        }
    })
}

/// What a log's line says of a trace.
pub struct Ids {
    trace_id: String,
    span_id: String,
}

impl Ids {
    pub fn of(context: &TraceContext) -> Ids {
        Ids { trace_id: Hex(&context.trace_id).to_string(), span_id: Hex(&context.span_id).to_string() }
    }

    /// Where nothing is traced, the caller's.
    pub fn said(trace: Option<&TraceContext>, head: &RequestHead) -> Option<Ids> {
        trace.map(Ids::of).or_else(|| caller(&head.headers).as_ref().map(Ids::of))
    }

    /// As fields, which are left out where there are none.
    pub fn both(ids: &Option<Ids>) -> (Option<&str>, Option<&str>) {
        let ids = ids.as_ref();
        (ids.map(|ids| ids.trace_id.as_str()), ids.map(|ids| ids.span_id.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_caller_says_it_once() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let of = |headers: &[(&str, &str)]| {
            let request = headers.iter().fold(TestRequest::get(), |request, header| request.append_header(*header));
            let request = request.to_http_request();
            caller(request.headers()).map(|context| (context.traceparent(), context.state))
        };
        assert_eq!(of(&[("TraceParent", parent)]), Some((parent.into(), None)));
        assert_eq!(
            of(&[("traceparent", parent), ("tracestate", "a=1"), ("tracestate", "b=2")]),
            Some((parent.into(), Some("a=1,b=2".into())))
        );
        assert_eq!(of(&[("traceparent", parent), ("traceparent", parent)]), None);
        assert_eq!(of(&[("traceparent", "nonsense"), ("tracestate", "a=1")]), None);
        assert_eq!(of(&[("tracestate", "a=1")]), None);
    }
}
