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
