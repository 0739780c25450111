//! Start, opening and ends of a sale: what follows what, and which order they must have.

use super::changes::invalid;
use super::fixture::terms as terms_of_the_house;
use super::fixture::*;
use crate::performance::{Describe, Follows, Performance, Rejection, Sale, SaleState, Terms};
use crate::testing::Story;

pub fn tables() -> Vec<Table> {
    vec![following(), closed_follows(), order_of_times()]
}

/// A house of which only the start and the opening were set: the sale and the cancellations end when it starts.
fn following() -> Table {
    let starts = |at_s: u64| change(move |change| change.starts_at_ms = Some(at(at_s)));
    let not_open = || Refused(Rejection::SaleNotOpen { state: SaleState::Closed, opens_at_ms: OPENS });
    let follows = Follows { sale_closes_at: true, cancellation_closes_at: true };
    let create = create(|new| {
        new.terms = Terms {
            starts_at_ms: at(1000),
            sale_closes_at_ms: at(1000),
            cancellation_closes_at_ms: at(1000),
            follows_starts_at: Some(follows),
            ..new.terms
        };
    });
    let rows = vec![
        (at(0), create, Events("created, 15 left")),
        (at(0), hold(ANN, floor(1)), Events("r1 ann held Floorx1 for 50p until 300, 14 left")),
        (at(0), pay(ANN, r(1)), Events("r1 pays 50p until 60, 300000 ms left")),
        (at(0), confirm(r(1)), Events("r1 confirmed Floorx1 for 50p")),
        // Moved earlier: neither sold nor given back once it has begun.
        (at(1), starts(500), Events("changed: open 0-500, hold 300 s, 4 each; R 100, S 50, VIP 300")),
        (at(500), hold(BOB, floor(1)), not_open()),
        (at(500), cancel(ANN, r(1)), Refused(Rejection::CancellationClosed { closed_at_ms: at(500) })),
        (at(500), sale(Sale::Running), Refused(Rejection::SaleEnded { ended_at_ms: at(500) })),
        // Put off, also after the old start.
        (at(600), starts(2000), Events("changed: open 0-2000, hold 300 s, 4 each; R 100, S 50, VIP 300")),
        (at(1999), hold(BOB, floor(1)), Events("r2 bob held Floorx1 for 50p until 2299, 13 left")),
        (at(1999), change(|change| change.hold_ttl_s = Some(300)), Events("")),
        // Set, it stays, and the others go on following;
        (
            at(1999),
            change(|change| (change.starts_at_ms, change.sale_closes_at_ms) = (Some(at(3000)), Some(Some(at(2500))))),
            Events("changed: open 0-2500, hold 300 s, 4 each; R 100, S 50, VIP 300"),
        ),
        (at(1999), starts(4000), Events("changed: open 0-2500, hold 300 s, 4 each; R 100, S 50, VIP 300")),
        (
            at(1999),
            starts(2499),
            invalid("starts_at", "must not be before sale_closes_at; set that too, or to null to let it follow"),
        ),
        (
            at(2500),
            hold(BOB, floor(1)),
            RefusedAfter(
                "r2 expired Floorx1, 14 left",
                Rejection::SaleNotOpen { state: SaleState::Closed, opens_at_ms: OPENS },
            ),
        ),
        // set back, it follows again.
        (
            at(2500),
            change(|change| change.sale_closes_at_ms = Some(None)),
            Events("changed: open 0-4000, hold 300 s, 4 each; R 100, S 50, VIP 300"),
        ),
        (at(3999), hold(BOB, floor(1)), Events("r3 bob held Floorx1 for 50p until 4299, 13 left")),
        (at(3999), cancel(ANN, r(1)), Events("r1 cancels 50p")),
        // Set to where it is anyway, it stays there.
        (
            at(3999),
            change(|change| change.sale_closes_at_ms = Some(Some(at(4000)))),
            Events("changed: open 0-4000, hold 300 s, 4 each; R 100, S 50, VIP 300"),
        ),
        (at(3999), starts(5000), Events("changed: open 0-4000, hold 300 s, 4 each; R 100, S 50, VIP 300")),
        (at(3999), sale(Sale::Closed), Events("closed")),
    ];
    Table { name: "times that were never set follow the start", created: false, rows }
}

/// What is closed for good stays so wherever its end goes.
fn closed_follows() -> Table {
    let follows = Follows { sale_closes_at: true, cancellation_closes_at: false };
    let rows = vec![
        (
            at(0),
            create(|new| {
                new.terms.sale_closes_at_ms = new.terms.starts_at_ms;
                new.terms.follows_starts_at = Some(follows);
            }),
            Events("created, 15 left"),
        ),
        (at(1), sale(Sale::Closed), Events("closed")),
        (
            at(2),
            change(|change| change.starts_at_ms = Some(at(200 * HOUR))),
            Events("changed: open 0-720000, hold 300 s, 4 each; R 100, S 50, VIP 300"),
        ),
        (at(3), hold(ANN, floor(1)), Refused(Rejection::SaleNotOpen { state: SaleState::Closed, opens_at_ms: OPENS })),
        (at(3), change(|change| change.sale_closes_at_ms = Some(Some(at(200 * HOUR)))), Refused(Rejection::SaleClosed)),
        (at(3), sale(Sale::Running), Refused(Rejection::SaleClosed)),
        // Its hours keep it from nothing.
        (
            at(4),
            change(|change| {
                (change.starts_at_ms, change.cancellation_closes_at_ms) = (Some(OPENS - 1), Some(None));
            }),
            Events("changed: open 0--0.001, hold 300 s, 4 each; R 100, S 50, VIP 300"),
        ),
    ];
    Table { name: "closed for good, wherever its start goes", created: false, rows }
}

/// Two times that do not fit are told by the one that was named.
fn order_of_times() -> Table {
    let start = 96 * HOUR;
    table(
        "times are checked against each other",
        vec![
            (
                at(0),
                change(|change| change.starts_at_ms = Some(at(CLOSES) - 1)),
                invalid("starts_at", "must not be before sale_closes_at; set that too, or to null to let it follow"),
            ),
            (
                at(0),
                change(|change| change.sale_closes_at_ms = Some(Some(at(start) + 1))),
                invalid("sale_closes_at", "must not be after starts_at"),
            ),
            (
                at(0),
                change(|change| change.cancellation_closes_at_ms = Some(Some(at(start) + 1))),
                invalid("cancellation_closes_at", "must not be after starts_at"),
            ),
            (
                at(0),
                change(|change| (change.starts_at_ms, change.sale_closes_at_ms) = (Some(at(9)), Some(None))),
                invalid(
                    "starts_at",
                    "must not be before cancellation_closes_at; set that too, or to null to let it follow",
                ),
            ),
            (
                at(0) - 1,
                change(|change| change.sale_opens_at_ms = Some(at(CLOSES))),
                invalid("sale_opens_at", "must be before sale_closes_at"),
            ),
            (
                at(0) - 1,
                change(|change| {
                    (change.sale_opens_at_ms, change.sale_closes_at_ms) = (Some(at(start)), Some(None));
                }),
                invalid("sale_opens_at", "must be before starts_at, when the sale closes"),
            ),
            (
                at(0),
                change(|change| {
                    (change.starts_at_ms, change.sale_closes_at_ms, change.cancellation_closes_at_ms) =
                        (Some(OPENS), Some(None), Some(None));
                }),
                invalid("starts_at", "must be after sale_opens_at, for the sale closes when it starts"),
            ),
            // Nothing happened, and what fits is taken in one step.
            (
                at(0),
                change(|change| {
                    (change.starts_at_ms, change.sale_closes_at_ms, change.cancellation_closes_at_ms) =
                        (Some(at(9)), Some(Some(at(9))), Some(Some(at(9))));
                }),
                Events("changed: open 0-9, hold 300 s, 4 each; R 100, S 50, VIP 300"),
            ),
        ],
    )
}

/// Performances of before there was the rule, whose sale goes on while they play: readable, and to be changed in all else.
#[test]
fn what_breaks_the_rule_stays_as_it_is() {
    use crate::performance::event::{Event, PerformanceCreated};
    let created = |terms: Terms| {
        let super::super::Create { concert, organizer, prices, chart, content, .. } = terms_of_the_house();
        Event::PerformanceCreated(PerformanceCreated {
            concert_id: concert,
            organizer_id: organizer,
            terms,
            refusal_grace_s: None,
            prices,
            chart,
            content,
            available: 15,
        })
    };
    let old = terms_of_the_house().terms;
    let mut story = Story::<Performance>::new(house().0);
    story.record(OPENS, &[created(Terms { starts_at_ms: at(9), ..old })]);
    let run = |story: &mut Story<Performance>, command: Request| attempt(story, at(10), &command);
    assert!(run(&mut story, hold(ANN, floor(1))).1.is_none());
    let (happened, refused) = run(&mut story, change(|change| change.hold_ttl_s = Some(60)));
    assert_eq!((happened.as_str(), refused), ("changed: open 0-259200, hold 60 s, 4 each; R 100, S 50, VIP 300", None));
    let (_, refused) = run(&mut story, change(|change| change.sale_closes_at_ms = Some(Some(at(11)))));
    assert!(matches!(refused, Some(Rejection::Invalid(invalid)) if invalid.field == "sale_closes_at"));

    // What equals the start was never set, as far as their events tell; what differs was.
    let mut story = Story::<Performance>::new(house().0);
    story.record(OPENS, &[created(Terms { sale_closes_at_ms: old.starts_at_ms, ..old })]);
    let (happened, refused) = run(&mut story, change(|change| change.starts_at_ms = Some(at(200 * HOUR))));
    assert_eq!(
        (happened.as_str(), refused),
        ("changed: open 0-720000, hold 300 s, 4 each; R 100, S 50, VIP 300", None)
    );
    assert_eq!(run(&mut story, change(|_| {})), (String::new(), None));
    let described = story.when(at(11), &Describe).unwrap();
    assert_eq!(described.terms.cancellation_closes_at_ms, at(CANCELLABLE));
    assert_eq!(described.terms.follows(), Follows { sale_closes_at: true, cancellation_closes_at: false });
}
