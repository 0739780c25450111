//! Why a token of an identity provider is not taken.

/// Why a token is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// With what is wrong with it.
    Invalid(&'static str),
    Expired,
    /// The provider's keys were never had, or too long ago. In so many seconds they are asked for again.
    Unavailable {
        retry_after_s: u64,
    },
}
