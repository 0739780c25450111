//! Who asks, once that is known.

use crate::kit::error::{Kind, Problem};
use base::id::{AccountId, Millis, OrganizerId, UserId};
use domain::Fingerprint;
use uuid::Uuid;

/// A user with a valid session.
#[derive(Clone, Copy, Debug)]
pub struct User {
    pub user: UserId,
    pub account: AccountId,
}

/// An organizer with a valid key.
#[derive(Clone, Copy, Debug)]
pub struct Organizer(pub OrganizerId);

/// The operator.
#[derive(Clone, Copy, Debug)]
pub struct Operator;

/// Anybody who is known here.
#[derive(Clone, Copy, Debug)]
pub enum Caller {
    User(User),
    Organizer(Organizer),
    Operator,
}

impl Caller {
    /// Who asks for what is another's: an organizer, or (`None`) the operator. Users do not.
    pub fn of_others(self) -> Result<Option<OrganizerId>, Problem> {
        match self {
            Caller::Operator => Ok(None),
            Caller::Organizer(Organizer(id)) => Ok(Some(id)),
            Caller::User(_) => Err(Problem::new(
                Kind::Forbidden,
                "This is for organizers and the operator: send a secret key (osk_… or opk_…).",
            )),
        }
    }
}

/// The session that a user asks with.
#[derive(Clone, Copy, Debug)]
pub struct Current {
    pub user: User,
    pub session: Fingerprint,
    pub begun_at_ms: Millis,
    pub expires_at_ms: Millis,
    /// Whose identity provider's token it is, and the provider's version, if it is one.
    pub provider: Option<(OrganizerId, u64)>,
}

/// An organizer, and the key that it asks with.
#[derive(Clone, Copy, Debug)]
pub struct OrganizerKey {
    pub organizer: OrganizerId,
    pub key_id: Uuid,
    /// What it is found by.
    pub hash: Fingerprint,
}

/// Of no kind that is known here, or not valid (any more).
pub fn bad_credential() -> Problem {
    Problem::new(Kind::Unauthenticated, "This token or key is not valid. Sign in again, or check the key.")
}

/// Ended before its time.
pub fn session_ended() -> Problem {
    Problem::new(Kind::SessionEnded, "Sign in again with POST /v1/sessions to get a new token.")
}
