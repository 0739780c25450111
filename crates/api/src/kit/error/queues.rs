//! Why a queue refuses, in words.

use super::{Kind, Problem, time};
use domain::queue::{Rejection, State};
use serde_json::Value;

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Problem {
        match rejection {
            Rejection::UnknownQueue => Problem::no_such("queue"),
            Rejection::UnknownEntry => Problem::not_found("entry"),
            Rejection::KeyReused => Problem::key_reused(),
            Rejection::Changed { version } => Problem::changed(version),
            Rejection::Invalid { field, reason } => Problem::invalid(field, reason),
            Rejection::Closed => Problem::new(Kind::QueueClosed, "It was closed for good. Make a new queue."),
            Rejection::Full { limit } => {
                Problem::new(Kind::QueueFull, format!("There is room for {limit}.")).with("limit", limit)
            }
            Rejection::Opened => Problem::new(
                Kind::QueueOpened,
                "opens_at cannot be changed any more: those who came before have been drawn.",
            ),
            Rejection::NotOpen { opens_at_ms, state } => Problem::new(
                Kind::QueueNotOpen,
                "Nobody is let in before the queue opens, or while it is paused or closed.",
            )
            .with("state", state_text(state))
            .with("opens_at", opens_at_ms.map_or(Value::Null, time)),
            Rejection::NotManual => Problem::new(
                Kind::QueueNotManual,
                "Its policy lets people in. Name entries to put them first; or change the policy to manual: true.",
            ),
            Rejection::NoRoom { inside, max_active } => Problem::new(
                Kind::QueueBusy,
                format!("{inside} are inside and {max_active} may be. Nobody was let in; try again with fewer."),
            )
            .with("inside", inside)
            .with("max_active", max_active),
            Rejection::WrongStanding { ticket, standing } => {
                let state = standing.name();
                Problem::new(Kind::EntryState, format!("That cannot be done with an entry that is {state}."))
                    .with("ticket", ticket)
                    .with("state", state)
            }
        }
    }
}

fn state_text(state: State) -> &'static str {
    match state {
        State::Open => "open",
        State::Paused => "paused",
        State::Closed => "closed",
    }
}
