//! One process follows the other on a socket that somebody else keeps, as systemd does: nobody is refused, whoever comes waits.

use crate::common::{OPERATOR_KEY, Request, Server, command, performance_body, send_to};
use serde_json::json;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CLIENTS: usize = 8;
const UPDATES: usize = 4;
/// Between two updates so much is answered at least.
const ANSWERS: u64 = 200;
/// What an update makes people wait, of a build that is not optimised and beside other tests.
const WAIT_MAX: Duration = Duration::from_secs(15);

/// systemd's part: the process gets the socket as its file number 3, and is told so.
fn serve_on(listener: &TcpListener, data: &Path) -> Server {
    let inner = command(data, &[]);
    let mut outer = Command::new("sh");
    outer
        .arg("-c")
        .arg("LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"")
        .arg(inner.get_program())
        .args(inner.get_args());
    outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // Two of it, since a file that is 3 already would be left to be closed.
    let other = listener.try_clone().unwrap();
    let socket = [listener.as_raw_fd(), other.as_raw_fd()].into_iter().find(|file| *file != 3).expect("two numbers");
    // SAFETY: dup2 is async-signal-safe.
    #[expect(unsafe_code, reason = "what runs between fork and exec may do little")]
    unsafe {
        outer.pre_exec(move || match libc::dup2(socket, 3) {
            3 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    Server::spawn(outer, data)
}

#[test]
fn an_update_refuses_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = serve_on(&listener, &data);
    assert_eq!(server.address(), address);
    let organizer = server.organizer();
    let concert = server.concert(&organizer);
    let path = format!("/v1/concerts/{concert}/performances");
    let performance = server.post(&path, &organizer, performance_body()).expect(201).text("/performance_id");
    let user = server.user("buyer");

    let (over, answers, slowest_us) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let (server, failed) = std::thread::scope(|threads| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (address, over, answers, slowest_us) = (&address, &over, &answers, &slowest_us);
                let (user, performance) = (&user, &performance);
                threads.spawn(move || {
                    let mut failed = Vec::new();
                    for turn in 0u64.. {
                        if over.load(Ordering::Acquire) {
                            break;
                        }
                        let begun = Instant::now();
                        // What changes something and what only looks, each on a connection of its own.
                        let key = format!("charge-{client}-{turn}");
                        let (request, status) = match turn % 2 {
                            0 => (Request::new("GET", &format!("/v1/performances/{performance}/availability")), 200),
                            _ => {
                                let body = json!({"points": 1, "user_id": user.id});
                                let charge = Request::new("POST", "/v1/wallet/charges").token(OPERATOR_KEY).key(&key);
                                (charge.json(body), 201)
                            }
                        };
                        let answer = send_to(address, request);
                        if answer.status != status {
                            failed.push(format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)));
                        }
                        slowest_us.fetch_max(begun.elapsed().as_micros() as u64, Ordering::Relaxed);
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                    failed
                })
            })
            .collect();
        let mut server = server;
        for _ in 0..UPDATES {
            let (before, until) = (answers.load(Ordering::Relaxed), Instant::now() + Duration::from_secs(60));
            while answers.load(Ordering::Relaxed) < before + ANSWERS {
                assert!(Instant::now() < until, "nobody is answered any more");
                std::thread::sleep(Duration::from_millis(5));
            }
            server.stop();
            server = serve_on(&listener, &data);
        }
        over.store(true, Ordering::Release);
        let failed = clients.into_iter().flat_map(|client| client.join().expect("no connection was refused"));
        (server, failed.collect::<Vec<_>>())
    });
    let slowest = Duration::from_micros(slowest_us.load(Ordering::Relaxed));
    let answers = answers.load(Ordering::Relaxed);
    println!("{answers} answers over {UPDATES} updates, the slowest after {slowest:?}");
    assert!(failed.is_empty(), "{} of {answers} failed: {}", failed.len(), failed[0]);
    assert!(slowest < WAIT_MAX, "{slowest:?}");
    server.stop();
}

#[test]
fn a_socket_that_is_none_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let inner = command(&data, &[]);
    let mut outer = Command::new("sh");
    outer.arg("-c").arg("LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3</dev/null");
    outer.arg(inner.get_program()).args(inner.get_args());
    let output = outer.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("file 3 is no listening TCP socket"), "{said}");
    assert!(!data.exists());
}
