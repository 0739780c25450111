//! The read models of the temporary server, and whether they equal its log.

use super::args::CrowdArgs;
use crate::server::off_thread;
use eventlog::Position;
use eventlog::data_folder::DataFolder;
use readmodels::store::{Place, Postgres};
use std::path::Path;
use verifier::source::Source;

/// Where they are. A schema that was made for them goes with it.
pub struct Tables {
    place: Place,
    keep: bool,
}

impl Tables {
    /// What `args` want of a server with its data in `data`.
    pub fn of(args: &CrowdArgs, data: &Path) -> Tables {
        let place = match &args.postgres {
            Some(url) => Place::Postgres(Postgres {
                url: url.clone(),
                schema: format!("crowd_{}", uuid::Uuid::new_v4().simple()),
                ca: args.postgres_ca.clone(),
                connections_max: 1,
            }),
            None => Place::Sqlite(DataFolder::read_models(data)),
        };
        Tables { place, keep: args.keep }
    }

    /// What the server is told.
    pub fn flags(&self) -> Vec<String> {
        let Place::Postgres(postgres) = &self.place else { return Vec::new() };
        let flags = ["--postgres", &postgres.url, "--postgres-schema", &postgres.schema].map(str::to_owned);
        let ca = postgres.ca.iter().flat_map(|file| ["--postgres-ca".to_owned(), file.display().to_string()]);
        flags.into_iter().chain(ca).collect()
    }

    /// What differs between them and the log of `data`, whose server has stopped.
    pub async fn compare(&self, data: &Path) -> anyhow::Result<Vec<String>> {
        let (data, place) = (data.to_owned(), self.place.clone());
        off_thread(move || {
            let source = Source::open(&data)?;
            let (position, mut wrong) =
                verifier::read_models::check(&place, &mut |each| source.read(Position(0), each))?;
            if let Some(end) = source.events().filter(|end| *end != position.0) {
                wrong.push(format!("the read models are at {position}, the log ends at {end}"));
            }
            Ok(wrong)
        })
        .await
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        let Place::Postgres(Postgres { schema, .. }) = &self.place else { return };
        if self.keep {
            eprintln!("kept: schema {schema}");
            return;
        }
        let (place, drop) = (self.place.clone(), format!("DROP SCHEMA IF EXISTS {schema} CASCADE"));
        // A connection that writes has a runtime of its own.
        let dropped = std::thread::spawn(move || place.open().and_then(|mut store| store.run(&drop))).join();
        if !matches!(dropped, Ok(Ok(()))) {
            eprintln!("cannot drop the schema {schema}: {dropped:?}");
        }
    }
}
