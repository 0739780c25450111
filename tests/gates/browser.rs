//! Somebody with a browser that keeps cookies, and their way through a queue.

use crate::common::queues::Person;
use crate::common::{Answer, Request, Server, send_to};
use serde_json::json;

/// One site's cookies, by name.
#[derive(Default, Clone)]
pub struct Browser(Vec<(String, String)>);

impl Browser {
    /// Asks for a page, and keeps the cookie that comes with it.
    pub fn get(&mut self, address: &str, path: &str) -> Answer {
        self.send(address, Request::new("GET", path))
    }

    pub fn send(&mut self, address: &str, request: Request) -> Answer {
        let request = match self.0.is_empty() {
            true => request,
            false => request.header("Cookie", &self.cookies()),
        };
        let answer = send_to(address, request);
        if let Some(set) = answer.header("set-cookie") {
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            self.0.retain(|(known, _)| known != name);
            self.0.push((name.into(), value.into()));
        }
        answer
    }

    pub fn cookies(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }
}

/// A queue that lets people in by hand, and sends them to `redirect_url`.
pub fn queue(server: &Server, organizer: &str, redirect_url: &str) -> String {
    let body = json!({"name": "Tour", "redirect_urls": [redirect_url], "policy": {"manual": true}});
    server.post("/v1/queues", organizer, body).expect(201).text("/queue_id")
}

/// Somebody who has been let in, and the URL that they are sent to, with the admission.
pub fn let_in(server: &Server, organizer: &str, queue: &str) -> (Person, String) {
    let person = Person::of(server.post(&format!("/v1/queues/{queue}/entries"), "", json!({})).expect(201));
    let entries = json!({"entries": [person.entry], "reason": "test"});
    server.post(&format!("/v1/queues/{queue}/admissions"), organizer, entries).expect(200);
    let redirect_url = person.poll(server)["admission"]["redirect_url"].as_str().unwrap().to_owned();
    (person, redirect_url)
}

/// The path and query of a URL.
pub fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    &rest[rest.find('/').unwrap()..]
}

/// The admission in a URL.
pub fn admission_in(url: &str) -> &str {
    url.split_once("onsale_admission=").unwrap().1
}
