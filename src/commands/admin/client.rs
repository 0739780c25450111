//! One request at a time to a server that may be far away: http and https, with proxies of the environment.

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde_json::{Map, Value, json};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use ureq::http::{Method, Request, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};

/// Cancelling a large performance may take its time to be accepted; everything else is there in an instant.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Items of a page.
const PAGE_ITEMS: usize = 500;
/// Pages of a list: one that goes on forever is a mistake of somebody.
const PAGES_MAX: usize = 10_000;

/// Over the options that every command has, so that its own stand together.
const ACCESS: &str = "Server, key and output";

/// No answer.
#[derive(Debug)]
pub struct Unreachable(String);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreachable {}

/// Where a server is.
#[derive(Clone, Debug)]
pub struct Server {
    /// Without a slash at its end.
    url: String,
    scheme: String,
    host: String,
}

impl FromStr for Server {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Server, &'static str> {
        let wrong = "a URL like http://127.0.0.1:8080 or https://tickets.example.com is expected";
        let uri: Uri = text.parse().map_err(|_| wrong)?;
        match (uri.scheme_str(), uri.host(), uri.path(), uri.query()) {
            (Some(scheme @ ("http" | "https")), Some(host), "/", None) => {
                Ok(Server { url: text.trim_end_matches('/').into(), scheme: scheme.into(), host: host.into() })
            }
            _ => Err(wrong),
        }
    }
}

/// Where the server is, and who asks.
#[derive(Args, Debug)]
pub struct Access {
    /// The server
    #[arg(
        long,
        global = true,
        env = "ONSALE_SERVER",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8080",
        value_name = "URL",
        help_heading = ACCESS
    )]
    pub server: Server,
    /// File with the operator's or an organizer's key; otherwise ONSALE_KEY or ONSALE_OPERATOR_KEY of the environment
    #[arg(long, global = true, value_name = "FILE", help_heading = ACCESS)]
    pub key_file: Option<PathBuf>,
    /// PEM file with the authority that signed the server's certificate, if it is one of your own
    #[arg(long, global = true, value_name = "FILE", help_heading = ACCESS)]
    pub ca_file: Option<PathBuf>,
    /// The server's answer as JSON instead of a table
    #[arg(long, global = true, help_heading = ACCESS)]
    pub json: bool,
}

/// Who asks whom.
pub struct Caller {
    agent: Agent,
    server: String,
    key: Option<String>,
}

/// What came back.
pub struct Reply {
    pub status: u16,
    pub etag: Option<String>,
    /// Null when it has none.
    pub body: Value,
}

impl Caller {
    pub fn new(access: &Access) -> anyhow::Result<Caller> {
        let Server { url, scheme, host } = access.server.clone();
        let bare = host.trim_matches(['[', ']']);
        let near = bare == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let key = key(access)?;
        if scheme == "http" && !near && key.is_some() {
            eprintln!("onsale: warning: the key goes to {host} without encryption");
        }
        let proxy = if near { None } else { Proxy::try_from_env() };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(ANSWER_WITHIN))
            .proxy(proxy)
            .tls_config(TlsConfig::builder().root_certs(authorities(access)?).build())
            .user_agent(concat!("onsale-admin/", env!("CARGO_PKG_VERSION")));
        Ok(Caller { agent: config.build().into(), server: url, key })
    }

    /// By the kind of its key.
    pub fn is_organizer(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.starts_with("osk_"))
    }

    /// By the kind of its key.
    pub fn is_operator(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.starts_with("opk_"))
    }

    pub fn get(&self, path: &str) -> anyhow::Result<Reply> {
        self.send(Method::GET, path, None, &[])
    }

    pub fn delete(&self, path: &str) -> anyhow::Result<Reply> {
        self.send(Method::DELETE, path, None, &[])
    }

    pub fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Reply> {
        self.send(Method::PATCH, path, Some(body), &[])
    }

    pub fn put(&self, path: &str, body: &Value, if_match: Option<&str>) -> anyhow::Result<Reply> {
        let seen: Vec<_> = if_match.map(|etag| ("If-Match", etag)).into_iter().collect();
        self.send(Method::PUT, path, Some(body), &seen)
    }

    /// What happens once however often it is asked for.
    pub fn act(&self, path: &str, body: &Value) -> anyhow::Result<Reply> {
        self.send(Method::POST, path, Some(body), &[])
    }

    /// With a new key, or the given one. When nobody can say whether it happened, the key to try again with is told.
    pub fn post(&self, path: &str, body: &Value, key: Option<String>) -> anyhow::Result<Reply> {
        let key = key.unwrap_or_else(|| format!("admin-{}", uuid::Uuid::new_v4()));
        let reply = self.send(Method::POST, path, Some(body), &[("Idempotency-Key", &key)]);
        if reply.as_ref().map_or(true, |reply| reply.status >= 500) {
            eprintln!("onsale: it may have happened or not; it happens once with --idempotency-key {key}");
        }
        reply
    }

    /// Every page of a list, as one.
    pub fn list(&self, path: &str) -> anyhow::Result<Reply> {
        let (mut items, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..PAGES_MAX {
            let from = cursor.map_or(String::new(), |cursor| format!("&cursor={cursor}"));
            let mut reply = self.get(&format!("{path}?limit={PAGE_ITEMS}{from}"))?;
            let Some(page) = reply.body.get_mut("items").and_then(Value::as_array_mut) else { return Ok(reply) };
            items.append(page);
            cursor = reply.body["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                reply.body["items"] = json!(items);
                return Ok(reply);
            }
        }
        bail!("the list at {path} does not end");
    }

    /// Whether it is ready, and some of its figures.
    pub fn status(&self) -> anyhow::Result<Reply> {
        let mut reply = self.get("/readyz")?;
        if reply.status < 400 {
            let figures = self.get("/metrics")?.body;
            let figures = figures.as_str().unwrap_or_default().lines().filter_map(|line| {
                let (name, value) = line.split_once(' ')?;
                let known = FIGURES.iter().find(|(known, _)| *known == name)?;
                Some((known.1.to_owned(), json!(value.parse::<f64>().ok()? as u64)))
            });
            let mut body =
                Map::from_iter([("server".into(), json!(self.server)), ("status".into(), reply.body["status"].take())]);
            body.extend(figures);
            reply.body = Value::Object(body);
        }
        Ok(reply)
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Reply> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.server));
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = match body {
            Some(body) => self.agent.run(request.header("Content-Type", "application/json").body(body.to_string())?),
            None => self.agent.run(request.body(())?),
        };
        let unreachable = |error: ureq::Error| {
            let mut why = format!("no answer from {}: {error}", self.server);
            if why.contains("CaUsedAsEndEntity") {
                why += "; its certificate says that it is an authority: make it with basicConstraints=CA:FALSE";
            }
            Unreachable(why)
        };
        let mut answer = answer.map_err(unreachable)?;
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().map_err(unreachable)?;
        let etag = answer.headers().get("ETag").and_then(|etag| etag.to_str().ok()).map(str::to_owned);
        let body = match text.is_empty() {
            true => Value::Null,
            false => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        };
        Ok(Reply { status: answer.status().as_u16(), etag, body })
    }
}

/// Of `/metrics`, and as what they are shown.
const FIGURES: [(&str, &str); 6] = [
    ("onsale_log_position", "log_position"),
    ("onsale_log_durable_position", "durable_position"),
    ("onsale_log_bytes", "log_bytes"),
    ("onsale_log_events_total", "events_since_start"),
    ("onsale_sales_total", "sales_since_start"),
    ("onsale_mailbox_depth", "commands_waiting"),
];

impl Reply {
    pub fn json(&self) -> String {
        match &self.body {
            Value::Null => String::new(),
            body => format!("{body:#}\n"),
        }
    }

    /// Why it was refused, in one line.
    pub fn problem(&self) -> String {
        let field = |name| self.body.get(name).and_then(Value::as_str);
        let slug =
            field("type").and_then(|kind| kind.rsplit('/').next()).map_or(String::new(), |slug| format!(" {slug}"));
        let detail = field("detail").or(field("title")).unwrap_or("the answer is not one of an Onsale server");
        // Most details begin with it.
        let named = field("field").filter(|name| !detail.starts_with(name));
        let named = named.map_or(String::new(), |name| format!(" ({name})"));
        let request = field("request_id").map_or(String::new(), |id| format!(" [request {id}]"));
        format!("{}{slug}: {detail}{named}{request}", self.status)
    }
}

fn key(access: &Access) -> anyhow::Result<Option<String>> {
    let variable = |name| std::env::var(name).ok().filter(|key| !key.is_empty());
    let key = match &access.key_file {
        Some(file) => Some(std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?),
        None => variable("ONSALE_KEY").or_else(|| variable("ONSALE_OPERATOR_KEY")),
    };
    let key = key.map(|key| key.trim().to_owned());
    let fits = |key: &String| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(key.as_ref().is_none_or(fits), "the key is not one word of visible ASCII characters");
    Ok(key)
}

fn authorities(access: &Access) -> anyhow::Result<RootCerts> {
    let Some(file) = &access.ca_file else { return Ok(RootCerts::WebPki) };
    let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let found: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    ensure!(!found.is_empty(), "{} has no certificate (BEGIN CERTIFICATE)", file.display());
    Ok(RootCerts::new_with_certs(&found))
}
