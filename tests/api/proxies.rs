//! Behind the proxies that people use, which compress answers and rewrite the tags of what they compress. Needs them:
//! `scripts/services`.

use crate::common::{self, Answer, PATIENCE, Request, Server, end_with_test, performance_body};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// A proxy before a server, gone when it is dropped.
struct Proxy {
    child: Child,
    address: String,
}

/// What each is told: its name, its file, and how it is started with it.
type Recipe = (&'static str, fn(&Path, u16, &str) -> String, fn(&mut Command, &Path));

const PROXIES: [Recipe; 4] = [
    ("nginx", nginx, |command, file| _ = command.arg("-e").arg("stderr").arg("-c").arg(file)),
    ("apache2", apache, |command, file| _ = command.arg("-DFOREGROUND").arg("-f").arg(file)),
    ("haproxy", haproxy, |command, file| _ = command.arg("-db").arg("-f").arg(file)),
    ("caddy", caddy, |command, file| _ = command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file)),
];

fn nginx(folder: &Path, port: u16, upstream: &str) -> String {
    let folder = folder.display();
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths = paths.map(|name| format!("{name}_temp_path {folder}/{name};")).join(" ");
    format!(
        "daemon off; master_process off; pid {folder}/pid; events {{}}\n\
        http {{ access_log off; {paths} gzip on; gzip_types application/json; gzip_min_length 1; gzip_proxied any;\n\
        server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{upstream}; }} }} }}"
    )
}

fn apache(folder: &Path, port: u16, upstream: &str) -> String {
    let modules = std::env::var("ONSALE_TEST_PROXIES").unwrap() + "/usr/lib/apache2/modules";
    let load = ["mpm_event", "authz_core", "proxy", "proxy_http", "deflate", "filter"];
    let load = load.map(|name| format!("LoadModule {name}_module {modules}/mod_{name}.so\n")).concat();
    let folder = folder.display();
    format!(
        "{load}ServerRoot {folder}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {folder}/pid\n\
        ErrorLog {folder}/log\nDefaultRuntimeDir {folder}\nAddOutputFilterByType DEFLATE application/json\n\
        ProxyPass / http://{upstream}/\n"
    )
}

fn haproxy(_: &Path, port: u16, upstream: &str) -> String {
    format!(
        "defaults\n mode http\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n\
        listen front\n bind 127.0.0.1:{port}\n compression algo gzip\n compression type application/json\n \
        server onsale {upstream}\n"
    )
}

fn caddy(folder: &Path, port: u16, upstream: &str) -> String {
    let folder = folder.display();
    format!(
        "{{\n admin off\n auto_https off\n storage file_system {folder}\n}}\n\
        http://:{port} {{\n bind 127.0.0.1\n encode {{\n gzip\n minimum_length 1\n }}\n reverse_proxy {upstream}\n}}\n"
    )
}

impl Proxy {
    fn start((name, config, arguments): &Recipe, folder: &Path, upstream: &str) -> Proxy {
        let programs = std::env::var("ONSALE_TEST_PROXIES").unwrap_or_else(|_| {
            panic!("ONSALE_TEST_PROXIES is not set: run `eval \"$(scripts/services up proxies)\"` and try again")
        });
        let folder = folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (file, log) = (folder.join("config"), folder.join("output"));
        fs::write(&file, config(&folder, port, upstream)).unwrap();
        let mut command = Command::new(PathBuf::from(programs).join("bin").join(name));
        arguments(&mut command, &file);
        let output = fs::File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).env("HOME", &folder);
        end_with_test(&mut command);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let mut proxy = Proxy { child, address: format!("127.0.0.1:{port}") };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(&proxy.address).is_err() {
            let ended = proxy.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < until,
                "{name} does not listen: {}",
                fs::read_to_string(&log).unwrap()
            );
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        proxy
    }

    fn send(&self, request: Request) -> Answer {
        let mut answer = common::send_to(&self.address, request.header("Accept-Encoding", "gzip"));
        if answer.header("content-encoding") == Some("gzip") {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&*answer.body).read_to_end(&mut plain).unwrap();
            answer.body = plain;
        }
        answer
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Apache's workers end with their parent when it is told to, not when it is killed.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let until = Instant::now() + PATIENCE;
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < until {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Something that is edited by whoever has seen it: as the document has it, where it is, and two other states of it.
struct Edited {
    operation: (&'static str, &'static str),
    path: String,
    states: [Value; 2],
}

fn everything_edited(server: &Server, organizer: &str) -> Vec<Edited> {
    let performance = server.performance(organizer, json!({}));
    let shown = server.get(&format!("/v1/performances/{performance}"), "").expect(200);
    let queue = json!({"name": "Queue", "policy": {"manual": true}});
    let queue = server.post("/v1/queues", organizer, queue).expect(201).text("/queue_id");
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let provider = |name: &str| json!({"issuer": name, "audience": "shop", "jwks": {"keys": [key.clone()]}});
    server
        .send(
            Request::new("PUT", "/v1/organizer/identity-provider").token(organizer).json(provider("https://a.example")),
        )
        .expect(200);
    let chart = |seats: u32| {
        let mut chart = performance_body()["chart"].clone();
        chart["sections"][0]["rows"][0]["seat_count"] = seats.into();
        json!({"chart": chart})
    };
    let edited = |method, at, path: String, states| Edited { operation: (method, at), path, states };
    vec![
        edited(
            "PATCH",
            "/v1/concerts/{id}",
            format!("/v1/concerts/{}", shown.text("/concert_id")),
            [json!({"title": "Second"}), json!({"title": "Third"})],
        ),
        edited(
            "PATCH",
            "/v1/performances/{id}",
            format!("/v1/performances/{performance}"),
            [json!({"hold_ttl_s": 200}), json!({"hold_ttl_s": 100})],
        ),
        edited(
            "PUT",
            "/v1/performances/{id}/chart",
            format!("/v1/performances/{performance}/chart"),
            [chart(20), chart(30)],
        ),
        edited(
            "PATCH",
            "/v1/queues/{id}",
            format!("/v1/queues/{queue}"),
            [json!({"name": "Second"}), json!({"name": "Third"})],
        ),
        edited("PATCH", "/v1/organizer", "/v1/organizer".into(), [json!({"name": "Second"}), json!({"name": "Third"})]),
        edited(
            "PUT",
            "/v1/organizer/identity-provider",
            "/v1/organizer/identity-provider".into(),
            [provider("https://b.example"), provider("https://c.example")],
        ),
    ]
}

/// Every route that asks for If-Match, as the document has it.
fn documented(server: &Server) -> BTreeSet<(String, String)> {
    let document = server.get("/openapi.json", "").expect(200).json();
    let mut found = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            if parameters.iter().any(|parameter| parameter["name"] == "If-Match") {
                found.insert((method.to_uppercase(), path.clone()));
            }
        }
    }
    found
}

#[test]
fn what_is_read_through_a_compressing_proxy_can_be_polled_and_edited() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let edited = everything_edited(&server, &organizer);
    let named = |(method, path): (&str, &str)| (method.to_owned(), path.to_owned());
    let covered: BTreeSet<_> = edited.iter().map(|edited| named(edited.operation)).collect();
    assert_eq!(covered, documented(&server));
    for recipe in &PROXIES {
        let proxy = Proxy::start(recipe, data.path(), server.address());
        let mut rewritten = 0;
        for Edited { operation, path, states } in &edited {
            let about = format!("{}: {operation:?}", recipe.0);
            let read = |known: &str| {
                let request = Request::new("GET", path).token(&organizer);
                proxy.send(if known.is_empty() { request } else { request.header("If-None-Match", known) })
            };
            let edit = |seen: &str, body: &Value| {
                let method = if operation.0 == "PUT" { "PUT" } else { "PATCH" };
                proxy.send(Request::new(method, path).token(&organizer).header("If-Match", seen).json(body.clone()))
            };
            let tag = |answer: &Answer| answer.header("etag").unwrap_or_else(|| panic!("{about}: no ETag")).to_owned();
            let shown = read("").expect(200);
            assert_eq!(shown.header("content-encoding"), Some("gzip"), "{about}");
            let first = tag(&shown);
            rewritten += usize::from(server.get(path, &organizer).header("etag") != Some(&first));
            assert_eq!(read(&first).status, 304, "{about}: {first}");
            let second = edit(&first, &states[0]);
            assert_eq!(second.status, 200, "{about}: {first}, {}", String::from_utf8_lossy(&second.body));
            edit(&first, &states[1]).expect_problem(412, "precondition-failed");
            let third = edit(&tag(&second), &states[1]);
            assert_eq!(third.status, 200, "{about}: {}, {}", tag(&second), String::from_utf8_lossy(&third.body));
            assert_eq!(read(&first).status, 200, "{about}");
            assert_eq!(read(&tag(&read("").expect(200))).status, 304, "{about}");
        }
        println!("{} rewrote {rewritten} tags of {}", recipe.0, edited.len());
        // Otherwise this would prove nothing.
        assert!(rewritten > 0 || recipe.0 == "caddy", "{} rewrites no tags", recipe.0);
    }
}
