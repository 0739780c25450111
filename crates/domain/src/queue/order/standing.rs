//! How somebody stands in a queue.

/// Where somebody stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Standing {
    Waiting = 1,
    /// Before all who wait.
    First = 2,
    /// It was their turn and they were away.
    PassedOver = 3,
    Admitted = 4,
    Active = 5,
    Finished = 6,
    Expired = 7,
    Left = 8,
    /// Passed over, and did not come back in time.
    GivenUp = 9,
    Blocked = 10,
}

impl Standing {
    pub(super) const ALL: [Standing; 10] = [
        Standing::Waiting,
        Standing::First,
        Standing::PassedOver,
        Standing::Admitted,
        Standing::Active,
        Standing::Finished,
        Standing::Expired,
        Standing::Left,
        Standing::GivenUp,
        Standing::Blocked,
    ];

    /// What people are told: how often somebody was passed over, or who ended it, is not for them.
    pub fn name(self) -> &'static str {
        match self {
            Standing::Waiting | Standing::First | Standing::PassedOver => "waiting",
            Standing::Admitted => "admitted",
            Standing::Active => "active",
            Standing::Finished => "finished",
            Standing::Expired => "expired",
            Standing::Left | Standing::GivenUp => "left",
            Standing::Blocked => "blocked",
        }
    }

    /// Not let in yet, and may be.
    pub fn waits(self) -> bool {
        matches!(self, Standing::Waiting | Standing::First | Standing::PassedOver)
    }

    /// In a session, or expected.
    pub fn is_inside(self) -> bool {
        matches!(self, Standing::Admitted | Standing::Active)
    }

    /// Whoever comes again after this waits anew, at the end.
    pub fn is_over(self) -> bool {
        matches!(self, Standing::Finished | Standing::Expired | Standing::Left | Standing::GivenUp)
    }
}
