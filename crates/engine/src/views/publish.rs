//! What readers see of each aggregate: when it is found at the start, and once its events are durable.

use super::{Publication, Views};
use crate::aggregate_store::Happened;
use base::id::{AccountId, PerformanceId, QueueId};
use domain::account::{self, Account};
use domain::concert::{self, Concert};
use domain::organizer::{self, Organizer};
use domain::performance::{self, Performance};
use domain::queue::{self, Queue};
use domain::{Aggregate, Aggregates, PerAggregate};

/// How one kind of aggregate is shown.
pub struct Shown<A: Aggregate> {
    /// What readers see of it when it is found at the start.
    pub found: fn(&A, &Views, Happened<'_, A::Event>, &mut Vec<Publication>),
    /// What readers see once the events are durable; the state is that after them.
    pub changed: fn(&A, &Views, Happened<'_, A::Event>, &mut Vec<Publication>),
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
    A::part(&EACH)
}

fn performance_found(
    performance: &Performance,
    views: &Views,
    found: Happened<'_, performance::Event>,
    to: &mut Vec<Publication>,
) {
    let (id, view) = (PerformanceId(found.key), views.availability_of(PerformanceId(found.key)));
    let Some((concert, terms)) = performance.listing() else { return };
    to.push(Publication::Performance(concert, id));
    to.push(Publication::Gate(id, terms.queue_id));
    to.push(Publication::Hours(view.clone(), terms.hours()));
    to.push(Publication::Reached(view, found.version));
}

fn performance_changed(
    _: &Performance,
    views: &Views,
    happened: Happened<'_, performance::Event>,
    to: &mut Vec<Publication>,
) {
    let Happened { key, version, events, .. } = happened;
    let id = PerformanceId(key);
    for event in events {
        match event {
            performance::Event::PerformanceCreated(created) => {
                to.push(Publication::Performance(created.concert_id, id));
                to.push(Publication::Gate(id, created.terms.queue_id));
                let hours = created.terms.hours();
                to.push(Publication::Hours(views.availability_of(id), hours));
            }
            performance::Event::PerformanceChanged(changed) => {
                to.push(Publication::Gate(id, changed.terms.queue_id));
                let hours = changed.terms.hours();
                to.push(Publication::Hours(views.availability_of(id), hours));
            }
            performance::Event::ReservationConfirmed(_) => to.push(Publication::Sale),
            _ => {}
        }
    }
    to.push(Publication::Reached(views.availability_of(id), version));
}

fn concert_changed(concert: &Concert, _: &Views, happened: Happened<'_, concert::Event>, to: &mut Vec<Publication>) {
    to.extend(concert.shown(happened.key.into()).map(|concert| Publication::Concert(Box::new(concert))));
}

fn organizer_changed(
    organizer: &Organizer,
    _: &Views,
    happened: Happened<'_, organizer::Event>,
    to: &mut Vec<Publication>,
) {
    to.extend(organizer.shown(happened.key.into()).map(|organizer| Publication::Organizer(Box::new(organizer))));
}

fn queue_found(queue: &Queue, views: &Views, found: Happened<'_, queue::Event>, to: &mut Vec<Publication>) {
    let id = QueueId(found.key);
    views.queues().of_events(id).restore(queue, found.version, found.now);
    to.extend(queue.facts().map(|facts| Publication::NewQueue(facts.organizer, id)));
}

fn queue_changed(_: &Queue, views: &Views, happened: Happened<'_, queue::Event>, to: &mut Vec<Publication>) {
    let Happened { key, version, events, now } = happened;
    let id = QueueId(key);
    let view = views.queues().of_events(id);
    for event in events {
        if let queue::Event::EntryRestored(restored) = event {
            view.note_restored(restored.ticket, now);
        }
    }
    to.push(Publication::Queue(view, events.into(), version, now));
    for event in events {
        if let queue::Event::QueueCreated(created) = event {
            to.push(Publication::NewQueue(created.organizer_id, id));
        }
    }
}

fn account_found(account: &Account, _: &Views, found: Happened<'_, account::Event>, to: &mut Vec<Publication>) {
    let id = AccountId(found.key);
    if *account.ended() != account::Ended::default() {
        to.push(Publication::Sessions(id, Box::new(account.ended().clone())));
    }
    to.extend(account.erasing().iter().map(|user| Publication::Erasing(id, *user)));
}

fn account_changed(account: &Account, _: &Views, happened: Happened<'_, account::Event>, to: &mut Vec<Publication>) {
    use account::Event::{AccountErased, ErasureFinished, SessionEnded, SessionsEnded};
    let Happened { key, events, .. } = happened;
    let id = AccountId(key);
    if events.iter().any(|event| matches!(event, SessionEnded(_) | SessionsEnded(_) | AccountErased(_))) {
        to.push(Publication::Sessions(id, Box::new(account.ended().clone())));
    }
    to.extend(events.iter().filter_map(|event| match event {
        AccountErased(event) => Some(Publication::Erasing(id, event.user_id)),
        ErasureFinished(event) => Some(Publication::Erased(event.user_id)),
        _ => None,
    }));
}
