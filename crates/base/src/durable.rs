//! Files and names that are there whole after a crash, or not at all.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Makes the name of a folder durable, and of those above it that may be as new. What this process cannot open, it has not
/// made.
pub fn sync_names(path: &Path) -> std::io::Result<()> {
    let opened = |folder: &Path| File::open(folder).ok();
    path.canonicalize()?.ancestors().skip(1).filter_map(opened).try_for_each(|folder| folder.sync_all())
}

/// Writes a small file so that after a crash it is there whole, or not at all.
pub fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    write(path, bytes, 0o666)
}

/// The same of a file that only its owner may read.
pub fn write_secret(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let error = |error| std::io::Error::other(format!("cannot write {}: {error}", path.display()));
    write(path, bytes, 0o600).map_err(error)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::options().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
