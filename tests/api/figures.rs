//! What `/metrics` tells of a sale is what was sold.

use crate::common::{OPERATOR_KEY, Server, command};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// Every figure by its line.
fn figures(server: &Server) -> BTreeMap<String, f64> {
    let text = String::from_utf8(server.get("/metrics", "").expect(200).body).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(name, value)| (name.into(), value.parse().unwrap())).collect()
}

fn places(server: &Server, performance: &str) -> [f64; 3] {
    let figures = figures(server);
    ["left", "held", "sold"]
        .map(|state| figures[&format!("onsale_performance_places{{performance=\"{performance}\",state=\"{state}\"}}")])
}

#[test]
fn places_holds_and_points_are_counted_and_found_again_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let organizer = server.organizer();
    let performance = server.performance(&organizer, json!({"cancellation_closes_at": "2098-12-31T00:00:00Z"}));
    assert_eq!(places(&server, &performance), [25.0, 0.0, 0.0]);

    let user = server.user("buyer");
    server.charge(&user, 1_000);
    let hold = |wish| server.hold(&performance, &user, wish).expect(201).text("/reservation_id");
    let paid = hold(json!({"seats": ["A-1-1", "A-1-2"]}));
    server.post(&format!("/v1/reservations/{paid}/payment"), &user.token, json!({})).expect(200);
    let held = hold(json!({"area": "Floor", "count": 2}));
    assert_eq!(places(&server, &performance), [21.0, 2.0, 2.0]);
    server.kill();

    // Places are of the log; what is counted begins anew.
    let server = Server::start(data.path(), &[]);
    assert_eq!(places(&server, &performance), [21.0, 2.0, 2.0]);
    let delete = |id: &str| {
        server.send(crate::common::Request::new("DELETE", &format!("/v1/reservations/{id}")).token(&user.token))
    };
    assert!(delete(&held).status < 300);
    assert_eq!(places(&server, &performance), [23.0, 0.0, 2.0]);
    assert!(delete(&paid).status < 300);
    assert_eq!(places(&server, &performance), [25.0, 0.0, 0.0]);
    let figures = figures(&server);
    let told =
        ["onsale_holds_total", "onsale_sales_points_total", "onsale_refunds_points_total"].map(|name| figures[name]);
    assert_eq!(told, [0.0, 0.0, 200.0]);
}

#[test]
fn the_process_is_told_while_it_runs() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--connections-max", "1234"]);
    let idle = server.connect();
    let figures = figures(&server);
    for name in
        ["process_resident_memory_bytes", "process_open_fds", "onsale_data_free_bytes", "onsale_connections_open"]
    {
        assert!(figures[name] > 0.0, "{name}");
    }
    assert_eq!((figures["onsale_ready"], figures["onsale_connections_max"]), (1.0, 1234.0));
    assert!(!figures.contains_key("onsale_tls_certificate_not_after_timestamp_seconds"));
    drop(idle);
}

/// Makes a certificate and its key that end at the start of 2031.
fn certificate(folder: &Path) {
    let mut wanted = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    wanted.not_after = rcgen::date_time_ymd(2031, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(folder.join("tls.crt"), wanted.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
}

#[test]
fn a_certificates_end_is_told() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut command =
        command(&folder.path().join("data"), &["--tls-certificate", &file("tls.crt"), "--tls-key", &file("tls.key")]);
    command.env("ONSALE_OPERATOR_KEY", OPERATOR_KEY);
    let server = Server::spawn(command, &folder.path().join("data"));
    let told = std::process::Command::new("curl").args(["-fsSk", &format!("{}/metrics", server.url)]).output().unwrap();
    let text = String::from_utf8(told.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("onsale_tls_certificate_not_after_timestamp_seconds "));
    let at: f64 =
        line.unwrap_or_else(|| panic!("no such figure in\n{text}")).rsplit(' ').next().unwrap().parse().unwrap();
    assert_eq!(at, 1_924_992_000.0);
}
