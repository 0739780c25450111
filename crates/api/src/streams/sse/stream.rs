//! One connection's stream: the body of its answer.

use super::end::End;
use super::hub::{HEARTBEAT_AFTER, Permit};
use super::personal::{Personal, Told};
use super::text::{Coding, Text};
use super::topic::{CatchUp, Cursor, Next, Subscription};
use super::worker_topic::WakerSlot;
use crate::kit::error::Problem;
use crate::kit::reply::Reply;
use crate::streams::opener::Opener;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, VARY};
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Bytes that are handed to a connection at once: a little less than its buffer begins with. Measured: with thousands of
/// streams whose buffers grow, zeroing new memory takes longer than writing.
const SLICE_BYTES: usize = (8 << 10) - 512;
static HEARTBEAT: LazyLock<Text> = LazyLock::new(|| Text::from(&b":\n\n"[..]));

/// What a stream starts with.
pub struct Start {
    pub permit: Permit,
    pub subscription: Subscription,
    pub first: CatchUp,
    /// What this stream alone is told, beside what all are.
    pub personal: Option<Box<dyn Personal>>,
    /// What it was opened with, if that may end before the stream.
    pub opener: Option<Opener>,
    /// When to come back once it has broken off, where that depends on what it tells of.
    pub retry_ms: Option<RangeInclusive<u64>>,
}

/// The answer that is the stream, compressed for those who accept `gzip`.
pub fn answer(start: Start, gzip: bool) -> HttpResponse {
    begun(gzip).body(Stream::new(start, Coding::of(gzip)))
}

/// The head of that answer alone, for HEAD: as long as the stream, of which nobody knows how long it is.
pub fn head(gzip: bool) -> HttpResponse {
    struct Nothing;

    impl MessageBody for Nothing {
        type Error = Infallible;

        fn size(&self) -> BodySize {
            BodySize::Stream
        }

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
            Poll::Ready(None)
        }
    }

    begun(gzip).body(Nothing)
}

/// The answer to one who was told before that the stream ended for good, and comes back: 204 ends an EventSource.
pub fn over() -> HttpResponse {
    Reply::no_content().header(CACHE_CONTROL, "no-store").empty()
}

fn begun(gzip: bool) -> HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CONTENT_TYPE, "text/event-stream"));
    answer.insert_header((CACHE_CONTROL, "no-store"));
    // nginx would keep the frames until its buffer is full.
    answer.insert_header((HeaderName::from_static("x-accel-buffering"), "no"));
    answer.insert_header((VARY, "Accept-Encoding"));
    if gzip {
        answer.insert_header((CONTENT_ENCODING, "gzip"));
    }
    answer
}

struct Stream {
    permit: Permit,
    subscription: Subscription,
    waker_slot: Option<WakerSlot>,
    version: u64,
    cursor: Cursor,
    coding: Coding,
    /// Bytes of text so far, before they were compressed.
    text_bytes: u64,
    /// What is still to be sent of the frame, and what comes after it.
    rest: Bytes,
    then: Option<Text>,
    catching_up: Option<BoxFuture<'static, Result<CatchUp, Problem>>>,
    personal: Option<Box<dyn Personal>>,
    opener: Option<Opener>,
    sent_at: Instant,
    /// What was handed over last is to be written before there is more.
    write_first: bool,
    ended: bool,
}

impl Stream {
    fn new(Start { permit, subscription, first, personal, opener, retry_ms }: Start, mut coding: Coding) -> Stream {
        // Spread evenly over the range: multiples of the golden ratio.
        let spread = permit.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let range = retry_ms.unwrap_or_else(|| permit.hub.retry_ms());
        let retry_ms = range.start() + ((spread * (range.end() - range.start())) >> 32);
        let retry = format!("retry: {retry_ms}\n\n");
        Stream {
            permit,
            subscription,
            waker_slot: None,
            version: first.version,
            cursor: first.cursor,
            text_bytes: retry.len() as u64,
            rest: coding.begin(retry),
            coding,
            then: Some(first.text),
            catching_up: None,
            personal,
            opener,
            sent_at: Instant::now(),
            write_first: false,
            ended: false,
        }
    }

    fn take_slice(&mut self) -> Option<Bytes> {
        if self.rest.is_empty()
            && let Some(text) = self.then.take()
        {
            self.send(&text);
        }
        let len = self.rest.len().min(SLICE_BYTES);
        self.write_first = self.rest.len() > len;
        (len > 0).then(|| self.rest.split_to(len))
    }

    fn send(&mut self, text: &Text) {
        self.rest = self.coding.code(text);
        self.text_bytes += text.plain().len() as u64;
    }

    /// Finds what this stream alone is to be told; false when there is nothing now.
    fn refill_personally(&mut self, waker: &Waker) -> bool {
        match self.personal.as_mut().map_or(Told::Nothing, |personal| personal.next(waker)) {
            Told::Nothing => return false,
            Told::Event { version, text } => {
                self.version = self.version.max(version);
                self.send(&text);
                self.permit.hub.metrics.stream_frames.inc();
            }
            Told::End(why) => self.end(why),
        }
        true
    }

    /// Finds what to send next; false when there is nothing now.
    fn refill(&mut self) -> bool {
        // Before the frames: the last one comes before the end.
        let ended = self.subscription.topic().ended();
        match self.subscription.topic().next(self.version, &mut self.cursor) {
            Next::Frame(frame) => {
                self.version = frame.version;
                self.send(&frame.text);
                self.permit.hub.metrics.stream_frames.inc();
            }
            Next::Lost => {
                let topic = self.subscription.topic();
                self.permit.hub.metrics.streams_lagging.inc();
                match &mut self.personal {
                    Some(personal) => {
                        self.cursor = topic.cursor();
                        personal.again();
                    }
                    None => {
                        let (topic, version) = (topic.clone(), self.version);
                        self.catching_up = Some(async move { topic.catch_up(Some(version)).await }.boxed());
                    }
                }
            }
            Next::Nothing => match ended {
                Some(why) => self.end(why),
                None if self.sent_at.elapsed() >= HEARTBEAT_AFTER => self.send(&HEARTBEAT),
                None => return false,
            },
        }
        true
    }

    /// Has nothing follow but the last event, which says why, and what ends the stream in good order.
    fn end(&mut self, why: End) {
        self.ended = true;
        self.send(why.text());
        let after = self.coding.end(self.text_bytes);
        if !after.is_empty() {
            self.rest = [&self.rest[..], &after].concat().into();
        }
    }

    /// Why the stream may not go on: what opened it has ended.
    fn end_of_opener(&self, waker: &Waker) -> Option<End> {
        self.opener.as_ref()?.end(waker)
    }
}

impl MessageBody for Stream {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let this = self.get_mut();
        if std::mem::take(&mut this.write_first) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if let Some(slice) = this.take_slice() {
                this.sent_at = Instant::now();
                this.permit.hub.metrics.stream_bytes.inc_by(slice.len() as u64);
                // Whoever hears the last event is not there by it.
                if let Some(personal) = this.personal.as_mut().filter(|_| !this.ended) {
                    personal.taken();
                }
                if let Some(waker_slot) = &this.waker_slot {
                    waker_slot.wrote();
                }
                return Poll::Ready(Some(Ok(slice)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            if this.permit.hub.is_closing() {
                this.end(End::ServerStopping);
                continue;
            }
            if let Some(why) = this.end_of_opener(context.waker()) {
                this.end(why);
                continue;
            }
            if this.refill_personally(context.waker()) {
                continue;
            }
            match this.catching_up.as_mut().map(|catching_up| catching_up.as_mut().poll(context)) {
                Some(Poll::Ready(Ok(catch_up))) => {
                    this.catching_up = None;
                    (this.version, this.cursor) = (catch_up.version, catch_up.cursor);
                    this.send(&catch_up.text);
                    continue;
                }
                // It comes back later and resumes.
                Some(Poll::Ready(Err(_))) => {
                    this.end(End::Overloaded);
                    continue;
                }
                None if this.refill() => continue,
                Some(Poll::Pending) | None => {}
            }
            let topic = this.subscription.topic();
            this.waker_slot.get_or_insert_with(|| WakerSlot::take(topic)).wait(context.waker());
            return Poll::Pending;
        }
    }
}
