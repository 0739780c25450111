//! From the first event to the swap.

use super::{BATCH_EVENTS_MAX, Filling};
use crate::source::Source;
use crate::store::Store;
use anyhow::bail;
use std::sync::atomic::{AtomicBool, Ordering};

/// Looking a second time for where the live tables are costs nothing; a third time somebody sells faster than this is.
const SWAPS_MAX: u32 = 100;

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Done {
    /// The new tables are live; so many events were applied to them.
    Swapped { events: u64 },
    /// It was told to stop.
    Stopped { at: u64 },
}

/// Fills and swaps; `told` ends it between two batches.
pub fn fill(
    filling: &mut Filling,
    store: &mut dyn Store,
    source: &mut dyn Source,
    told: &AtomicBool,
    progress: &mut dyn FnMut(u64, u64),
) -> anyhow::Result<Done> {
    let mut swaps = 0;
    let from = filling.progress(store, source)?.at.0;
    loop {
        let now = filling.progress(store, source)?;
        progress(now.at.0, now.target.0);
        if told.load(Ordering::Acquire) {
            return Ok(Done::Stopped { at: now.at.0 });
        }
        if !now.is_near() {
            if filling.apply_together(store, source, told, progress)? {
                continue;
            }
            let (batch, to) = filling.read(source, now, BATCH_EVENTS_MAX)?;
            filling.apply(store, now.at, to, &batch)?;
            continue;
        }
        filling.index(store)?;
        if filling.swap(store, source)? {
            return Ok(Done::Swapped { events: now.target.0.saturating_sub(from) });
        }
        swaps += 1;
        if swaps > SWAPS_MAX {
            bail!("the live tables move faster than new ones can follow");
        }
    }
}
