//! A buyer who waits on a stream: told when it is their turn instead of asking.

use crate::client::{Target, write_request};
use crate::watch::events::Events;
use anyhow::{Context, bail};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout_at};

const READ_BYTES: usize = 4 << 10;

/// A stream that the server has ended is opened again after this.
const OPENS_AGAIN_IN: Duration = Duration::from_millis(200);

/// Why somebody stopped listening.
pub enum StreamEnd {
    /// What their entry says now: they do not wait any more.
    Turn(Value),
    /// It was time to go, or the stream ended and is to be opened again.
    Nothing,
    /// The stream ended for good, for this reason: whoever wants to know more asks.
    Over(String),
    /// The server has no stream for them now.
    Refused,
}

/// An open stream of one's own entry, opened again with what was heard last.
#[derive(Default)]
pub struct Listener {
    last_id: Option<u64>,
    /// Told for each event of one's own: what the entry says.
    pub told: Vec<Value>,
}

impl Listener {
    /// Listens to the entry at `path` until they need not wait any more, but not longer than `until`.
    pub async fn listen(
        &mut self,
        target: &Target,
        path: &str,
        token: &str,
        until: Instant,
    ) -> anyhow::Result<StreamEnd> {
        let mut stream = TcpStream::connect(target.address).await?;
        let last_id = self.last_id.map(|id| id.to_string());
        let mut headers = vec![("accept", "text/event-stream"), ("accept-encoding", "gzip")];
        headers.extend(last_id.as_deref().map(|id| ("last-event-id", id)));
        let mut request = Vec::new();
        write_request(&mut request, "GET", &format!("{path}/events"), &target.host, Some(token), &headers, None);
        stream.write_all(&request).await?;
        let (mut events, mut bytes, mut is_open) = (Events::default(), vec![0; READ_BYTES], false);
        loop {
            let Ok(read) = timeout_at(until.into(), stream.read(&mut bytes)).await else {
                return Ok(StreamEnd::Nothing);
            };
            let read = read?;
            if read == 0 {
                // The server ends a stream in order to have it opened again; not at once, all together.
                sleep_until((Instant::now() + OPENS_AGAIN_IN).into()).await;
                return Ok(StreamEnd::Nothing);
            }
            if !is_open {
                match status(&bytes[..read])? {
                    200 => is_open = true,
                    204 => return Ok(StreamEnd::Over("told before".into())),
                    429 | 503 => return Ok(StreamEnd::Refused),
                    other => bail!("{path}/events: {other}"),
                }
            }
            let mut turn = None;
            let (last_id, told) = (&mut self.last_id, &mut self.told);
            events.feed(&bytes[..read], &mut |event| {
                if event.name != "end" {
                    *last_id = Some(event.id);
                }
                if event.name == "entry" {
                    let entry: Value = serde_json::from_str(event.data).unwrap_or_default();
                    if entry["state"] != "waiting" {
                        turn = Some(entry.clone());
                    }
                    told.push(entry);
                }
            })?;
            if let Some(entry) = turn {
                return Ok(StreamEnd::Turn(entry));
            }
            if let Some(end) = events.end().filter(|end| !end.reconnect) {
                return Ok(StreamEnd::Over(end.reason.clone()));
            }
        }
    }
}

/// The number in a status line.
fn status(head: &[u8]) -> anyhow::Result<u16> {
    let number = head.get(9..12).and_then(|number| std::str::from_utf8(number).ok());
    number.and_then(|number| number.parse().ok()).context("an answer that is not HTTP")
}
