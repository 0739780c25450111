//! Read models from the shell: kept up to date by a process of their own, made anew, looked at.
//!
//! - [`project`]: `onsale project`; [`rebuild`]: `onsale rebuild`; [`list`]: `onsale projections`

pub mod list;
pub mod project;
pub mod rebuild;

use crate::serve::read_models::{check, place};
use ::config::{Flags, Serve};
use anyhow::{Context, bail};
use eventlog::data_folder::{self, DataFolder};
use eventlog::reader::Reader;
use readmodels::checkpoints;
use readmodels::projection::{self, Projection};
use readmodels::source::kafka::FromKafka;
use readmodels::source::{Local, Running, Source};
use readmodels::store::Place;
use std::fmt;
use std::path::{Path, PathBuf};
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

/// Where events are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum From {
    /// The log in the data folder, of a server that runs or not
    #[default]
    Log,
    /// The topics that a server publishes to, also from another machine: --kafka, --kafka-prefix and so on say where
    Kafka,
}

/// Events to make tables of.
enum Events {
    /// The log of a data folder that no server has open.
    Stopped {
        log: Arc<Reader>,
        _folder: DataFolder,
    },
    /// The log of a server that runs.
    Running {
        socket: PathBuf,
        log_id: Uuid,
    },
    Kafka {
        settings: kafka::Settings,
        log_id: Option<Uuid>,
        group: Option<String>,
    },
}

impl Events {
    /// What `from` says. Only who follows with `group` notes there how far it is.
    fn of(setup: &Setup, from: From, group: bool) -> anyhow::Result<Events> {
        let From::Kafka = from else { return Events::open(&setup.config.data) };
        let Some(settings) = kafka::Settings::of(&setup.config)? else {
            bail!("--from kafka needs to know where: --kafka HOST:PORT");
        };
        let log_id = checkpoints::log_id(&mut *setup.place.open()?)?;
        Ok(Events::Kafka { settings, log_id, group: group.then(|| setup.config.kafka_group.clone()) })
    }

    fn open(dir: &Path) -> anyhow::Result<Events> {
        match DataFolder::open_to_read(dir) {
            Ok(folder) if !folder.has_log() => bail!("{} has no log yet", dir.display()),
            Ok(folder) => {
                let log = Reader::open(&folder.log(), folder.known_log())?;
                Ok(Events::Stopped { log: Arc::new(log), _folder: folder })
            }
            Err(data_folder::Error::InUse(_)) => {
                let log_id = DataFolder::log_id(dir)
                    .with_context(|| format!("the server on {} is starting: try again", dir.display()))?;
                Ok(Events::Running { socket: DataFolder::socket(dir), log_id })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What makes sources of it.
    fn opener(&self) -> Box<dyn Fn() -> Result<Box<dyn Source>, readmodels::Error> + Send> {
        match self {
            Events::Stopped { log, .. } => {
                let log = log.clone();
                Box::new(move || Ok(Box::new(Local::new(log.clone(), log.id()))))
            }
            Events::Running { socket, log_id } => {
                let (socket, log_id) = (socket.clone(), *log_id);
                Box::new(move || Ok(Box::new(Running::connect(&socket, log_id)?)))
            }
            Events::Kafka { settings, log_id, group } => {
                let (settings, log_id, group) = (settings.clone(), *log_id, group.clone());
                Box::new(move || Ok(Box::new(FromKafka::open(settings.clone(), log_id, group.clone())?)))
            }
        }
    }
}

/// Where events come from, for messages.
impl fmt::Display for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Events::Stopped { _folder: folder, .. } => write!(f, "the log in {}", folder.path().display()),
            Events::Running { socket, .. } => write!(f, "the log of {}", socket.display()),
            Events::Kafka { settings, .. } => write!(f, "Kafka at {}, topics {}.*", settings.brokers, settings.prefix),
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
