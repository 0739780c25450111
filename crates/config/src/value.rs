//! Types of settings: how each is read from a file's, a variable's or a flag's text.

use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// A value as it was given, before its type makes sense of it. Displays as TOML.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Raw {
    Number(u64),
    Bool(bool),
    Text(String),
    List(Vec<String>),
    /// A number between whole ones, as it was written.
    Fraction(String),
}

/// What a type looks like outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A whole number that its type holds up to `max`.
    Number {
        max: u64,
    },
    Bool,
    Text,
    Choice(&'static [&'static str]),
    /// Texts; separated by commas in a variable or a flag.
    List,
    /// A number from 0 to 1.
    Fraction,
}

/// A type that a setting can have.
pub trait Value: Sized {
    const KIND: Kind;
    /// `None` is a setting that nobody set and that has no default. The error says what is expected.
    fn read(raw: Option<&Raw>) -> Result<Self, String>;
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Raw::Number(number) => write!(f, "{number}"),
            Raw::Bool(yes) => write!(f, "{yes}"),
            Raw::Text(text) => write!(f, "{}", toml::Value::from(text.as_str())),
            Raw::Fraction(number) => f.write_str(number),
            Raw::List(items) => write!(f, "{}", toml::Value::from(items.clone())),
        }
    }
}

impl Kind {
    /// Reads the text of a variable or a flag.
    pub fn parse(self, text: &str) -> Option<Raw> {
        Some(match self {
            Kind::Number { .. } => Raw::Number(text.parse().ok()?),
            Kind::Bool => Raw::Bool(match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => true,
                "false" | "0" | "no" | "off" => false,
                _ => return None,
            }),
            Kind::Text | Kind::Choice(_) => Raw::Text(text.into()),
            Kind::Fraction => Raw::Fraction(text.parse::<f64>().ok().map(|_| text.into())?),
            Kind::List => {
                Raw::List(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
            }
        })
    }
}

const MISSING: &str = "a value is expected";

macro_rules! numbers {
    ($($type:ty),*) => {
        $(impl Value for $type {
            const KIND: Kind = Kind::Number { max: <$type>::MAX as u64 };

            fn read(raw: Option<&Raw>) -> Result<$type, String> {
                let Some(Raw::Number(number)) = raw else { return Err(MISSING.into()) };
                <$type>::try_from(*number).map_err(|_| format!("at most {} is expected", <$type>::MAX))
            }
        })*
    };
}

numbers!(u16, u32, u64, usize);

impl Value for bool {
    const KIND: Kind = Kind::Bool;

    fn read(raw: Option<&Raw>) -> Result<bool, String> {
        match raw {
            Some(Raw::Bool(yes)) => Ok(*yes),
            _ => Err(MISSING.into()),
        }
    }
}

impl Value for String {
    const KIND: Kind = Kind::Text;

    fn read(raw: Option<&Raw>) -> Result<String, String> {
        match raw {
            Some(Raw::Text(text)) if !text.is_empty() => Ok(text.clone()),
            _ => Err("a text that is not empty is expected".into()),
        }
    }
}

impl Value for PathBuf {
    const KIND: Kind = Kind::Text;

    fn read(raw: Option<&Raw>) -> Result<PathBuf, String> {
        String::read(raw).map(PathBuf::from)
    }
}

impl<T: Value> Value for Option<T> {
    const KIND: Kind = T::KIND;

    fn read(raw: Option<&Raw>) -> Result<Option<T>, String> {
        raw.map(|raw| T::read(Some(raw))).transpose()
    }
}

/// Any type that is written as one text.
pub trait Text: Sized {
    /// The error says what is expected.
    fn parse(text: &str) -> Result<Self, String>;
}

impl<T: Text> Value for Vec<T> {
    const KIND: Kind = Kind::List;

    fn read(raw: Option<&Raw>) -> Result<Vec<T>, String> {
        let Some(Raw::List(items)) = raw else { return Err(MISSING.into()) };
        items.iter().map(|item| T::parse(item).map_err(|expected| format!("{item:?}: {expected}"))).collect()
    }
}

/// Where to listen: an IP address or a host name, and a port. Names are looked up when the server starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listen(pub String);

impl Value for Listen {
    const KIND: Kind = Kind::Text;

    fn read(raw: Option<&Raw>) -> Result<Listen, String> {
        let text = String::read(raw)?;
        let (host, port) = text.rsplit_once(':').unwrap_or((&text, ""));
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match bare {
            Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)),
        };
        match is_host && port.parse::<u16>().is_ok() {
            true => Ok(Listen(text)),
            false => {
                Err("an address or host name and a port are expected, like 0.0.0.0:8080, [::]:8080, localhost:8080"
                    .into())
            }
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose web pages may call: `*`, or scheme, host and, unless it is the scheme's own, port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin(String);

impl Origin {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for Origin {
    fn parse(text: &str) -> Result<Origin, String> {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let fits = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b':' | b'[' | b']' | b'_');
        match text == "*" || host.is_some_and(|host| !host.is_empty() && host.bytes().all(fits)) {
            true => Ok(Origin(text.into())),
            false => {
                Err("* or an origin like https://tickets.example.com, in lower case, without a path, is expected"
                    .into())
            }
        }
    }
}

/// Where browsers reach a server: an origin, a single one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicUrl(Origin);

impl PublicUrl {
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Value for PublicUrl {
    const KIND: Kind = Kind::Text;

    fn read(raw: Option<&Raw>) -> Result<PublicUrl, String> {
        let origin = Origin::parse(&String::read(raw)?).ok().filter(|origin| origin.as_str() != "*");
        let expected = "an origin like https://queue.example.com, in lower case, without a path, is expected";
        origin.map(PublicUrl).ok_or_else(|| expected.into())
    }
}

/// Addresses with a common start, or a single one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network(IpNet);

impl Network {
    pub fn contains(&self, address: &IpAddr) -> bool {
        self.0.contains(address)
    }
}

impl Text for Network {
    fn parse(text: &str) -> Result<Network, String> {
        let single = text.parse::<IpAddr>().map(IpNet::from);
        let network = single.or_else(|_| text.parse::<IpNet>());
        network
            .map(Network)
            .map_err(|_| "an address or a network is expected, like 127.0.0.1, 10.0.0.0/8, fd00::/8".into())
    }
}

/// What is logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter(String);

impl Filter {
    pub fn filter(&self) -> EnvFilter {
        EnvFilter::try_new(&self.0).expect("checked when it was read")
    }
}

impl Value for Filter {
    const KIND: Kind = Kind::Text;

    fn read(raw: Option<&Raw>) -> Result<Filter, String> {
        let text = String::read(raw)?;
        match EnvFilter::try_new(&text) {
            Ok(_) => Ok(Filter(text)),
            Err(error) => Err(format!("a filter like info or onsale=debug is expected: {error}")),
        }
    }
}

/// How logs are written to stderr.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// Text on a terminal, otherwise JSON.
    Auto,
    Text,
    Json,
}

impl Value for LogFormat {
    const KIND: Kind = Kind::Choice(&["auto", "text", "json"]);

    fn read(raw: Option<&Raw>) -> Result<LogFormat, String> {
        match raw {
            Some(Raw::Text(text)) if text == "auto" => Ok(LogFormat::Auto),
            Some(Raw::Text(text)) if text == "text" => Ok(LogFormat::Text),
            Some(Raw::Text(text)) if text == "json" => Ok(LogFormat::Json),
            _ => Err(MISSING.into()),
        }
    }
}

/// Who keeps the read models up to date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadModels {
    Inside,
    Outside,
    Off,
}

impl Value for ReadModels {
    const KIND: Kind = Kind::Choice(&["inside", "outside", "off"]);

    fn read(raw: Option<&Raw>) -> Result<ReadModels, String> {
        match raw {
            Some(Raw::Text(text)) if text == "inside" => Ok(ReadModels::Inside),
            Some(Raw::Text(text)) if text == "outside" => Ok(ReadModels::Outside),
            Some(Raw::Text(text)) if text == "off" => Ok(ReadModels::Off),
            _ => Err(MISSING.into()),
        }
    }
}

/// A part of all: 0 is nothing, 1 is everything.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fraction(f64);

impl Fraction {
    /// The same of `whole`.
    pub fn of(self, whole: u64) -> u64 {
        (self.0 * whole as f64) as u64
    }
}

impl Value for Fraction {
    const KIND: Kind = Kind::Fraction;

    fn read(raw: Option<&Raw>) -> Result<Fraction, String> {
        let Some(Raw::Fraction(text)) = raw else { return Err(MISSING.into()) };
        let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
        number.map(Fraction).ok_or_else(|| "a number from 0 to 1 is expected".into())
    }
}

/// Where a collector of traces is reached. What it is to be asked with (a token) is not a part of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CollectorUrl(String);

impl CollectorUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for CollectorUrl {
    const KIND: Kind = Kind::Text;

    fn read(raw: Option<&Raw>) -> Result<CollectorUrl, String> {
        let text = String::read(raw)?;
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let (host, path) = rest.map_or(("", ""), |rest| rest.split_at(rest.find('/').unwrap_or(rest.len())));
        let of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]_".contains(&byte);
        let of_path = |byte: u8| byte.is_ascii_graphic() && !b"?#@\\\"<>^`{|}".contains(&byte);
        match !host.is_empty() && host.bytes().all(of_host) && path.bytes().all(of_path) {
            true => Ok(CollectorUrl(text)),
            false => Err("a URL like http://localhost:4317, without user, query and fragment, is expected".into()),
        }
    }
}

/// How traces are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TracesProtocol {
    Grpc,
    Http,
}

impl Value for TracesProtocol {
    const KIND: Kind = Kind::Choice(&["grpc", "http"]);

    fn read(raw: Option<&Raw>) -> Result<TracesProtocol, String> {
        match raw {
            Some(Raw::Text(text)) if text == "grpc" => Ok(TracesProtocol::Grpc),
            Some(Raw::Text(text)) if text == "http" => Ok(TracesProtocol::Http),
            _ => Err(MISSING.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions() {
        let fraction = |text: &str| Fraction::read(Kind::Fraction.parse(text).as_ref());
        for (text, of) in [("0", 0), ("0.01", 10), ("1", 1000), ("1.0", 1000), ("5e-1", 500)] {
            assert_eq!(fraction(text).unwrap().of(1000), of, "{text}");
        }
        for wrong in ["", "-0.1", "1.01", "NaN", "inf", "1%", "a"] {
            assert!(fraction(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn collectors() {
        let url = |text: &str| CollectorUrl::read(Some(&Raw::Text(text.into())));
        for right in ["http://localhost:4317", "https://[::1]:4318/", "https://otel.example.com/team-1/v1/traces"] {
            assert_eq!(url(right).unwrap().as_str(), right);
        }
        for wrong in
            ["", "localhost:4317", "http://", "http://u:p@host", "https://host/?token=1", "grpc://host", "http://a b"]
        {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn origins() {
        for origin in ["*", "https://tickets.example.com", "http://localhost:5173", "http://[::1]:8080"] {
            assert_eq!(Origin::parse(origin), Ok(Origin(origin.into())));
        }
        let public = |text: &str| PublicUrl::read(Some(&Raw::Text(text.into())));
        assert_eq!(public("https://queue.example.com").unwrap().as_str(), "https://queue.example.com");
        assert!(public("*").is_err() && public("https://queue.example.com/").is_err());
        for wrong in ["", "a.example.com", "https://", "https://a/", "https://a/b", "https://A.b", "null", "ftp://a"] {
            assert!(Origin::parse(wrong).is_err(), "{wrong}");
        }
    }
}
