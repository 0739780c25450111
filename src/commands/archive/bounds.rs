//! Which events have to stay in the log: whoever reads it must be past what is moved to files that may be carried away.

use crate::serve::read_models::place;
use ::config::{ReadModels, Serve};
use anyhow::bail;
use base::clock::{Clock, SystemClock};
use eventlog::data_folder::DataFolder;
use eventlog::store::Store;
use eventlog::{Log, Position};
use indicatif::HumanCount;
use kafka::checkpoint;
use readmodels::checkpoints;
use readmodels::store::Place;
use uuid::Uuid;

const DAY_MS: u64 = 24 * 3_600_000;

/// Events after `position` stay.
pub struct Bound {
    pub position: Position,
    /// In words, to be read after "nothing was archived: ".
    pub why: String,
}

/// Everything that keeps events of the log in `folder`, where no server runs.
pub fn of(config: &Serve, folder: &DataFolder, store: &Store, keep_days: u32) -> anyhow::Result<Vec<Bound>> {
    let mut bounds = Vec::new();
    if keep_days > 0 {
        let position = older_than(store, SystemClock::default().now().saturating_sub(u64::from(keep_days) * DAY_MS))?;
        let why = format!("events of the last {keep_days} days stay (--keep-days)");
        bounds.push(Bound { position, why });
    }
    bounds.extend(published(config, folder, store.id())?);
    if config.read_models != ReadModels::Off {
        let place = place(config);
        bounds.push(match projected(&place, store.id())? {
            Some(position) => {
                let why = format!("the read models in {place} are at position {}", HumanCount(position.0));
                Bound { position, why }
            }
            None => {
                let why = format!("there are no read models in {place} yet; if they are elsewhere, say so as to serve");
                Bound { position: Position(0), why }
            }
        });
    }
    Ok(bounds)
}

/// The one that keeps most of a log that ends at `end`.
pub fn lowest(bounds: Vec<Bound>, end: Position) -> Bound {
    let all = Bound { position: end, why: "the log's last chunk always stays".into() };
    let lower = |lowest: Bound, bound: Bound| if bound.position < lowest.position { bound } else { lowest };
    bounds.into_iter().fold(all, lower)
}

/// The last event before the first one that is not older than `at_ms`.
fn older_than(store: &Store, at_ms: u64) -> anyhow::Result<Position> {
    let before = Position(store.first().0 - 1);
    let mut last = before;
    store.read_from(before, &mut |event| {
        let older = event.at_ms < at_ms;
        if older {
            last = event.position;
        }
        older
    })?;
    Ok(last)
}

/// How far publishing to Kafka is, if anything ever was, or is to be.
fn published(config: &Serve, folder: &DataFolder, log_id: Uuid) -> anyhow::Result<Option<Bound>> {
    let settings = kafka::Settings::of(config)?;
    let known = checkpoint::File::at(&folder.kafka()).read(log_id);
    let known = match &settings {
        Some(settings) => known.about(&settings.topics()),
        None if known.position == Position(0) => return Ok(None),
        None => known,
    };
    let at = HumanCount(known.position.0);
    let mut why = format!("publishing to Kafka is at position {at}");
    if settings.is_none() {
        why += &format!("; if nothing is published any more, delete {}", folder.kafka().display());
    }
    Ok(Some(Bound { position: known.position, why }))
}

/// How far the read models in `place` are: those that are live, and those that are being filled. `None` when there are none.
fn projected(place: &Place, log_id: Uuid) -> anyhow::Result<Option<Position>> {
    if let Place::Sqlite(path) = place
        && !path.exists()
    {
        return Ok(None);
    }
    let mut store = place.open()?;
    let Some(found) = checkpoints::log_id(&mut *store)? else { return Ok(None) };
    if found != log_id {
        bail!("the read models in {place} are of the log {found}, and this is the log {log_id}: name the right ones");
    }
    let books = checkpoints::read(&mut *store)?;
    let filling = books.builds.iter().filter(|build| build.state == checkpoints::State::Filling);
    Ok(Some(filling.map(|build| build.position).fold(books.position, Position::min)))
}
