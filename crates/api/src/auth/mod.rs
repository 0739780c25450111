//! Who asks: users by session token or by a token of an identity provider, organizers by secret key, the operator by the
//! bootstrap key.

pub mod accounts;
pub mod caller;
pub mod extract;
pub mod idp_sign_in;

pub use caller::{Caller, Current, Operator, Organizer, OrganizerKey, User, bad_credential};
pub use extract::{credential, current, organizer};
