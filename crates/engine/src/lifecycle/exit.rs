//! How the process ends when it must.

/// Exit code after a failed write: sysexits' EX_IOERR.
pub const EXIT_LOG_FAILED: i32 = 74;
