//! Manners that every route has: OPTIONS, HEAD, CORS, limits, compression, tags, keys that outlive a crash.

use crate::common::{self, Answer, OPERATOR_KEY, Request, Server, performance_body};
use serde_json::{Value, json};
use std::io::{BufReader, Read, Write};

pub fn start(arguments: &[&str]) -> (tempfile::TempDir, Server) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), arguments);
    (data, server)
}

/// Every documented path with its methods.
fn paths(server: &Server) -> Vec<(String, Vec<String>)> {
    let document = server.get("/openapi.json", "").expect(200).json();
    let methods = |of: &Value| of.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
    document["paths"].as_object().unwrap().iter().map(|(path, of)| (path.clone(), methods(of))).collect()
}

fn concrete(path: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { uuid::Uuid::nil().to_string() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[test]
fn every_path_says_what_it_allows() {
    let (_data, server) = start(&[]);
    for (path, mut methods) in paths(&server) {
        let uri = concrete(&path);
        let options = server.send(Request::new("OPTIONS", &uri)).expect(204);
        if methods.iter().any(|method| method == "GET") {
            methods.push("HEAD".into());
        }
        methods.push("OPTIONS".into());
        methods.sort();
        let mut allowed: Vec<_> = options.header("allow").unwrap().split(", ").map(str::to_owned).collect();
        allowed.sort();
        assert_eq!(allowed, methods, "{path}");
        assert!(options.body.is_empty() && options.header("access-control-allow-origin").is_none(), "{path}");
        let refused = server.send(Request::new("TRACE", &uri)).expect_problem(405, "method-not-allowed");
        assert_eq!(refused.header("allow"), options.header("allow"), "{path}");
    }
    server.send(Request::new("OPTIONS", "/nothing")).expect_problem(404, "not-found");
}

/// What asks for something else than a path of ours, or to speak something else than HTTP.
#[test]
fn what_is_no_request_to_a_path_is_answered_at_once() {
    // Nobody waits for a body that is never announced: it would take longer than this test.
    let (_data, server) = start(&["--body-timeout-ms", "50000"]);
    let send = |head: &str| {
        let mut stream = server.connect();
        stream.write_all(format!("{head}\r\nHost: test\r\n\r\n").as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let answer = common::read_answer(&mut reader, "GET");
        (answer, reader)
    };
    let (options, _) = send("OPTIONS * HTTP/1.1");
    let allowed = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
    assert_eq!((options.status, options.header("allow"), options.body.len()), (204, Some(allowed), 0));
    assert!(options.header("x-request-id").is_some());
    for target in ["example.com:443", "/v1/concerts", "127.0.0.1:80"] {
        let (refused, mut rest) = send(&format!("CONNECT {target} HTTP/1.1"));
        let refused = refused.expect_problem(405, "method-not-allowed");
        assert_eq!((refused.header("allow"), refused.header("connection")), (Some(allowed), Some("close")), "{target}");
        // And that is the end of the connection.
        assert_eq!(rest.read_to_end(&mut Vec::new()).unwrap(), 0, "{target}");
    }
    for (head, status) in [("GET * HTTP/1.1", 404), ("POST * HTTP/1.1", 404)] {
        send(head).0.expect_problem(status, "not-found");
    }
    let upgrade =
        "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==";
    let started = std::time::Instant::now();
    assert!(send(&format!("GET /v1/concerts HTTP/1.1{upgrade}")).0.expect(200).json()["items"].is_array());
    send(&format!("GET /v1/wallet HTTP/1.1{upgrade}")).0.expect_problem(401, "unauthenticated");
    send(&format!("POST /v1/users HTTP/1.1{upgrade}")).0.expect_problem(415, "unsupported-media-type");
    assert!(started.elapsed().as_secs() < 40, "they waited for a body");
}

#[test]
fn an_encoded_body_is_refused_as_such() {
    let (_data, server) = start(&[]);
    let organizer = server.organizer();
    let performance = server.performance(&organizer, json!({}));
    let body = json!({"title": "T", "artist": "A", "venue": "V"}).to_string();
    let zipped = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let post = |coding: &str, body: &[u8]| {
        let request = Request::new("POST", "/v1/concerts").token(&organizer).header("Content-Encoding", coding);
        server.send(request.body("application/json", body))
    };
    // Whether it is what it says or not.
    for (coding, body) in
        [("gzip", &zipped[..]), ("br", body.as_bytes()), ("x-gzip", &zipped), ("identity, gzip", &zipped), ("?", b"{}")]
    {
        let refused = post(coding, body).expect_problem(415, "unsupported-media-type");
        assert_eq!(refused.header("accept-encoding"), Some("identity"), "{coding}");
        assert_eq!(refused.json()["content_encoding"], coding);
    }
    for coding in ["identity", "Identity", "", "identity, identity"] {
        post(coding, body.as_bytes()).expect(201);
    }
    // Everywhere: also of a file, and where nothing is read.
    let chart = format!("/v1/performances/{performance}/chart");
    let put = Request::new("PUT", &chart).token(&organizer).header("If-Match", "*").header("Content-Encoding", "gzip");
    server.send(put.body("text/csv", &zipped)).expect_problem(415, "unsupported-media-type");
    let delete = Request::new("DELETE", "/v1/organizer/identity-provider").token(&organizer);
    server
        .send(delete.clone().header("Content-Encoding", "gzip").body("application/json", &zipped))
        .expect_problem(415, "unsupported-media-type");
    // Where there is no body it encodes nothing.
    server.send(delete.header("Content-Encoding", "gzip")).expect(204);
    server.send(Request::new("GET", "/v1/concerts").header("Content-Encoding", "br")).expect(200);
}

#[test]
fn json_is_read_as_other_programs_write_it() {
    let (_data, server) = start(&[]);
    let organizer = server.organizer();
    let user = server.user("user");
    let json = |text: &str| {
        Request::new("POST", "/v1/wallet/charges").token(OPERATOR_KEY).body("application/json", text.as_bytes())
    };
    for (index, points) in ["100.0", "1e2", "1E+2", "100"].into_iter().enumerate() {
        let text = format!("\u{feff}{{\"points\": {points}, \"user_id\": \"{}\"}}", user.id);
        let charged = server.send(json(&text).key("as-others-write-it")).expect(201);
        assert_eq!(charged.json()["points"], 100, "{points}");
        // The same request, however it is written.
        assert_eq!(charged.header("idempotency-replayed").is_some(), index > 0, "{points}");
    }
    let half = format!("{{\"points\": 100.5, \"user_id\": \"{}\"}}", user.id);
    assert_eq!(
        server.send(json(&half).key("as-others-write-it")).expect_problem(400, "invalid-request").json()["field"],
        "points"
    );
    let chart = "{\"chart\": {\"sections\": [{\"section\": \"A\", \"rows\": [{\"row\": \"1\", \"grade\": \"VIP\", \"seat_count\": 1e1}]}]}}";
    let check =
        Request::new("POST", "/v1/charts/validation").token(&organizer).body("application/json", chart.as_bytes());
    assert_eq!(server.send(check).expect(200).json()["seats"], 10);
    let utf16: Vec<u8> = "{\"points\": 1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let wide = Request::new("POST", "/v1/wallet/charges").token(OPERATOR_KEY).key("as-others-write-it");
    let refused = server.send(wide.body("application/json", &utf16)).expect_problem(400, "malformed-json");
    assert!(refused.text("/detail").contains("UTF-8"));
    assert_eq!(server.balance(&user), 100);
}

#[test]
fn head_is_get_without_the_body() {
    let (_data, server) = start(&["--demo"]);
    for path in ["/livez", "/openapi.json", "/docs", "/docs/", "/v1/concerts", "/v1/wallet", "/nothing"] {
        let (get, head) = (server.get(path, ""), server.send(Request::new("HEAD", path)));
        assert_eq!((head.status, head.header("content-type")), (get.status, get.header("content-type")), "{path}");
        // Times and ids in a body differ by nothing in length.
        assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
        assert!(head.body.is_empty(), "{path}");
    }
}

#[test]
fn pages_of_configured_origins_may_call() {
    let (_data, server) = start(&["--cors-origins", "https://a.example,http://localhost:5173"]);
    let ask = |method, origin: &str| server.send(Request::new(method, "/v1/wallet").header("Origin", origin));
    let allowed = |answer: &Answer| answer.header("access-control-allow-origin").map(str::to_owned);
    for origin in ["https://a.example", "http://localhost:5173"] {
        let refused = ask("GET", origin).expect_problem(401, "unauthenticated");
        assert_eq!((allowed(&refused).as_deref(), refused.header("vary")), (Some(origin), Some("Origin")));
        assert!(refused.header("access-control-expose-headers").unwrap().contains("Retry-After"));
        assert_eq!(refused.header("access-control-allow-credentials"), None);
    }
    for origin in
        ["https://b.example", "https://a.example.evil.example", "http://a.example", "null", "https://a.example/"]
    {
        let refused = ask("GET", origin);
        assert_eq!((allowed(&refused), refused.header("vary")), (None, Some("Origin")), "{origin}");
    }
    assert_eq!(server.get("/v1/concerts", "").header("vary"), Some("Origin"), "for caches");
    let preflight = Request::new("OPTIONS", "/v1/wallet/charges").header("Origin", "https://a.example");
    let preflight = preflight.header("Access-Control-Request-Method", "POST");
    let preflight = preflight.header("Access-Control-Request-Headers", "authorization,content-type,idempotency-key");
    let answer = server.send(preflight).expect(204);
    assert_eq!(allowed(&answer).as_deref(), Some("https://a.example"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("POST, OPTIONS"));
    assert_eq!(answer.header("access-control-max-age"), Some("7200"));
    let headers = answer.header("access-control-allow-headers").unwrap().to_lowercase();
    for header in ["authorization", "content-type", "last-event-id", "x-request-id"] {
        assert!(headers.split(", ").any(|known| known == header), "{header}");
    }
    // Every header that an operation takes or answers with, as the document has it.
    let exposed = ask("GET", "https://a.example").header("access-control-expose-headers").unwrap().to_lowercase();
    let document = server.get("/openapi.json", "").expect(200).json();
    let (mut taken, mut answered) = (0, 0);
    for operation in document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values())
    {
        for parameter in operation["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "header") {
            let name = parameter["name"].as_str().unwrap().to_lowercase();
            // A proxy's word, not a page's.
            if name.starts_with("x-original-") || name.starts_with("x-forwarded-") {
                continue;
            }
            assert!(headers.split(", ").any(|known| known == name), "{name} may not be sent");
            taken += 1;
        }
        for response in operation["responses"].as_object().unwrap().values() {
            for name in response["headers"].as_object().into_iter().flatten().map(|(name, _)| name.to_lowercase()) {
                // No browser shows it to a script.
                if name == "set-cookie" {
                    continue;
                }
                assert!(exposed.split(", ").any(|known| known == name), "{name} may not be read");
                answered += 1;
            }
        }
    }
    assert!(taken > 20 && answered > 50, "{taken} and {answered} are too few: is the document read?");
    let (_data, open) = start(&["--cors-origins", "*"]);
    let answer = open.send(Request::new("GET", "/v1/concerts").header("Origin", "https://c.example")).expect(200);
    assert_eq!(allowed(&answer).as_deref(), Some("*"));
}

#[test]
fn a_caller_over_its_limit_waits() {
    let limits = ["--limit-user-per-minute", "3", "--limit-address-per-minute", "5", "--limit-sign-in-per-minute", "2"];
    let (_data, server) = start(&[&limits[..], &["--proxy-trusted", "127.0.0.1"]].concat());
    let (user, other) = (server.user("user"), server.user("other"));
    for left in [2, 1, 0] {
        let answer = server.get("/v1/wallet", &user.token).expect(200);
        assert_eq!(answer.header("ratelimit-policy"), Some("\"user\";q=3;w=60"));
        assert!(answer.header("ratelimit").unwrap().starts_with(&format!("\"user\";r={left};t=")), "{answer:?}");
    }
    let refused = server.get("/v1/wallet", &user.token).expect_problem(429, "rate-limited");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert!(refused.header("ratelimit").unwrap().starts_with("\"user\";r=0;"));
    assert_eq!(refused.json()["policy"], "user");
    server.get("/v1/wallet", &other.token).expect(200);

    // Behind a proxy that is trusted, addresses are the clients'.
    let from = |address: &str, request: Request| server.send(request.header("X-Forwarded-For", address));
    let list = || Request::new("GET", "/v1/concerts");
    (0..5).for_each(|_| drop(from("203.0.113.1", list()).expect(200)));
    from("203.0.113.1", list()).expect_problem(429, "rate-limited");
    from("203.0.113.1", list().token("ust_made-up")).expect_problem(429, "rate-limited");
    from("203.0.113.2", list()).expect(200);
    from("203.0.113.1", Request::new("OPTIONS", "/v1/concerts")).expect(204);

    let sign_in =
        |email: &str| Request::new("POST", "/v1/sessions").json(json!({"email": email, "password": "wrong password"}));
    from("203.0.113.3", sign_in("user@example.com")).expect_problem(401, "bad-credentials");
    from("203.0.113.3", sign_in("someone@example.com")).expect_problem(401, "bad-credentials");
    from("203.0.113.3", sign_in("third@example.com")).expect_problem(429, "rate-limited");
    from("203.0.113.4", sign_in(" USER@example.com ")).expect_problem(401, "bad-credentials");

    // A body that comes with a refused request is read: the connection goes on.
    let mut stream = server.connect();
    let request =
        Request::new("POST", "/v1/wallet/charges").token(&user.token).key("key-of-nothing").json(json!({"points": 5}));
    let bytes = [request.bytes("keep-alive"), list().bytes("close")].concat();
    stream.write_all(&bytes).unwrap();
    let mut reader = BufReader::new(stream);
    common::read_answer(&mut reader, "POST").expect_problem(429, "rate-limited");
    common::read_answer(&mut reader, "GET").expect(200);
}

#[test]
fn heads_that_are_too_large_are_refused() {
    let (_data, server) = start(&[]);
    let long = "x".repeat(8192);
    server.get(&format!("/{long}"), "").expect_problem(414, "uri-too-long");
    server.get(&format!("/v1/concerts?cursor={long}"), "").expect_problem(414, "uri-too-long");
    let with = |count| {
        (0..count).fold(Request::new("GET", "/livez"), |request, index| request.header(&format!("X-{index}"), &long))
    };
    server.send(with(3)).expect(200);
    server.send(with(4)).expect_problem(431, "headers-too-large");
    // What actix-http cannot or will not read it refuses itself: with the right status, and without a body.
    server.send(with(16)).expect(431);
    for (sent, status) in
        [("GET / HTTP/1.1\r\n\r\n", 400), ("GE T / HTTP/1.1\r\nHost: t\r\n\r\n", 400), ("nonsense\r\n\r\n", 400)]
    {
        let mut stream = server.connect();
        stream.write_all(sent.as_bytes()).unwrap();
        common::read_answer(&mut BufReader::new(stream), "GET").expect(status);
    }
}

fn unzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

#[test]
fn large_bodies_are_compressed_for_who_accepts_it() {
    let (_data, server) = start(&[]);
    let organizer = server.organizer();
    let mut chart = performance_body()["chart"].clone();
    let seats: Vec<String> = (0..500).map(|seat| format!("S{}", seat * 7)).collect();
    chart["sections"][0]["rows"][0] = json!({"row": "1", "grade": "VIP", "seats": seats});
    let performance = server.performance(&organizer, json!({"chart": chart}));
    let ask = |method, path: &str| Request::new(method, path).header("Accept-Encoding", "gzip, br");
    let gzip = |path: &str| ask("GET", path);
    for path in [&format!("/v1/performances/{performance}/chart"), "/openapi.json", "/docs/swagger-ui.css"] {
        let (plain, small) = (server.get(path, "").expect(200), server.send(gzip(path)).expect(200));
        assert_eq!(
            (plain.header("content-encoding"), small.header("content-encoding")),
            (None, Some("gzip")),
            "{path}"
        );
        assert_eq!((plain.header("vary"), small.header("vary")), (Some("Accept-Encoding"), Some("Accept-Encoding")));
        assert!(small.body.len() * 2 < plain.body.len() && unzip(&small.body) == plain.body, "{path}");
        assert_eq!(server.send(gzip(path)).expect(200).body, small.body, "{path}: again");
        let head = server.send(ask("HEAD", path)).expect(200);
        assert_eq!(head.header("content-length"), Some(small.body.len().to_string().as_str()), "{path}");
        let (Some(tag), Some(small_tag)) = (plain.header("etag"), small.header("etag")) else { continue };
        assert_eq!(small_tag, format!("{}-gzip\"", tag.trim_end_matches('"')), "{path}");
        for known in [tag, small_tag] {
            server.send(Request::new("GET", path).header("If-None-Match", known)).expect(304);
            server.send(gzip(path).header("If-None-Match", known)).expect(304);
        }
    }
    let small = server.send(gzip("/livez")).expect(200);
    assert_eq!((small.header("content-encoding"), small.header("vary")), (None, None), "not worth it");
}

#[test]
fn keys_outlive_a_crash() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let (organizer, user) = (server.organizer(), server.user("user"));
    let (concert, performance) = (server.concert(&organizer), server.performance(&organizer, json!({})));
    let sign_up = json!({"email": "new@example.com", "password": "correct horse", "name": "New"});
    let table = [
        ("/v1/users".to_owned(), "", sign_up),
        ("/v1/organizers".to_owned(), OPERATOR_KEY, json!({"name": "Second"})),
        ("/v1/concerts".to_owned(), &*organizer, json!({"title": "T", "artist": "A", "venue": "V"})),
        (format!("/v1/concerts/{concert}/performances"), &*organizer, performance_body()),
        (format!("/v1/performances/{performance}/reservations"), &*user.token, json!({"seats": ["A-1-1"]})),
        ("/v1/wallet/charges".to_owned(), OPERATOR_KEY, json!({"points": 5, "user_id": user.id, "reference": "r"})),
    ];
    let send = |server: &Server, (path, token, body): &(String, &str, Value)| {
        server.send(Request::new("POST", path).token(token).key("kept-over-a-crash").json(body.clone())).expect(201)
    };
    let first: Vec<_> = table.iter().map(|row| send(&server, row)).collect();
    server.kill();
    let server = Server::start(&folder, &[]);
    for (row, first) in table.iter().zip(&first) {
        let again = send(&server, row);
        assert_eq!(again.header("idempotency-replayed"), Some("true"), "{}", row.0);
        assert_eq!(again.header("location"), first.header("location"), "{}", row.0);
        let without_secrets = |answer: &Answer| {
            let mut body = answer.json();
            // A new session, and a key that is shown once.
            ["session", "key"].into_iter().for_each(|name| drop(body.as_object_mut().unwrap().remove(name)));
            body
        };
        assert_eq!(without_secrets(&again), without_secrets(first), "{}", row.0);
    }
    assert_eq!(server.balance(&user), 5);
}
