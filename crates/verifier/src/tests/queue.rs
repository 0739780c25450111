//! Queues: a log that holds, and the same with one thing wrong.

use super::fixture::{ANN, BOB, Line, line};
use super::{audit, check};
use crate::Kind::{QueueOrderBroken, QueuePolicyBroken, RulesBroken};
use base::id::{Category, EntryId, Millis, OrganizerId, QueueId, StreamId};
use domain::Fingerprint;
use domain::queue::Event;
use domain::queue::draw::{self, Seed};
use domain::queue::event::*;
use domain::queue::policy::{Policy, Rate};
use serde_json::{Value, json};
use uuid::Uuid;

const SEED: Seed = Seed([3; 32]);
const KEY: Fingerprint = Fingerprint(9);

fn queue() -> QueueId {
    QueueId::from_random(5)
}

fn entry(ticket: u32) -> EntryId {
    EntryId::of(queue(), ticket)
}

/// Seconds from the start.
fn s(second: Millis) -> Millis {
    1_000_000 + second * 1_000
}

fn of_queue(at_ms: Millis, event: Event) -> Line {
    line(StreamId { category: Category::Queue, key: queue().0 }, at_ms, &event)
}

/// Two in 10 s, two inside, open from second 5 on.
fn terms() -> Terms {
    Terms {
        name: "tour".into(),
        redirect_urls: vec![],
        policy: Policy { rate: Some(Rate { count: 2, interval_s: 10 }), max_active: Some(2), manual: false },
        opens_at_ms: s(5),
        claim_ttl_s: 60,
        session_ttl_s: 600,
        idle_ttl_s: Some(30),
        absent_after_s: Some(100),
        purchase_completes: true,
        join: JoinPolicy::Anyone,
    }
}

fn by_hand() -> Terms {
    Terms { policy: Policy { rate: None, max_active: Some(3), manual: true }, ..terms() }
}

/// Tickets 1 to 3 in the order that is drawn.
fn drawn() -> [u32; 3] {
    draw::order(SEED, &[1, 2, 3]).try_into().unwrap()
}

fn joined(at: Millis, ticket: u32, waiting: u32) -> Line {
    let visitor = |name: &str| (None, Some(name.to_owned()), None);
    let (user_id, visitor, repeat) = match ticket {
        1 | 7 => (Some(ANN), None, None),
        2 => visitor("v"),
        3 => (None, None, Some(Fingerprint(7))),
        5 => (Some(BOB), None, None),
        6 => visitor("w"),
        _ => (None, None, None),
    };
    let (entry_id, token) = (entry(ticket), None);
    of_queue(at, Event::EntryJoined(EntryJoined { entry_id, ticket, user_id, visitor, repeat, token, waiting }))
}

fn subject(ticket: u32) -> String {
    match ticket {
        1 | 7 => ANN.to_string(),
        2 => "v".into(),
        5 => BOB.to_string(),
        6 => "w".into(),
        _ => entry(ticket).to_string(),
    }
}

/// `[admitted before, inside, waiting]`
fn admitted(at: Millis, ticket: u32, by: AdmittedBy, counts: [u32; 3]) -> Line {
    let [admitted_before, inside, waiting] = counts;
    let entries =
        vec![AdmittedEntry { entry_id: entry(ticket), ticket, subject: subject(ticket).into(), claim_until_ms: None }];
    let reason = (by == AdmittedBy::Name).then(|| "the artist's mother".into());
    let repeat = (by == AdmittedBy::Count).then_some(KEY);
    let claim_until_ms = at + 60_000;
    of_queue(
        at,
        Event::EntriesAdmitted(EntriesAdmitted {
            entries,
            by,
            reason,
            repeat,
            claim_until_ms,
            machine_ms: None,
            admitted_before,
            inside,
            waiting,
        }),
    )
}

fn extended(at: Millis, tickets: &[u32], claim_until_ms: Millis) -> Line {
    of_queue(at, Event::ClaimsExtended(ClaimsExtended { tickets: tickets.into(), claim_until_ms }))
}

fn passed_over(at: Millis, ticket: u32, waiting: u32) -> Line {
    of_queue(at, Event::EntriesPassedOver(EntriesPassedOver { tickets: vec![ticket], waiting }))
}

fn left(at: Millis, ticket: u32, inside: u32, waiting: u32) -> Line {
    of_queue(at, Event::EntryLeft(EntryLeft { entry_id: entry(ticket), ticket, inside, waiting }))
}

fn claimed(at: Millis, ticket: u32) -> Line {
    let until_ms = at + 600_000;
    of_queue(at, Event::SessionClaimed(SessionClaimed { entry_id: entry(ticket), ticket, until_ms }))
}

fn finished(at: Millis, ticket: u32, inside: u32) -> Line {
    of_queue(at, Event::SessionFinished(SessionFinished { entry_id: entry(ticket), ticket, inside }))
}

fn expired(at: Millis, ticket: u32, reason: ExpiredBy, inside: u32) -> Line {
    of_queue(at, Event::SessionsExpired(SessionsExpired { tickets: vec![ticket], reason, inside }))
}

fn restored(at: Millis, ticket: u32, waiting: u32) -> Line {
    of_queue(at, Event::EntryRestored(EntryRestored { entry_id: entry(ticket), ticket, waiting }))
}

fn blocked(at: Millis, ticket: u32, inside: u32, waiting: u32) -> Line {
    let (entry_id, reason) = (entry(ticket), "a bot".into());
    of_queue(at, Event::EntryBlocked(EntryBlocked { entry_id, ticket, reason, inside, waiting }))
}

fn put_first(at: Millis, ticket: u32, waiting: u32) -> Line {
    let (tickets, reason) = (vec![ticket], "a wheelchair".into());
    of_queue(at, Event::EntriesPutFirst(EntriesPutFirst { tickets, reason, waiting }))
}

fn changed(at: Millis, terms: Terms) -> Line {
    of_queue(at, Event::QueueChanged(QueueChanged { terms }))
}

fn state(at: Millis, state: State) -> Line {
    of_queue(at, Event::QueueStateChanged(QueueStateChanged { state }))
}

fn created() -> Line {
    let (organizer_id, content) = (OrganizerId(Uuid::from_u128(1)), Fingerprint(1));
    let event = QueueCreated { organizer_id, terms: terms(), commitment: SEED.commitment(), content };
    of_queue(s(0), Event::QueueCreated(event))
}

fn draw() -> Line {
    let sealed = draw::hex(&draw::seal(&[1, 2, 3]));
    of_queue(s(5), Event::QueueDrawn(QueueDrawn { seed: SEED.text(), sealed, tickets: 4, drawn: 3, ready: None }))
}

fn good() -> Vec<Line> {
    use AdmittedBy::{Count, Name, Policy};
    let [a, b, c] = drawn();
    vec![
        created(),
        joined(s(1), 1, 1),
        joined(s(1), 2, 2),
        joined(s(2), 3, 3),
        // 5
        joined(s(3), 4, 4),
        left(s(4), 4, 0, 3),
        draw(),
        joined(s(6), 5, 4),
        passed_over(s(6), a, 3),
        // 10
        admitted(s(6), b, Policy, [0, 1, 2]),
        claimed(s(7), b),
        of_queue(s(12), Event::EntriesReturned(EntriesReturned { tickets: vec![a], waiting: 3 })),
        admitted(s(12), a, Policy, [1, 2, 2]),
        finished(s(13), b, 1),
        // 15
        put_first(s(14), 5, 2),
        blocked(s(15), c, 1, 1),
        admitted(s(16), 5, Policy, [2, 2, 0]),
        restored(s(17), c, 1),
        claimed(s(20), 5),
        // 20
        expired(s(60), 5, ExpiredBy::Idle, 1),
        expired(s(72), a, ExpiredBy::Time, 0),
        changed(s(80), by_hand()),
        joined(s(80), 6, 2),
        passed_over(s(81), c, 1),
        // 25
        admitted(s(81), 6, Count, [3, 1, 0]),
        of_queue(s(181), Event::EntriesGivenUp(EntriesGivenUp { tickets: vec![c] })),
        joined(s(182), 7, 1),
        admitted(s(183), 7, Name, [4, 2, 0]),
        state(s(184), State::Paused),
        // 30
        state(s(185), State::Closed),
    ]
}

fn then(position: usize, more: impl IntoIterator<Item = Line>) -> Vec<Line> {
    let mut lines = good();
    lines.truncate(position);
    lines.extend(more);
    lines
}

fn set(position: usize, field: &str, value: Value) -> Vec<Line> {
    let mut lines = good();
    *lines[position - 1].data.pointer_mut(field).unwrap_or_else(|| panic!("{field}")) = value;
    lines
}

/// With a time to come of the one who was let in there.
fn claim_of(position: usize, until: Millis) -> Vec<Line> {
    let mut lines = good();
    lines[position - 1].data["entries"][0]["claim_until_ms"] = json!(until);
    lines
}

fn at(position: usize, at_ms: Millis) -> Vec<Line> {
    let mut lines = good();
    lines[position - 1].at_ms = at_ms;
    lines
}

#[test]
fn queues_that_hold_are_counted() {
    let summary = audit(&good()).unwrap();
    let entries = (summary.entries_joined, summary.entries_admitted, summary.entries_waiting, summary.entries_inside);
    assert_eq!((summary.queues, entries), (1, (7, 5, 0, 2)));
    assert_eq!((summary.entries_finished, summary.entries_expired, summary.entries_left), (1, 2, 2));
    assert_eq!(audit(&then(9, [])).unwrap().entries_waiting, 4, "who was passed over waits");
}

#[test]
fn the_order_is_kept() {
    let [a, b, c] = drawn();
    let (order, by) = (QueueOrderBroken, AdmittedBy::Policy);
    let passed = |ticket, waiting| passed_over(s(6), ticket, waiting);
    check(vec![
        ("a ticket left out", set(3, "/ticket", json!(3)), (3, order, "the ticket is 3, must be 2")),
        ("another seed", set(7, "/seed", json!("00".repeat(32))), (7, order, "the seed's hash")),
        ("no seed", set(7, "/seed", json!("00")), (7, order, "64 hex digits")),
        ("another list", set(7, "/sealed", json!("00".repeat(32))), (7, order, "the sealed list's hash")),
        ("drawn twice", then(7, [draw()]), (8, order, "had an order")),
        ("the second one first", then(8, [admitted(s(6), b, by, [0, 1, 3])]), (9, order, "the turn of")),
        ("the last one first", then(8, [admitted(s(6), 5, by, [0, 1, 3])]), (9, order, "the turn of")),
        ("passed over before their turn", then(8, [passed(b, 3), joined(s(6), 6, 4)]), (10, order, "were passed over")),
        (
            "the same, and nobody let in who was before them",
            then(8, [passed(c, 3), admitted(s(6), a, by, [0, 1, 2]), claimed(s(6), a)]),
            (11, order, "were passed over"),
        ),
        ("let in twice", then(10, [admitted(s(6), b, by, [1, 2, 2])]), (11, order, "let in before")),
        ("let in while passed over", then(9, [admitted(s(6), a, by, [0, 1, 3])]), (10, order, "PassedOver")),
        ("let in after leaving", then(7, [admitted(s(6), 4, by, [0, 1, 3])]), (8, order, "Over")),
        ("let in while blocked", then(16, [admitted(s(16), c, by, [2, 2, 1])]), (17, order, "Blocked")),
        ("not the one who was put first", then(15, [admitted(s(15), c, by, [2, 2, 1])]), (16, order, "the turn of")),
    ]);
    // Whoever was let in beside them stood before them.
    let beside = [passed(b, 3), admitted(s(6), a, by, [0, 1, 2]), claimed(s(6), a)];
    assert!(audit(&then(8, beside)).is_ok());
}

#[test]
fn the_policy_is_kept() {
    let [a, b, _] = drawn();
    let (policy, by) = (QueuePolicyBroken, AdmittedBy::Policy);
    let (count, name) = (AdmittedBy::Count, AdmittedBy::Name);
    let (nothing, both) = (json!({"manual": false}), json!({"manual": true, "rate": {"count": 1, "interval_s": 1}}));
    check(vec![
        ("no policy", set(1, "/policy", nothing), (1, policy, "makes no sense")),
        ("by hand and by rate", set(22, "/policy", both), (22, policy, "makes no sense")),
        ("nobody inside", set(1, "/policy/max_active", json!(0)), (1, policy, "makes no sense")),
        ("drawn too early", at(7, s(5) - 1), (7, policy, "was to open at")),
        ("drawn when closed", then(6, [state(s(5), State::Closed), draw()]), (8, policy, "was to open at")),
        ("let in before it opened", then(6, [admitted(s(5), a, by, [0, 1, 2])]), (7, policy, "not opened")),
        ("passed over before it opened", then(6, [passed_over(s(5), a, 2)]), (7, policy, "nobody's turn")),
        (
            "let in while paused",
            then(9, [state(s(6), State::Paused), admitted(s(6), b, by, [0, 1, 2])]),
            (11, policy, "lets nobody in"),
        ),
        (
            "passed over while paused",
            then(8, [state(s(6), State::Paused), passed_over(s(6), a, 3)]),
            (10, policy, "nobody's turn"),
        ),
        ("let in by hand", then(9, [admitted(s(6), b, count, [0, 1, 2])]), (10, policy, "by the policy")),
        ("let in by name", then(9, [admitted(s(6), b, name, [0, 1, 2])]), (10, policy, "by the policy")),
        ("let in by the policy", then(27, [admitted(s(183), 7, by, [4, 2, 0])]), (28, policy, "by hand only")),
        ("put first where all is by hand", then(27, [put_first(s(183), 7, 1)]), (28, policy, "nobody is put first")),
        (
            "too many within the interval",
            then(16, [admitted(s(16) - 1, 5, by, [2, 2, 0])]),
            (17, policy, "within 10 s"),
        ),
        ("too many inside", set(1, "/policy/max_active", json!(1)), (13, policy, "at most 1 may be")),
        ("too many by hand", set(22, "/policy/max_active", json!(1)), (28, policy, "at most 1 may be")),
        ("a key twice", then(27, [admitted(s(183), 7, count, [4, 2, 0])]), (28, policy, "let people in twice")),
    ]);
}

/// A sale behind a queue: ANN comes in, and holds places; or she does not come in.
fn gated(comes: bool, from_the_start: bool) -> Vec<Line> {
    let mut sale = super::fixture::good();
    sale.truncate(7);
    let here = sale.iter().position(|line| line.name == "PerformanceCreated.v1").expect("a performance");
    let gate = &mut sale[here];
    gate.data["queue_id"] = json!(queue());
    let mut open = created();
    open.data["opens_at_ms"] = json!(0);
    open.at_ms = 0;
    let mut lines = vec![open, joined(1, 1, 1), admitted(1, 1, AdmittedBy::Policy, [0, 1, 0])];
    lines.extend(comes.then(|| claimed(1, 1)));
    if !from_the_start {
        sale[here].data.as_object_mut().expect("an event").remove("queue_id");
    }
    lines.extend(sale);
    lines
}

#[test]
fn behind_a_queue_only_those_hold_places_who_came_in() {
    assert!(audit(&gated(true, true)).is_ok() && audit(&gated(false, false)).is_ok());
    check(vec![("not let in", gated(false, true), (10, QueuePolicyBroken, "never let in"))]);
}

#[test]
fn people_and_sessions() {
    let [a, b, c] = drawn();
    let rules = RulesBroken;
    let (count, idle, time) = (AdmittedBy::Count, ExpiredBy::Idle, ExpiredBy::Time);
    let silent = Terms { idle_ttl_s: None, ..terms() };
    let patient = Terms { idle_ttl_s: Some(50), ..terms() };
    let early = Terms { opens_at_ms: s(4), ..terms() };
    check(vec![
        ("no queue", then(0, [joined(s(1), 1, 1)]), (1, rules, "not created before")),
        ("a queue twice", then(1, [created()]), (2, rules, "created before")),
        ("another's entry", set(3, "/entry_id", json!(entry(9))), (3, rules, "the entry")),
        ("the same person twice", set(8, "/user_id", json!(ANN)), (8, rules, "live ticket 1")),
        ("the same key twice", then(4, [as_ticket(joined(s(3), 3, 4), 4)]), (5, rules, "live ticket 3")),
        ("known in two ways", then(1, [known_twice()]), (2, rules, "in two ways")),
        ("joined when closed", then(30, [joined(s(186), 8, 1)]), (31, rules, "is closed")),
        ("another's subject", set(10, "/entries/0/subject", json!("x")), (10, rules, "is not that of x")),
        ("nobody let in", set(10, "/entries", json!([])), (10, rules, "about nobody")),
        ("nobody returned", set(12, "/tickets", json!([])), (12, rules, "about nobody")),
        ("a ticket of nobody", set(12, "/tickets/0", json!(99)), (12, rules, "nobody has ticket 99")),
        ("back without having been away", set(12, "/tickets/0", json!(c)), (12, rules, "is Waiting")),
        ("by name without a reason", set(28, "/reason", json!(" ")), (28, rules, "the reason is")),
        ("first without a reason", set(15, "/reason", json!("")), (15, rules, "no reason")),
        ("blocked without a reason", set(16, "/reason", json!("")), (16, rules, "no reason")),
        ("blocked twice", then(16, [blocked(s(15), c, 1, 1)]), (17, rules, "is Blocked")),
        ("restored without having been blocked", then(16, [restored(s(15), 5, 2)]), (17, rules, "is First")),
        ("left twice", then(6, [left(s(4), 4, 0, 3)]), (7, rules, "is Over")),
        ("claimed without admission", then(10, [claimed(s(7), c)]), (11, rules, "is Waiting")),
        ("claimed twice", then(11, [claimed(s(8), b)]), (12, rules, "is Active")),
        ("claimed too late", then(10, [claimed(s(66), b)]), (11, rules, "ended at")),
        ("another end of the session", set(11, "/until_ms", json!(s(608))), (11, rules, "the session's end")),
        ("too short a claim", set(10, "/claim_until_ms", json!(s(66) - 1)), (10, rules, "the claim of")),
        ("too long a claim", set(10, "/claim_until_ms", json!(s(66 + 2_700) + 1)), (10, rules, "the claim of")),
        ("one's claim is shorter", claim_of(10, s(66) - 1), (10, rules, "before all others")),
        ("one's claim is too long", claim_of(10, s(66 + 2_700) + 1), (10, rules, "the claim of")),
        ("claimed later than one's time", then(10, [claimed(s(66), b)]), (11, rules, "ended at")),
        ("a longer claim of nobody", then(10, [extended(s(60), &[], s(70))]), (11, rules, "about nobody")),
        (
            "a longer claim of one who waits",
            then(10, [extended(s(60), &[c], s(70))]),
            (11, rules, "no claim to extend"),
        ),
        ("a longer claim of one who came", then(11, [extended(s(60), &[b], s(70))]), (12, rules, "no claim to extend")),
        ("a shorter claim", then(10, [extended(s(60), &[b], s(66))]), (11, rules, "lasts until")),
        ("a much longer claim", then(10, [extended(s(60), &[b], s(60 + 2_730) + 1)]), (11, rules, "are extended to")),
        ("finished without a session", then(14, [finished(s(13), b, 1)]), (15, rules, "is Over")),
        ("finished too late", then(13, [finished(s(72), a, 1)]), (14, rules, "ended at")),
        ("left too late", then(13, [left(s(72), a, 1, 2)]), (14, rules, "ended at")),
        ("expired too early", at(21, s(72) - 1), (21, rules, "lasts until")),
        ("nobody's session expired", then(20, [expired(s(72), 5, time, 0)]), (21, rules, "no session to end")),
        ("too short a silence", at(20, s(50)), (20, rules, "too short a silence")),
        ("silence before the claim", then(13, [expired(s(60), a, idle, 1)]), (14, rules, "does not end by silence")),
        (
            "silence where it may be",
            then(19, [changed(s(21), silent), expired(s(60), 5, idle, 1)]),
            (21, rules, "does not end by silence"),
        ),
        ("given up too early", at(26, s(181) - 1), (26, rules, "not to be given up")),
        ("given up without having been away", set(26, "/tickets/0", json!(6)), (26, rules, "not to be given up")),
        ("opened earlier afterwards", then(7, [changed(s(6), early)]), (8, rules, "opened before")),
        ("changed when closed", then(30, [changed(s(186), terms())]), (31, rules, "closed for good")),
        ("opened again", then(30, [state(s(186), State::Open)]), (31, rules, "closed for good")),
        ("paused twice", then(29, [state(s(184), State::Paused)]), (30, rules, "Paused already")),
        ("two keys", then(27, [keyed_by_name()]), (28, rules, "with a key")),
        ("no reason needed", then(24, [reasoned(admitted(s(81), 6, count, [3, 1, 0]))]), (25, rules, "the reason is")),
    ]);
    // Told to ask later than others; and the server was down.
    let mut told_later = claim_of(10, s(90));
    told_later.truncate(10);
    told_later.push(claimed(s(89), b));
    assert!(audit(&told_later).is_ok());
    assert!(audit(&then(10, [extended(s(80), &[b], s(125)), claimed(s(124), b)])).is_ok());
    // A longer silence is allowed from now on, and a shorter one ended it just before that was known.
    assert!(audit(&then(19, [changed(s(50), patient), expired(s(51), 5, idle, 1)])).is_ok());
}

#[test]
fn counts_are_right() {
    for (position, field, what) in [
        (2, "/waiting", "waiting"),
        (6, "/waiting", "waiting"),
        (6, "/inside", "inside"),
        (7, "/tickets", "tickets"),
        (7, "/drawn", "drawn"),
        (9, "/waiting", "waiting"),
        (10, "/waiting", "waiting"),
        (10, "/inside", "inside"),
        (10, "/admitted_before", "admitted before"),
        (12, "/waiting", "waiting"),
        (14, "/inside", "inside"),
        (15, "/waiting", "waiting"),
        (16, "/waiting", "waiting"),
        (16, "/inside", "inside"),
        (18, "/waiting", "waiting"),
        (20, "/inside", "inside"),
    ] {
        check(vec![(field, set(position, field, json!(77)), (position as u64, RulesBroken, what))]);
    }
}

/// The same with another ticket.
fn as_ticket(mut line: Line, ticket: u32) -> Line {
    line.data["ticket"] = json!(ticket);
    line.data["entry_id"] = json!(entry(ticket));
    line
}

fn known_twice() -> Line {
    let mut line = joined(s(1), 1, 1);
    line.data["visitor"] = json!("v");
    line
}

fn keyed_by_name() -> Line {
    let mut line = admitted(s(183), 7, AdmittedBy::Name, [4, 2, 0]);
    line.data["repeat"] = json!(KEY);
    line
}

fn reasoned(mut line: Line) -> Line {
    line.data["reason"] = json!("x");
    line
}
