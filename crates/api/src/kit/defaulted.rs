//! Numbers of a request that may be left out.

use serde::{Deserialize, Serialize};

/// A number that is `DEFAULT` unless it is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Defaulted<const DEFAULT: u32>(pub u32);

impl<const DEFAULT: u32> Default for Defaulted<DEFAULT> {
    fn default() -> Self {
        Defaulted(DEFAULT)
    }
}

impl<const DEFAULT: u32> Defaulted<DEFAULT> {
    /// For fields that came after the first release: left out of a request's fingerprint, which then is that of a request
    /// from before there was such a field.
    pub fn is_default(&self) -> bool {
        self.0 == DEFAULT
    }
}
