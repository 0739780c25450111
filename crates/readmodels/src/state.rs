//! How far the read models are, for whoever waits for them or watches them.

use base::id::Millis;
use eventlog::Position;
use eventlog::sinks::Output;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What a projector tells the rest of the process.
pub struct Progress {
    position: watch::Sender<Position>,
    trouble: Mutex<Vec<Trouble>>,
    output: Option<Arc<Output>>,
}

/// Something that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// The projection; `None` when it is all of them.
    pub projection: Option<String>,
    pub what: String,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.projection {
            Some(projection) => write!(f, "{projection}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Progress { position: watch::Sender::new(Position(0)), trouble: Mutex::default(), output: None }
    }
}

impl Progress {
    /// Tells it to `output`, too.
    pub fn of(output: Arc<Output>) -> Progress {
        Progress { output: Some(output), ..Progress::default() }
    }

    /// The same, for operators: what is not visible yet was recorded at `next_at_ms` or later.
    pub fn tell(&self, next_at_ms: Millis) {
        if let Some(output) = &self.output {
            output.reached(self.position(), Some(next_at_ms));
        }
    }

    /// Up to where every event is visible in SQL, as far as is known here.
    pub fn position(&self) -> Position {
        *self.position.borrow()
    }

    /// Everything up to `position` is visible. A read model that was put back goes back, too.
    pub fn reach(&self, position: Position) {
        self.position.send_if_modified(|at| std::mem::replace(at, position) != position);
    }

    /// Waits until `position` is visible, at most `timeout`; whether it is.
    pub async fn wait(&self, position: Position, timeout: Duration) -> bool {
        let mut at = self.position.subscribe();
        let reached = at.wait_for(|at| *at >= position);
        tokio::time::timeout(timeout, reached).await.is_ok_and(|reached| reached.is_ok())
    }

    /// Replaces what is known to be wrong; gives what was not known before.
    pub fn set_trouble(&self, trouble: Vec<Trouble>) -> Vec<Trouble> {
        let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(output) = &self.output {
            match trouble.first() {
                Some(first) if !known.contains(first) => {
                    output.fails(&first.to_string());
                }
                Some(_) => {}
                None => {
                    output.works();
                }
            }
        }
        let new = trouble.iter().filter(|trouble| !known.contains(trouble)).cloned().collect();
        *known = trouble;
        new
    }

    /// What is wrong; nothing when all is well.
    pub fn trouble(&self) -> Vec<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
