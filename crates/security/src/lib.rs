//! Who somebody is, and what nobody else may read.
//!
//! - [`secrets`]: keys and tokens that are made here; [`signing`]: the Ed25519 keys that sign admissions
//! - [`passwords`]: argon2id; [`vault`]: personal data, sealed per account
//! - [`identity`]: tokens of identity providers

pub mod identity;
pub mod passwords;
pub mod secrets;
pub mod signing;
pub mod vault;

/// Files of the data folder, beside the vault, that nothing can make again: whoever copies a folder copies them.
pub const FILES: [&str; 3] = [secrets::SECRET_FILE, secrets::OPERATOR_FILE, signing::FILE];
