//! The listener: bound before anything else, answering `/livez` while the log is read, warm before it says that it is ready.

use super::{Api, routes};
use crate::config::{DRAIN_S, KEEP_ALIVE, UNSENT_BYTES_MAX, WRITE_TIMEOUT};
use crate::id::{AccountId, PerformanceId, ReservationId, UserId};
use crate::secrets::Session;
use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};
use anyhow::Context;
use std::any::Any;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

/// Connections that wait to be accepted.
const BACKLOG_MAX: u32 = 4096;
/// Enough for each worker's allocator, routes, and for the actor to have been that way a few times.
const WARM_CONNECTIONS: usize = 8;
const WARM_ROUNDS: usize = 12;
const WARM_WITHIN: Duration = Duration::from_secs(5);

/// Takes the address and starts to answer; to be called within an actix system. Gives the address, for port 0.
pub fn start(api: &web::Data<Api>) -> anyhow::Result<(Server, SocketAddr)> {
    let config = &api.config;
    let workers = config.http_workers();
    let shared = api.clone();
    let server = HttpServer::new(move || App::new().configure(|app| routes(&shared, app)))
        .workers(workers)
        .backlog(BACKLOG_MAX)
        .max_connections(config.connections_max.div_ceil(workers))
        .client_request_timeout(Duration::from_millis(config.head_timeout_ms))
        .keep_alive(KEEP_ALIVE)
        // A stream's events are small and must not wait for the client's word about the ones before.
        .tcp_nodelay(true)
        .on_connect(|connection, _| bound_what_waits(connection))
        .shutdown_timeout(DRAIN_S)
        .disable_signals()
        .bind(config.listen)
        .with_context(|| format!("cannot listen on {} (another address: --listen)", config.listen))?;
    let address = server.addrs()[0];
    Ok((server.run(), address))
}

/// Has the kernel end a connection whose other side takes nothing for too long, and keep little for it until then.
fn bound_what_waits(connection: &dyn Any) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
    let silence_ms = WRITE_TIMEOUT.as_millis() as libc::c_uint;
    for (option, value) in [(libc::TCP_USER_TIMEOUT, silence_ms), (libc::TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)] {
        let (value, size) = ((&raw const value).cast(), size_of_val(&value) as libc::socklen_t);
        // SAFETY: the descriptor is open as long as `stream` is; `value` points to `size` bytes. Without it nothing breaks.
        unsafe { libc::setsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, option, value, size) };
    }
}

/// Sends the server some hundred requests that write nothing, so that the first buyer does not pay for cold paths.
pub async fn warm_up(api: &Api, address: SocketAddr) {
    let address = SocketAddr::new(loopback(address.ip()), address.port());
    let requests = warm_requests(api);
    let connections = (0..WARM_CONNECTIONS).map(|_| send_all(address, &requests));
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
    let Ok(shop) = api.shop() else { return Vec::new() };
    let nobody = Session {
        account: AccountId(Uuid::from_u128(shop.ids.next())),
        user: UserId(Uuid::from_u128(shop.ids.next())),
        expires_at_ms: shop.clock.now() + 60_000,
    };
    let token = shop.secrets.issue(&nobody);
    let performance = PerformanceId::from_random(shop.ids.next() as u64);
    let reservation = ReservationId::from_random(performance, shop.ids.next() as u64);
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

async fn send_all(address: SocketAddr, requests: &[u8]) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let (mut reader, mut writer) = stream.split();
    let mut answers = Vec::new();
    tokio::try_join!(writer.write_all(requests), reader.read_to_end(&mut answers)).map(|_| ())
}
