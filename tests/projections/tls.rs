//! PostgreSQL over TLS: a server of this test's own, with a certificate by an authority that only this test knows.

use super::places::{built_in, concert, log_of, until};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use readmodels::checkpoints;
use readmodels::read::Reader;
use readmodels::store::{Place, Postgres};
use readmodels::{Kind, Value};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A PostgreSQL that is gone with this.
struct Own {
    folder: tempfile::TempDir,
}

impl Own {
    fn services(&self, act: &str) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services");
        let mut command = Command::new(script);
        command.arg("--dir").arg(self.folder.path()).args([act, "postgres"]).env("ONSALE_SERVICES_OWN", "1");
        let ran = command.output().expect("scripts/services runs");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    fn start() -> (Own, String) {
        let own = Own { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(own.folder.path().join("postgres")).unwrap();
        certificates(own.folder.path());
        let printed = own.services("up") + &own.services("env");
        let url = printed.split_ascii_whitespace().find_map(|word| word.strip_prefix("ONSALE_TEST_POSTGRES="));
        let url = url.unwrap_or_else(|| panic!("{printed}")).to_owned();
        (own, url)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.services("wipe");
    }
}

/// An authority, a certificate by it for the server, and an authority that has nothing to do with it.
fn certificates(folder: &Path) {
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), Issuer::new(params, key))
    };
    let (other, _) = authority("somebody else");
    std::fs::write(folder.join("other.pem"), other).unwrap();
    let (pem, issuer) = authority("the tests' authority");
    std::fs::write(folder.join("ca.pem"), pem).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("postgres/tls.crt"), certificate.pem()).unwrap();
    std::fs::write(folder.join("postgres/tls.key"), key.serialize_pem()).unwrap();
}

#[test]
fn postgres_is_spoken_to_over_tls() {
    let (own, url) = Own::start();
    let with = |ca: Option<&str>, mode: &str| {
        let (url, ca) = (format!("{url}?sslmode={mode}"), ca.map(|name| own.file(name)));
        Place::Postgres(Postgres { url, schema: "onsale".into(), ca, connections_max: 2 })
    };
    let is_encrypted = "SELECT CAST(ssl AS int) FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    for mode in ["require", "prefer"] {
        let mut store = with(Some("ca.pem"), mode).open().unwrap();
        assert_eq!(store.query(is_encrypted, &[]).unwrap(), [[Value::Int(1)]], "{mode}");
    }
    let mut store = with(None, "disable").open().unwrap();
    assert_eq!(store.query(is_encrypted, &[]).unwrap(), [[Value::Int(0)]]);
    // Who cannot tell whether it is the right server does not go on without asking, and says why.
    for ca in [Some("other.pem"), None] {
        let error = with(ca, "require").open().err().unwrap();
        assert!(error.kind == Kind::Away && error.what.contains("certificate"), "{ca:?}: {error}");
    }

    // Projector and readers alike.
    let place = with(Some("ca.pem"), "require");
    let log = log_of(&[("ConcertCreated.v1", 1, &concert("One"))]);
    let home = super::places::Home::at(place.clone());
    until(&home, &log, built_in(), |progress| progress.position().0 == 1);
    assert!(checkpoints::log_id(&mut *store).unwrap().is_some());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let reader = Reader::new(place, 1, None).unwrap();
        assert_eq!(reader.query("SELECT title FROM concerts", vec![]).await.unwrap(), [[Value::Text("One".into())]]);
        assert_eq!(reader.query(is_encrypted, vec![]).await.unwrap(), [[Value::Int(1)]]);
    });
}
