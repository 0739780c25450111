//! One connection's stream: the body of its answer.

use super::lane::Berth;
use super::topic::{Next, Piece, Place, Seat};
use super::{HEARTBEAT_AFTER, Permit};
use crate::http::error::Problem;
use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

/// Bytes that are handed to a connection at once: what a reader that does not read keeps in memory, besides frames that
/// it shares with others, is a few of these.
const SLICE_BYTES: usize = 16 << 10;
/// A client that lost its stream comes back after a time of its own between these, ms: not all at once.
const RETRY_MS: std::ops::Range<u64> = 1_000..6_000;

const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");

/// What a stream starts with.
pub struct Start {
    pub permit: Permit,
    pub seat: Seat,
    pub first: Piece,
}

/// The answer that is the stream. Without a start it is the head alone, for HEAD.
pub fn answer(start: Option<Start>) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CONTENT_TYPE, "text/event-stream"));
    answer.insert_header((CACHE_CONTROL, "no-store"));
    // nginx would keep the frames until its buffer is full.
    answer.insert_header((HeaderName::from_static("x-accel-buffering"), "no"));
    match start {
        Some(start) => answer.body(Stream::new(start)),
        None => answer.finish(),
    }
}

struct Stream {
    permit: Permit,
    seat: Seat,
    berth: Option<Berth>,
    version: u64,
    place: Place,
    /// What is still to be sent of the frame, and what comes after it.
    rest: Bytes,
    then: Bytes,
    catching_up: Option<BoxFuture<'static, Result<Piece, Problem>>>,
    sent_at: Instant,
}

impl Stream {
    fn new(Start { permit, seat, first }: Start) -> Stream {
        // Spread evenly over the range: multiples of the golden ratio.
        let spread = permit.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let retry_ms = RETRY_MS.start + ((spread * (RETRY_MS.end - RETRY_MS.start)) >> 32);
        Stream {
            permit,
            seat,
            berth: None,
            version: first.version,
            place: first.place,
            rest: format!("retry: {retry_ms}\n\n").into(),
            then: first.bytes,
            catching_up: None,
            sent_at: Instant::now(),
        }
    }

    fn take_slice(&mut self) -> Option<Bytes> {
        if self.rest.is_empty() {
            self.rest = std::mem::take(&mut self.then);
        }
        let len = self.rest.len().min(SLICE_BYTES);
        (len > 0).then(|| self.rest.split_to(len))
    }

    /// Finds what to send next; false when there is nothing now.
    fn refill(&mut self) -> bool {
        match self.seat.topic().next(self.version, &mut self.place) {
            Next::Frame(frame) => {
                self.version = frame.version;
                self.rest = frame.bytes.clone();
                self.permit.hub.metrics.stream_frames.inc();
            }
            Next::Lost => {
                let topic = self.seat.topic();
                topic.hub.metrics.streams_lagging.inc();
                self.catching_up = Some(topic.source.catch_up(topic.clone(), Some(self.version)));
            }
            Next::Nothing if self.sent_at.elapsed() >= HEARTBEAT_AFTER => self.rest = HEARTBEAT,
            Next::Nothing => return false,
        }
        true
    }
}

impl MessageBody for Stream {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let this = self.get_mut();
        loop {
            if let Some(slice) = this.take_slice() {
                this.sent_at = Instant::now();
                this.permit.hub.metrics.stream_bytes.inc_by(slice.len() as u64);
                return Poll::Ready(Some(Ok(slice)));
            }
            if this.permit.hub.is_closing() {
                return Poll::Ready(None);
            }
            match this.catching_up.as_mut().map(|catching_up| catching_up.as_mut().poll(context)) {
                Some(Poll::Ready(Ok(piece))) => {
                    this.catching_up = None;
                    (this.version, this.place, this.rest) = (piece.version, piece.place, piece.bytes);
                    continue;
                }
                // It comes back later and resumes.
                Some(Poll::Ready(Err(_))) => return Poll::Ready(None),
                None if this.refill() => continue,
                Some(Poll::Pending) | None => {}
            }
            let topic = this.seat.topic();
            this.berth.get_or_insert_with(|| Berth::take(topic)).wait(context.waker());
            return Poll::Pending;
        }
    }
}
