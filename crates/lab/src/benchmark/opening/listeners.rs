//! Those who have a stream: a connection each, opened again after `retry` when it breaks off.

use super::crowd::Crowd;
use crate::client::write_request;
use serde_json::Value;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::sleep;

/// Between two that open their first stream.
const BETWEEN: Duration = Duration::from_micros(200);
/// Longer events than any there is.
const EVENT_BYTES_MAX: usize = 64 << 10;

/// Starts a stream for each who has one.
pub fn start(crowd: &Rc<Crowd>) {
    let listeners: Vec<usize> =
        crowd.people.borrow().iter().enumerate().filter(|(_, it)| it.listens).map(|(number, _)| number).collect();
    for (place, number) in listeners.into_iter().enumerate() {
        let crowd = crowd.clone();
        spawn_local(async move {
            sleep(BETWEEN * place as u32).await;
            listen(&crowd, number).await;
        });
    }
}

/// Until they do not wait any more.
async fn listen(crowd: &Crowd, number: usize) {
    let mut listener = Listener { retry: crowd.retry_after(number), was_open: false, is_back: true };
    while crowd.people.borrow()[number].waits {
        // However it ended: what counts is whether it was open.
        let _ = listener.stream(crowd, number).await;
        if !crowd.people.borrow()[number].waits {
            return;
        }
        match listener.was_open {
            true => {
                crowd.found.borrow_mut().streams_lost += 1;
                listener.is_back = false;
            }
            // Nobody was there: another time is drawn.
            false => {
                crowd.found.borrow_mut().failed += 1;
                listener.retry = crowd.retry_after(number);
            }
        }
        sleep(listener.retry).await;
    }
}

struct Listener {
    retry: Duration,
    /// Whether the last one was.
    was_open: bool,
    /// None was lost since the last one began.
    is_back: bool,
}

impl Listener {
    /// One stream, to its end.
    async fn stream(&mut self, crowd: &Crowd, number: usize) -> io::Result<()> {
        self.was_open = false;
        let mut stream = TcpStream::connect(crowd.target.address).await?;
        let (path, token) = (crowd.path(number) + "/events", crowd.people.borrow()[number].token.clone());
        let mut request = Vec::new();
        write_request(&mut request, "GET", &path, &crowd.target.host, Some(&token), &[], None);
        stream.write_all(&request).await?;
        let (mut input, mut bytes) = (Vec::new(), [0; 4 << 10]);
        let (mut is_answered, mut is_event) = (false, false);
        loop {
            let count = stream.read(&mut bytes).await?;
            if count == 0 {
                return Ok(());
            }
            input.extend_from_slice(&bytes[..count]);
            let mut read = 0;
            while let Some(end) = input[read..].iter().position(|byte| *byte == b'\n') {
                let line = &input[read..read + end];
                read += end + 1;
                if !std::mem::replace(&mut is_answered, true) {
                    // What is no stream has an end without the connection's: it would be waited for in vain.
                    check_status(crowd, line)?;
                } else if let Some(retry_ms) = number_after(line, b"retry: ") {
                    self.retry = Duration::from_millis(retry_ms);
                    self.was_open = true;
                    if !std::mem::replace(&mut self.is_back, true) {
                        crowd.found.borrow_mut().streams_back += 1;
                    }
                } else if line.starts_with(b"event: ") {
                    is_event = line == b"event: entry";
                } else if is_event && let Some(data) = line.strip_prefix(b"data: ") {
                    let entry: Value = serde_json::from_slice(data).unwrap_or_default();
                    crowd.told(number, &entry);
                    if !crowd.people.borrow()[number].waits {
                        return Ok(());
                    }
                }
            }
            input.drain(..read);
            if input.len() > EVENT_BYTES_MAX {
                return Err(io::Error::other("an event without an end"));
            }
        }
    }
}

/// While it starts, or has too much to do, a server says 503.
fn check_status(crowd: &Crowd, line: &[u8]) -> io::Result<()> {
    let line = String::from_utf8_lossy(line);
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    match status {
        Some(200) => return Ok(()),
        Some(503) => {}
        _ => crowd.unexpected_of_stream(&line),
    }
    Err(io::Error::other("no stream"))
}

fn number_after(line: &[u8], prefix: &[u8]) -> Option<u64> {
    std::str::from_utf8(line.strip_prefix(prefix)?).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Target;
    use base::id::QueueId;
    use tokio::net::TcpListener;
    use tokio::task::LocalSet;
    use tokio::time::timeout;

    /// A server that starts keeps connections on which it said 503: whoever waited for their end would never come back.
    #[test]
    fn who_is_told_to_come_later_does() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = LocalSet::new();
        let played = local.run_until(async {
            let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", server.local_addr().unwrap());
            let crowd = Rc::new(Crowd::new(Target::resolve(&url).await.unwrap(), QueueId::from_random(1), 1));
            crowd.join(0, 1);
            start(&crowd);
            let entry = |state: &str| {
                let entry = format!("{{\"state\":\"{state}\",\"retry_after_ms\":{{\"min\":1,\"max\":2}}}}");
                format!("HTTP/1.1 200 OK\r\n\r\nretry: 1\n\nevent: entry\ndata: {entry}\n\n")
            };
            let answer = async |text: &str| {
                let (mut stream, _) = server.accept().await.unwrap();
                assert!(stream.read(&mut [0; 4 << 10]).await.unwrap() > 0);
                stream.write_all(text.as_bytes()).await.unwrap();
                stream
            };
            drop(answer(&entry("waiting")).await);
            let kept = answer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
            drop(answer(&entry("left")).await);
            while crowd.people.borrow()[0].waits {
                sleep(Duration::from_millis(1)).await;
            }
            drop(kept);
            let found = crowd.found.borrow();
            assert_eq!((found.streams_lost, found.streams_back, found.failed), (1, 1, 1));
            assert_eq!(found.unexpected, None);
        });
        runtime.block_on(async { timeout(Duration::from_secs(30), played).await.expect("it comes back") });
    }
}
