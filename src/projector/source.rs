//! Where events come from: this process' log, or the log of a running server.

use super::event::{Event, Rows};
use super::{Error, Kind};
use crate::feed::Feed;
use crate::log::{self, Log, Position};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Events after a position, in order. It blocks, so it belongs on a thread of its own.
pub trait Source: Send {
    /// The log's identity.
    fn log_id(&self) -> Uuid;
    /// Up to where there are events.
    fn end(&mut self) -> Result<Position, Error>;
    /// The next events after `after`, from at most `events_max` of the log and up to `to`, and up to which position that is:
    /// not all of them may leave. Does not wait.
    fn read(&mut self, after: Position, to: Position, events_max: usize) -> Result<(Vec<Event>, Position), Error>;
    /// Waits until there is something after `after`, at most `timeout`.
    fn wait(&mut self, after: Position, timeout: Duration) -> Result<(), Error>;
    /// The same source for another thread.
    fn again(&self) -> Result<Box<dyn Source>, Error>;
}

/// The log of this process.
pub struct Local {
    log: Arc<dyn Log>,
    log_id: Uuid,
    rows: Rows,
}

impl Local {
    pub fn new(log: Arc<dyn Log>, log_id: Uuid) -> Local {
        Local { log, log_id, rows: Rows::default() }
    }
}

impl Source for Local {
    fn log_id(&self) -> Uuid {
        self.log_id
    }

    fn end(&mut self) -> Result<Position, Error> {
        Ok(self.log.durable())
    }

    fn read(&mut self, after: Position, to: Position, events_max: usize) -> Result<(Vec<Event>, Position), Error> {
        let mut feed = Feed::new(self.log.clone(), after);
        let events_max = events_max.min(to.0.saturating_sub(after.0) as usize);
        let mut events = Vec::with_capacity(events_max);
        let rows = &mut self.rows;
        let read = feed.poll(events_max, &mut |event| {
            events.extend(rows.row(&event));
            true
        });
        read.map_err(|error| unreadable(&error))?;
        Ok((events, feed.position()))
    }

    fn wait(&mut self, after: Position, timeout: Duration) -> Result<(), Error> {
        Feed::new(self.log.clone(), after).wait(timeout);
        Ok(())
    }

    fn again(&self) -> Result<Box<dyn Source>, Error> {
        Ok(Box::new(Local::new(self.log.clone(), self.log_id)))
    }
}

/// A log that cannot be read; the server itself stops when its own cannot.
pub fn unreadable(error: &log::Error) -> Error {
    Error::new(Kind::Away, format!("reading the log: {error}"))
}
