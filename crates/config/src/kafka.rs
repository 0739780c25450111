//! Types of the settings of table `kafka`.

use super::value::{Kind, Raw, Text, Value};

/// A broker's `HOST:PORT`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broker(String);

impl Broker {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for Broker {
    fn parse(text: &str) -> Result<Broker, String> {
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let host_fits = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        match host_fits && port.parse::<u16>().is_ok_and(|port| port > 0) {
            true => Ok(Broker(text.into())),
            false => Err("a broker's host and port are expected, like kafka-1:9092".into()),
        }
    }
}

/// What topics' names begin with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicPrefix(String);

/// Characters of a topic's prefix: a topic's name has at most 249.
const PREFIX_CHARS_MAX: usize = 200;

impl TopicPrefix {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for TopicPrefix {
    const KIND: Kind = Kind::Text;

    fn read(raw: Option<&Raw>) -> Result<TopicPrefix, String> {
        let text = String::read(raw)?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        match text.len() <= PREFIX_CHARS_MAX && text.bytes().all(fits) {
            true => Ok(TopicPrefix(text)),
            false => {
                Err(format!("at most {PREFIX_CHARS_MAX} letters, digits, dots, dashes and underscores are expected"))
            }
        }
    }
}

/// How this server signs in at Kafka's brokers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SaslMechanism {
    None,
    Plain,
    ScramSha256,
    ScramSha512,
}

impl SaslMechanism {
    /// As Kafka calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            SaslMechanism::None => "none",
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
            SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Value for SaslMechanism {
    const KIND: Kind = Kind::Choice(&["none", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]);

    fn read(raw: Option<&Raw>) -> Result<SaslMechanism, String> {
        let all = [SaslMechanism::None, SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512];
        let given = match raw {
            Some(Raw::Text(text)) => all.into_iter().find(|mechanism| mechanism.as_str() == text),
            _ => None,
        };
        given.ok_or_else(|| "a value is expected".into())
    }
}

/// A setting of librdkafka.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KafkaSetting {
    pub name: String,
    pub value: String,
}

impl Text for KafkaSetting {
    fn parse(text: &str) -> Result<KafkaSetting, String> {
        match text.split_once('=').filter(|(name, _)| !name.trim().is_empty()) {
            Some((name, value)) => Ok(KafkaSetting { name: name.trim().into(), value: value.trim().into() }),
            None => Err("a setting of librdkafka is expected, like linger.ms=20".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers() {
        for broker in ["kafka:9092", "10.0.0.1:9092", "[::1]:9092"] {
            assert_eq!(Broker::parse(broker), Ok(Broker(broker.into())));
        }
        for wrong in ["", "kafka", "kafka:", ":9092", "kafka:0", "kafka:99999", "http://kafka:9092", "a b:1"] {
            assert!(Broker::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn settings_of_librdkafka() {
        let setting = KafkaSetting::parse("ssl.x = a=b").unwrap();
        assert_eq!((setting.name.as_str(), setting.value.as_str()), ("ssl.x", "a=b"));
        assert!(KafkaSetting::parse("=5").is_err() && KafkaSetting::parse("linger.ms").is_err());
    }
}
