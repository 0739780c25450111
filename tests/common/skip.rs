//! Tests that need what not every machine gives: they fail there, unless whoever runs them allows to skip them.

use std::fs::File;
use std::io::Write;

/// Anything but an empty value allows it.
pub const ALLOW: &str = "ONSALE_TEST_ALLOW_SKIP";
/// A file that gets one line for each test of which something was skipped. `./test` counts the lines.
const LIST: &str = "ONSALE_TEST_SKIPPED";

/// Notes that the running test goes on without what it needs.
///
/// # Panics
/// Where that is not allowed.
#[track_caller]
pub fn skip(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("unnamed");
    let allowed = std::env::var_os(ALLOW).is_some_and(|value| !value.is_empty());
    assert!(allowed, "{why}; {ALLOW}=1 skips what needs it, and says at the end how much that was");
    eprintln!("skipped: {test}: {why}");
    if let Some(path) = std::env::var_os(LIST) {
        let mut list = File::options().create(true).append(true).open(path).unwrap();
        // One write, so that lines of tests that run side by side stay whole.
        list.write_all(format!("{test} {}\n", why.replace('\n', " ")).as_bytes()).unwrap();
    }
}
