//! Those who only watch: each must end up with the picture that the availability shows.

use super::scene::Scene;
use crate::client::Target;
use crate::server::off_thread;
use crate::watch::events::Event;
use crate::watch::picture::Picture;
use crate::watch::{Reader, Watchers};
use anyhow::Context;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long the last change may take to reach everyone: this process reads every event of every watcher, which may take
/// longer than the sale.
const ARRIVES_WITHIN: Duration = Duration::from_secs(60);

/// A crowd's watchers, at work.
pub struct Watch {
    watchers: Watchers<Pictures>,
    newest: Arc<[AtomicU64]>,
}

/// What each of them sees.
struct Pictures {
    pictures: Vec<Picture>,
    newest: Arc<[AtomicU64]>,
    /// An event that could not be the next one.
    first_error: Option<String>,
}

impl Reader for Pictures {
    fn event(&mut self, watcher: usize, _at: Instant, event: Event<'_>) {
        if let Err(error) = self.pictures[watcher].take_event(&event) {
            self.first_error.get_or_insert_with(|| format!("watcher {watcher}: {error:#}"));
        }
        if event.name != "end" {
            self.newest[watcher].store(event.id, Ordering::Relaxed);
        }
    }
}

impl Watch {
    /// Has `count` watchers look at the scene.
    pub async fn start(target: &Target, scene: &Scene, count: usize) -> anyhow::Result<Watch> {
        let (address, path) = (target.address, format!("{}/events", scene.availability_path()));
        let newest: Arc<[AtomicU64]> = (0..count).map(|_| AtomicU64::new(0)).collect();
        let pictures =
            Pictures { pictures: vec![Picture::default(); count], newest: newest.clone(), first_error: None };
        let watchers = off_thread(move || Watchers::connect(address, &path, count, pictures)).await?;
        Ok(Watch { watchers, newest })
    }

    /// Ends them. `availability` is what there is to see now; gives what is seen otherwise, in words.
    pub async fn compare(self, availability: &[u8]) -> anyhow::Result<Vec<String>> {
        let mut truth = Picture::default();
        truth.take(std::str::from_utf8(availability)?).context("the availability")?;
        let started = Instant::now();
        let arrived = |of: &AtomicU64| of.load(Ordering::Relaxed) >= truth.version;
        while !self.newest.iter().all(arrived) && started.elapsed() < ARRIVES_WITHIN && !self.watchers.has_ended() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let seen = match off_thread(move || self.watchers.stop()).await {
            Ok((seen, _)) => seen,
            Err(error) => return Ok(vec![format!("{error:#}")]),
        };
        let mut off: Vec<String> = seen.first_error.into_iter().collect();
        for (number, picture) in seen.pictures.iter().enumerate() {
            // Where others buy, too, it may be ahead of what was read.
            if *picture != truth && picture.version <= truth.version {
                off.push(format!(
                    "watcher {number} sees version {} of {} or other seats",
                    picture.version, truth.version
                ));
            }
        }
        Ok(off)
    }
}
