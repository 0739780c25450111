//! What callers send, in logs: one line each, whatever is in it.

use crate::common::{OPERATOR_KEY, Request, Server};
use serde_json::{Value, json};
use std::io::Write;

/// Ends a line, begins one that looks like ours, and clears the terminal of whoever reads it.
const FORGED: &str =
    "\r\n{\"level\":\"ERROR\",\"message\":\"planted\"}\r\n2026-01-01T00:00:00Z ERROR planted\u{1b}[2J\u{9b}2J";

/// Sends it in every place that takes a text.
fn attack(server: &Server) {
    let organizer = server.organizer();
    let encoded: String = FORGED.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let put = |path: &str, body: Value| Request::new("PUT", path).token(&organizer).json(body);
    let mut named = json!({});
    named[FORGED] = json!(FORGED);
    let requests = [
        Request::new("GET", &format!("/v1/{encoded}")),
        Request::new("GET", &format!("/v1/concerts?{encoded}={encoded}")),
        Request::new("GET", &format!("/v1/reservations/{encoded}")).token(&organizer),
        Request::new("POST", "/v1/users").json(named.clone()),
        Request::new("POST", "/v1/users").body("application/json", FORGED.as_bytes()),
        Request::new("POST", "/v1/sessions").json(json!({"email": FORGED, "password": FORGED})),
        Request::new("POST", "/v1/organizers").token(OPERATOR_KEY).json(json!({"name": FORGED})),
        Request::new("POST", "/v1/concerts")
            .token(&organizer)
            .json(json!({"title": FORGED, "artist": "A", "venue": FORGED})),
        put("/v1/organizer/identity-provider", json!({"issuer": FORGED, "audience": FORGED, "jwks_url": FORGED})),
        put(
            "/v1/organizer/identity-provider",
            json!({"issuer": "i", "audience": "a", "jwks_url": format!("https://localhost:1/{encoded}")}),
        ),
        Request::new("POST", "/v1/sessions").json(json!({"organizer_id": FORGED, "id_token": FORGED})),
        Request::new("GET", "/livez").header("X-Request-Id", "planted\t\u{fc}"),
        Request::new("GET", "/livez").header("X-Forwarded-For", "\u{9b}2J, planted").header("User-Agent", "\u{9b}2J"),
    ];
    for request in requests {
        let answer = server.send(request);
        assert!(answer.status < 500, "{answer:?}");
    }
    // As they are, which is no HTTP.
    for raw in [format!("GET /{FORGED} HTTP/1.1\r\n\r\n"), format!("GET / HTTP/1.1\r\nA: \x1b[2J{FORGED}\r\n\r\n")] {
        server.connect().write_all(raw.as_bytes()).unwrap();
    }
    // A key set that cannot be had is warned of, by its URL.
    let id = server.get("/v1/organizer", &organizer).expect(200).text("/organizer_id");
    let token = "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJpIn0.c2lnbmF0dXJl";
    server.post("/v1/sessions", "", json!({"organizer_id": id, "id_token": token}));
}

#[test]
fn nobody_writes_lines_into_the_log() {
    for format in ["text", "json"] {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(&folder.path().join("data"), &["--log", "trace", "--log-format", format]);
        attack(&server);
        // What was logged last is written before the next answer.
        server.get("/livez", "").expect(200);
        let said = server.errors();
        assert!(said.lines().count() > 50, "everything is logged here");
        for line in said.lines() {
            assert!(!line.contains(['\u{1b}', '\u{9b}', '\r', '\u{7f}']), "{format}: {line:?}");
            let ours = match format {
                "json" => serde_json::from_str::<Value>(line).is_ok_and(|line| line["timestamp"].is_string()),
                _ => line.starts_with("20") && line.as_bytes().get(19) == Some(&b'.'),
            };
            assert!(ours, "{format}: {line:?}");
        }
    }
}
