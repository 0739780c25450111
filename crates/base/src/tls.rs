//! The server's certificate and key: read from PEM files, replaced while it runs.
//!
//! TLS 1.2 and 1.3, HTTP/1.1 only: its parser's limits, keep-alive and event streams are the same with and without TLS.

use anyhow::{Context, bail, ensure};
use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InconsistentKeys, ServerConfig, SignatureScheme,
};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Bytes of a PEM file: whatever is longer is something else.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// What is shown to new connections. Those that are open keep what they began with.
#[derive(Debug)]
pub struct Tls {
    current: ArcSwap<CertifiedKey>,
    /// Of the files that it is from.
    seen: Mutex<blake3::Hash>,
    provider: Arc<CryptoProvider>,
}

/// Both files as they are.
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads the pair; the error says which file is wrong and why.
    pub fn open(certificate: &Path, key: &Path) -> anyhow::Result<Arc<Tls>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pair = Pair::read(certificate, key)?;
        let current = ArcSwap::from_pointee(pair.certified(certificate, key, &provider)?);
        Ok(Arc::new(Tls { current, seen: Mutex::new(pair.hash()), provider }))
    }

    /// Reads the files again; whether there is a new pair. An error keeps the old one.
    pub fn refresh(&self, certificate: &Path, key: &Path) -> anyhow::Result<bool> {
        let pair = Pair::read(certificate, key)?;
        let hash = pair.hash();
        let mut seen = self.seen.lock().expect("no holder panics");
        if *seen == hash {
            return Ok(false);
        }
        self.current.store(Arc::new(pair.certified(certificate, key, &self.provider)?));
        *seen = hash;
        Ok(true)
    }

    /// Until when what is shown now is valid, s since 1970.
    pub fn not_after_s(&self) -> anyhow::Result<i64> {
        not_after_s(&self.current.load().cert[0])
    }

    /// For the listener.
    pub fn server_config(self: &Arc<Tls>) -> anyhow::Result<ServerConfig> {
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        let config = ServerConfig::builder_with_provider(self.provider.clone()).with_protocol_versions(&versions)?;
        Ok(config.with_no_client_auth().with_cert_resolver(Arc::new(Resolver(self.clone()))))
    }

    /// For a client within the process: it believes exactly the certificate that there is now, and no name.
    pub fn client_config(&self) -> anyhow::Result<ClientConfig> {
        let own = Own { certificate: self.current.load().cert[0].clone(), provider: self.provider.clone() };
        let config =
            ClientConfig::builder_with_provider(self.provider.clone()).with_safe_default_protocol_versions()?;
        Ok(config.dangerous().with_custom_certificate_verifier(Arc::new(own)).with_no_client_auth())
    }
}

/// Until when a certificate in DER is valid, s since 1970: the one field of it that is told. Everything else is rustls' business.
fn not_after_s(certificate: &[u8]) -> anyhow::Result<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).context("it is no certificate in DER")?;
    Ok(certificate.validity().not_after.timestamp())
}

#[derive(Debug)]
struct Resolver(Arc<Tls>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current.load_full())
    }
}

#[derive(Debug)]
struct Own {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Own {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match *shown == self.certificate {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Pair {
    fn read(certificate: &Path, key: &Path) -> anyhow::Result<Pair> {
        Ok(Pair { certificate: pem(certificate)?, key: pem(key)? })
    }

    fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(self.certificate.len() as u64).to_le_bytes());
        hasher.update(&self.certificate).update(&self.key).finalize()
    }

    fn certified(&self, certificate: &Path, key: &Path, provider: &CryptoProvider) -> anyhow::Result<CertifiedKey> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.with_context(|| format!("{} is no PEM file", certificate.display()))?;
        ensure!(!chain.is_empty(), "{} has no certificate (BEGIN CERTIFICATE)", certificate.display());
        let private = PrivateKeyDer::from_pem_slice(&self.key)
            .with_context(|| format!("{} has no private key (BEGIN PRIVATE KEY)", key.display()))?;
        match CertifiedKey::from_der(chain, private, provider) {
            Ok(pair) => Ok(pair),
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                bail!("the key in {} does not belong to the certificate in {}", key.display(), certificate.display())
            }
            Err(error) => Err(error).with_context(|| {
                format!("the key in {} or the certificate in {} cannot be used", key.display(), certificate.display())
            }),
        }
    }
}

fn pem(path: &Path) -> anyhow::Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes)).with_context(cannot)?;
    ensure!(bytes.len() as u64 <= PEM_BYTES_MAX, "{} has more than {PEM_BYTES_MAX} bytes", path.display());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::OffsetDateTime;

    #[test]
    fn certificates_have_times_of_two_kinds() {
        // UTCTime until 2049, GeneralizedTime after it: RFC 5280, 4.1.2.5.
        for not_after_s in [0, 1_709_208_000, 2_524_607_999, 2_524_608_000, 253_402_300_799] {
            let mut params = rcgen::CertificateParams::default();
            params.not_after = OffsetDateTime::from_unix_timestamp(not_after_s).unwrap();
            let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
            assert_eq!(super::not_after_s(certificate.der()).unwrap(), not_after_s);
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for bytes in [&b""[..], &[0x30], &[0x30, 0x84, 1], &[0x30, 5, 0], &[0x30, 0], b"BEGIN"] {
            assert!(not_after_s(bytes).is_err(), "{bytes:?}");
        }
    }
}
