//! Every way to be refused by a queue, command by command.

use super::*;
use crate::testing::coverage::{Coverage, rejections};
use admit::FIRST_MAX;
use std::any::type_name;

rejections! {
    enums: CreateRejection, ChangeRejection, SetStateRejection, SetNoticeRejection, SetPageRejection, JoinRejection,
        EntryRejection, BlockRejection, AdmitRejection, AdmitNamedRejection;
    structs: UnknownQueue
}

type Row = (Attempt<Queue>, Result<(), &'static str>);

#[track_caller]
fn run(case: &mut QueueCase, rows: Vec<Row>) {
    for (row, (attempt, then)) in rows.into_iter().enumerate() {
        let now = case.now;
        let ran = attempt.run(&mut case.story, now);
        // Of what is invalid the field counts: its reason is for people.
        let said = ran.map_err(|refusal| match refusal.split_once(", reason: ") {
            Some((invalid, _)) => format!("{invalid} }})"),
            None => refusal,
        });
        assert_eq!(said, then.map_err(str::to_owned), "row {row}: {attempt:?}");
    }
    assert_same(&case.story.replayed(), &case.story.state, case.story.key);
}

/// What comes before there is a queue, and before it has opened.
fn before_it_opens() {
    let mut case =
        QueueCase { story: Story::new(QueueId::from_random(1).0), away: Arc::new(Away::default()), now: NOW };
    let create = |terms, content| {
        Attempt::of(Create { organizer: OWNER, terms, commitment: SEED.commitment(), content: Fingerprint(content) })
    };
    let early = || Terms { opens_at_ms: NOW + 1, ..terms(manual()) };
    let unnamed = || Terms { name: " ".into(), ..early() };
    let unknown = || Err("UnknownQueue");
    let presence: Arc<dyn Presence> = Arc::new(AllPresent);
    let admit = Admit { organizer: OWNER, count: 1, repeat: None, presence: presence.clone() };
    let named = AdmitNamed { organizer: OWNER, tickets: vec![1], reason: "x".into(), presence };
    let rows: Vec<Row> = vec![
        (Attempt::of(Describe), unknown()),
        (Attempt::of(change()), unknown()),
        (Attempt::of(SetState { organizer: OWNER, state: State::Paused }), unknown()),
        (Attempt::of(SetNotice { organizer: OWNER, notice: None }), unknown()),
        (Attempt::of(SetPage { organizer: OWNER, look: Look::default() }), unknown()),
        (Attempt::of(Join::of(user(1))), unknown()),
        (Attempt::of(Find { person: user(1), ticket: 1 }), unknown()),
        (Attempt::of(Leave { ticket: 1 }), unknown()),
        (Attempt::of(Claim { ticket: 1 }), unknown()),
        (Attempt::of(Finish { ticket: 1 }), unknown()),
        (Attempt::of(Block { organizer: OWNER, ticket: 1, reason: "x".into() }), unknown()),
        (Attempt::of(Restore { organizer: OWNER, ticket: 1 }), unknown()),
        (Attempt::of(admit.clone()), unknown()),
        (Attempt::of(named.clone()), unknown()),
        (create(unnamed(), 1), Err("Invalid(Invalid { field: \"name\" })")),
        (create(early(), 1), Ok(())),
        (create(early(), 2), Err("KeyReused")),
        // What was asked before counts before what is asked now.
        (create(unnamed(), 2), Err("KeyReused")),
        (Attempt::of(Describe), Ok(())),
        (Attempt::of(Join::of(user(1))), Ok(())),
        (Attempt::of(admit), Err(not_open())),
        (Attempt::of(named), Err(not_open())),
    ];
    run(&mut case, rows);
}

const fn not_open() -> &'static str {
    "NotOpen(NotOpen { opens_at_ms: Some(1795255200001), state: Open })"
}

/// What its organizer may not do, and what people may not who wait in it.
fn while_it_is_open() {
    let mut case = QueueCase::with(terms(Policy { max_active: Some(1), ..manual() }), 3);
    let invalid_name = Change { name: Some(String::new()), ..change() };
    let stale = Change { expected: Expected::OneOf(vec![0]), ..invalid_name.clone() };
    let later = Change { opens_at_ms: Some(NOW + 9), ..invalid_name.clone() };
    let ugly = Look { links: vec![Link { label: String::new(), url: String::new() }], ..Look::default() };
    let presence: Arc<dyn Presence> = Arc::new(AllPresent);
    let admit = |count| Attempt::of(Admit { organizer: OWNER, count, repeat: None, presence: presence.clone() });
    let named = |tickets: &[u32], reason: &str| {
        let (tickets, reason, presence) = (tickets.to_vec(), reason.to_owned(), presence.clone());
        Attempt::of(AdmitNamed { organizer: OWNER, tickets, reason, presence })
    };
    let block = |ticket, reason: &str| Attempt::of(Block { organizer: OWNER, ticket, reason: reason.into() });
    let restore = |ticket| Attempt::of(Restore { organizer: OWNER, ticket });
    let visitor = |visitor: String| Attempt::of(Join::of(Person::Visitor(visitor)));
    let rows: Vec<Row> = vec![
        (Attempt::of(stale), Err("Changed { version: 4 }")),
        (Attempt::of(later), Err("Opened")),
        (Attempt::of(invalid_name), Err("Invalid(Invalid { field: \"name\" })")),
        (
            Attempt::of(SetNotice { organizer: OWNER, notice: Some(" ".into()) }),
            Err("Invalid(Invalid { field: \"notice\" })"),
        ),
        (Attempt::of(SetPage { organizer: OWNER, look: ugly }), Err("Invalid(Invalid { field: \"links[0].label\" })")),
        (visitor("v".repeat(VISITOR_CHARS_MAX + 1)), Err("Invalid(Invalid { field: \"visitor\" })")),
        (Attempt::of(Find { person: user(1), ticket: 2 }), Err("UnknownEntry")),
        (Attempt::of(Leave { ticket: 9 }), Err("UnknownEntry")),
        (Attempt::of(Claim { ticket: 9 }), Err("UnknownEntry")),
        (Attempt::of(Claim { ticket: 1 }), Err("WrongStanding { ticket: 1, standing: Waiting }")),
        (Attempt::of(Finish { ticket: 9 }), Err("UnknownEntry")),
        (Attempt::of(Finish { ticket: 1 }), Err("WrongStanding { ticket: 1, standing: Waiting }")),
        (block(9, " "), Err("Invalid(Invalid { field: \"reason\" })")),
        (block(9, "x"), Err("UnknownEntry")),
        (restore(9), Err("UnknownEntry")),
        // Who is not shut out is let be.
        (restore(1), Ok(())),
        (admit(0), Err("Invalid(Invalid { field: \"count\" })")),
        (named(&[9], " "), Err("Invalid(Invalid { field: \"reason\" })")),
        (named(&[], "x"), Err("Invalid(Invalid { field: \"entries\" })")),
        (named(&[1, 1], "x"), Err("Invalid(Invalid { field: \"entries\" })")),
        (named(&[9], "x"), Err("UnknownEntry")),
        (named(&[1, 2], "x"), Err("NoRoom { inside: 0, max_active: 1 }")),
        (Attempt::of(Leave { ticket: 3 }), Ok(())),
        (named(&[1, 3], "x"), Err("WrongStanding { ticket: 3, standing: Left }")),
        (block(3, "x"), Err("WrongStanding { ticket: 3, standing: Left }")),
        (restore(3), Err("WrongStanding { ticket: 3, standing: Left }")),
    ];
    run(&mut case, rows);
}

/// What is over with the queue.
fn once_it_is_closed() {
    let mut case = QueueCase::with(terms(at_most(1)), 3);
    let presence: Arc<dyn Presence> = Arc::new(AllPresent);
    let rows: Vec<Row> = vec![
        (Attempt::of(Admit { organizer: OWNER, count: 1, repeat: None, presence: presence.clone() }), Err("NotManual")),
        (Attempt::of(SetState { organizer: OWNER, state: State::Closed }), Ok(())),
        (Attempt::of(SetState { organizer: OWNER, state: State::Closed }), Ok(())),
        (Attempt::of(SetState { organizer: OWNER, state: State::Open }), Err("Closed")),
        (Attempt::of(change()), Err("Closed")),
        (Attempt::of(Join::of(user(9))), Err("Closed")),
        (Attempt::of(AdmitNamed { organizer: OWNER, tickets: vec![2], reason: "x".into(), presence }), Err("Closed")),
    ];
    run(&mut case, rows);
}

#[test]
fn every_row_ends_as_it_says() {
    before_it_opens();
    while_it_is_open();
    once_it_is_closed();
}

/// Without a story's twin, which costs as much as there are people.
#[test]
fn so_many_may_be_before_all_others() {
    let (mut queue, mut version) = (Queue::default(), 0);
    let create =
        Create { organizer: OWNER, terms: terms(at_most(1)), commitment: SEED.commitment(), content: Fingerprint(1) };
    super::run(&mut queue, &mut version, &create);
    for number in 1..=FIRST_MAX as u128 + 2 {
        super::run(&mut queue, &mut version, &Join::of(user(number)));
    }
    let named = |tickets: std::ops::Range<u32>| {
        let presence = Arc::new(AllPresent);
        AdmitNamed { organizer: OWNER, tickets: tickets.collect(), reason: "x".into(), presence }
    };
    let step = NAMED_MAX as u32;
    for first in (1..FIRST_MAX as u32).step_by(NAMED_MAX) {
        super::run(&mut queue, &mut version, &named(first..first + step));
    }
    assert_eq!(queue.line().first().len(), FIRST_MAX);
    let context = Context { key: Uuid::from_u128(1), now: NOW, machine: NOW, random: 0 };
    let last = FIRST_MAX as u32 + 1;
    let full = Err(AdmitNamedRejection::Full { limit: FIRST_MAX as u32 });
    assert_eq!(named(last..last + 1).decide(&queue, &context), full);
    assert_eq!(named(1..2).decide(&queue, &context), Ok(vec![]), "who is before all others is that once");
}

#[test]
fn every_rejection_and_every_event_has_a_row() {
    let tests: [fn(); _] = [
        every_row_ends_as_it_says,
        join::who_may_join,
        join::a_token_opens_one_place,
        blocked_people_keep_their_place,
        max_active_is_never_exceeded_and_every_end_frees_a_slot,
        who_is_away_is_passed_over_and_let_in_first_on_return,
        put_first_comes_first,
        a_start_leaves_time_to_come,
        the_pre_queue_is_drawn_at_opening,
        page::what_everybody_in_line_is_told,
        page::the_page_looks_as_its_organizer_says,
    ];
    let untested = [
        // Takes 10,000 people: a test of its own.
        (type_name::<AdmitNamedRejection>(), "Full"),
        // Would take 50,000,000 people.
        (type_name::<JoinRejection>(), "Full"),
    ];
    Coverage::of(&tests).assert_complete::<Event>(REJECTIONS, &untested);
}
