//! How the log fails: faults that tests inject, and the one failure that stops the process.

use super::Error;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

/// What the log is about to do to the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    JournalHeader,
    JournalWrite,
    JournalSync,
    ArchiveWrite,
    ArchiveSync,
    /// A step of [moving events](crate::archive::relocate) out of sled or back.
    Shift,
}

/// Asked before each [`Op`]; an error is taken for the operation's own. For tests.
pub type Fault = Arc<dyn Fn(Op) -> io::Result<()> + Send + Sync>;

/// Asks `fault`, if there is one.
pub(crate) fn consult(fault: &Option<Fault>, op: Op) -> io::Result<()> {
    fault.as_ref().map_or(Ok(()), |fault| fault(op))
}

/// Called once, with what went wrong, when the log cannot go on.
pub type OnFailure = Box<dyn Fn(String) + Send + Sync>;

/// Whether the log has failed, and why. It never recovers: a failed fsync must not be tried again, because the kernel
/// may already have dropped the pages that it could not write.
pub(crate) struct Failure {
    what: OnceLock<String>,
    hook: OnFailure,
}

impl Failure {
    pub fn new(hook: OnFailure) -> Failure {
        Failure { what: OnceLock::new(), hook }
    }

    /// The first failure counts, and calls the hook.
    pub fn set(&self, what: String) {
        if self.what.set(what.clone()).is_ok() {
            tracing::error!(%what, "the log has failed");
            // A hook that panics must not keep the log's threads from telling the others.
            let _ = catch_unwind(AssertUnwindSafe(|| (self.hook)(what)));
        }
    }

    pub fn get(&self) -> Option<Error> {
        self.what.get().map(|what| Error::Failed(what.clone()))
    }

    pub fn is_set(&self) -> bool {
        self.what.get().is_some()
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("of unknown kind"))
}

/// The error of a file operation, with the file.
pub(crate) fn io_error(path: &std::path::Path, error: &io::Error) -> Error {
    Error::Other(format!("{}: {error}", path.display()))
}
