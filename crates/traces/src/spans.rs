//! The spans of a request: itself, its commands with what happened to each, its queries. Names and attributes are those of
//! OpenTelemetry's semantic conventions, where there are any. Conventions want a server's span to say its path, too: it does not,
//! because paths have ids in them, and some of those let people in.

use crate::request::{Command, Request};
use base::moments::Query;
use base::trace_context::{SpanId as Bytes, TraceContext, new_span_id};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::SpanData;
use std::borrow::Cow;
use std::str::FromStr;
use std::time::{Instant, SystemTime};

/// From the clock that measures to the one that tells.
pub struct Clock {
    instant: Instant,
    time: SystemTime,
}

impl Clock {
    pub fn now() -> Clock {
        Clock { instant: Instant::now(), time: SystemTime::now() }
    }

    fn time(&self, at: Instant) -> SystemTime {
        // One of the two is zero.
        let (before, after) = (self.instant.saturating_duration_since(at), at.saturating_duration_since(self.instant));
        self.time - before + after
    }
}

/// Adds the spans of `request` to `spans`.
pub fn add(request: &Request, scope: &InstrumentationScope, clock: &Clock, spans: &mut Vec<SpanData>) {
    let mut trace = Trace { context: &request.context, scope, clock, spans };
    let mut attributes = vec![
        KeyValue::new("http.request.method", if request.method == "other" { "_OTHER" } else { request.method }),
        KeyValue::new("http.response.status_code", i64::from(request.status)),
        KeyValue::new("url.scheme", request.scheme),
        KeyValue::new("onsale.sampled_by", request.reason.as_str()),
    ];
    attributes.extend(request.route.map(|route| KeyValue::new("http.route", route)));
    let failed = request.status >= 500;
    if failed {
        attributes.push(KeyValue::new("error.type", request.status.to_string()));
    }
    // "HTTP" stands for a method that is none of HTTP's.
    let method = if request.method == "other" { "HTTP" } else { request.method };
    let name = request.route.map_or(Cow::Borrowed(method), |route| format!("{method} {route}").into());
    let own = request.context.span_id;
    trace.add(Part {
        id: own,
        parent: request.parent,
        remote: request.parent.is_some(),
        kind: SpanKind::Server,
        name,
        from: request.started,
        to: request.ended,
        attributes,
        failed,
    });
    for command in &request.commands {
        trace.add_command(own, command, request.ended);
    }
    for query in &request.queries {
        trace.add_query(own, query);
    }
}

struct Trace<'a> {
    context: &'a TraceContext,
    scope: &'a InstrumentationScope,
    clock: &'a Clock,
    spans: &'a mut Vec<SpanData>,
}

struct Part {
    id: Bytes,
    parent: Option<Bytes>,
    /// Whether the parent is somebody else's.
    remote: bool,
    kind: SpanKind,
    name: Cow<'static, str>,
    from: Instant,
    to: Instant,
    attributes: Vec<KeyValue>,
    failed: bool,
}

impl Trace<'_> {
    fn add(&mut self, part: Part) {
        let state = self.context.state.as_deref().and_then(|state| TraceState::from_str(state).ok());
        let trace_id = TraceId::from_bytes(self.context.trace_id);
        // Whatever is sent is recorded.
        let flags = TraceFlags::SAMPLED;
        self.spans.push(SpanData {
            span_context: SpanContext::new(
                trace_id,
                SpanId::from_bytes(part.id),
                flags,
                false,
                state.unwrap_or_default(),
            ),
            parent_span_id: part.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
            parent_span_is_remote: part.remote,
            span_kind: part.kind,
            name: part.name,
            start_time: self.clock.time(part.from),
            end_time: self.clock.time(part.to.max(part.from)),
            attributes: part.attributes,
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: if part.failed { Status::error("") } else { Status::Unset },
            instrumentation_scope: self.scope.clone(),
        });
    }

    fn add_within(&mut self, parent: Bytes, name: &'static str, (from, to): (Instant, Instant)) -> Bytes {
        let (id, kind, attributes) = (new_span_id(), SpanKind::Internal, Vec::new());
        let name = name.into();
        self.add(Part { id, parent: Some(parent), remote: false, kind, name, from, to, attributes, failed: false });
        id
    }

    /// The command and, one after the other, what happened to it. One that was refused at the mailbox has no parts; one that
    /// nobody waited for to the end ends with its request.
    fn add_command(&mut self, request: Bytes, command: &Command, ended: Instant) {
        let name = command.name.rsplit("::").next().unwrap_or(command.name);
        let told = command.told.unwrap_or(ended);
        let id = self.add_within(request, name, (command.sent, told));
        let own = self.spans.last_mut().expect("it was just added");
        own.attributes.push(KeyValue::new("onsale.command", name));
        own.attributes.push(KeyValue::new("onsale.steps", i64::from(command.steps)));
        let ends = [
            ("mailbox", command.begun),
            ("decide", command.decided),
            ("log queue", command.taken),
            ("log write", command.durable),
        ];
        let mut from = command.sent;
        for (name, to) in ends {
            if let Some(to) = to {
                // What an earlier step of a chain waited for is within what that step took.
                let to = to.clamp(from, told.max(from));
                self.add_within(id, name, (from, to));
                from = to;
            }
        }
        if command.begun.is_some() && command.told.is_some() {
            self.add_within(id, "answer", (from, told));
        }
    }

    fn add_query(&mut self, request: Bytes, query: &Query) {
        let mut attributes =
            vec![KeyValue::new("db.system.name", query.system), KeyValue::new("db.operation.name", "SELECT")];
        let mut name = Cow::Borrowed("SELECT");
        if !query.table.is_empty() {
            attributes.push(KeyValue::new("db.collection.name", query.table.to_string()));
            name = format!("SELECT {}", query.table).into();
        }
        if query.failed {
            attributes.push(KeyValue::new("error.type", "_OTHER"));
        }
        self.add(Part {
            id: new_span_id(),
            parent: Some(request),
            remote: false,
            kind: SpanKind::Client,
            name,
            from: query.started,
            to: query.ended,
            attributes,
            failed: query.failed,
        });
    }
}
