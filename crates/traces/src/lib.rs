//! Traces of requests leave for an OpenTelemetry collector, over OTLP. The only crate that knows OpenTelemetry.
//!
//! - [`sampler`]: which requests are traced
//! - [`request`]: what is known of one that was answered
//! - [`spans`]: the spans that are made of it
//! - [`exporter`]: the queue, and the thread that sends them
//!
//! Nothing here is on a request's way but [`sampler`] and a push into a bounded queue: a collector that is away, slow or wrong
//! costs traces, and nothing else.

pub mod exporter;
pub mod request;
pub mod sampler;
mod spans;

pub use exporter::{Exporter, Figures, Protocol, Settings, Tracer};
pub use request::{Command, Request};
pub use sampler::{Begun, Reason, Sampling};
