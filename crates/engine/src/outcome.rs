//! What comes of a command.

use eventlog::Position;

/// An accepted command: its answer, and the position up to which the log was durable for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Done<T> {
    pub answer: T,
    pub position: Position,
}

/// A command that did not come to an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure<R> {
    /// Refused by the rules; what the refusal rests on is durable up to `position`.
    Rejected { rejection: R, position: Position },
    /// The user was erased: nothing begins for them any more.
    UserErased,
    /// Too much is waiting, for the actor or for the disk. Nothing happened: try again in a moment.
    Overloaded,
    /// The log cannot be written, the process is about to stop. It may have happened or not: the same request again, with
    /// the same key, tells.
    LogFailed,
}
