//! The listener: bound before anything else, answering `/livez` while the log is read, warm before it says that it is ready. One that
//! [somebody else keeps](super::inherited) is listened to last: who connects waits in its queue rather than for nothing.

use crate::auth::accounts::Accounts;
use crate::middleware::connections;
use crate::{Api, routes};
use actix_web::dev::{Server, ServerHandle};
use actix_web::{App, HttpServer, web};
use anyhow::Context;
use base::id::{AccountId, PerformanceId, ReservationId, UserId};
use base::tls::Tls;
use config::{DRAIN_S, Listen};
use rustls::pki_types::ServerName;
use security::secrets::Session;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use uuid::Uuid;

/// Connections that wait to be accepted.
const BACKLOG_MAX: u32 = 4096;
/// How long those who have come are waited for; who is silent until then is not in the middle of anything.
const DRAIN_MAX: Duration = Duration::from_millis(500);
const DRAIN_MIN: Duration = Duration::from_millis(50);
const DRAIN_LOOK: Duration = Duration::from_millis(5);
/// Enough for each worker's allocator, routes, and for the actor to have been that way a few times.
const WARM_CONNECTIONS: usize = 8;
const WARM_ROUNDS: usize = 12;
const WARM_WITHIN: Duration = Duration::from_secs(5);

/// Takes the address, or the sockets that were `inherited`, and starts to answer; to be called within an actix system. Gives the
/// address, for port 0.
pub fn start(
    api: &web::Data<Api>,
    tls: Option<&Arc<Tls>>,
    inherited: Vec<TcpListener>,
) -> anyhow::Result<(Server, SocketAddr)> {
    let config = &api.config;
    let workers = config.http_workers();
    let shared = api.clone();
    let quiet_max = connections::quiet_max(config);
    let mut server = HttpServer::new(move || App::new().configure(|app| routes(&shared, app)))
        .workers(workers)
        .backlog(BACKLOG_MAX)
        .max_connections(config.connections_max.div_ceil(workers))
        .client_request_timeout(Duration::from_millis(config.head_timeout_ms))
        .keep_alive(Duration::from_millis(config.keep_alive_ms))
        // A stream's events are small and must not wait for the client's word about the ones before.
        .tcp_nodelay(true)
        .on_connect(move |io, data| connections::begin(io, data, quiet_max))
        .shutdown_timeout(DRAIN_S)
        .disable_signals();
    if !inherited.is_empty() {
        for listener in inherited {
            server = match tls {
                Some(tls) => server.listen_rustls_0_23(listener, tls.server_config()?)?,
                None => server.listen(listener)?,
            };
        }
        let bound = server.addrs();
        return Ok((server.run(), bound[0]));
    }
    let cannot = || format!("cannot listen on {} (another address: --listen)", config.listen);
    let addresses = addresses(&config.listen).with_context(cannot)?;
    let server = match tls {
        Some(tls) => server.bind_rustls_0_23(&addresses[..], tls.server_config()?),
        None => server.bind(&addresses[..]),
    };
    let server = server.with_context(cannot)?;
    let bound = server.addrs();
    for address in addresses.iter().filter(|address| address.port() != 0 && !bound.contains(address)) {
        tracing::warn!("{} is {address}, too, but there it cannot listen", config.listen);
    }
    Ok((server.run(), bound[0]))
}

/// Accepts nobody any more, and lets those who have come be answered: a server that [stops](ServerHandle::stop) drops connections
/// that it has accepted and not looked at yet. Who comes now waits for the next process, if somebody keeps the socket.
pub async fn drain(handle: &ServerHandle) {
    handle.pause().await;
    let begun = Instant::now();
    // Those that are on their way to a worker are not counted yet.
    while begun.elapsed() < DRAIN_MIN || (connections::open() > 0 && begun.elapsed() < DRAIN_MAX) {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

/// All that a host name stands for; of port 0 one, because each would get a port of its own.
fn addresses(listen: &Listen) -> std::io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = listen.0.to_socket_addrs()?.collect();
    if addresses.iter().any(|address| address.port() == 0) {
        addresses.truncate(1);
    }
    Ok(addresses)
}

/// Sends the server some hundred requests that write nothing, so that the first buyer does not pay for cold paths.
pub async fn warm_up(api: &Api, address: SocketAddr, tls: Option<&Tls>) {
    let address = SocketAddr::new(loopback(address.ip()), address.port());
    let requests = warm_requests(api);
    let connector = tls.map(Tls::client_config).transpose();
    let connector = match connector {
        Ok(config) => config.map(|config| TlsConnector::from(Arc::new(config))),
        Err(error) => return tracing::warn!(%error, "cannot warm up"),
    };
    let connections = (0..WARM_CONNECTIONS).map(|_| send_all(address, &requests, connector.as_ref()));
    let all = futures_util::future::try_join_all(connections);
    match tokio::time::timeout(WARM_WITHIN, all).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "cannot warm up"),
        Err(_) => tracing::warn!("warming up took too long"),
    }
}

fn loopback(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// Whole paths, from token to actor and back, for things that do not exist.
fn warm_requests(api: &Api) -> Vec<u8> {
    let Ok(handle) = api.state::<Accounts>() else { return Vec::new() };
    let nobody = Session {
        account: AccountId(Uuid::from_u128(handle.ids.next())),
        user: UserId(Uuid::from_u128(handle.ids.next())),
        begun_at_ms: handle.clock.now(),
        expires_at_ms: handle.clock.now() + handle.session_ttl_ms.min(60_000),
        nonce: 0,
    };
    let token = handle.secrets.issue(&nobody);
    let performance = PerformanceId::from_random(handle.ids.next() as u64);
    let reservation = ReservationId::from_random(performance, handle.ids.next() as u64);
    let table = [
        ("POST", format!("/v1/performances/{performance}/reservations"), "{\"seats\":[\"A-1-1\",\"A-1-2\"]}"),
        ("POST", format!("/v1/reservations/{reservation}/payment"), "{}"),
        ("GET", format!("/v1/performances/{performance}/availability"), ""),
        ("GET", format!("/v1/reservations/{reservation}"), ""),
        ("GET", "/v1/wallet".into(), ""),
        ("GET", "/v1/concerts".into(), ""),
    ];
    let mut requests = String::new();
    for _ in 0..WARM_ROUNDS {
        for (method, path, body) in &table {
            let length = body.len();
            write!(
                requests,
                "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
                 content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .expect("a String takes every character");
        }
    }
    requests.push_str("GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    requests.into_bytes()
}

async fn send_all(address: SocketAddr, requests: &[u8], tls: Option<&TlsConnector>) -> std::io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    match tls {
        Some(tls) => exchange(tls.connect(ServerName::from(address.ip()), stream).await?, requests).await,
        None => exchange(stream, requests).await,
    }
}

async fn exchange(stream: impl AsyncRead + AsyncWrite, requests: &[u8]) -> std::io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut answers = Vec::new();
    tokio::try_join!(writer.write_all(requests), reader.read_to_end(&mut answers)).map(|_| ())
}
