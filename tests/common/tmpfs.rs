//! A disk that can be full: a file system in memory.

use super::skip::skip;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

pub struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// None where this process may not mount, and where that is allowed.
    pub fn new(megabytes: u32) -> Option<Tmpfs> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Tmpfs(folder)),
            other => {
                skip(&format!("no tmpfs can be mounted here for a full disk: {other:?}"));
                None
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Everything that is left is used up, to the last byte.
    pub fn fill(&self) {
        let filler = std::fs::File::create(self.path().join("filler")).unwrap();
        let mut at = 0;
        for size in [1 << 20, 4096, 1] {
            while filler.write_all_at(&vec![1; size], at).is_ok() {
                at += size as u64;
            }
        }
    }

    /// There is room again.
    pub fn grow(&self) {
        let grown = Command::new("mount").args(["-o", "remount,size=256m"]).arg(self.path()).status().unwrap();
        assert!(grown.success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}
