//! A queue told as stories: what happened, one command, what comes of it.

mod join;
mod page;
mod random;
mod rejections;

use super::policy::{Policy, Rate};
use super::*;
use crate::testing::coverage::Known;
use crate::testing::{Attempt, Story, assert_same};
use crate::{Command, Context, Effect, Expected};
use base::id::UserId;
use draw::Seed;
use order::Standing::*;
use std::sync::{Arc, Mutex};
use uuid::Uuid;

const NOW: Millis = 1_795_255_200_000;
const OWNER: OrganizerId = OrganizerId(Uuid::from_u128(9));
const SEED: Seed = Seed([3; 32]);

fn manual() -> Policy {
    Policy { rate: None, max_active: None, manual: true }
}

fn at_most(max_active: u32) -> Policy {
    Policy { rate: None, max_active: Some(max_active), manual: false }
}

fn terms(policy: Policy) -> Terms {
    Terms {
        name: "tour".into(),
        redirect_urls: vec![],
        policy,
        opens_at_ms: NOW,
        claim_ttl_s: 60,
        session_ttl_s: 600,
        idle_ttl_s: None,
        absent_after_s: None,
        purchase_completes: true,
        join: JoinPolicy::Anyone,
    }
}

/// These are away, and these were told to ask again later.
#[derive(Debug, Default)]
struct Away(Mutex<BTreeSet<u32>>, Mutex<BTreeMap<u32, Millis>>);

impl Presence for Away {
    fn is_away(&self, ticket: u32, _: Millis) -> bool {
        self.0.lock().unwrap().contains(&ticket)
    }

    fn knows(&self, ticket: u32) -> bool {
        self.1.lock().unwrap().get(&ticket) != Some(&0)
    }

    fn summon(&self, ticket: u32, now: Millis) -> Millis {
        self.1.lock().unwrap().get(&ticket).copied().unwrap_or(now)
    }
}

struct QueueCase {
    story: Story<Queue>,
    away: Arc<Away>,
    now: Millis,
}

impl QueueCase {
    fn of(terms: Terms) -> QueueCase {
        let mut case =
            QueueCase { story: Story::new(QueueId::from_random(1).0), away: Arc::new(Away::default()), now: NOW };
        let (commitment, content) = (SEED.commitment(), Fingerprint(1));
        case.tell(&Create { organizer: OWNER, terms, commitment, content }).unwrap();
        case
    }

    /// With so many users who wait.
    fn with(terms: Terms, people: u128) -> QueueCase {
        let mut case = QueueCase::of(terms);
        (1..=people).for_each(|number| assert_eq!(case.join(user(number)), Ok(number as u32)));
        case
    }

    #[track_caller]
    fn tell<C: Command<On = Queue, Rejection: Known>>(&mut self, command: &C) -> Result<C::Answer, C::Rejection> {
        let answer = self.story.when(self.now, command);
        assert_same(&self.story.replayed(), &self.story.state, self.story.key);
        answer
    }

    #[track_caller]
    fn join(&mut self, person: Person) -> Result<u32, JoinRejection> {
        self.tell(&Join::of(person)).map(|joined| joined.ticket)
    }

    #[track_caller]
    fn advance(&mut self) -> u32 {
        self.advance_with(vec![], vec![])
    }

    #[track_caller]
    fn advance_with(&mut self, returned: Vec<u32>, idle: Vec<u32>) -> u32 {
        let advance = Advance { presence: self.away.clone(), seed: Some(SEED), drawn: None, returned, idle };
        self.tell(&advance).map(|let_in| let_in.admitted).unwrap()
    }

    #[track_caller]
    fn admit(&mut self, count: u32, repeat: Option<u128>) -> Result<u32, AdmitRejection> {
        let (repeat, presence) = (repeat.map(Fingerprint), self.away.clone());
        self.tell(&Admit { organizer: OWNER, count, repeat, presence }).map(|let_in| let_in.admitted)
    }

    fn named(&mut self, tickets: &[u32]) -> Result<u32, AdmitNamedRejection> {
        let (tickets, reason, presence) = (tickets.to_vec(), "a reason".into(), self.away.clone());
        self.tell(&AdmitNamed { organizer: OWNER, tickets, reason, presence }).map(|let_in| let_in.admitted)
    }

    fn standing(&self, ticket: u32) -> order::Standing {
        self.story.state.line().standing(ticket).unwrap()
    }

    fn rank(&self, ticket: u32) -> Option<u32> {
        self.story.state.line().rank(ticket)
    }

    fn go_away(&self, tickets: &[u32]) {
        self.away.0.lock().unwrap().extend(tickets);
    }
}

fn user(number: u128) -> Person {
    Person::User(UserId(Uuid::from_u128(number << 64 | number)))
}

#[test]
fn a_repeated_creation_is_answered_as_the_first_one() {
    let create = |content| Create {
        organizer: OWNER,
        terms: terms(manual()),
        commitment: SEED.commitment(),
        content: Fingerprint(content),
    };
    let mut case =
        QueueCase { story: Story::new(QueueId::from_random(1).0), away: Arc::new(Away::default()), now: NOW };
    let first = case.tell(&create(1)).unwrap();
    case.join(user(1)).unwrap();
    case.now += 1;
    case.advance();
    for name in ["Second", "Third"] {
        case.tell(&Change { name: Some(name.into()), policy: Some(at_most(3)), ..change() }).unwrap();
    }
    case.tell(&SetState { organizer: OWNER, state: State::Closed }).unwrap();
    let again = case.tell(&create(1)).unwrap();
    assert_eq!(again, Description { repeated: true, ..first });
    assert_eq!(case.tell(&create(2)), Err(CreateRejection::KeyReused));
    let now = case.tell(&Describe).unwrap();
    assert_eq!((now.terms.name.as_str(), now.state, now.repeated), ("Third", State::Closed, false));
}

#[test]
fn a_repeated_admission_call_is_answered_as_the_first_one() {
    let mut case = QueueCase::with(terms(manual()), 9);
    let admit = |key: u128| Admit {
        organizer: OWNER,
        count: 4,
        repeat: Some(Fingerprint(key)),
        presence: Arc::new(AllPresent),
    };
    let answered = |waiting, inside, repeated| Ok(Admissions { admitted: 4, waiting, inside, repeated });
    assert_eq!(case.tell(&admit(1)), answered(5, 4, false));
    assert_eq!(case.tell(&admit(2)), answered(1, 8, false));
    case.join(user(77)).unwrap();
    assert_eq!(case.tell(&admit(1)), answered(5, 4, true));
    assert_eq!(case.tell(&admit(2)), answered(1, 8, true));
}

/// Without a story's twin, which costs as much as there are people.
fn run<C: Command<On = Queue>>(queue: &mut Queue, version: &mut u64, command: &C) -> C::Answer
where
    C::Rejection: std::fmt::Debug,
{
    let context = Context { key: Uuid::from_u128(1), now: NOW, machine: NOW, random: 0 };
    let events = command.decide(queue, &context).unwrap();
    for event in &events {
        *version += 1;
        queue.evolve(event, *version, NOW);
    }
    command.answer(queue, &Effect { id: QueueId(context.key), version: *version, events: &events })
}

#[test]
fn more_than_is_done_at_once_is_several_commands() {
    let (at_once, away) = (ADMITTED_AT_ONCE_MAX, Arc::new(Away::default()));
    let (mut queue, mut version) = (Queue::default(), 0);
    let (commitment, content) = (SEED.commitment(), Fingerprint(1));
    run(&mut queue, &mut version, &Create { organizer: OWNER, terms: terms(manual()), commitment, content });
    for number in 1..=u128::from(2 * at_once + 2) {
        run(&mut queue, &mut version, &Join::of(user(number)));
    }
    let mut admit = |count, key| {
        let repeat = Some(Fingerprint(key));
        run(&mut queue, &mut version, &Admit { organizer: OWNER, count, repeat, presence: away.clone() })
    };
    let part = Admissions { admitted: at_once, waiting: at_once + 2, inside: at_once, repeated: false };
    assert_eq!(admit(ADMITTED_MAX, 1), part);
    assert_eq!(admit(ADMITTED_MAX, 1), Admissions { repeated: true, ..part }, "the same part again lets nobody in");
    // Nobody is left who could be let in: whoever asks for the rest sees it.
    away.0.lock().unwrap().extend([2 * at_once + 1, 2 * at_once + 2]);
    let rest = Admissions { admitted: at_once, waiting: 0, inside: 2 * at_once, repeated: false };
    assert_eq!(admit(ADMITTED_MAX - at_once, 2), rest);
}

#[test]
fn whose_turn_it_is_not_yet_is_not_passed_over() {
    let mut case = QueueCase::with(terms(manual()), 3);
    case.go_away(&[3]);
    assert_eq!(case.admit(2, None), Ok(2));
    assert_eq!(case.standing(3), Waiting);
}

#[test]
fn the_same_person_has_the_same_entry() {
    let mut case = QueueCase::of(terms(manual()));
    let visitor = |id: &str| Person::Visitor(id.into());
    let anonymous = |key: u128| Person::Anonymous(Some(Fingerprint(key)));
    let table = [
        (user(1), 1),
        (visitor("ann"), 2),
        (anonymous(7), 3),
        (Person::Anonymous(None), 4),
        (Person::Anonymous(None), 5),
        (user(1), 1),
        (visitor("ann"), 2),
        (anonymous(7), 3),
        (visitor("bob"), 6),
    ];
    for (person, ticket) in table {
        assert_eq!(case.join(person.clone()), Ok(ticket), "{person:?}");
    }
    assert_eq!(case.story.version, 7, "who is there already joins without an event");
    assert!(case.tell(&Find { person: visitor("ann"), ticket: 2 }).is_ok());
    for (person, ticket) in [(visitor("ann"), 1), (user(1), 9), (user(2), 1), (Person::Anonymous(None), 4)] {
        assert_eq!(case.tell(&Find { person, ticket }), Err(EntryRejection::UnknownEntry));
    }
}

#[test]
fn ranks_follow_at_once_when_somebody_leaves() {
    let mut case = QueueCase::with(terms(manual()), 5);
    assert_eq!((1..=5).map(|ticket| case.rank(ticket).unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    case.tell(&Leave { ticket: 2 }).unwrap();
    case.tell(&Leave { ticket: 2 }).unwrap();
    assert_eq!([1, 3, 4, 5].map(|ticket| case.rank(ticket).unwrap()), [0, 1, 2, 3]);
    assert_eq!(case.rank(2), None);
    assert_eq!(case.join(user(2)), Ok(6), "who left waits at the end");
    assert_eq!(case.rank(6), Some(4));
}

#[test]
fn an_erased_user_leaves_from_wherever_they_are() {
    let mut case = QueueCase::with(terms(manual()), 5);
    case.admit(2, None).unwrap();
    case.tell(&Claim { ticket: 1 }).unwrap();
    case.tell(&Block { organizer: OWNER, ticket: 4, reason: "a bot".into() }).unwrap();
    // Active, admitted, waiting, blocked; and once only, nobody else, and not somebody who was never there.
    for (number, happens) in [(1, 1), (2, 1), (3, 1), (4, 1), (4, 0), (1, 0), (77, 0)] {
        let Person::User(user) = user(number) else { panic!("a user") };
        case.tell(&Forget { user }).unwrap();
        assert_eq!(case.story.last.len(), happens, "{number}");
        assert!(
            case.story
                .last
                .iter()
                .all(|event| matches!(event, Event::EntryLeft(left) if u128::from(left.ticket) == number))
        );
        assert_eq!(case.story.state.ticket_of(user), None);
    }
    let counts = case.story.state.line().counts;
    assert_eq!((counts.waiting, counts.inside(), counts.left), (1, 0, 4));
    let restore = Restore { organizer: OWNER, ticket: 4 };
    assert!(matches!(case.tell(&restore), Err(EntryRejection::WrongStanding { .. })));
}

/// Whoever checks tokens has a clock that is the machine's, not the one that waits for it.
#[test]
fn admissions_say_when_they_were_by_the_machines_clock() {
    for (behind_ms, told) in [(0, None), (999, None), (1_000, Some(NOW - 1_000)), (3_600_000, Some(NOW - 3_600_000))] {
        let mut case = QueueCase::with(terms(manual()), 1);
        case.story.machine_behind_ms = behind_ms;
        case.admit(1, None).unwrap();
        let [Event::EntriesAdmitted(admitted)] = &case.story.last[..] else { panic!("{:?}", case.story.last) };
        assert_eq!(admitted.machine_ms, told);
        let session = case.story.state.inside().get(1).unwrap();
        assert_eq!((session.admitted_at_ms, session.machine_ms), (NOW, told.unwrap_or(NOW)));
    }
}

#[test]
fn blocked_people_keep_their_place() {
    let mut case = QueueCase::with(terms(manual()), 3);
    let block = Block { organizer: OWNER, ticket: 2, reason: "a bot".into() };
    case.tell(&block).unwrap();
    case.tell(&block).unwrap();
    assert_eq!((case.standing(2), case.rank(3)), (Blocked, Some(1)));
    assert_eq!(case.join(user(2)), Ok(2), "no other place by asking again");
    assert_eq!(case.tell(&Leave { ticket: 2 }), Err(EntryRejection::WrongStanding { ticket: 2, standing: Blocked }));
    case.tell(&Restore { organizer: OWNER, ticket: 2 }).unwrap();
    assert_eq!((case.rank(2), case.rank(3)), (Some(1), Some(2)));
    assert_eq!(case.admit(1, None), Ok(1));
    case.tell(&Block { organizer: OWNER, ticket: 1, reason: "a bot".into() }).unwrap();
    assert_eq!(case.story.state.line().counts.inside(), 0, "its slot is free");
    case.tell(&Restore { organizer: OWNER, ticket: 1 }).unwrap();
    assert_eq!((case.standing(1), case.rank(1)), (Waiting, Some(0)));
}

#[test]
fn max_active_is_never_exceeded_and_every_end_frees_a_slot() {
    let mut case = QueueCase::with(terms(at_most(2)), 9);
    assert_eq!((case.advance(), case.advance()), (2, 0));
    case.tell(&Claim { ticket: 1 }).unwrap();
    case.tell(&Claim { ticket: 1 }).unwrap();
    assert_eq!(case.advance(), 0, "who has come is still inside");
    case.tell(&Finish { ticket: 1 }).unwrap();
    case.tell(&Finish { ticket: 1 }).unwrap();
    assert_eq!((case.advance(), case.standing(3)), (1, Admitted));
    // 2 does not come.
    case.now += 60_000;
    assert_eq!(case.advance(), 2, "2 and 3 were not claimed in time");
    assert_eq!((case.standing(2), case.standing(3), case.standing(5)), (Expired, Expired, Admitted));
    case.tell(&Claim { ticket: 4 }).unwrap();
    case.tell(&Leave { ticket: 5 }).unwrap();
    assert_eq!(case.advance(), 1);
    case.tell(&Claim { ticket: 6 }).unwrap();
    case.now += 600_000;
    assert_eq!((case.advance(), case.standing(4)), (2, Expired), "a session has its time");
    assert_eq!(case.tell(&Claim { ticket: 4 }), Err(EntryRejection::WrongStanding { ticket: 4, standing: Expired }));
    assert_eq!(case.story.state.line().counts.inside(), 2);
}

#[test]
fn the_rate_holds_beside_max_active() {
    let rate = Some(Rate { count: 60, interval_s: 60 });
    let mut case = QueueCase::with(terms(Policy { rate, max_active: Some(100), manual: false }), 30);
    let mut admitted = 0;
    for _ in 0..100 {
        admitted += case.advance();
        case.now += 100;
    }
    assert_eq!(admitted, 10);
}

#[test]
fn who_is_away_is_passed_over_and_let_in_first_on_return() {
    let mut case = QueueCase::with(Terms { absent_after_s: Some(120), ..terms(at_most(2)) }, 6);
    case.go_away(&[1, 2, 4]);
    assert_eq!(case.advance(), 2);
    assert_eq!(
        [1, 2, 3, 4, 5].map(|ticket| case.standing(ticket)),
        [PassedOver, PassedOver, Admitted, PassedOver, Admitted]
    );
    assert_eq!((case.rank(6), case.rank(1)), (Some(0), Some(0)), "who is away is not before anybody");
    assert_eq!(case.advance_with(vec![2, 2, 9], vec![]), 0);
    assert_eq!((case.standing(2), case.rank(6)), (Waiting, Some(1)), "back before those who came later");
    case.tell(&Finish { ticket: 3 }).unwrap();
    case.away.0.lock().unwrap().remove(&1);
    assert_eq!(case.advance_with(vec![1], vec![]), 1, "1 is back, and the slot is theirs: they came before 2");
    assert_eq!((case.standing(1), case.standing(2)), (Admitted, Waiting), "nobody looked for 2 yet");
    case.now += 60_000;
    assert_eq!((case.advance(), case.standing(6)), (1, Admitted));
    case.now += 60_000;
    case.advance();
    assert_eq!((case.standing(4), case.standing(2)), (GivenUp, PassedOver), "2 was passed over later");
    assert_eq!(case.join(user(4)), Ok(7));
}

#[test]
fn put_first_comes_first() {
    let mut case = QueueCase::with(terms(at_most(1)), 5);
    assert_eq!(case.named(&[4, 3]), Ok(0));
    assert_eq!([1, 2, 3, 4, 5].map(|ticket| case.rank(ticket).unwrap()), [2, 3, 1, 0, 4]);
    assert_eq!(case.named(&[3]), Ok(0), "again is once");
    assert_eq!((case.advance(), case.standing(4)), (1, Admitted));
    assert_eq!(case.rank(1), Some(1));
    case.tell(&Leave { ticket: 3 }).unwrap();
    assert_eq!(case.rank(1), Some(0));
}

#[test]
fn by_hand() {
    let mut case = QueueCase::with(terms(Policy { max_active: Some(3), ..manual() }), 9);
    assert_eq!(case.advance(), 0, "nobody comes in by itself");
    assert_eq!(case.admit(2, Some(7)), Ok(2));
    assert_eq!(case.admit(2, Some(7)), Ok(2), "the same call");
    assert_eq!(case.story.state.line().counts.inside(), 2);
    assert_eq!(case.admit(5, None), Ok(1), "as many as may be inside");
    assert_eq!(case.named(&[9]), Err(AdmitNamedRejection::NoRoom { inside: 3, max_active: 3 }));
    case.tell(&Finish { ticket: 1 }).unwrap();
    assert_eq!((case.named(&[9]), case.standing(9)), (Ok(1), Admitted));
    assert_eq!(case.named(&[9]), Ok(0), "again is once");
    assert_eq!(case.named(&[1]), Err(AdmitNamedRejection::WrongStanding { ticket: 1, standing: Finished }));
    assert_eq!(case.named(&[77]), Err(AdmitNamedRejection::UnknownEntry));
    assert_eq!(QueueCase::with(terms(at_most(1)), 2).admit(1, None), Err(AdmitRejection::NotManual));
    for count in [0, 10_001] {
        assert!(matches!(case.admit(count, None), Err(AdmitRejection::Invalid(_))), "{count}");
    }
}

#[test]
fn the_time_to_come_begins_when_somebody_has_learned_of_it() {
    for policy in [at_most(9), Policy { max_active: Some(9), ..manual() }] {
        let mut case = QueueCase::with(terms(policy.clone()), 6);
        // 1 was told to ask in 70 s, 2 should have asked, and 3 was told a time that nobody is told.
        let told = [(1, NOW + 70_000), (2, NOW - 3_000), (3, Millis::MAX), (5, 0)];
        case.away.1.lock().unwrap().extend(told);
        match policy.manual {
            true => assert_eq!((case.admit(3, None), case.named(&[4])), (Ok(3), Ok(1))),
            false => assert_eq!(case.advance(), 4, "of 5 nobody knows yet, and 6 is behind"),
        }
        let until = |ticket: u32| case.story.state.inside().get(ticket).unwrap().claim_until_ms - NOW;
        assert_eq!([1, 2, 3, 4].map(until), [130_000, 60_000, LEARN_MS_MAX + 60_000, 60_000]);
        assert_eq!(case.standing(6), Waiting);
        if policy.manual {
            assert_eq!(case.named(&[5]), Err(AdmitNamedRejection::UnknownEntry));
        }
        for (at, open) in [(129_999, Admitted), (130_000, Expired)] {
            case.now = NOW + at;
            case.tell(&Find { person: user(1), ticket: 1 }).unwrap();
            assert_eq!((case.standing(1), case.standing(2)), (open, Expired), "at {at}");
        }
    }
}

#[test]
fn a_start_leaves_time_to_come() {
    let mut case = QueueCase::with(terms(at_most(3)), 3);
    case.away.1.lock().unwrap().extend([(3, NOW + 90_000)]);
    assert_eq!(case.advance(), 3);
    case.tell(&Claim { ticket: 1 }).unwrap();
    assert_eq!(case.story.state.extended(NOW + 15_000, 4_000), [], "they have time");
    // It was down, and is back long after the time was over.
    let now = NOW + 110_000;
    let [Event::ClaimsExtended(extended)] = &case.story.state.extended(now, 100_000)[..] else { panic!("one event") };
    assert_eq!(extended.claim_until_ms, now + 135_000, "where very many wait, who got no answer tries again later");
    let claim_until_ms = now + 45_000;
    let [Event::ClaimsExtended(extended)] = &case.story.state.extended(now, 4_000)[..] else { panic!("one event") };
    assert_eq!(*extended, event::ClaimsExtended { tickets: vec![2, 3], claim_until_ms });
    let event = Event::ClaimsExtended(event::ClaimsExtended { tickets: vec![1, 2, 9], claim_until_ms });
    case.story.record(now, &[event]);
    case.now = claim_until_ms - 1;
    case.tell(&Claim { ticket: 2 }).unwrap();
    assert_eq!([1, 2, 3].map(|ticket| case.standing(ticket)), [Active, Active, Expired]);
    assert_eq!(case.story.state.inside().get(1).unwrap().until_ms, NOW + 600_000);
}

#[test]
fn sleeping_sessions_end() {
    let mut case = QueueCase::with(Terms { idle_ttl_s: Some(10), ..terms(at_most(1)) }, 2);
    case.advance();
    assert_eq!(case.advance_with(vec![], vec![1]), 0, "who has not come yet does not sleep");
    case.tell(&Claim { ticket: 1 }).unwrap();
    assert_eq!(case.advance_with(vec![], vec![1, 2]), 1);
    assert_eq!((case.standing(1), case.standing(2)), (Expired, Admitted));
}

#[test]
fn the_pre_queue_is_drawn_at_opening() {
    let mut case = QueueCase::with(Terms { opens_at_ms: NOW + 1_000, ..terms(at_most(3)) }, 10);
    assert_eq!((case.advance(), case.rank(1)), (0, None));
    case.tell(&Leave { ticket: 4 }).unwrap();
    case.tell(&Block { organizer: OWNER, ticket: 5, reason: "a bot".into() }).unwrap();
    assert_eq!(case.named(&[6]), Ok(0));
    case.now += 1_000;
    assert_eq!(case.advance(), 0, "first the draw");
    assert_eq!(case.join(user(11)), Ok(11));
    let sealed = [1, 2, 3, 5, 6, 7, 8, 9, 10];
    let order = draw::order(SEED, &sealed);
    assert_eq!(case.story.state.line().drawn(), order);
    let in_order: Vec<u32> = order.into_iter().filter(|ticket| ![5, 6].contains(ticket)).collect();
    for (rank, ticket) in [6].iter().chain(&in_order).chain(&[11]).enumerate() {
        assert_eq!(case.rank(*ticket), Some(rank as u32), "ticket {ticket}");
    }
    assert_eq!(case.advance(), 3);
    assert_eq!([6, in_order[0], in_order[1]].map(|ticket| case.standing(ticket)), [Admitted; 3]);
    case.tell(&Restore { organizer: OWNER, ticket: 5 }).unwrap();
    assert!(case.rank(5).is_some());
    let late = Change { opens_at_ms: Some(NOW + 9_000), ..change() };
    assert_eq!(case.tell(&late), Err(ChangeRejection::Opened));
}

#[test]
fn a_seed_that_was_not_promised_draws_nothing() {
    let mut case = QueueCase::with(Terms { opens_at_ms: NOW + 1_000, ..terms(at_most(3)) }, 3);
    case.now += 1_000;
    for seed in [None, Some(Seed([4; 32]))] {
        let advance = Advance { presence: Arc::new(AllPresent), seed, drawn: None, returned: vec![], idle: vec![] };
        case.tell(&advance).unwrap();
        assert!(!case.story.state.line().is_opened());
    }
}

fn change() -> Change {
    Change {
        organizer: OWNER,
        expected: Expected::Any,
        name: None,
        redirect_urls: None,
        policy: None,
        opens_at_ms: None,
        claim_ttl_s: None,
        session_ttl_s: None,
        idle_ttl_s: None,
        absent_after_s: None,
        purchase_completes: None,
        join: None,
    }
}

#[test]
fn paused_and_closed() {
    let mut case = QueueCase::with(terms(at_most(2)), 4);
    let state = |state| SetState { organizer: OWNER, state };
    case.tell(&state(State::Paused)).unwrap();
    assert_eq!((case.advance(), case.join(user(5))), (0, Ok(5)));
    case.tell(&state(State::Open)).unwrap();
    assert_eq!(case.advance(), 2);
    case.tell(&state(State::Closed)).unwrap();
    assert_eq!(case.join(user(6)), Err(JoinRejection::Closed));
    assert_eq!(case.join(user(4)), Ok(4), "who is there is told where");
    case.tell(&Claim { ticket: 1 }).unwrap();
    case.tell(&Finish { ticket: 1 }).unwrap();
    assert_eq!(case.advance(), 0);
    assert_eq!(case.tell(&state(State::Open)), Err(SetStateRejection::Closed));
    assert_eq!(case.tell(&change()), Err(ChangeRejection::Closed));
}

#[test]
fn a_policy_is_changed_while_people_wait() {
    let mut case = QueueCase::with(terms(at_most(3)), 9);
    assert_eq!(case.advance(), 3);
    case.tell(&Change { policy: Some(at_most(1)), ..change() }).unwrap();
    case.tell(&Finish { ticket: 1 }).unwrap();
    case.tell(&Finish { ticket: 2 }).unwrap();
    assert_eq!(case.advance(), 0, "as many are inside as may be");
    case.tell(&Finish { ticket: 3 }).unwrap();
    assert_eq!(case.advance(), 1);
    let stale = Change { expected: Expected::OneOf(vec![1]), name: Some("x".into()), ..change() };
    assert!(matches!(case.tell(&stale), Err(ChangeRejection::Changed { .. })));
}

#[test]
fn a_user_finishes_by_buying() {
    let mut case = QueueCase::with(terms(at_most(1)), 2);
    case.advance();
    let finish = |number: u128| FinishUser { user: UserId(Uuid::from_u128(number << 64 | number)) };
    case.tell(&finish(2)).unwrap();
    case.tell(&finish(77)).unwrap();
    assert_eq!((case.standing(1), case.standing(2)), (Admitted, Waiting));
    case.tell(&finish(1)).unwrap();
    assert_eq!((case.standing(1), case.advance()), (Finished, 1));
}

#[test]
fn only_its_organizer_runs_a_queue() {
    let mut case = QueueCase::with(terms(manual()), 2);
    let organizer = OrganizerId(Uuid::from_u128(8));
    let presence = Arc::new(AllPresent);
    let foreign = [
        Attempt::of(Change { organizer, ..change() }),
        Attempt::of(SetState { organizer, state: State::Paused }),
        Attempt::of(SetNotice { organizer, notice: None }),
        Attempt::of(SetPage { organizer, look: Look::default() }),
        Attempt::of(Admit { organizer, count: 1, repeat: None, presence: presence.clone() }),
        Attempt::of(AdmitNamed { organizer, tickets: vec![1], reason: "x".into(), presence }),
        Attempt::of(Block { organizer, ticket: 1, reason: "x".into() }),
        Attempt::of(Restore { organizer, ticket: 1 }),
    ];
    for attempt in foreign {
        assert_eq!(attempt.run(&mut case.story, NOW), Err("UnknownQueue".into()), "{attempt:?}");
    }
    let mut nowhere: Story<Queue> = Story::new(Uuid::nil());
    assert_eq!(nowhere.when(NOW, &Join::of(user(1))), Err(JoinRejection::UnknownQueue));
    assert_eq!(nowhere.when(NOW, &Leave { ticket: 1 }), Err(EntryRejection::UnknownQueue));
}
