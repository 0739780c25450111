//! Something in the way between two that talk over TCP.

use serde_json::{Value, json};
use std::process::Command;

/// A way through a toxiproxy, gone when it is dropped.
pub struct Proxy {
    api: String,
    name: String,
    /// Where it listens.
    pub address: String,
}

impl Proxy {
    /// From `listen`, or a port of its own, to `upstream`, through the toxiproxy at `api`.
    pub fn new(api: &str, listen: Option<&str>, upstream: &str) -> Proxy {
        let name = uuid::Uuid::new_v4().simple().to_string();
        let mut proxy = Proxy { api: api.to_owned(), name: name.clone(), address: String::new() };
        let listen = listen.unwrap_or("127.0.0.1:0");
        let wanted = json!({"name": name, "listen": listen, "upstream": upstream, "enabled": true});
        let made: Value = serde_json::from_str(&proxy.tell("POST", "/proxies", &wanted)).unwrap();
        proxy.address = made["listen"].as_str().expect("an address").to_owned();
        proxy
    }

    /// Lets nothing through any more, or again.
    pub fn enable(&self, enabled: bool) {
        self.tell("POST", &format!("/proxies/{}", self.name), &json!({"enabled": enabled}));
    }

    /// Does something to what goes through, in one direction.
    pub fn poison(&self, kind: &str, stream: &str, attributes: Value) {
        let toxic = json!({"name": kind, "type": kind, "stream": stream, "attributes": attributes});
        self.tell("POST", &format!("/proxies/{}/toxics", self.name), &toxic);
    }

    pub fn heal(&self, kind: &str) {
        self.tell("DELETE", &format!("/proxies/{}/toxics/{kind}", self.name), &Value::Null);
    }

    fn tell(&self, method: &str, path: &str, body: &Value) -> String {
        let url = format!("http://{}{path}", self.api);
        let mut command = Command::new("curl");
        command.args(["-fsS", "-X", method, &url, "-d", &body.to_string()]);
        let output = command.output().expect("curl runs");
        assert!(output.status.success(), "{method} {path}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let url = format!("http://{}/proxies/{}", self.api, self.name);
        let _ = Command::new("curl").args(["-fsS", "-X", "DELETE", &url]).output();
    }
}
