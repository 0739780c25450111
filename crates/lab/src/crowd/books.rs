//! The books from outside: what every buyer wrote down for themselves, held against what the server says afterwards.

#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// What a buyer holds or held: seats, or places of a standing area.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Places {
    Seats(Vec<String>),
    Area { area: String, count: u64 },
}

/// Where a reservation stands, as its buyer was told last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Held and walked away from: it stays held or lapses.
    Held,
    Confirmed,
    Cancelled,
    Released,
}

/// A reservation that the server acknowledged.
#[derive(Clone, Debug)]
pub struct KnownReservation {
    pub id: String,
    pub places: Places,
    pub points: u64,
    pub state: State,
}

/// Points that moved, by why they did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Moved {
    pub charged: u64,
    pub spent: u64,
    pub refunded: u64,
}

impl Moved {
    /// How many points stand elsewhere, or nowhere.
    fn off(self, other: Moved) -> u64 {
        let pairs = [(self.charged, other.charged), (self.spent, other.spent), (self.refunded, other.refunded)];
        pairs.into_iter().map(|(one, other)| one.abs_diff(other)).sum()
    }
}

/// Who is not heard of for so long may be passed over; when they come back, they are before others again.
const MAY_BE_PASSED_OVER: Duration = Duration::from_secs(15);

/// What a buyer knows of the queue.
#[derive(Default, Debug)]
pub struct WaitBook {
    /// Asked for their turn until they were told, or to the end.
    pub asks: bool,
    /// Has the admission.
    pub told: bool,
    /// By how much their rank rose, all rises together.
    pub rank_rose: u64,
    /// The longest time between two signs of life.
    pub silent: Duration,
    /// Held places without having been let in.
    pub held_unadmitted: u64,
    /// Joined again and was somebody else.
    pub refreshed_differently: u64,
}

/// A buyer's own record. Only what the server acknowledged goes in.
#[derive(Default, Debug)]
pub struct BuyerBook {
    pub moved: Moved,
    pub reservations: Vec<KnownReservation>,
    pub wait: WaitBook,
    /// The buyer never learned how some request ended: then more may have happened than is written here.
    pub unresolved: bool,
}

impl BuyerBook {
    pub fn charged(&mut self, points: u64) {
        self.moved.charged += points;
    }

    pub fn held(&mut self, id: &str, places: Places, points: u64) {
        self.reservations.push(KnownReservation { id: id.to_owned(), places, points, state: State::Held });
    }

    /// Moves a reservation on: a first confirmation spends its points, a first cancellation after it gives them back.
    /// Being told the same again changes nothing.
    pub fn told(&mut self, id: &str, state: State) {
        let Some(kept) = self.reservations.iter_mut().find(|kept| kept.id == id) else { return };
        match (kept.state, state) {
            (State::Held, State::Confirmed) => self.moved.spent += kept.points,
            (State::Confirmed, State::Cancelled) => self.moved.refunded += kept.points,
            _ => {}
        }
        kept.state = state;
    }

    /// The performance was cancelled: what is held is given up, what is paid comes back.
    pub fn called_off(&mut self) {
        let ids: Vec<(String, State)> = self.reservations.iter().map(|kept| (kept.id.clone(), kept.state)).collect();
        for (id, state) in ids {
            match state {
                State::Held => self.told(&id, State::Released),
                State::Confirmed => self.told(&id, State::Cancelled),
                State::Cancelled | State::Released => {}
            }
        }
    }

    pub fn balance(&self) -> i128 {
        let Moved { charged, spent, refunded } = self.moved;
        charged as i128 - spent as i128 + refunded as i128
    }
}

/// What the server said after the crowd had gone.
#[derive(Default)]
pub struct ServerRecord {
    /// A buyer's balance, in the buyers' order; None when it could not be read.
    pub balances: Vec<Option<u64>>,
    /// What a buyer's statement comes to, likewise.
    pub statements: Vec<Option<Moved>>,
    /// What the organizer's reconciliation comes to; None when others' points may be on its account.
    pub reconciled: Option<Moved>,
    /// Reservations by id: their state and places.
    pub reservations: HashMap<String, (String, Places)>,
    /// The state of a buyer's entry in the queue, in the buyers' order; None where there is none.
    pub entries: Vec<Option<String>>,
    pub booked: HashSet<String>,
    pub held: HashSet<String>,
    /// Area: capacity and places available.
    pub areas: BTreeMap<String, (u64, u64)>,
    /// Nobody else bought at this performance, so that what is booked is exactly what this crowd bought.
    pub alone: bool,
    /// Repeated requests that were answered differently from the first: what both said.
    pub repeats_differ: Vec<String>,
    /// The availability as it was answered.
    pub availability: Vec<u8>,
    /// What watchers saw at the end that was not so.
    pub pictures_off: Vec<String>,
}

/// The outcome of the check. All counts but `unresolved` must be 0.
#[derive(Default, Debug)]
pub struct Books {
    /// Places confirmed to a second buyer, and area places above the capacity.
    pub places_sold_twice: u64,
    /// Sum over all wallets of the difference between the balance and what the buyer counted.
    pub points_off: u64,
    /// The same of the statements, by charges, payments and refunds.
    pub statements_off: u64,
    /// The same of the organizer's reconciliation and all buyers together.
    pub reconciliation_off: u64,
    /// Acknowledged reservations that read back differently, or not at all.
    pub acknowledged_lost: u64,
    /// Seats that the availability shows booked and nobody bought, or the reverse; area places likewise.
    pub availability_off: u64,
    pub repeats_differ: u64,
    /// Watchers who saw something else at the end than what was there.
    pub pictures_off: u64,
    /// Buyers whom the queue let in, who asked, and who were not told.
    pub admitted_not_told: u64,
    /// By how much ranks rose while nobody came back before others.
    pub ranks_rose: u64,
    /// Holds by buyers who had not been let in.
    pub held_unadmitted: u64,
    /// Buyers who do not know how a request ended; their wallets and what only they may own are not held against anyone.
    pub unresolved: u64,
    /// The first violation, in words.
    pub first: Option<String>,
}

impl Books {
    pub fn ok(&self) -> bool {
        self.first.is_none()
    }

    pub fn to_json(&self) -> Map<String, Value> {
        let value = json!({
            "ok": self.ok(), "places_sold_twice": self.places_sold_twice, "points_off": self.points_off,
            "statements_off": self.statements_off, "reconciliation_off": self.reconciliation_off,
            "acknowledged_lost": self.acknowledged_lost, "availability_off": self.availability_off,
            "repeats_differ": self.repeats_differ, "pictures_off": self.pictures_off, "admitted_not_told": self.admitted_not_told,
            "ranks_rose": self.ranks_rose, "held_unadmitted": self.held_unadmitted,
            "unresolved": self.unresolved, "first": self.first,
        });
        value.as_object().expect("an object").clone()
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        self.first.get_or_insert_with(what);
    }
}

/// Holds the buyers' books against what was seen.
pub fn check(buyers: &[&BuyerBook], seen: &ServerRecord) -> Books {
    let mut books = Books {
        repeats_differ: seen.repeats_differ.len() as u64,
        pictures_off: seen.pictures_off.len() as u64,
        unresolved: buyers.iter().filter(|book| book.unresolved).count() as u64,
        ..Books::default()
    };
    if let Some(first) = seen.repeats_differ.first() {
        books.note(|| format!("a repeated request was answered differently: {first}"));
    }
    if let Some(first) = seen.pictures_off.first() {
        books.note(|| format!("what a watcher saw is not so: {first}"));
    }
    check_reservations(&mut books, buyers, seen);
    check_queue(&mut books, buyers, seen);
    check_wallets(&mut books, buyers, seen);
    check_reconciliation(&mut books, buyers, seen);
    check_seats(&mut books, buyers, seen);
    check_areas(&mut books, buyers, seen);
    books
}

fn kept<'a>(buyers: &[&'a BuyerBook]) -> impl Iterator<Item = &'a KnownReservation> {
    buyers.iter().flat_map(|book| &book.reservations).collect::<Vec<_>>().into_iter()
}

fn check_reservations(books: &mut Books, buyers: &[&BuyerBook], seen: &ServerRecord) {
    for kept in kept(buyers) {
        let fits = match seen.reservations.get(&kept.id) {
            None => false,
            Some((state, places)) => {
                let states: &[&str] = match kept.state {
                    State::Held => &["held", "expired"],
                    State::Confirmed => &["confirmed"],
                    State::Cancelled => &["cancelled"],
                    State::Released => &["released"],
                };
                states.contains(&state.as_str()) && *places == kept.places
            }
        };
        if !fits {
            books.acknowledged_lost += 1;
            let now = seen.reservations.get(&kept.id);
            books.note(|| format!("reservation {} was {:?} and reads back as {now:?}", kept.id, kept.state));
        }
    }
}

fn check_queue(books: &mut Books, buyers: &[&BuyerBook], seen: &ServerRecord) {
    let someone_returned = buyers.iter().any(|book| book.wait.silent >= MAY_BE_PASSED_OVER);
    for (number, BuyerBook { wait, unresolved, .. }) in buyers.iter().enumerate() {
        let entry = seen.entries.get(number).and_then(Option::as_deref).unwrap_or_default();
        let was_let_in = ["admitted", "active", "finished", "expired"].contains(&entry);
        if was_let_in && wait.asks && !wait.told && !unresolved {
            books.admitted_not_told += 1;
            books.note(|| format!("buyer {number} was let in, is {entry} and was not told"));
        }
        if wait.rank_rose > 0 && !someone_returned {
            books.ranks_rose += wait.rank_rose;
            books.note(|| format!("the rank of buyer {number} rose by {}", wait.rank_rose));
        }
        if wait.held_unadmitted > 0 {
            books.held_unadmitted += wait.held_unadmitted;
            books.note(|| format!("buyer {number} held places without having been let in"));
        }
        if wait.refreshed_differently > 0 {
            books.repeats_differ += wait.refreshed_differently;
            books.note(|| format!("buyer {number} joined again and had another entry"));
        }
    }
}

fn check_wallets(books: &mut Books, buyers: &[&BuyerBook], seen: &ServerRecord) {
    for (number, book) in buyers.iter().enumerate().filter(|(_, book)| !book.unresolved) {
        let balance = seen.balances.get(number).copied().flatten();
        let off = balance.map_or(book.balance(), |balance| balance as i128 - book.balance());
        if off != 0 {
            books.points_off += off.unsigned_abs() as u64;
            books.note(|| format!("buyer {number} counted {} points, the wallet says {balance:?}", book.balance()));
        }
        let statement = seen.statements.get(number).copied().flatten().unwrap_or_default();
        let off = statement.off(book.moved);
        if off != 0 {
            books.statements_off += off;
            books.note(|| format!("buyer {number} counted {:?}, the statement says {statement:?}", book.moved));
        }
    }
}

fn check_reconciliation(books: &mut Books, buyers: &[&BuyerBook], seen: &ServerRecord) {
    let Some(reconciled) = seen.reconciled.filter(|_| books.unresolved == 0) else { return };
    let counted = buyers.iter().fold(Moved::default(), |sum, book| Moved {
        charged: sum.charged + book.moved.charged,
        spent: sum.spent + book.moved.spent,
        refunded: sum.refunded + book.moved.refunded,
    });
    books.reconciliation_off = reconciled.off(counted);
    if reconciled != counted {
        books.note(|| format!("all buyers counted {counted:?}, the organizer's reconciliation says {reconciled:?}"));
    }
}

fn check_seats(books: &mut Books, buyers: &[&BuyerBook], seen: &ServerRecord) {
    let seats = |state| {
        kept(buyers).filter(move |kept| kept.state == state).filter_map(|kept| match &kept.places {
            Places::Seats(seats) => Some(seats),
            Places::Area { .. } => None,
        })
    };
    let mut owned = HashSet::new();
    for seat in seats(State::Confirmed).flatten() {
        if !owned.insert(seat.as_str()) {
            books.places_sold_twice += 1;
            books.note(|| format!("seat {seat} was confirmed to two buyers"));
        }
    }
    for seat in owned.iter().filter(|seat| !seen.booked.contains(**seat)) {
        books.availability_off += 1;
        books.note(|| format!("seat {seat} was bought and is not shown as booked"));
    }
    if !seen.alone || books.unresolved > 0 {
        return;
    }
    let waiting: HashSet<&str> = seats(State::Held).flatten().map(String::as_str).collect();
    for (shown, ours, what) in [(&seen.booked, &owned, "booked"), (&seen.held, &waiting, "held")] {
        for seat in shown.iter().filter(|seat| !ours.contains(seat.as_str())) {
            books.availability_off += 1;
            books.note(|| format!("seat {seat} is shown as {what} and is nobody's"));
        }
    }
}

fn check_areas(books: &mut Books, buyers: &[&BuyerBook], seen: &ServerRecord) {
    for (name, &(capacity, available)) in &seen.areas {
        let places = |state| {
            kept(buyers).filter(|kept| kept.state == state).fold(0, |sum, kept| match &kept.places {
                Places::Area { area, count } if area == name => sum + count,
                _ => sum,
            })
        };
        let (sold, waiting) = (places(State::Confirmed), places(State::Held));
        if sold > capacity {
            books.places_sold_twice += sold - capacity;
            books.note(|| format!("area {name} has {capacity} places and sold {sold}"));
        }
        // Holds that were walked away from may have lapsed: between sold and sold + waiting places are taken.
        let taken = capacity.saturating_sub(available);
        let most = if seen.alone && books.unresolved == 0 { sold + waiting } else { u64::MAX };
        if taken < sold || taken > most {
            books.availability_off += if taken < sold { sold - taken } else { taken - most };
            books.note(|| format!("area {name} shows {taken} places taken; {sold} were sold, {waiting} held"));
        }
    }
}
