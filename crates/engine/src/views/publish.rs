//! What readers see of each aggregate: when it is found at the start, and once its events are durable.

use super::sales::Step;
use super::{AvailabilityView, ViewUpdate, Views};
use crate::aggregate_store::RecordedEvents;
use base::id::{AccountId, PerformanceId, QueueId};
use domain::account::{self, Account};
use domain::concert::{self, Concert};
use domain::organizer::{self, Organizer};
use domain::performance::{self, Performance};
use domain::queue::{self, Queue};
use domain::{Aggregate, Aggregates, PerAggregate};
use std::sync::Arc;

/// How one kind of aggregate is shown.
pub struct Shown<A: Aggregate> {
    /// What readers see of it when it is found at the start.
    pub found: fn(&A, &Views, RecordedEvents<'_, A::Event>, &mut Vec<ViewUpdate>),
    /// What readers see once the events are durable; the state is that after them.
    pub changed: fn(&A, &Views, RecordedEvents<'_, A::Event>, &mut Vec<ViewUpdate>),
}

/// How each is shown.
struct EachShown;

impl PerAggregate for EachShown {
    type Of<A: Aggregate> = Shown<A>;
}

static EACH: Aggregates<EachShown> = Aggregates {
    performances: Shown { found: performance_found, changed: performance_changed },
    concerts: Shown { found: concert_changed, changed: concert_changed },
    accounts: Shown { found: account_found, changed: account_changed },
    organizers: Shown { found: organizer_changed, changed: organizer_changed },
    queues: Shown { found: queue_found, changed: queue_changed },
    // Nobody sees a wallet but whoever asks it.
    wallets: Shown { found: |_, _, _, _| {}, changed: |_, _, _, _| {} },
};

/// How aggregates of one kind are shown.
pub fn shown<A: Aggregate>() -> &'static Shown<A> {
    EACH.of::<A>()
}

fn performance_found(
    performance: &Performance,
    views: &Views,
    found: RecordedEvents<'_, performance::Event>,
    to: &mut Vec<ViewUpdate>,
) {
    let (id, view) = (PerformanceId(found.key), views.availability_of(PerformanceId(found.key)));
    let Some((concert, terms)) = performance.listing() else { return };
    to.push(ViewUpdate::Performance(concert, id));
    to.push(ViewUpdate::Gate(id, terms.queue_id));
    to.push(ViewUpdate::Hours(view.clone(), terms.hours()));
    to.extend(stock_behind_queue(performance, &view));
    to.push(ViewUpdate::Reached(view, found.version, Step::found(performance)));
}

fn performance_changed(
    performance: &Performance,
    views: &Views,
    recorded: RecordedEvents<'_, performance::Event>,
    to: &mut Vec<ViewUpdate>,
) {
    let RecordedEvents { key, version, events, .. } = recorded;
    let id = PerformanceId(key);
    for event in events {
        match event {
            performance::Event::PerformanceCreated(created) => {
                to.push(ViewUpdate::Performance(created.concert_id, id));
                to.push(ViewUpdate::Gate(id, created.terms.queue_id));
                let hours = created.terms.hours();
                to.push(ViewUpdate::Hours(views.availability_of(id), hours));
            }
            performance::Event::PerformanceChanged(changed) => {
                to.push(ViewUpdate::Gate(id, changed.terms.queue_id));
                let hours = changed.terms.hours();
                to.push(ViewUpdate::Hours(views.availability_of(id), hours));
            }
            _ => {}
        }
    }
    let view = views.availability_of(id);
    to.extend(stock_behind_queue(performance, &view));
    to.push(ViewUpdate::Reached(view, version, Step::of(performance, events)));
}

/// Whoever waits for a performance is told what it has; of one that nobody waits for, nobody asks here.
fn stock_behind_queue(performance: &Performance, view: &Arc<AvailabilityView>) -> Option<ViewUpdate> {
    let (_, terms) = performance.listing()?;
    terms.queue_id?;
    Some(ViewUpdate::Stock(view.clone(), performance.stock()?))
}

fn concert_changed(
    concert: &Concert,
    _: &Views,
    recorded: RecordedEvents<'_, concert::Event>,
    to: &mut Vec<ViewUpdate>,
) {
    to.extend(concert.shown(recorded.key.into()).map(|concert| ViewUpdate::Concert(Box::new(concert))));
}

fn organizer_changed(
    organizer: &Organizer,
    _: &Views,
    recorded: RecordedEvents<'_, organizer::Event>,
    to: &mut Vec<ViewUpdate>,
) {
    to.extend(organizer.shown(recorded.key.into()).map(|organizer| ViewUpdate::Organizer(Box::new(organizer))));
}

fn queue_found(queue: &Queue, views: &Views, found: RecordedEvents<'_, queue::Event>, to: &mut Vec<ViewUpdate>) {
    let id = QueueId(found.key);
    views.queues().of_events(id).restore(queue, found.version, found.now);
    to.extend(queue.facts().map(|facts| ViewUpdate::NewQueue(facts.organizer, id)));
}

fn queue_changed(_: &Queue, views: &Views, recorded: RecordedEvents<'_, queue::Event>, to: &mut Vec<ViewUpdate>) {
    let RecordedEvents { key, version, events, now } = recorded;
    let id = QueueId(key);
    let view = views.queues().of_events(id);
    for event in events {
        if let queue::Event::EntryRestored(restored) = event {
            view.note_restored(restored.ticket, now);
        }
    }
    to.push(ViewUpdate::Queue(view, events.into(), version, now));
    for event in events {
        if let queue::Event::QueueCreated(created) = event {
            to.push(ViewUpdate::NewQueue(created.organizer_id, id));
        }
    }
}

fn account_found(account: &Account, _: &Views, found: RecordedEvents<'_, account::Event>, to: &mut Vec<ViewUpdate>) {
    let id = AccountId(found.key);
    if *account.ended() != account::Ended::default() {
        to.push(ViewUpdate::Sessions(id, Box::new(account.ended().clone())));
    }
    to.extend(account.erasing().iter().map(|user| ViewUpdate::Erasing(id, *user)));
}

fn account_changed(
    account: &Account,
    _: &Views,
    recorded: RecordedEvents<'_, account::Event>,
    to: &mut Vec<ViewUpdate>,
) {
    use account::Event::{AccountErased, ErasureFinished, SessionEnded, SessionsEnded};
    let RecordedEvents { key, events, .. } = recorded;
    let id = AccountId(key);
    if events.iter().any(|event| matches!(event, SessionEnded(_) | SessionsEnded(_) | AccountErased(_))) {
        to.push(ViewUpdate::Sessions(id, Box::new(account.ended().clone())));
    }
    to.extend(events.iter().filter_map(|event| match event {
        AccountErased(event) => Some(ViewUpdate::Erasing(id, event.user_id)),
        ErasureFinished(event) => Some(ViewUpdate::Erased(event.user_id)),
        _ => None,
    }));
}
