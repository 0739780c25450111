//! Why a stream ends: its last event.

use super::Text;
use actix_web::HttpRequest;
use serde::Serialize;
use std::sync::OnceLock;
use utoipa::ToSchema;

/// The id of the last event of a stream that ended for good: the greatest integer that every JSON reader keeps, and no
/// version. A client that comes back by itself, as EventSource does, sends it as Last-Event-ID, and is known by it.
pub const END_ID: u64 = (1 << 53) - 1;

/// The header with which a client comes back.
pub const LAST_EVENT_ID: &str = "Last-Event-ID";

/// The data of `end`, the last event of a stream.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamEnd)]
pub struct LastEvent {
    /// `session-ended`, `token-expired`, `key-revoked`, `provider-disabled`, `provider-changed`, `finished`, `expired`,
    /// `left`, `blocked`, `queue-closed`, `sale-closed`, `performance-cancelled`, `replaced`, `server-stopping` or
    /// `overloaded`; there may be more of them one day.
    #[schema(value_type = String, examples("session-ended"))]
    reason: &'static str,
    /// Whether to open the stream again after `retry`, as it was opened. If not, that would be refused, or answered 204.
    reconnect: bool,
    /// What happened and what to do, for people.
    detail: &'static str,
}

macro_rules! ends {
    ($($(#[$about:meta])* $name:ident = $reason:literal $reconnect:literal $detail:literal,)+) => {
        /// Why a stream ends. The reason is part of the API: it never changes its meaning.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum End { $($(#[$about])* $name),+ }

        impl End {
            #[cfg(test)]
            const ALL: &[End] = &[$(End::$name),+];

            fn last_event(self) -> LastEvent {
                match self {
                    $(End::$name => LastEvent { reason: $reason, reconnect: $reconnect, detail: $detail }),+
                }
            }
        }
    };
}

ends! {
    /// Signed out here or everywhere, by a new password, or with the account.
    SessionEnded = "session-ended" false
        "The session that opened this stream was ended. Sign in again, and open the stream with the new token.",
    TokenExpired = "token-expired" false
        "The token that opened this stream has expired. Sign in again, and open the stream with the new token.",
    KeyRevoked = "key-revoked" false
        "The key that opened this stream was revoked. Open the stream with another key of the organizer's.",
    ProviderDisabled = "provider-disabled" false
        "Tokens of this identity provider are not taken any more. Sign in otherwise, and open the stream anew.",
    /// The token may be right for what it is now: that is found out when it comes back.
    ProviderChanged = "provider-changed" true
        "The organizer changed its identity provider. Open the stream again: the token is checked anew.",
    Finished = "finished" false "The session is completed. To wait again, join the queue again.",
    Expired = "expired" false "The turn or the session has expired. To wait again, join the queue again.",
    Left = "left" false "This entry has left the queue. To wait again, join the queue again.",
    Blocked = "blocked" false
        "This entry was blocked. Poll it, seldom, to learn of it when it is restored, and then open the stream again.",
    QueueClosed = "queue-closed" false "The queue is closed: nobody is let in any more.",
    SaleClosed = "sale-closed" false
        "The sale is closed. Read the performance, seldom, to learn of it should its sale be prolonged.",
    PerformanceCancelled = "performance-cancelled" false "The performance is cancelled: nothing of it is sold any more.",
    /// By more streams of the same entry than there may be.
    Replaced = "replaced" false
        "This entry has as many streams as it may have, and this was the oldest. Watch by one of the others.",
    ServerStopping = "server-stopping" true "The server stops or starts anew. Open the stream again after `retry`.",
    /// What the stream lacked could not be told at the moment.
    Overloaded = "overloaded" true "The server is busy. Open the stream again after `retry`.",
}

impl End {
    /// The last event; made once for all streams.
    pub fn text(self) -> &'static Text {
        const ENDS: usize = End::Overloaded as usize + 1;
        static TEXTS: [OnceLock<Text>; ENDS] = [const { OnceLock::new() }; ENDS];
        TEXTS[self as usize].get_or_init(|| {
            let last = self.last_event();
            // One who comes back goes on from the last event with a version.
            let id = if last.reconnect { String::new() } else { format!("id: {END_ID}\n") };
            let data = serde_json::to_string(&last).expect("plain data");
            format!("event: end\n{id}data: {data}\n\n").into()
        })
    }
}

/// Whether whoever asks was told before, by the last event of this stream, that it ended for good.
pub fn was_told_of_end(request: &HttpRequest) -> bool {
    let id = request.headers().get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    id.is_some_and(|id| id.parse() == Ok(END_ID))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_says_why_and_whether_to_come_back() {
        let mut reasons = std::collections::BTreeSet::new();
        for end in End::ALL {
            let text = std::str::from_utf8(end.text().plain()).unwrap();
            let last = end.last_event();
            assert!(reasons.insert(last.reason), "{} twice", last.reason);
            let id = text.contains(&format!("\nid: {END_ID}\n"));
            assert_eq!(id, !last.reconnect, "{text}");
            assert!(text.starts_with("event: end\n") && text.ends_with("}\n\n"), "{text}");
            assert_eq!(text.matches("\ndata: ").count(), 1, "{text}");
            let data: serde_json::Value = serde_json::from_str(text.split_once("data: ").unwrap().1).unwrap();
            assert_eq!((&data["reason"], &data["reconnect"]), (&last.reason.into(), &last.reconnect.into()));
            assert!(!last.detail.is_empty());
        }
    }
}
