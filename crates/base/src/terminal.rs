//! What the tools print.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

/// Prints to stdout. A reader that has seen enough (`| head`) is no failure.
pub fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// A part of what a tool prints. That nobody reads any more must not keep it from its end.
pub fn say(text: fmt::Arguments<'_>) {
    let _ = std::io::stdout().lock().write_fmt(text);
}
