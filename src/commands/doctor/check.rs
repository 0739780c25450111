//! What a look found.

use serde::Serialize;

/// What a look found.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Check {
    /// Never changes, so that scripts can rely on it.
    pub name: &'static str,
    pub state: State,
    pub found: String,
    /// Empty where there is nothing to do.
    pub todo: String,
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Ok,
    /// Not set up here, or this machine does not tell.
    Skipped,
    /// The sale goes on with it, worse than it could.
    Warning,
    /// A sale is in danger.
    Failure,
}

impl State {
    /// A failure is not to be overlooked.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Skipped => "skipped",
            State::Warning => "warning",
            State::Failure => "FAILURE",
        }
    }
}

impl Check {
    /// What is in order has nothing to do.
    pub fn new(name: &'static str, state: State, found: impl Into<String>, todo: impl Into<String>) -> Check {
        let todo = if state == State::Ok { String::new() } else { todo.into() };
        Check { name, state, found: found.into(), todo }
    }
}
