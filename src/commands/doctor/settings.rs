//! What is set: what does not fit together, certificate and key.

use super::check::{Check, State};
use ::config::{Loaded, ReadModels, Serve};
use anyhow::Context;
use base::tls::Tls;
use indicatif::HumanCount;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::X509Certificate;

const DAYS_FINE: i64 = 30;
const DAYS_MIN: i64 = 7;

pub fn look(loaded: &Loaded, people: u64) -> Vec<Check> {
    let config = &loaded.serve;
    let mut checks = vec![together(loaded, people), certificate(config)];
    checks.push(secrets(config));
    checks
}

/// A line for each thing that does not fit.
fn together(loaded: &Loaded, people: u64) -> Check {
    let config = &loaded.serve;
    let mut wrong: Vec<(State, String)> =
        loaded.warnings.iter().map(|warning| (State::Warning, warning.clone())).collect();
    let mut say = |state, what: String| wrong.push((state, what));
    if config.self_charge() {
        say(State::Failure, "wallet.self_charge (or --demo): anybody gives themselves points".into());
    }
    if config.benchmark_routes {
        say(State::Warning, "server.benchmark_routes: only for measuring".into());
    }
    if config.streams_max > config.connections_max {
        let (streams, connections) = (config.streams_max, config.connections_max);
        say(
            State::Warning,
            format!("streams.max {streams} is above server.connections_max {connections}: each stream is a connection"),
        );
    }
    if people > config.connections_max as u64 {
        let (people, connections) = (HumanCount(people), HumanCount(config.connections_max as u64));
        say(
            State::Warning,
            format!(
                "{people} people and server.connections_max {connections}: the others wait to be accepted; raise it, or have a \
                     proxy in front that shares connections"
            ),
        );
    }
    let loopback = config.listen.0.starts_with("127.") || config.listen.0.starts_with("localhost");
    if loopback && config.proxy_trusted.is_empty() {
        say(
            State::Warning,
            format!(
                "server.listen {} is reached from this machine only, and proxy.trusted is empty: behind a proxy everybody \
                     has its address",
                config.listen.0
            ),
        );
    }
    if !loopback && config.tls_certificate.is_none() && config.proxy_trusted.is_empty() {
        say(State::Warning, "no TLS and no proxy.trusted: passwords and tokens go over the network as they are".into());
    }
    if config.limit_address_per_minute == 0 {
        say(State::Warning, "limit.address_per_minute is 0: nobody is slowed down".into());
    }
    if config.read_models == ReadModels::Inside && config.postgres.is_none() && people > 1_000_000 {
        say(
            State::Warning,
            "read models of a million people in SQLite, in this process: set read_models.postgres".into(),
        );
    }
    let worst = wrong.iter().map(|(state, _)| *state).max().unwrap_or(State::Ok);
    let found = match wrong.len() {
        0 => "nothing is wrong together".to_owned(),
        _ => wrong.into_iter().map(|(_, what)| what).collect::<Vec<_>>().join("; "),
    };
    Check::new(
        "settings",
        worst,
        found,
        "onsale config shows what is set and where; onsale config --example what it means",
    )
}

/// What a restored machine or another person could not find.
fn secrets(config: &Serve) -> Check {
    let name = "backup_setting";
    let Some(to) = &config.backup_to else {
        let todo = "set backup.to to a folder on another disk or a bucket, or run onsale backup --follow beside it";
        return Check::new(name, State::Warning, "backup.to is not set: what the disk loses is lost", todo);
    };
    let device = |path: &Path| path.ancestors().find_map(|path| path.metadata().ok()).map(|found| found.dev());
    if !to.contains("://") && device(Path::new(to)) == device(&config.data) {
        let todo = "set backup.to to another disk, or a bucket";
        return Check::new(name, State::Warning, format!("{to} is on the data folder's own disk"), todo);
    }
    Check::new(name, State::Ok, format!("every commit goes to {to}"), "")
}

fn certificate(config: &Serve) -> Check {
    let name = "certificate";
    let (Some(certificate), Some(key)) = (&config.tls_certificate, &config.tls_key) else {
        return Check::new(
            name,
            State::Skipped,
            "plain HTTP: tls.certificate is not set",
            "a proxy in front has to have one",
        );
    };
    let judged = Tls::open(certificate, key).and_then(|_| judge(config, certificate));
    judged.unwrap_or_else(|error| {
        let todo = "put a certificate and the key that belongs to it where tls.certificate and tls.key say";
        Check::new(name, State::Failure, format!("{error:#}"), todo)
    })
}

/// When it ends, and whose it is.
fn judge(config: &Serve, path: &Path) -> anyhow::Result<Check> {
    let name = "certificate";
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let pem = Pem::iter_from_buffer(&bytes).next().context("there is no certificate in it")??;
    let certificate = pem.parse_x509()?;
    let ends = certificate.validity().not_after.timestamp();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let days = (ends - now) / 86_400;
    let names = names(&certificate);
    let mut found = format!("of {}, for {days} more days", names.join(", "));
    let mut state = match days {
        _ if ends < now || certificate.validity().not_before.timestamp() > now => State::Failure,
        ..DAYS_MIN => State::Failure,
        DAYS_MIN..DAYS_FINE => State::Warning,
        _ => State::Ok,
    };
    let mut todo = "renew it, and have that done by itself; the server takes new files within a minute".to_owned();
    let host = config.public_url.as_ref().and_then(|url| host_of(url.as_str()));
    if let Some(host) = host.filter(|host| !names.iter().any(|name| covers(name, host))) {
        state = State::Failure;
        found += &format!("; queue.public_url says {host}");
        todo = format!("get one for {host}: browsers refuse this one");
    }
    Ok(Check::new(name, state, found, todo))
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names = alternative.into_iter().flat_map(|extension| &extension.value.general_names);
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
                _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            },
            _ => None,
        })
        .collect()
}

/// RFC 6125: a star is one label, the first.
fn covers(name: &str, host: &str) -> bool {
    let (name, host) = (name.to_ascii_lowercase(), host.to_ascii_lowercase());
    match name.strip_prefix("*.") {
        Some(rest) => host.split_once('.').is_some_and(|(_, parent)| parent == rest),
        None => name == host,
    }
}

fn host_of(url: &str) -> Option<String> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => authority.split(':').next()?,
    };
    Some(host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::config::Flags;
    use rcgen::{CertificateParams, KeyPair};
    use time::Duration;

    fn loaded(settings: &[(&str, &str)]) -> Loaded {
        let environment = settings.iter().map(|(name, value)| (format!("ONSALE_{name}").into(), (*value).into()));
        config::load(&Flags::default(), environment.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn what_does_not_fit_is_named() {
        type Settings = &'static [(&'static str, &'static str)];
        let rows: [(Settings, State, &str); 7] = [
            (&[("PROXY_TRUSTED", "127.0.0.1")], State::Ok, "nothing is wrong"),
            (&[], State::Warning, "proxy.trusted is empty"),
            (&[("LISTEN", "0.0.0.0:80")], State::Warning, "no TLS"),
            (&[("SELF_CHARGE", "true"), ("PROXY_TRUSTED", "127.0.0.1")], State::Failure, "points"),
            (&[("CONNECTIONS_MAX", "20000"), ("PROXY_TRUSTED", "127.0.0.1")], State::Warning, "streams.max 30000"),
            (&[("CONNECTIONS_MAX", "40000"), ("PROXY_TRUSTED", "127.0.0.1")], State::Warning, "45,000 people"),
            (
                &[("LISTNE", "0.0.0.0:80"), ("PROXY_TRUSTED", "127.0.0.1")],
                State::Warning,
                "ONSALE_LISTNE is no setting",
            ),
        ];
        for (settings, state, part) in rows {
            let check = together(&loaded(settings), 45_000);
            assert!(check.state == state && check.found.contains(part), "{settings:?}: {check:?}");
        }
    }

    /// Days that are left, the names, the public URL, whether the key belongs to it; what is said.
    #[test]
    fn a_certificate_is_judged() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = ["tls.crt", "tls.key"].map(|name| folder.path().join(name));
        let rows = [
            (90, "tickets.example.com", "https://tickets.example.com", true, State::Ok, "89 more days"),
            (90, "*.example.com", "https://tickets.example.com:8443", true, State::Ok, "of *.example.com"),
            (90, "*.example.com", "https://a.tickets.example.com", true, State::Failure, "says a.tickets.example.com"),
            (90, "example.com", "https://tickets.example.com", true, State::Failure, "says tickets.example.com"),
            (20, "tickets.example.com", "https://tickets.example.com", true, State::Warning, "19 more days"),
            (3, "tickets.example.com", "https://tickets.example.com", true, State::Failure, "2 more days"),
            (-1, "tickets.example.com", "https://tickets.example.com", true, State::Failure, "-1 more days"),
            (90, "tickets.example.com", "https://tickets.example.com", false, State::Failure, "key"),
        ];
        for (days, name, url, fits, state, part) in rows {
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.not_before = OffsetDateTime::now_utc() - Duration::days(30);
            params.not_after = OffsetDateTime::now_utc() + Duration::days(days) - Duration::minutes(1);
            let pair = KeyPair::generate().unwrap();
            let other = KeyPair::generate().unwrap();
            std::fs::write(&certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
            std::fs::write(&key, if fits { &pair } else { &other }.serialize_pem()).unwrap();
            let [certificate, key] = [&certificate, &key].map(|path| path.to_str().unwrap());
            let settings = [("TLS_CERTIFICATE", certificate), ("TLS_KEY", key), ("PUBLIC_URL", url)];
            let check = super::certificate(&loaded(&settings).serve);
            assert!(check.state == state && check.found.contains(part), "{name} {days}: {check:?}");
        }
    }

    #[test]
    fn a_backup_on_the_same_disk_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_str().unwrap().to_owned();
        let state = |to: &str| secrets(&loaded(&[("DATA", &data), ("BACKUP_TO", to)]).serve).state;
        assert_eq!(secrets(&loaded(&[]).serve).state, State::Warning);
        assert_eq!(state(folder.path().join("backup").to_str().unwrap()), State::Warning);
        assert_eq!(state("/proc/other"), State::Ok);
        assert_eq!(state("s3://bucket/x"), State::Ok);
    }
}
