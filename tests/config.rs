//! What a server can be told, and by whom: file, environment, flags; again on SIGHUP; with TLS.

mod common;

use common::{CHEAP, OPERATOR_KEY, Server, command};
use config::{Flags, SETTINGS};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// `onsale` without anything of this machine's environment.
fn onsale(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onsale"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"ONSALE_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn the_example_file_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("onsale.example.toml");
    if std::env::var_os("UPDATE_CONTRACTS").is_some() {
        fs::write(&path, config::example()).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == config::example(),
        "UPDATE_CONTRACTS=1 cargo test --test config writes a new onsale.example.toml"
    );
}

/// As it stands it changes nothing; with every default taken out of its comment it is still right.
#[test]
fn the_example_file_can_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let defaults = config::load(&Flags::default(), []).unwrap();
    let uncommented: String = config::example()
        .lines()
        .map(|line| {
            let setting = line.strip_prefix("# ").filter(|rest| {
                let parts = rest.split_once(" = ").filter(|(_, value)| !value.trim_start().starts_with('#'));
                parts.is_some_and(|(key, _)| SETTINGS.iter().any(|known| known.key() == key))
            });
            format!("{}\n", setting.unwrap_or(line))
        })
        .collect();
    assert!(uncommented.contains("\nlisten = "), "{uncommented}");
    for text in [config::example(), uncommented] {
        let file = write(dir.path(), "onsale.toml", &text);
        let loaded = config::load(&Flags { file: Some(file), given: vec![] }, []).unwrap();
        for ((setting, found), default) in SETTINGS.iter().zip(&loaded.values).zip(&defaults.values) {
            assert_eq!(found.raw, default.raw, "{}", setting.path());
        }
    }
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(
        dir.path(),
        "onsale.toml",
        "[server]\nlisten = \"[::1]:1\"\nhttp_workers = 3\nconnections_max = 1_000\n\n[proxy]\ntrusted = [\"10.0.0.0/8\", \"::1\"]\n\
         [operator]\nkey = \"opk_secret-of-the-file\"\n",
    );
    let shown = |arguments: &[&str]| {
        let mut command = onsale(&["config", "--config", file.to_str().unwrap(), "--connections-max", "9"]);
        command
            .args(arguments)
            .env("ONSALE_HTTP_WORKERS", "4")
            .env("ONSALE_CONNECTIONS_MAX", "5")
            .env("ONSALE_LOG", "");
        let (code, stdout, stderr) = run(&mut command);
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert!(!stdout.contains("secret-of-the-file"), "{stdout}");
        stdout
    };
    let json: Value = serde_json::from_str(&shown(&["--json"])).unwrap();
    let at = |line| format!("{}:{line}", file.display());
    let table = [
        ("/server/listen", json!("[::1]:1"), at(2)),
        ("/server/http_workers", json!(4), "ONSALE_HTTP_WORKERS".into()),
        ("/server/connections_max", json!(9), "--connections-max".into()),
        ("/server/data", json!("./data"), "default".into()),
        ("/proxy/trusted", json!(["10.0.0.0/8", "::1"]), at(7)),
        ("/operator/key", json!("********"), at(9)),
        ("/engine/shards", json!(null), "default".into()),
        ("/log/filter", json!("info,actix_server=warn"), "default".into()),
    ];
    for (pointer, value, source) in table {
        assert_eq!(json.pointer(pointer), Some(&json!({"value": value, "source": source})), "{pointer}");
    }
    let toml = shown(&[]);
    assert!(toml.contains("# --connections-max") && toml.contains("# key = \"********\""), "{toml}");
    // What it prints is a file that says the same.
    let again = write(dir.path(), "again.toml", &toml);
    let (_, stdout, _) = run(onsale(&["config", "--json", "--config"]).arg(&again));
    let again: Value = serde_json::from_str(&stdout).unwrap();
    for pointer in ["/server/listen", "/server/connections_max", "/proxy/trusted"] {
        assert_eq!(again.pointer(pointer).unwrap()["value"], json.pointer(pointer).unwrap()["value"], "{pointer}");
    }
}

/// Each file, and all that is said to it.
#[test]
fn a_wrong_file_is_refused_by_name_and_line() {
    let table: &[(&str, &[&str])] = &[
        ("[server]\nlisen = \"x\"", &["FILE:2: server.lisen is no setting; did you mean server.listen?"]),
        ("[server]\ncolour = 1", &["FILE:2: server.colour is no setting"]),
        ("[session]\nsession_ttl = 1", &["FILE:2: session.session_ttl is no setting; did you mean session.ttl_s?"]),
        ("[servr]\n", &["FILE:1: [servr] is no table of settings; did you mean [server]?"]),
        ("listen = \"x:1\"", &["FILE:1: listen is no setting; did you mean server.listen?"]),
        ("[wallet]\nsession_ttl_s = 1", &["FILE:2: wallet.session_ttl_s is no setting; did you mean session.ttl_s?"]),
        ("server = 3", &["FILE:1: server is a table: [server]"]),
        ("[server]\ndemo = true", &["FILE:2: server.demo is no setting"]),
        ("[server]\nlisten = 80", &["FILE:2: server.listen = 80: a text is expected"]),
        (
            "[server]\nlisten = \"localhost\"",
            &["FILE:2: server.listen = \"localhost\": an address or host name and a port"],
        ),
        ("[server]\nlisten = \"a b:1\"", &["FILE:2: server.listen = \"a b:1\": "]),
        ("[server]\nlisten = \":8080\"", &["FILE:2: server.listen = \":8080\": "]),
        ("[server]\nlisten = \"h:65536\"", &["FILE:2: server.listen = \"h:65536\": "]),
        ("[server]\ndata = \"\"", &["FILE:2: server.data = \"\": a text that is not empty is expected"]),
        (
            "[server]\n\nhttp_workers = 0\nconnections_max = -1",
            &[
                "FILE:3: server.http_workers = 0: a whole number from 1 to 1024 is expected",
                "FILE:4: server.connections_max = -1: a whole number from 1 to 10000000 is expected",
            ],
        ),
        ("[server]\nhttp_workers = 70000", &["FILE:2: server.http_workers = 70000: a whole number from 1 to 1024"]),
        ("[password]\nmemory_kib = 8.5", &["FILE:2: password.memory_kib = 8.5: a whole number from 8 to 4194304"]),
        ("[wallet]\nself_charge = \"yes\"", &["FILE:2: wallet.self_charge = \"yes\": true or false is expected"]),
        ("[log]\nformat = \"xml\"", &["FILE:2: log.format = \"xml\": one of auto, text, json is expected"]),
        ("[log]\nfilter = \"=[\"", &["FILE:2: log.filter = \"=[\": a filter like info or onsale=debug is expected"]),
        (
            "[proxy]\ntrusted = [\"10.0.0.0/99\"]",
            &["FILE:2: proxy.trusted = […]: \"10.0.0.0/99\": an address or a network"],
        ),
        ("[proxy]\ntrusted = \"::1\"", &["FILE:2: proxy.trusted = \"::1\": a list of texts is expected"]),
        ("[operator]\nkey = 7", &["FILE:2: operator.key = …: a text is expected"]),
        ("[operator]\nkey = \"a\"\nkey_file = \"b\"", &["operator.key and operator.key_file are both set"]),
        ("[tls]\nkey = \"a\"", &["tls.certificate and tls.key are only of use together"]),
        ("[server]\nlisten = \"x:1\"\nlisten = \"y:1\"", &["FILE:3: "]),
        ("[server\n", &["FILE:1: "]),
        ("a", &["FILE:1: "]),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (text, expected) in table {
        let file = write(dir.path(), "onsale.toml", text);
        let invalid = config::load(&Flags { file: Some(file.clone()), given: vec![] }, []).expect_err(text);
        let lines: Vec<String> =
            invalid.lines.iter().map(|line| line.replace(file.to_str().unwrap(), "FILE")).collect();
        for (line, expected) in lines.iter().zip(*expected) {
            assert!(line.starts_with(expected), "{text}\n{line}\n{expected}");
        }
        assert!(lines.len() >= expected.len() && !invalid.only_flags, "{text}: {lines:?}");
    }
    let missing = Flags { file: Some(dir.path().join("none.toml")), given: vec![] };
    assert!(config::load(&missing, []).unwrap_err().to_string().starts_with("cannot read "));
    let endless = Flags { file: Some("/dev/zero".into()), given: vec![] };
    assert!(config::load(&endless, []).unwrap_err().to_string().contains("is longer than"));
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "onsale.toml", "[server]\ncolour = 1\n");
    let mut command = onsale(&["serve", "--http-workers", "0", "--config", file.to_str().unwrap()]);
    let (code, stdout, stderr) = run(command.env("ONSALE_SESSION_TTL_S", "soon").env("ONSALE_LISTN", "x"));
    let expected = [
        format!("onsale: {}:2: server.colour is no setting", file.display()),
        "onsale: ONSALE_SESSION_TTL_S=\"soon\": a whole number from 1 to 31536000 is expected".into(),
        "onsale: --http-workers \"0\": a whole number from 1 to 1024 is expected".into(),
        "onsale: ONSALE_LISTN is no setting and is ignored; did you mean ONSALE_LISTEN?".into(),
    ];
    assert_eq!((code, stdout.as_str()), (Some(78), ""));
    assert_eq!(stderr.lines().collect::<Vec<_>>(), expected);
    // Of flags alone it is a matter of usage; secrets are not repeated.
    let (code, _, stderr) = run(&mut onsale(&["config", "--check", "--password-passes", "x"]));
    assert_eq!((code, stderr.lines().count()), (Some(2), 1), "{stderr}");
    let (code, _, stderr) = run(onsale(&["config", "--check"]).env("ONSALE_LISTN", "x").env("ONSALE_TEST_X", "1"));
    assert_eq!((code, stderr.lines().count()), (Some(0), 1), "{stderr}");
    let (code, _, stderr) = run(&mut onsale(&["config", "--check", "--operator-key-file", "/nowhere/key"]));
    assert!(code == Some(78) && stderr.contains("/nowhere/key"), "{stderr}");
}

/// Waits until the server has said it.
#[track_caller]
fn says(server: &Server, text: &str) {
    let until = Instant::now() + common::PATIENCE;
    while !server.errors().contains(text) {
        assert!(Instant::now() < until, "it does not say {text:?} but\n{}", server.errors());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn sighup_changes_what_can_change_and_drops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "onsale.toml", "[wallet]\nself_charge = false\n");
    let server = Server::start(&dir.path().join("data"), &["--config", file.to_str().unwrap()]);
    let user = server.user("user");
    let charge = |key: &str| {
        let request = common::Request::new("POST", "/v1/wallet/charges").token(&user.token).key(key);
        server.send(request.json(json!({"points": 5})))
    };
    charge("charge-1").expect_problem(403, "self-charge-off");
    // A connection from before lives on.
    let mut open = std::io::BufReader::new(server.connect());
    let livez = common::Request::new("GET", "/livez").bytes("keep-alive");
    let mut ask = || {
        std::io::Write::write_all(open.get_mut(), &livez).unwrap();
        common::read_answer(&mut open, "GET").expect(200);
    };
    ask();

    write(
        dir.path(),
        "onsale.toml",
        "[wallet]\nself_charge = true\n[server]\nlisten = \"0.0.0.0:1\"\nhttp_workers = 9\n[log]\nfilter = \"onsale=debug\"\n",
    );
    server.signal("HUP");
    says(&server, "SIGHUP: changed: wallet.self_charge, log.filter");
    // A flag wins over the file: listen is what it was.
    says(&server, "needs a restart: server.http_workers");
    ask();
    charge("charge-2").expect(201);
    says(&server, "\"client\":\"127.0.0.1\"");

    write(dir.path(), "onsale.toml", "[wallet]\nself_charge = fals\n[server]\nlisten = 1\n");
    server.signal("HUP");
    says(&server, "nothing is changed, because the configuration is wrong");
    charge("charge-3").expect(201);
    write(dir.path(), "onsale.toml", "");
    server.signal("HUP");
    let until = Instant::now() + common::PATIENCE;
    while server.errors().matches("SIGHUP: changed: wallet.self_charge, log.filter").count() < 2 {
        assert!(Instant::now() < until, "{}", server.errors());
        std::thread::sleep(Duration::from_millis(10));
    }
    ask();
    charge("charge-4").expect_problem(403, "self-charge-off");
    server.stop();
}

/// A new pair for 127.0.0.1.
fn pair(dir: &Path, certificate: &str, key: &str) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
    write(dir, certificate, &made.cert.pem());
    write(dir, key, &made.signing_key.serialize_pem());
}

fn curl(dir: &Path, authority: &str, url: &str) -> Output {
    let authority = dir.join(authority);
    Command::new("curl").args(["-sS", "--noproxy", "*", "--cacert"]).arg(authority).arg(url).output().unwrap()
}

#[test]
fn a_certificate_is_replaced_while_the_server_runs() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    pair(dir, "cert.pem", "key.pem");
    fs::copy(dir.join("cert.pem"), dir.join("old.pem")).unwrap();
    let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let tls = ["--tls-certificate", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let server = Server::start(&dir.join("data"), &tls);
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    let livez = format!("{}/livez", server.url);
    let works = |authority: &str| curl(dir, authority, &livez).status.success();
    assert!(works("old.pem"), "{:?}", curl(dir, "old.pem", &livez));
    // Plain HTTP gets nothing, TLS 1.1 neither; HTTP/2 is not offered.
    let plain =
        Command::new("curl").args(["-sS", "--noproxy", "*"]).arg(livez.replace("https", "http")).output().unwrap();
    assert!(!plain.status.success());
    let version = |flag: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--noproxy", "*", flag, "-w", "%{http_version}", "-o", "/dev/null", "--cacert"]);
        run(curl.arg(dir.join("cert.pem")).arg(&livez)).1
    };
    assert_eq!(version("--http2"), "1.1");
    assert_eq!(version("--tlsv1.3"), "1.1");

    // What is wrong with a new pair is said, and the old one stays.
    pair(dir, "cert.pem", "other.pem");
    server.signal("HUP");
    says(&server, "does not belong to the certificate in");
    fs::write(&certificate, "no certificate").unwrap();
    server.signal("HUP");
    says(&server, "has no certificate (BEGIN CERTIFICATE)");
    assert!(works("old.pem"));
    pair(dir, "cert.pem", "key.pem");
    server.signal("HUP");
    says(&server, "new connections get the new certificate");
    assert!(works("cert.pem") && !works("old.pem"));

    // The shell's tool speaks TLS, too.
    let admin = |authority: &str| {
        let mut command = onsale(&["admin", "--server", &server.url, "organizers", "create", "Hall", "--ca-file"]);
        run(command.arg(dir.join(authority)).env("ONSALE_OPERATOR_KEY", OPERATOR_KEY))
    };
    let (code, stdout, stderr) = admin("cert.pem");
    assert!(code == Some(0) && stdout.contains("osk_"), "{stdout}{stderr}");
    assert_eq!(admin("old.pem").0, Some(69));
    server.stop();
}

#[test]
fn a_key_that_does_not_fit_its_certificate_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    pair(dir.path(), "one.pem", "one.key");
    pair(dir.path(), "two.pem", "two.key");
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let table = [
        ("one.pem", "two.key", "does not belong to the certificate"),
        ("one.pem", "one.pem", "has no private key"),
        ("one.key", "one.key", "has no certificate"),
        ("none.pem", "one.key", "cannot read"),
    ];
    for (certificate, key, expected) in table {
        let (certificate, key) = (path(certificate), path(key));
        let mut started = command(&dir.path().join("data"), &["--tls-certificate", &certificate, "--tls-key", &key]);
        let (code, _, stderr) = run(&mut started);
        assert!(code == Some(1) && stderr.contains(expected), "{stderr}");
        let (code, _, stderr) =
            run(&mut onsale(&["config", "--check", "--tls-certificate", &certificate, "--tls-key", &key]));
        assert!(code == Some(78) && stderr.contains(expected), "{stderr}");
    }
}

#[test]
fn a_demo_has_no_place_in_a_folder_of_a_real_sale() {
    let dir = tempfile::tempdir().unwrap();
    let (real, demo) = (dir.path().join("real"), dir.path().join("demo"));
    let server = Server::start(&real, &[]);
    server.organizer();
    server.stop();
    let (code, stdout, stderr) = run(&mut command(&real, &["--demo", "--log", "off"]));
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stderr.contains("was not made by --demo"), "{stderr}");
    Server::start(&real, &[]).stop();
    Server::start(&demo, &["--demo"]).stop();
    Server::start(&demo, &[]).stop();
    Server::start(&demo, &["--demo"]).stop();
}

#[test]
fn a_host_name_can_be_listened_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = onsale(&["serve", "--listen", "localhost:0", "--data"]);
    command.arg(dir.path().join("data")).args(CHEAP);
    let server = Server::spawn(command, &dir.path().join("data"));
    server.get("/livez", "").expect(200);
    server.stop();
    let (code, _, stderr) = run(onsale(&["serve", "--listen", "nowhere.invalid:80", "--data"]).arg(dir.path()));
    assert!(code == Some(1) && stderr.contains("cannot listen on nowhere.invalid:80"), "{stderr}");
}

#[test]
fn the_address_of_a_client_is_what_a_trusted_proxy_says() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &["--log", "onsale=debug", "--proxy-trusted", "127.0.0.0/8"]);
    let request = common::Request::new("GET", "/livez").header("Forwarded", "for=\"[2001:db8::7]:1\"");
    server.send(request).expect(200);
    says(&server, "\"client\":\"2001:db8::7\"");
    server.stop();
}

/// `onsale admin` with a key; its code, stdout, stderr.
fn admin(server: &str, key: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    run(onsale(&["admin", "--server", server]).args(arguments).env("ONSALE_KEY", key))
}

#[test]
fn the_shell_does_what_an_operator_does_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &[]);
    let url = server.url.as_str();
    let done = |key: &str, arguments: &[&str]| {
        let (code, stdout, stderr) = admin(url, key, arguments);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{arguments:?}");
        stdout
    };
    let parsed = |text: String| serde_json::from_str::<Value>(&text).expect(&text);
    let create = ["--json", "organizers", "create", "Hall", "--idempotency-key", "hall-0001"];
    let made = parsed(done(OPERATOR_KEY, &create));
    assert_eq!(parsed(done(OPERATOR_KEY, &create))["organizer_id"], made["organizer_id"]);
    let organizer = made["key"]["secret"].as_str().unwrap().to_owned();
    let user = server.user("user");
    let charged = done(OPERATOR_KEY, &["charge", &user.id, "500", "--reference", "inv-1"]);
    assert!(charged.lines().any(|line| line.split_whitespace().eq(["balance", "500"])), "{charged}");
    assert_eq!(server.balance(&user), 500);

    let performance = server.performance(&organizer, json!({}));
    let file = write(dir.path(), "organizer.key", &format!("{organizer}\n"));
    for (verb, state) in [("pause", "paused"), ("resume", "on_sale"), ("close", "closed")] {
        let with_file = ["--key-file", file.to_str().unwrap(), "--json", "performances", verb, &performance];
        // The file wins over the environment.
        assert_eq!(parsed(done(OPERATOR_KEY, &with_file))["state"], state);
    }
    let cancelled = server.performance(&organizer, json!({}));
    let held = server.hold(&cancelled, &user, json!({"area": "Floor", "count": 2})).expect(201).text("/reservation_id");
    server.post(&format!("/v1/reservations/{held}/payment"), &user.token, json!({})).expect(200);
    for _ in 0..2 {
        done(&organizer, &["performances", "cancel", &cancelled, "--reason", "The singer is ill"]);
    }
    let until = Instant::now() + common::PATIENCE;
    while parsed(done(&organizer, &["--json", "performances", "cancellation", &cancelled]))["state"] != "done" {
        assert!(Instant::now() < until, "the refunds do not come to an end");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.balance(&user), 500);
    let status = done("", &["status"]);
    assert!(status.contains("ready") && status.contains("durable_position"), "{status}");

    let nobody = "01a1fdf0-5003-72d6-ad8d-42b123d23b68";
    let refused: [(&str, &[&str], &str); 4] = [
        ("", &["organizers", "create", "Hall"], "onsale: 401 unauthenticated: "),
        (&organizer, &["organizers", "create", "Hall"], "onsale: 403 forbidden: "),
        (OPERATOR_KEY, &["charge", nobody, "5"], "onsale: 404 user-not-found: "),
        (OPERATOR_KEY, &["charge", &user.id, "0"], "onsale: 400 invalid-request: "),
    ];
    for (key, arguments, expected) in refused {
        let (code, stdout, stderr) = admin(url, key, arguments);
        assert!(code == Some(1) && stdout.is_empty() && stderr.starts_with(expected), "{code:?} {stdout}{stderr}");
    }
    let today = done(&organizer, &["reconciliation"]);
    assert!(today.lines().any(|line| line.starts_with("totals.spent")), "{today}");
    let wrong: [&[&str]; 7] = [
        &["keys", "list"],
        &["keys", "create", "--name", "laptop"],
        &["charge", "me", "5"],
        &["charge", nobody, "-5"],
        &["adjust", nobody, "-5"],
        &["reconciliation", "--from", "today", "--to", "2026-01-01"],
        &["identity-provider", "set", "--issuer", "i", "--audience", "a"],
    ];
    for arguments in wrong {
        assert_eq!(admin(url, OPERATOR_KEY, arguments).0, Some(2), "{arguments:?}");
    }
    for wrong in ["127.0.0.1:8080", "ftp://x", "http://x/v1"] {
        let (code, _, stderr) = admin(wrong, OPERATOR_KEY, &["status"]);
        assert!(code == Some(2) && stderr.contains("--server"), "{stderr}");
    }
    server.stop();
    let (code, _, stderr) = admin("http://127.0.0.1:1", OPERATOR_KEY, &["charge", nobody, "5"]);
    assert_eq!(code, Some(69));
    assert!(stderr.contains("no answer from") && stderr.contains("--idempotency-key admin-"), "{stderr}");
}

#[test]
fn help_completions_and_the_manual_are_there() {
    let (code, stdout, _) = run(&mut onsale(&["help", "serve"]));
    assert_eq!(code, Some(0));
    for text in
        ["[tls]:", "--tls-certificate <FILE>", "[env: ONSALE_LISTEN]", "[default: 127.0.0.1:8080]", "Exit codes:"]
    {
        assert!(stdout.contains(text), "{text}\n{stdout}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, stdout, _) = run(&mut onsale(&["completions", shell]));
        assert!(code == Some(0) && stdout.contains("tls-certificate"), "{shell}");
    }
    let (code, stdout, _) = run(&mut onsale(&["man", "serve"]));
    assert!(code == Some(0) && stdout.starts_with(".ie"), "{stdout}");
    let (code, _, stderr) = run(&mut onsale(&["srve"]));
    assert!(code == Some(2) && stderr.contains("'serve'"), "{stderr}");
    // A reader that has seen enough.
    let script = format!("{} config --example | head -n 1; echo ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_onsale"));
    let (_, stdout, stderr) = run(Command::new("bash").args(["-c", &script]));
    assert!(stdout.ends_with("\n0\n") && stderr.is_empty(), "{stdout}{stderr}");
}
