//! Which differences are seen, and as what.

use super::*;

fn seats(labels: &[&str]) -> Places {
    Places::Seats(labels.iter().map(|label| label.to_string()).collect())
}

fn floor(count: u64) -> Places {
    Places::Area { area: "Floor".into(), count }
}

fn moved(charged: u64, spent: u64, refunded: u64) -> Option<Moved> {
    Some(Moved { charged, spent, refunded })
}

/// Two buyers: one owns A-1-1 and 2 places of the floor, the other cancelled A-1-2 and walked away from A-1-3.
fn crowd() -> (Vec<BuyerBook>, ServerRecord) {
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
    let seen = ServerRecord {
        balances: vec![Some(50), Some(40)],
        statements: vec![moved(100, 50, 0), moved(40, 30, 30)],
        reconciled: moved(140, 80, 30),
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
        ..ServerRecord::default()
    };
    (vec![one, two], seen)
}

#[test]
fn after_a_cancellation_everyone_has_everything_back() {
    let (mut buyers, mut seen) = crowd();
    buyers.iter_mut().for_each(BuyerBook::called_off);
    assert!(!check(&buyers.iter().collect::<Vec<_>>(), &seen).ok());
    seen.balances = buyers.iter().map(|book| Some(book.moved.charged)).collect();
    seen.statements = buyers.iter().map(|book| Some(book.moved)).collect();
    seen.reconciled = moved(140, 80, 80);
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
    assert_eq!((book.balance(), Some(book.moved)), (100, moved(100, 30, 30)));
}

/// One change to a crowd whose books hold, and the counts that come of it: sold twice, points off, lost,
/// availability off, repeats that differ, unresolved.
type Row = (&'static str, fn(&mut [BuyerBook], &mut ServerRecord), [u64; 6]);

fn shows(seen: &mut ServerRecord, capacity: u64, available: u64) {
    seen.areas.insert("Floor".into(), (capacity, available));
}

fn reads(seen: &mut ServerRecord, id: &str, state: &str, places: Places) {
    seen.reservations.insert(id.into(), (state.into(), places));
}

fn buys(buyer: &mut BuyerBook, seen: &mut ServerRecord, seat: &str) {
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

#[test]
fn statements_and_the_reconciliation_are_held_against_the_buyers() {
    type Row = (fn(&mut [BuyerBook], &mut ServerRecord), [u64; 2]);
    let rows: [Row; 7] = [
        (|_, _| {}, [0, 0]),
        (|_, s| s.statements[0] = moved(100, 51, 0), [1, 0]),
        (|_, s| s.statements[1] = moved(40, 0, 0), [60, 0]),
        (|_, s| s.statements[1] = None, [100, 0]),
        (|_, s| s.reconciled = moved(140, 80, 29), [0, 1]),
        (|_, s| s.reconciled = None, [0, 0]),
        (
            |b, s| {
                b[1].unresolved = true;
                s.statements[1] = None;
                s.reconciled = moved(0, 0, 0);
            },
            [0, 0],
        ),
    ];
    for (number, (change, want)) in rows.into_iter().enumerate() {
        let (mut buyers, mut seen) = crowd();
        change(&mut buyers, &mut seen);
        let got = check(&buyers.iter().collect::<Vec<_>>(), &seen);
        assert_eq!([got.statements_off, got.reconciliation_off], want, "row {number}: {:?}", got.first);
        assert_eq!(got.ok(), want == [0, 0], "row {number}: {:?}", got.first);
    }
}

/// One buyer's wait, the state of the entry at the end, and the counts that come of it: admitted and not told, ranks that
/// rose, holds without having been let in, repeats that differ.
type Wait = (&'static str, WaitBook, &'static str, [u64; 4]);

#[test]
fn the_queue_told_everybody_and_kept_the_order() {
    let asks = || WaitBook { asks: true, ..WaitBook::default() };
    let told = || WaitBook { told: true, ..asks() };
    let table: [Wait; 10] = [
        ("told", told(), "finished", [0; 4]),
        ("waits", asks(), "waiting", [0; 4]),
        ("left", WaitBook::default(), "left", [0; 4]),
        ("let in after having gone away", WaitBook::default(), "admitted", [0; 4]),
        ("let in and not told", asks(), "admitted", [1, 0, 0, 0]),
        ("expired and not told", asks(), "expired", [1, 0, 0, 0]),
        ("further back than before", WaitBook { rank_rose: 3, ..told() }, "finished", [0, 3, 0, 0]),
        (
            "further back because somebody may have come back",
            WaitBook { rank_rose: 3, silent: MAY_BE_PASSED_OVER, ..told() },
            "finished",
            [0; 4],
        ),
        ("held too early", WaitBook { held_unadmitted: 2, ..told() }, "finished", [0, 0, 2, 0]),
        ("another entry", WaitBook { refreshed_differently: 1, ..told() }, "finished", [0, 0, 0, 1]),
    ];
    for (name, wait, entry, expected) in table {
        let book = BuyerBook { wait, ..BuyerBook::default() };
        let entries = vec![Some(entry.to_owned())];
        let (balances, statements) = (vec![Some(0)], vec![Some(Moved::default())]);
        let books = check(&[&book], &ServerRecord { entries, balances, statements, ..ServerRecord::default() });
        let found = [books.admitted_not_told, books.ranks_rose, books.held_unadmitted, books.repeats_differ];
        assert_eq!((found, books.ok()), (expected, expected == [0; 4]), "{name}: {books:?}");
    }
}
