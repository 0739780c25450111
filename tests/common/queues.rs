//! People in queues.

use super::{Answer, PATIENCE, Request, Server};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Somebody in a queue.
#[derive(Clone)]
pub struct Person {
    pub token: String,
    pub path: String,
    pub entry: String,
}

impl Person {
    /// Who joined with this answer.
    pub fn of(joined: Answer) -> Person {
        let path = joined.header("location").unwrap().to_owned();
        Person { token: joined.text("/waiting_token"), path, entry: joined.text("/entry_id") }
    }

    pub fn poll(&self, server: &Server) -> Value {
        server.get(&self.path, &self.token).expect(200).json()
    }

    pub fn act(&self, server: &Server, what: &str) -> Answer {
        server.post(&format!("{}/{what}", self.path), &self.token, json!({}))
    }

    pub fn leave(&self, server: &Server) {
        server.send(Request::new("DELETE", &self.path).token(&self.token)).expect(200);
    }

    pub fn events(&self) -> String {
        format!("{}/events", self.path)
    }

    #[track_caller]
    pub fn until(&self, server: &Server, state: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = self.poll(server);
            if found["state"] == state {
                return found;
            }
            assert!(Instant::now() < until, "not {state} but {found}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
