//! The process: how it starts, refuses to start, stops, and comes back.

use crate::common::{self, CHEAP, Request, Server, command, read_answer};
use serde_json::json;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// It ends at once, with one line that says why.
fn refuses_to_start(mut command: Command, why: &str) {
    let output = command.env("ONSALE_LOG", "off").stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.status.code().is_some(), "{}: {errors}", output.status);
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.starts_with("onsale: ") && errors.contains(why), "{errors}");
    assert!(output.stdout.is_empty(), "{:?}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn what_cannot_be_started_says_why_in_one_line() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let elsewhere = data.path().join("elsewhere");
    let mut same_port = Command::new(env!("CARGO_BIN_EXE_onsale"));
    same_port.args(["serve", "--listen", server.address(), "--data"]).arg(&elsewhere).args(CHEAP);
    refuses_to_start(same_port, "cannot listen on");
    refuses_to_start(command(&folder, &[]), "in use by another onsale process");
    server.stop();

    let format = std::fs::read_to_string(folder.join("format")).unwrap();
    std::fs::write(folder.join("format"), "99\n").unwrap();
    refuses_to_start(command(&folder, &[]), "99");
    // One of before is taken, and then is none any more: older versions must not touch it.
    std::fs::write(folder.join("format"), "1\n").unwrap();
    Server::start(&folder, &[]).stop();
    assert_eq!(std::fs::read_to_string(folder.join("format")).unwrap(), format);

    let secret = std::fs::read(folder.join("secret")).unwrap();
    std::fs::remove_file(folder.join("secret")).unwrap();
    refuses_to_start(command(&folder, &[]), "secret");
    std::fs::write(folder.join("secret"), secret).unwrap();
    Server::start(&folder, &[]).stop();

    std::fs::write(data.path().join("file"), "").unwrap();
    refuses_to_start(command(&data.path().join("file"), &[]), "file");
    refuses_to_start(command(&elsewhere, &["--log", "=["]), "--log");
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for arguments in [&["serve", "--colour"][..], &["serve", "--listen", "here"], &["sing"], &[]] {
        let output = Command::new(env!("CARGO_BIN_EXE_onsale")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn the_operators_key_is_shown_once_and_kept_as_a_hash() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let start = |arguments: &[&str], env: Option<&str>| {
        let mut command = command(&folder, arguments);
        command.env_remove("ONSALE_OPERATOR_KEY").envs(env.map(|key| ("ONSALE_OPERATOR_KEY", key)));
        Server::spawn(command, &folder)
    };
    let works = |server: &Server, key: &str| server.post("/v1/organizers", key, json!({"name": "Org"})).status == 201;
    let mut server = start(&[], None);
    let output = server.output();
    let key = output.split_whitespace().find(|word| word.starts_with("opk_")).expect("the key is shown").to_owned();
    assert!(works(&server, &key));
    assert!(!server.errors().contains(&key));
    server.stop();
    let mut server = start(&[], None);
    assert!(works(&server, &key) && !server.output().contains("opk_"));
    server.stop();
    let server = start(&[], Some("opk_from-the-environment"));
    assert!(works(&server, "opk_from-the-environment") && !works(&server, &key));
    server.stop();
    let file = data.path().join("key");
    std::fs::write(&file, "opk_from-a-file-of-mine\n").unwrap();
    let server = start(&["--operator-key-file", file.to_str().unwrap()], None);
    assert!(works(&server, "opk_from-a-file-of-mine"));
    assert!(!folder_has(&folder, key.as_bytes()), "the key is in the data folder");
}

/// Whether any small file of the folder contains `text`.
fn folder_has(folder: &Path, text: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        match path.is_dir() {
            true => folder_has(&path, text),
            false => std::fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text)),
        }
    })
}

#[test]
fn personal_data_is_nowhere_in_the_data_folder() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &["--log", "debug"]);
    let body =
        json!({"email": "ada.lovelace@example.com", "password": "correct horse", "name": "Countess of Lovelace"});
    let token = server.post("/v1/users", "", body).expect(201).text("/session/token");
    server.get("/v1/me", &token).expect(200);
    let errors = server.errors();
    server.stop();
    for text in ["ada.lovelace", "correct horse", "Countess", token.as_str(), "$argon2id"] {
        assert!(!folder_has(&folder, text.as_bytes()), "{text} is in the data folder");
        assert!(!errors.contains(text), "{text} is in the logs");
    }
    let server = Server::start(&folder, &[]);
    assert_eq!(server.get("/v1/me", &token).expect(200).json()["name"], "Countess of Lovelace");
}

#[test]
fn a_server_that_is_told_to_stop_finishes_what_it_began() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let mut server = Server::start(&folder, &[]);
    let (organizer, user) = (server.organizer(), server.user("user"));
    let performance = server.performance(&organizer, json!({}));
    // One connection idles, on another a request is half-way when the signal comes.
    let mut idle = BufReader::new(server.connect());
    idle.get_mut().write_all(&Request::new("GET", "/livez").bytes("keep-alive")).unwrap();
    read_answer(&mut idle, "GET").expect(200);
    let request = Request::new("POST", &format!("/v1/performances/{performance}/reservations"));
    let request = request.token(&user.token).json(json!({"seats": ["A-1-1"]})).bytes("keep-alive");
    let (begun, rest) = request.split_at(request.len() - 5);
    let mut half_way = server.connect();
    half_way.write_all(begun).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let told = Instant::now();
    server.signal("TERM");
    std::thread::sleep(Duration::from_millis(200));
    half_way.write_all(rest).unwrap();
    let held = read_answer(&mut BufReader::new(half_way), "POST").expect(201).text("/reservation_id");
    let status = server.wait();
    assert!(status.success(), "{status}: {}", server.errors());
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
    assert_eq!(idle.read(&mut [0; 1]).unwrap_or(0), 0, "the idle connection is closed");

    let server = Server::start(&folder, &[]);
    assert_eq!(server.get(&format!("/v1/reservations/{held}"), &user.token).expect(200).json()["state"], "held");
    server.kill();
    let mut server = Server::start(&folder, &[]);
    server.get(&format!("/v1/reservations/{held}"), &user.token).expect(200);
    server.signal("INT");
    assert!(server.wait().success());
}

#[test]
fn a_start_that_replays_much_leaves_a_snapshot_and_loads_from_it() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let (organizer, user) = (server.organizer(), server.user("user"));
    let performance = server.performance(&organizer, json!({}));
    server.charge(&user, 1_000);
    let held = server.hold(&performance, &user, json!({"seats": ["A-1-1"]})).expect(201).text("/reservation_id");
    server.post(&format!("/v1/reservations/{held}/payment"), &user.token, json!({})).expect(200);
    let paths = ["/v1/wallet".into(), "/v1/wallet/entries".into(), format!("/v1/reservations/{held}")];
    let all = |server: &Server| {
        let availability = server.get(&format!("/v1/performances/{performance}/availability"), "").json();
        let own = paths.each_ref().map(|path| server.get(path, &user.token).expect(200).json());
        (availability, own)
    };
    let before = all(&server);
    server.stop();
    let snapshots = || std::fs::read_dir(folder.join("snapshots")).map_or(0, Iterator::count);
    assert_eq!(snapshots(), 0, "so few events are worth none");
    for arguments in [&["--snapshot-events", "5"][..], &[]] {
        let server = Server::start(&folder, arguments);
        assert_eq!(snapshots(), 1, "made before it was ready");
        assert_eq!(all(&server), before);
        server.stop();
    }
    let server = Server::start(&folder, &[]);
    let other = server.hold(&performance, &user, json!({"seats": ["A-1-2"]})).expect(201).text("/reservation_id");
    server.post(&format!("/v1/reservations/{other}/payment"), &user.token, json!({})).expect(200);
}

#[test]
fn the_demos_lines_buy_a_seat_at_each_start() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let mut organizer_keys = Vec::new();
    for start in 0..2 {
        let mut server = Server::start(&folder, &["--demo"]);
        let output = server.output();
        let script: String =
            output.lines().skip_while(|line| !line.starts_with("URL=")).map(|line| format!("{line}\n")).collect();
        let bought = Command::new("bash").arg("-euc").arg(&script).output().unwrap();
        let answers = String::from_utf8_lossy(&bought.stdout);
        assert!(bought.status.success(), "{answers}{}", String::from_utf8_lossy(&bought.stderr));
        let last: serde_json::Value = serde_json::from_str(answers.lines().last().unwrap()).expect(&answers);
        assert_eq!((last["state"].as_str(), last["points"].as_u64()), (Some("confirmed"), Some(300_000)), "{answers}");
        let left =
            server.get(&format!("/v1/performances/{}/availability", last["performance_id"].as_str().unwrap()), "");
        assert_eq!(left.json()["available"], json!({"VIP": 200 - 2 * (start + 1), "R": 600, "S": 600, "A": 600}));
        organizer_keys.push(output.split_whitespace().find(|word| word.starts_with("osk_")).unwrap().to_owned());
        server.get("/v1/organizer", organizer_keys.last().unwrap()).expect(200);
        let concerts = server.get("/v1/concerts", "").json();
        assert_eq!(concerts["items"].as_array().unwrap().len(), 1);
        server.stop();
    }
    assert_eq!(organizer_keys[0], organizer_keys[1]);
}

/// Houses that take a while to be shown at a start.
const LARGE_HOUSES: usize = 5;

/// From the first answer on that is not "starting" everybody is known: keys are right, ended sessions are over, and behind a
/// queue nobody holds a place who was not let in.
#[test]
fn a_server_that_starts_answers_nobody_before_it_knows_everybody() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let organizer = server.organizer();
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    server.send(Request::new("DELETE", "/v1/sessions/current").token(&ann.token)).expect(204);
    let queue = server.post("/v1/queues", &organizer, json!({"name": "Q", "policy": {"manual": true}})).expect(201);
    let mut large = common::performance_body()["chart"].clone();
    let rows = (10..100).map(|row| json!({"row": row.to_string(), "grade": "R", "seat_count": 1_000}));
    large["sections"][0]["rows"].as_array_mut().unwrap().extend(rows);
    let more = json!({"chart": large, "queue_id": queue.text("/queue_id")});
    let houses: Vec<String> = (0..LARGE_HOUSES).map(|_| server.performance(&organizer, more.clone())).collect();
    let address = server.address().to_owned();
    server.kill();

    let mut again = Command::new(env!("CARGO_BIN_EXE_onsale"));
    again.args(["serve", "--listen", &address, "--data"]).arg(&folder).args(CHEAP);
    let until = Instant::now() + common::PATIENCE;
    let holds = format!("/v1/performances/{}/reservations", houses.last().unwrap());
    let asked = |request: Request| {
        let mut stream = std::net::TcpStream::connect(&address).ok()?;
        stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
        stream.write_all(&request.bytes("close")).ok()?;
        Some(read_answer(&mut BufReader::new(stream), request.method).status).filter(|status| *status != 503)
    };
    let table = [
        (Request::new("GET", "/v1/organizer").token(&organizer), 200),
        (Request::new("GET", "/v1/me").token(&ann.token), 401),
        (Request::new("POST", &holds).token(&bob.token).json(json!({"seats": ["A-1-1"]})), 403),
    ];
    let server = std::thread::scope(|threads| {
        for (request, status) in table {
            threads.spawn(move || {
                let mut answers = 0;
                while answers < 20 {
                    assert!(Instant::now() < until, "it does not start");
                    let Some(found) = asked(request.clone()) else { continue };
                    assert_eq!(found, status, "{}", String::from_utf8_lossy(&request.bytes("close")));
                    answers += 1;
                }
            });
        }
        Server::spawn(again, &folder)
    });
    server.stop();
}
