//! The published contract is the one that the handlers have.

use std::path::Path;
use std::process::Command;

/// `UPDATE_CONTRACTS=1 cargo test` writes it anew.
#[test]
fn openapi_is_what_the_handlers_say() {
    let output = Command::new(env!("CARGO_BIN_EXE_onsale")).arg("openapi").output().unwrap();
    assert!(output.status.success());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/openapi.json");
    if std::env::var_os("UPDATE_CONTRACTS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &output.stdout).unwrap();
    }
    let published = std::fs::read(&path).unwrap_or_default();
    assert!(
        published == output.stdout,
        "schema/openapi.json is not what `onsale openapi` prints; UPDATE_CONTRACTS=1 cargo test --test api_contract, then look at the difference"
    );
}
