//! Where a backup is: a folder, or a bucket.
//!
//! Buckets are reached as the programs of their makers do it: credentials, region and endpoint come from the environment
//! (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME`, …).

use anyhow::{Context, bail};
use base::id::Millis;
use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig};
use std::fmt;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::time::Duration;
use tokio::runtime::Runtime;

/// A request that fails is tried again within this time; then whoever asked is told.
const RETRY_WITHIN: Duration = Duration::from_secs(15);
/// Times that a request is tried again.
const RETRIES_MAX: usize = 4;

/// What is in a folder of a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Object {
    /// Without the folder's.
    pub name: String,
    pub bytes: u64,
    /// When it was written, by the clock of the place.
    pub changed_ms: Millis,
}

/// A place that holds objects by name. Waits for the network: not to be called from an async task.
pub struct Place {
    shown: String,
    store: Box<dyn ObjectStore>,
    /// This one's own: who backs up must not wait for those who sell.
    runtime: Runtime,
}

impl Place {
    /// The place called `name`: a folder, which is made if it is not there, or `s3://`, `gs://` or `az://` with bucket and
    /// prefix.
    pub fn open(name: &str) -> anyhow::Result<Place> {
        Place::at(name, true)
    }

    /// The same, but a folder has to be there.
    pub fn open_existing(name: &str) -> anyhow::Result<Place> {
        Place::at(name, false)
    }

    fn at(name: &str, make: bool) -> anyhow::Result<Place> {
        let store = match name.split_once("://") {
            None => folder(name, make)?,
            Some((scheme, rest)) => bucket(name, scheme, rest)?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Place { shown: name.to_owned(), store, runtime })
    }

    /// Whether there is one, of whatever log.
    pub fn has_backup(&self) -> anyhow::Result<bool> {
        Ok(self.get(crate::manifest::NAME)?.is_some())
    }

    /// What is called `name`; `None` when there is no such object.
    pub fn get(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let get = async { self.store.get(&Path::from(name)).await?.bytes().await };
        match self.runtime.block_on(get) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(name, error)),
        }
    }

    /// Writes an object and reads it back. It is there whole or not at all; in a folder it is on disk.
    pub fn put(&self, name: &str, bytes: Vec<u8>) -> anyhow::Result<()> {
        let hash = blake3::hash(&bytes);
        let path = Path::from(name);
        self.runtime.block_on(self.store.put(&path, bytes.into())).map_err(|error| self.failed(name, error))?;
        match self.get(name)? {
            Some(found) if blake3::hash(&found) == hash => Ok(()),
            _ => bail!("{}/{name} is not what was written there a moment ago", self.shown),
        }
    }

    /// Deletes an object, if it is there.
    pub fn delete(&self, name: &str) -> anyhow::Result<()> {
        match self.runtime.block_on(self.store.delete(&Path::from(name))) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(name, error)),
        }
    }

    /// The objects in `folder`, in no order.
    pub fn list(&self, folder: &str) -> anyhow::Result<Vec<Object>> {
        let prefix = Path::from(folder);
        let list = self.store.list(Some(&prefix)).try_collect::<Vec<_>>();
        let found = self.runtime.block_on(list).map_err(|error| self.failed(folder, error))?;
        let object = |found: &ObjectMeta| {
            let name = found.location.filename()?.to_owned();
            Some(Object {
                name,
                bytes: found.size,
                changed_ms: found.last_modified.timestamp_millis().max(0) as Millis,
            })
        };
        Ok(found.iter().filter_map(object).collect())
    }

    fn failed(&self, name: &str, error: Error) -> anyhow::Error {
        anyhow::Error::new(error).context(format!("{}/{name}", self.shown))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

fn folder(name: &str, make: bool) -> anyhow::Result<Box<dyn ObjectStore>> {
    if make {
        // Secrets come here: for nobody else to read.
        DirBuilder::new().recursive(true).mode(0o700).create(name).with_context(|| name.to_owned())?;
        base::durable::sync_names(name.as_ref()).with_context(|| name.to_owned())?;
    } else if !std::path::Path::new(name).is_dir() {
        bail!("there is no folder {name}");
    }
    Ok(Box::new(LocalFileSystem::new_with_prefix(name)?.with_fsync(true)))
}

fn bucket(name: &str, scheme: &str, rest: &str) -> anyhow::Result<Box<dyn ObjectStore>> {
    // The libraries below take the provider that the process has; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (bucket, prefix) = rest.trim_end_matches('/').split_once('/').unwrap_or((rest.trim_end_matches('/'), ""));
    if bucket.is_empty() {
        bail!("{name} names no bucket: {scheme}://BUCKET/PREFIX is expected");
    }
    let retry = RetryConfig { max_retries: RETRIES_MAX, retry_timeout: RETRY_WITHIN, ..RetryConfig::default() };
    let prefix = Path::from(prefix);
    let cannot = || format!("{name} cannot be used: is the environment set that its maker's own tools read?");
    Ok(match scheme {
        "s3" => {
            let built = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry).build();
            Box::new(PrefixStore::new(built.with_context(cannot)?, prefix))
        }
        "gs" => {
            let built = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(retry).build();
            Box::new(PrefixStore::new(built.with_context(cannot)?, prefix))
        }
        "az" => {
            let built = MicrosoftAzureBuilder::from_env().with_container_name(bucket).with_retry(retry).build();
            Box::new(PrefixStore::new(built.with_context(cannot)?, prefix))
        }
        other => bail!("{name}: {other}:// is no place for backups; a folder, s3://, gs:// or az:// is"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_holds_what_was_put_there() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("a/b");
        assert!(Place::open_existing(name.to_str().unwrap()).is_err());
        let place = Place::open(name.to_str().unwrap()).unwrap();
        assert_eq!(place.get("manifest").unwrap(), None);
        place.put("manifest", b"1".to_vec()).unwrap();
        place.put("manifest", b"2".to_vec()).unwrap();
        place.put("segments/1-2", b"x".to_vec()).unwrap();
        assert_eq!(place.get("manifest").unwrap().as_deref(), Some(&b"2"[..]));
        let listed = place.list("segments").unwrap();
        assert_eq!((listed.len(), listed[0].name.as_str(), listed[0].bytes > 0), (1, "1-2", true));
        assert!(listed[0].changed_ms > 1_700_000_000_000);
        place.delete("segments/1-2").unwrap();
        place.delete("segments/1-2").unwrap();
        assert!(place.list("segments").unwrap().is_empty());
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(name.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_is_no_place_is_said() {
        for (name, part) in [("ftp://x/y", "ftp:// is no place"), ("s3:///x", "names no bucket")] {
            let error = format!("{:#}", Place::open(name).err().unwrap());
            assert!(error.contains(part), "{error}");
        }
    }
}
