//! The terms of a sale that are numbers, each in one place.
//!
//! **To add one**, add a row: its name, which numbers it may be, what it is unless somebody says otherwise, what is said of
//! others, and its words in events, in requests that create and in requests that change. The rest follows: the fields of
//! [`Terms`](super::Terms), of [`Change`](super::Change) and of what HTTP takes and gives, the check, and the documents
//! (`UPDATE_CONTRACTS=1 cargo test --test contracts --test reference`). What it means stands where it is looked at. A row that
//! is added after a release says with `#[serde]` that events and requests from before do not have it.

/// Calls the macro that is named with every row, each in braces.
#[macro_export]
macro_rules! number_terms {
    ($make:ident) => {
        $make! {
            {
                hold_ttl_s 1..=86_400, 300, |range| format!("must be {range:?} seconds");
                event {}
                create {
                    /// How long places are held for a user who has not paid.
                }
                change {
                    /// Of holds from now on.
                }
            }
            {
                payment_ttl_s 1..=3_600, 60, |range| format!("must be {range:?} seconds");
                event {}
                create {
                    /// How long a payment may take.
                }
                change {}
            }
            {
                extension_s 0..=86_400, 0, |range| format!("must be at most {} seconds", range.end());
                event {
                    /// How long a hold can be extended, once; 0 = not at all.
                }
                create {
                    /// How long a hold can be extended, once; 0 is not at all.
                }
                change {}
            }
            {
                seats_per_user_max 1..=100, 4, |range| format!("must be {range:?} places");
                event {}
                create {
                    /// Places that one user may have at a time, without those that an organizer holds for the user as a group.
                }
                change {
                    /// Who has more places already keeps them.
                }
            }
            {
                lapsed_holds_max 0..=100, 5, |range| format!("must be {range:?} holds; 0 is no limit");
                event {
                    /// Holds of one user that may come to nothing within an hour; 0 = as many as one likes.
                    #[serde(default, skip_serializing_if = "is_zero")]
                }
                create {
                    /// Holds of one user that may expire, or be given up after more than a minute, within an hour; one more and the user
                    /// waits before holding again. Of those that are given up sooner every minute held counts as one. 0 is no limit.
                    #[serde(skip_serializing_if = "Defaulted::is_default")]
                }
                change {}
            }
            {
                seats_per_hold_max 0..=100, 0, |range| format!("must be {range:?} places; 0 is no limit of its own");
                event {
                    /// Places that a user may hold at once; 0 = as many as the user may have.
                    #[serde(default, skip_serializing_if = "is_zero")]
                }
                create {
                    /// Places that a user may hold with one request, of those that `seats_per_user_max` allows: so many at a time keep
                    /// anybody from taking all at one stroke. An organizer's groups are not bound by it. 0 is no limit of its own.
                    #[serde(skip_serializing_if = "Defaulted::is_default")]
                }
                change {
                    /// Of holds from now on.
                }
            }
        }
    };
}
