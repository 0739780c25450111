//! What is known of a request that was answered.

use crate::sampler::Reason;
use base::moments::{Moment, Moments, Query};
use base::trace_context::{SpanId, TraceContext};
use std::time::Instant;

/// A request that was answered, and is to be seen. It carries no path, no query, no header and no body: nothing of it can be
/// somebody's secret.
#[derive(Debug)]
pub struct Request {
    /// The trace, and the span that the request is.
    pub context: TraceContext,
    /// The caller's span.
    pub parent: Option<SpanId>,
    /// Why it is to be seen.
    pub reason: Reason,
    pub method: &'static str,
    /// The path's template; `None` where there is no such path.
    pub route: Option<&'static str>,
    pub scheme: &'static str,
    pub status: u16,
    pub started: Instant,
    pub ended: Instant,
    pub commands: Vec<Command>,
    pub queries: Vec<Query>,
}

/// When what happened to a command.
#[derive(Debug)]
pub struct Command {
    /// The command's type, with its path.
    pub name: &'static str,
    /// Steps of its chain that were run.
    pub steps: u32,
    pub sent: Instant,
    pub begun: Option<Instant>,
    pub decided: Option<Instant>,
    pub taken: Option<Instant>,
    pub durable: Option<Instant>,
    pub told: Option<Instant>,
}

impl Command {
    /// `None` of one that was never sent.
    pub fn of(moments: &Moments) -> Option<Command> {
        Some(Command {
            name: moments.command(),
            steps: moments.steps(),
            sent: moments.at(Moment::Sent)?,
            begun: moments.at(Moment::Begun),
            decided: moments.at(Moment::Decided),
            taken: moments.at(Moment::Taken),
            durable: moments.at(Moment::Durable),
            told: moments.at(Moment::Told),
        })
    }
}
