//! Read models from the shell: kept up to date by a process of their own, made anew, looked at.
//!
//! - [`project`]: `onsale project`; [`rebuild`]: `onsale rebuild`; [`list`]: `onsale projections`

pub mod list;
pub mod project;
pub mod rebuild;

use crate::config::{self, Flags, Serve};
use crate::data::{self, DataFolder};
use crate::log::store::{Options, Store};
use crate::projector::projection::{self, Projection};
use crate::projector::source::{Local, Running, Source};
use crate::projector::store::Place;
use crate::projector::{self, Kind};
use crate::serve::read_models::{check, place};
use anyhow::{Context, bail};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

/// What all of them are told: the settings of `serve`, from file, environment and flags.
struct Setup {
    config: Serve,
    place: Place,
    projections: Vec<Projection>,
}

impl Setup {
    fn of(flags: &Flags) -> anyhow::Result<Setup> {
        let config = config::load(flags, std::env::vars_os())?.serve;
        let projections = projection::load(config.projections.as_deref())?;
        check(&projections)?;
        Ok(Setup { place: place(&config), config, projections })
    }
}

/// The log of a data folder, whether a server runs on it or not.
enum Events {
    Stopped { store: Arc<Store>, _folder: DataFolder },
    Running { log_id: Uuid },
}

impl Events {
    fn open(dir: &Path) -> anyhow::Result<Events> {
        match DataFolder::open(dir) {
            Ok(folder) => {
                let on_failure = Box::new(|what| eprintln!("onsale: {what}"));
                let (store, _) = Store::open(&folder.log(), Options { on_failure, ..Options::default() })?;
                Ok(Events::Stopped { store: Arc::new(store), _folder: folder })
            }
            Err(data::Error::InUse(_)) => {
                let log_id = DataFolder::log_id(dir)
                    .with_context(|| format!("the server on {} is starting: try again", dir.display()))?;
                Ok(Events::Running { log_id })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What makes sources of it.
    fn opener(&self, dir: &Path) -> impl Fn() -> Result<Box<dyn Source>, projector::Error> + Send + Clone + use<> {
        let (store, running) = match self {
            Events::Stopped { store, .. } => (Some(store.clone()), None),
            Events::Running { log_id } => (None, Some((DataFolder::socket(dir), *log_id))),
        };
        move || match (&store, &running) {
            (Some(store), _) => Ok(Box::new(Local::new(store.clone(), store.id()))),
            (None, Some((socket, log_id))) => Ok(Box::new(Running::connect(socket, *log_id)?)),
            (None, None) => Err(projector::Error::new(Kind::Away, "there is no log")),
        }
    }
}

/// Becomes true when the process is told to end.
fn told_to_stop() -> anyhow::Result<Arc<AtomicBool>> {
    let told = Arc::new(AtomicBool::new(false));
    let tell = told.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _within = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    drop(_within);
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        tell.store(true, Ordering::Release);
    })?;
    Ok(told)
}

/// The projections of these names; all, when `all`.
fn named(projections: Vec<Projection>, names: &[String], all: bool) -> anyhow::Result<Vec<Projection>> {
    if let Some(unknown) = names.iter().find(|name| projections.iter().all(|known| known.name != **name)) {
        let known: Vec<&str> = projections.iter().map(|known| known.name.as_str()).collect();
        bail!("there is no projection {unknown}; there are {}", known.join(", "));
    }
    Ok(projections.into_iter().filter(|projection| all || names.contains(&projection.name)).collect())
}
