//! Why a queue refuses, in words.

use super::{Kind, Problem, time};
use domain::queue::order::Standing;
use domain::queue::{
    AdmitNamedRejection, AdmitRejection, BlockRejection, ChangeRejection, CreateRejection, EntryRejection, JoinPolicy,
    JoinRejection, NotOpen, SetNoticeRejection, SetPageRejection, SetStateRejection, State, UnknownQueue,
};
use serde_json::Value;

impl From<UnknownQueue> for Problem {
    fn from(_: UnknownQueue) -> Problem {
        Problem::no_such("queue")
    }
}

impl From<CreateRejection> for Problem {
    fn from(rejection: CreateRejection) -> Problem {
        match rejection {
            CreateRejection::KeyReused => Problem::key_reused(),
            CreateRejection::Invalid(invalid) => invalid.into(),
        }
    }
}

impl From<ChangeRejection> for Problem {
    fn from(rejection: ChangeRejection) -> Problem {
        match rejection {
            ChangeRejection::UnknownQueue => UnknownQueue.into(),
            ChangeRejection::Changed { version } => Problem::changed(version),
            ChangeRejection::Closed => closed(),
            ChangeRejection::Opened => Problem::new(
                Kind::QueueOpened,
                "opens_at cannot be changed any more: those who came before have been drawn.",
            ),
            ChangeRejection::Invalid(invalid) => invalid.into(),
        }
    }
}

impl From<SetStateRejection> for Problem {
    fn from(rejection: SetStateRejection) -> Problem {
        match rejection {
            SetStateRejection::UnknownQueue => UnknownQueue.into(),
            SetStateRejection::Closed => closed(),
        }
    }
}

impl From<SetNoticeRejection> for Problem {
    fn from(rejection: SetNoticeRejection) -> Problem {
        match rejection {
            SetNoticeRejection::UnknownQueue => UnknownQueue.into(),
            SetNoticeRejection::Invalid(invalid) => invalid.into(),
        }
    }
}

impl From<SetPageRejection> for Problem {
    fn from(rejection: SetPageRejection) -> Problem {
        match rejection {
            SetPageRejection::UnknownQueue => UnknownQueue.into(),
            SetPageRejection::Invalid(invalid) => invalid.into(),
        }
    }
}

impl From<JoinRejection> for Problem {
    fn from(rejection: JoinRejection) -> Problem {
        match rejection {
            JoinRejection::UnknownQueue => UnknownQueue.into(),
            JoinRejection::Closed => closed(),
            JoinRejection::NotAllowed { join } => not_allowed(join),
            JoinRejection::TokenUsed => Problem::new(
                Kind::JoinTokenUsed,
                "It opened a place before, of somebody else or one that is over. Get another one where you got this one.",
            ),
            JoinRejection::Invalid(invalid) => invalid.into(),
            JoinRejection::Full { limit } => full(limit),
        }
    }
}

fn not_allowed(join: JoinPolicy) -> Problem {
    let (word, how) = match join {
        JoinPolicy::Anyone => ("anyone", "Join as you are."),
        JoinPolicy::Account => ("account", "Sign in, and send the session's token (ust_…)."),
        JoinPolicy::Identity => ("identity", "Sign in with the organizer, and send its identity provider's token."),
        JoinPolicy::Visitor => ("visitor", "Come by the organizer's site: it brings its visitors itself."),
        JoinPolicy::Token => ("token", "Send the token that the organizer has signed for you as token."),
    };
    Problem::new(Kind::JoinNotAllowed, how).with("join", word)
}

impl From<EntryRejection> for Problem {
    fn from(rejection: EntryRejection) -> Problem {
        match rejection {
            EntryRejection::UnknownQueue => UnknownQueue.into(),
            EntryRejection::UnknownEntry => unknown_entry(),
            EntryRejection::WrongStanding { ticket, standing } => wrong_standing(ticket, standing),
        }
    }
}

impl From<BlockRejection> for Problem {
    fn from(rejection: BlockRejection) -> Problem {
        match rejection {
            BlockRejection::UnknownQueue => UnknownQueue.into(),
            BlockRejection::Invalid(invalid) => invalid.into(),
            BlockRejection::UnknownEntry => unknown_entry(),
            BlockRejection::WrongStanding { ticket, standing } => wrong_standing(ticket, standing),
        }
    }
}

impl From<AdmitRejection> for Problem {
    fn from(rejection: AdmitRejection) -> Problem {
        match rejection {
            AdmitRejection::UnknownQueue => UnknownQueue.into(),
            AdmitRejection::Invalid(invalid) => invalid.into(),
            AdmitRejection::NotManual => Problem::new(
                Kind::QueueNotManual,
                "Its policy lets people in. Name entries to put them first; or change the policy to manual: true.",
            ),
            AdmitRejection::NotOpen(not_open) => not_open.into(),
        }
    }
}

impl From<AdmitNamedRejection> for Problem {
    fn from(rejection: AdmitNamedRejection) -> Problem {
        use AdmitNamedRejection as R;
        match rejection {
            R::UnknownQueue => UnknownQueue.into(),
            R::Invalid(invalid) => invalid.into(),
            R::UnknownEntry => unknown_entry(),
            R::WrongStanding { ticket, standing } => wrong_standing(ticket, standing),
            R::NotOpen(not_open) => not_open.into(),
            R::NoRoom { inside, max_active } => Problem::new(
                Kind::QueueBusy,
                format!("{inside} are inside and {max_active} may be. Nobody was let in; try again with fewer."),
            )
            .with("inside", inside)
            .with("max_active", max_active),
            R::Closed => closed(),
            R::Full { limit } => full(limit),
        }
    }
}

impl From<NotOpen> for Problem {
    fn from(NotOpen { opens_at_ms, state }: NotOpen) -> Problem {
        Problem::new(Kind::QueueNotOpen, "Nobody is let in before the queue opens, or while it is paused or closed.")
            .with("state", state_text(state))
            .with("opens_at", opens_at_ms.map_or(Value::Null, time))
    }
}

fn closed() -> Problem {
    Problem::new(Kind::QueueClosed, "It was closed for good. Make a new queue.")
}

fn full(limit: u32) -> Problem {
    Problem::new(Kind::QueueFull, format!("There is room for {limit}.")).with("limit", limit)
}

fn unknown_entry() -> Problem {
    Problem::not_found("entry")
}

fn wrong_standing(ticket: u32, standing: Standing) -> Problem {
    let state = standing.name();
    Problem::new(Kind::EntryState, format!("That cannot be done with an entry that is {state}."))
        .with("ticket", ticket)
        .with("state", state)
}

fn state_text(state: State) -> &'static str {
    match state {
        State::Open => "open",
        State::Paused => "paused",
        State::Closed => "closed",
    }
}
