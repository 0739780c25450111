//! What changes while the server runs.

use super::load::{Invalid, Loaded, load};
use super::setting::Setting;
use super::{SETTINGS, Serve};
use std::ffi::OsString;

/// A new configuration beside the one that runs.
pub struct Reload {
    /// What is to run from now on: the new values of what can change, the old ones of everything else.
    pub loaded: Loaded,
    /// Names of what changes.
    pub changed: Vec<String>,
    /// Names of what was set anew but needs a restart.
    pub restart: Vec<String>,
}

impl Loaded {
    /// Reads everything again from where it came. An error leaves all as it is.
    pub fn reload(&self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Reload, Invalid> {
        let mut loaded = load(&self.flags, environment)?;
        let (mut changed, mut restart) = (Vec::new(), Vec::new());
        for (place, setting) in SETTINGS.iter().enumerate() {
            let (old, new) = (&self.values[place], &mut loaded.values[place]);
            if old.raw == new.raw {
                continue;
            }
            if setting.reload && (old.raw.is_some() == new.raw.is_some() || !is_switch(setting)) {
                changed.push(setting.path());
            } else {
                restart.push(setting.path());
                *new = old.clone();
            }
        }
        loaded.serve = Serve::of(&loaded.values);
        Ok(Reload { loaded, changed, restart })
    }
}

/// Its value may change, but a listener speaks TLS or does not.
fn is_switch(setting: &Setting) -> bool {
    setting.table == "tls"
}
