//! What `onsale serve` does about read models: which database, which projections, and whether it keeps them itself.

use anyhow::Context;
use config::Serve;
use eventlog::data_folder::DataFolder;
use eventlog::sinks::Output;
use eventlog::store::Store;
use readmodels::live::{self, Projector};
use readmodels::projection::{self, Projection};
use readmodels::read::Reader;
use readmodels::source::Local;
use readmodels::state::Progress;
use readmodels::store::sqlite::Sqlite;
use readmodels::store::{Place, Postgres};
use readmodels::{checkpoints, rebuild};
use std::sync::Arc;

/// Read models that are configured, before anything runs.
pub struct ReadModels {
    place: Place,
    run: config::ReadModels,
    projections: Vec<Projection>,
}

/// What runs then.
pub struct Started {
    pub projector: Option<live::Handle>,
    pub reader: Option<Reader>,
    /// How far the projector in this process is.
    pub output: Option<Arc<Output>>,
}

/// What `/readyz?verbose` and `/metrics` call them.
const NAME: &str = "read_models";

impl ReadModels {
    /// An error when a projection's file is wrong: nobody would notice later.
    pub fn of(config: &Serve) -> anyhow::Result<ReadModels> {
        let projections = projection::load(config.projections.as_deref())?;
        if config.read_models == config::ReadModels::Inside {
            check(&projections)?;
        }
        Ok(ReadModels { place: place(config), run: config.read_models, projections })
    }

    /// Starts the projector, unless another process has it, and opens what answers read.
    pub fn start(self, log: Arc<Store>) -> anyhow::Result<Started> {
        let (place, projections) = (self.place, self.projections);
        let output = (self.run == config::ReadModels::Inside).then(|| Output::new(NAME, log.clone()));
        let inside = output.clone().map(|output| Arc::new(Progress::of(output)));
        let projector = inside.clone().map(|progress| {
            let log_id = log.id();
            let source = Box::new(Local::new(log, log_id));
            live::start(Projector { place: place.clone(), source, projections, progress, standby: true })
        });
        let projector = projector.transpose().context("cannot start a thread")?;
        let reader = match self.run {
            config::ReadModels::Off => None,
            config::ReadModels::Inside | config::ReadModels::Outside => {
                Some(Reader::new(place, config::SQLITE_READERS, inside)?)
            }
        };
        Ok(Started { projector, reader, output })
    }
}

/// Where a configuration has its read models.
pub fn place(config: &Serve) -> Place {
    match &config.postgres {
        Some(url) => Place::Postgres(Postgres {
            url: url.clone(),
            schema: config.postgres_schema.clone(),
            ca: config.postgres_ca.clone(),
            connections_max: config.postgres_connections_max,
        }),
        None => Place::Sqlite(config.sqlite.clone().unwrap_or_else(|| DataFolder::read_models(&config.data))),
    }
}

/// Tries every projection's statements on an empty database.
pub fn check(projections: &[Projection]) -> anyhow::Result<()> {
    let mut store = Sqlite::in_memory()?;
    checkpoints::open(&mut store, uuid::Uuid::nil())?;
    for projection in projections {
        rebuild::Filling::begin(&mut store, std::slice::from_ref(projection), rebuild::PoisonPolicy::Fail, false)?;
    }
    Ok(())
}
