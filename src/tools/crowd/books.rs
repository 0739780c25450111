//! The books from outside: what every buyer wrote down for themselves, held against what the server says afterwards.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};

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
pub struct Kept {
    pub id: String,
    pub places: Places,
    pub points: u64,
    pub state: State,
}

/// A buyer's own record. Only what the server acknowledged goes in.
#[derive(Default, Debug)]
pub struct BuyerBook {
    pub charged: u64,
    pub spent: u64,
    pub refunded: u64,
    pub reservations: Vec<Kept>,
    /// The buyer never learned how some request ended: then more may have happened than is written here.
    pub unresolved: bool,
}

impl BuyerBook {
    pub fn charged(&mut self, points: u64) {
        self.charged += points;
    }

    pub fn held(&mut self, id: &str, places: Places, points: u64) {
        self.reservations.push(Kept { id: id.to_owned(), places, points, state: State::Held });
    }

    /// Moves a reservation on: a first confirmation spends its points, a first cancellation after it gives them back.
    /// Being told the same again changes nothing.
    pub fn told(&mut self, id: &str, state: State) {
        let Some(kept) = self.reservations.iter_mut().find(|kept| kept.id == id) else { return };
        match (kept.state, state) {
            (State::Held, State::Confirmed) => self.spent += kept.points,
            (State::Confirmed, State::Cancelled) => self.refunded += kept.points,
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
        self.charged as i128 - self.spent as i128 + self.refunded as i128
    }
}

/// What the server said after the crowd had gone.
#[derive(Default)]
pub struct Seen {
    /// A buyer's balance, in the buyers' order; None when it could not be read.
    pub balances: Vec<Option<u64>>,
    /// Reservations by id: their state and places.
    pub reservations: HashMap<String, (String, Places)>,
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
    /// Acknowledged reservations that read back differently, or not at all.
    pub acknowledged_lost: u64,
    /// Seats that the availability shows booked and nobody bought, or the reverse; area places likewise.
    pub availability_off: u64,
    pub repeats_differ: u64,
    /// Watchers who saw something else at the end than what was there.
    pub pictures_off: u64,
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
            "acknowledged_lost": self.acknowledged_lost, "availability_off": self.availability_off,
            "repeats_differ": self.repeats_differ, "pictures_off": self.pictures_off, "unresolved": self.unresolved, "first": self.first,
        });
        value.as_object().expect("an object").clone()
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        self.first.get_or_insert_with(what);
    }
}

/// Holds the buyers' books against what was seen.
pub fn check(buyers: &[&BuyerBook], seen: &Seen) -> Books {
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
    check_wallets(&mut books, buyers, seen);
    check_seats(&mut books, buyers, seen);
    check_areas(&mut books, buyers, seen);
    books
}

fn kept<'a>(buyers: &[&'a BuyerBook]) -> impl Iterator<Item = &'a Kept> {
    buyers.iter().flat_map(|book| &book.reservations).collect::<Vec<_>>().into_iter()
}

fn check_reservations(books: &mut Books, buyers: &[&BuyerBook], seen: &Seen) {
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

fn check_wallets(books: &mut Books, buyers: &[&BuyerBook], seen: &Seen) {
    for (number, book) in buyers.iter().enumerate().filter(|(_, book)| !book.unresolved) {
        let balance = seen.balances.get(number).copied().flatten();
        let off = balance.map_or(book.balance(), |balance| balance as i128 - book.balance());
        if off != 0 {
            books.points_off += off.unsigned_abs() as u64;
            books.note(|| format!("buyer {number} counted {} points, the wallet says {balance:?}", book.balance()));
        }
    }
}

fn check_seats(books: &mut Books, buyers: &[&BuyerBook], seen: &Seen) {
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

fn check_areas(books: &mut Books, buyers: &[&BuyerBook], seen: &Seen) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(labels: &[&str]) -> Places {
        Places::Seats(labels.iter().map(|label| label.to_string()).collect())
    }

    fn floor(count: u64) -> Places {
        Places::Area { area: "Floor".into(), count }
    }

    /// Two buyers: one owns A-1-1 and 2 places of the floor, the other cancelled A-1-2 and walked away from A-1-3.
    fn crowd() -> (Vec<BuyerBook>, Seen) {
        let mut one = BuyerBook::default();
        one.charged(100);
        one.held("r1", seats(&["A-1-1"]), 30);
        one.told("r1", State::Confirmed);
        one.held("r2", floor(2), 20);
        one.told("r2", State::Confirmed);
        let mut two = BuyerBook::default();
        two.charged(40);
        two.held("r3", seats(&["A-1-2"]), 30);
        two.told("r3", State::Confirmed);
        two.told("r3", State::Cancelled);
        two.held("r4", seats(&["A-1-3"]), 30);
        let said = |id: &str, state: &str, places| (id.to_owned(), (state.to_owned(), places));
        let seen = Seen {
            balances: vec![Some(50), Some(40)],
            reservations: HashMap::from([
                said("r1", "confirmed", seats(&["A-1-1"])),
                said("r2", "confirmed", floor(2)),
                said("r3", "cancelled", seats(&["A-1-2"])),
                said("r4", "held", seats(&["A-1-3"])),
            ]),
            booked: HashSet::from(["A-1-1".to_owned()]),
            held: HashSet::from(["A-1-3".to_owned()]),
            areas: BTreeMap::from([("Floor".to_owned(), (10, 8))]),
            alone: true,
            repeats_differ: Vec::new(),
            ..Seen::default()
        };
        (vec![one, two], seen)
    }

    #[test]
    fn after_a_cancellation_everyone_has_everything_back() {
        let (mut buyers, mut seen) = crowd();
        buyers.iter_mut().for_each(BuyerBook::called_off);
        assert!(!check(&buyers.iter().collect::<Vec<_>>(), &seen).ok());
        seen.balances = buyers.iter().map(|book| Some(book.charged)).collect();
        for (state, _) in seen.reservations.values_mut() {
            *state = if state == "held" { "released" } else { "cancelled" }.to_owned();
        }
        (seen.booked, seen.held, seen.areas) = Default::default();
        let books = check(&buyers.iter().collect::<Vec<_>>(), &seen);
        assert!(books.ok(), "{books:?}");
    }

    #[test]
    fn a_buyer_counts_each_act_once() {
        let mut book = BuyerBook::default();
        book.charged(100);
        book.held("r", seats(&["A-1-1"]), 30);
        for (state, balance) in
            [(State::Confirmed, 70), (State::Confirmed, 70), (State::Cancelled, 100), (State::Cancelled, 100)]
        {
            book.told("r", state);
            assert_eq!(book.balance(), balance, "{state:?}");
        }
        book.held("s", seats(&["A-1-2"]), 30);
        book.told("s", State::Released);
        book.told("unknown", State::Confirmed);
        assert_eq!((book.balance(), book.spent, book.refunded), (100, 30, 30));
    }

    /// One change to a crowd whose books hold, and the counts that come of it: sold twice, points off, lost,
    /// availability off, repeats that differ, unresolved.
    type Row = (&'static str, fn(&mut [BuyerBook], &mut Seen), [u64; 6]);

    fn shows(seen: &mut Seen, capacity: u64, available: u64) {
        seen.areas.insert("Floor".into(), (capacity, available));
    }

    fn reads(seen: &mut Seen, id: &str, state: &str, places: Places) {
        seen.reservations.insert(id.into(), (state.into(), places));
    }

    fn buys(buyer: &mut BuyerBook, seen: &mut Seen, seat: &str) {
        buyer.held("r5", seats(&[seat]), 0);
        buyer.told("r5", State::Confirmed);
        reads(seen, "r5", "confirmed", seats(&[seat]));
    }

    #[test]
    #[rustfmt::skip] // One attempt a row.
    fn each_violation_is_found_and_nothing_else() {
        let rows: [Row; 19] = [
            ("as it was",               |_, _| {},                                                [0; 6]),
            ("a hold lapsed",           |_, s| { s.held.clear(); reads(s, "r4", "expired", seats(&["A-1-3"])) }, [0; 6]),
            ("confirmed, then gone",    |_, s| drop(s.reservations.remove("r1")),                 [0, 0, 1, 0, 0, 0]),
            ("confirmed, then held",    |_, s| reads(s, "r1", "held", seats(&["A-1-1"])),         [0, 0, 1, 0, 0, 0]),
            ("confirmed, other seats",  |_, s| reads(s, "r1", "confirmed", seats(&["A-1-9"])),    [0, 0, 1, 0, 0, 0]),
            ("cancelled, yet owned",    |_, s| reads(s, "r3", "confirmed", seats(&["A-1-2"])),    [0, 0, 1, 0, 0, 0]),
            ("a point too few",         |_, s| s.balances[0] = Some(49),                          [0, 1, 0, 0, 0, 0]),
            ("points from nowhere",     |_, s| s.balances[1] = Some(47),                          [0, 7, 0, 0, 0, 0]),
            ("no balance",              |_, s| s.balances[1] = None,                              [0, 40, 0, 0, 0, 0]),
            ("one seat, two buyers",    |b, s| buys(&mut b[1], s, "A-1-1"),                       [1, 0, 0, 0, 0, 0]),
            ("bought, shown free",      |_, s| s.booked.clear(),                                  [0, 0, 0, 1, 0, 0]),
            ("cancelled, shown booked", |_, s| { s.booked.insert("A-1-2".into()); },              [0, 0, 0, 1, 0, 0]),
            ("held by nobody",          |_, s| { s.held.insert("A-1-2".into()); },                [0, 0, 0, 1, 0, 0]),
            ("others buy there too",    |_, s| {
                s.alone = false;
                s.booked.insert("B-1-1".into());
                shows(s, 10, 1);
            }, [0; 6]),
            ("area above capacity",     |_, s| shows(s, 1, 0),                                    [1, 0, 0, 1, 0, 0]),
            ("area shown too empty",    |_, s| shows(s, 10, 9),                                   [0, 0, 0, 1, 0, 0]),
            ("area shown too full",     |_, s| shows(s, 10, 7),                                   [0, 0, 0, 1, 0, 0]),
            ("repeats differ",          |_, s| s.repeats_differ = vec![String::new(); 2],         [0, 0, 0, 0, 2, 0]),
            ("an unknown ending",       |b, s| {
                b[1].unresolved = true;
                s.balances[1] = Some(10);
                s.booked.insert("A-1-7".into());
            }, [0, 0, 0, 0, 0, 1]),
        ];
        for (name, change, want) in rows {
            let (mut buyers, mut seen) = crowd();
            change(&mut buyers, &mut seen);
            let got = check(&buyers.iter().collect::<Vec<_>>(), &seen);
            let counts = [got.places_sold_twice, got.points_off, got.acknowledged_lost, got.availability_off,
                got.repeats_differ, got.unresolved];
            assert_eq!(counts, want, "{name}: {:?}", got.first);
            assert_eq!(got.ok(), want[..5].iter().all(|count| *count == 0), "{name}: {:?}", got.first);
        }
    }
}
