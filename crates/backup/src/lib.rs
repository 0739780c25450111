//! Copies of a data folder elsewhere, made while a server runs on it or not, and data folders made of them.
//!
//! - [`place`]: where a backup is: a folder, or a bucket of S3, Google Cloud Storage or Azure
//! - [`segment`]: a run of the log's chunks, compressed; never changed once it is there, replaced by larger ones if it is small
//! - [`manifest`]: what the backup has, written last
//! - [`keys`]: the vault, block by block
//! - [`source`]: the log that is shipped
//! - [`ship`]: what is new goes there; [`follow`]: again and again; [`merge`]: of many small segments one
//! - [`restore`]: a data folder of it
//!
//! ```text
//! manifest                                             up to where it is whole, which keys and files belong to it
//! segments/00000000000000000001-00000000000000004711   events, by their positions
//! keys/00000000-4096-1f0a…                             4,096 slots of the vault, by number, count and hash
//! secrets/secret-9f86…                                 files of the data folder, by hash
//! ```
//!
//! Everything is written under a name of its own and read back before the manifest says that it counts. A crash anywhere leaves
//! the manifest of before, and all that it names. Keys are apart from events: what an erased person's events were sealed with
//! is in no block that the manifest names, and blocks that it names no more are deleted after [`ship::Settings::keys_keep_ms`].

pub mod follow;
pub mod keys;
pub mod manifest;
pub mod merge;
pub mod place;
pub mod restore;
pub mod segment;
pub mod ship;
pub mod source;

#[cfg(test)]
mod tests;
