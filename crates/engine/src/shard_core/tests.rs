use super::queues::DRAWN_HERE_MAX;
use super::*;
use base::id::QueueId;
use base::id::{AccountId, PerformanceId, RandomIds, UserId};
use domain::account::Read;
use domain::performance::seats::chart::{Chart, Row, Section};
use domain::process::sign_up::Create;
use domain::queue::{self, Queue};
use domain::{Fingerprint, performance};
use eventlog::memory::MemoryLog;
use tokio::sync::oneshot;

fn core(shards: usize) -> (Arc<MemoryLog>, ShardCore) {
    let log = Arc::new(MemoryLog::auto());
    let (ids, views) = (Arc::new(RandomIds), Arc::new(Views::default()));
    let seeds = Arc::new(|_: QueueId| queue::draw::Seed([7; 32]));
    let shared = Shared { log: log.clone(), ids, views, seeds, machine: Arc::new(|now| now) };
    (log, ShardCore::new(0, shards, shared, AggregateStore::on(None), 1))
}

type Answered<S> = oneshot::Receiver<Result<Done<<S as Step>::Answer>, Failure<<S as Step>::Rejection>>>;

fn ask<S: Step>(core: &mut ShardCore, (id, step): (IdOf<S>, S), now: Millis) -> Answered<S> {
    let (reply, outcome) = oneshot::channel();
    core.accept(id, step, reply, now);
    outcome
}

/// A hall of `seats` in rows of ten; holds last 100 s.
fn house(key: u128, seats: u32) -> (PerformanceId, performance::Create) {
    let row = |row: u32| Row { row: row.to_string(), grade: "R".into(), seat_count: Some(10), ..Row::default() };
    let section = Section { section: "A".into(), rows: (1..=seats / 10).map(row).collect() };
    let create = performance::Create {
        concert: base::id::ConcertId(Uuid::from_u128(1)),
        organizer: base::id::OrganizerId(Uuid::from_u128(2)),
        terms: performance::Terms {
            starts_at_ms: 9_000_000,
            sale_opens_at_ms: 0,
            sale_closes_at_ms: 9_000_000,
            cancellation_closes_at_ms: 9_000_000,
            hold_ttl_s: 100,
            payment_ttl_s: 60,
            extension_s: 0,
            seats_per_user_max: 4,
            lapsed_holds_max: 0,
            ..performance::Terms::usual(0, 0)
        },
        prices: [("R".to_owned(), 10)].into(),
        chart: Chart { sections: vec![section], areas: vec![] }.into(),
        content: Fingerprint(key),
    };
    (PerformanceId(Uuid::from_u128(key)), create)
}

fn hold(house: PerformanceId, user: u128, seat: &str) -> (PerformanceId, performance::Hold) {
    let (user, wish) = (UserId(Uuid::from_u128(user)), performance::SeatRequest::Seats(vec![seat.into()]));
    (house, performance::Hold { user, wish, repeat: None })
}

/// However many holds run out at one instant: their places are free for the next command, and nobody else waits while
/// that is recorded.
#[test]
fn a_full_house_lapses_in_parts() {
    const SEATS: u32 = 2_000;
    let (log, mut core) = core(1);
    let [(full, create), (other, small)] = [house(10, SEATS), house(11, 10)];
    ask(&mut core, (full, create), 1).try_recv().unwrap().unwrap();
    ask(&mut core, (other, small), 1).try_recv().unwrap().unwrap();
    for seat in 0..SEATS {
        let label = format!("A-{}-{}", seat / 10 + 1, seat % 10 + 1);
        ask(&mut core, hold(full, 100 + u128::from(seat), &label), 1_000).try_recv().unwrap().unwrap();
    }
    let before = log.durable().0;
    let mut again = ask(&mut core, hold(full, 7, "A-200-10"), 101_000);
    assert!(again.try_recv().is_err(), "it waits until all is recorded");
    let steps = log.durable().0 - before;
    assert!((1..=u64::from(SEATS / 4)).contains(&steps), "{steps} events in one step");
    let mut elsewhere = ask(&mut core, hold(other, 7, "A-1-1"), 101_000);
    elsewhere.try_recv().unwrap().unwrap();
    let mut rounds = 0;
    while core.resume(101_000) {
        rounds += 1;
    }
    again.try_recv().unwrap().unwrap();
    assert!((2..10).contains(&rounds), "{rounds}");
    assert_eq!(log.durable().0 - before, u64::from(SEATS) + 2);
}

const PRE_QUEUE: QueueId = QueueId(Uuid::from_u128(5));

/// Somebody joins the pre-queue.
fn join(user: u32) -> (QueueId, queue::Join) {
    let person = queue::Person::User(UserId(Uuid::from_u128(u128::from(user))));
    (PRE_QUEUE, queue::Join::of(person))
}

/// A queue in which `waiting` people wait for its opening at 10,000 ms.
fn pre_queue(waiting: u32) -> ShardCore {
    let (_, mut core) = core(1);
    core.leave_errands();
    let terms = queue::Terms { opens_at_ms: 10_000, ..queue_terms() };
    let organizer = base::id::OrganizerId(Uuid::from_u128(2));
    let (commitment, content) = (queue::draw::Seed([7; 32]).commitment(), Fingerprint(1));
    let create = queue::Create { organizer, terms, commitment, content };
    ask(&mut core, (PRE_QUEUE, create), 1).try_recv().unwrap().unwrap();
    for user in 1..=waiting {
        ask(&mut core, join(user), 2).try_recv().unwrap().unwrap();
    }
    core
}

/// The draw of a large pre-queue is made elsewhere; who comes meanwhile is behind it.
#[test]
fn a_large_draw_is_made_elsewhere_and_is_the_same() {
    const WAITING: u32 = DRAWN_HERE_MAX + 500;
    let mut core = pre_queue(WAITING);
    ask(&mut core, (PRE_QUEUE, queue::Leave { ticket: 3 }), 3).try_recv().unwrap().unwrap();
    core.tick(10_000);
    let [draw] = <[Errand; 1]>::try_from(core.take_errands()).ok().unwrap();
    core.tick(10_100);
    assert!(core.take_errands().is_empty(), "once");
    let mut late = ask(&mut core, join(WAITING + 1), 10_200);
    assert!(late.try_recv().is_err() && !core.is_waiting(), "it waits for the draw");
    let (stream, made) = (draw.stream(), draw.make());
    core.made(stream, Some(made), 10_300);
    assert!(!core.resume(10_300));
    late.try_recv().unwrap().unwrap();
    let line = core.states.slots::<Queue>()[&PRE_QUEUE.0].state.line();
    let tickets: Vec<u32> = (1..=WAITING).filter(|ticket| *ticket != 3).collect();
    assert_eq!(line.drawn(), queue::draw::order(queue::draw::Seed([7; 32]), &tickets));
    assert_eq!(line.place(WAITING + 1), Some(WAITING - 1), "behind those who were drawn");
    let view = core.shared.views.queues().get(PRE_QUEUE).unwrap();
    assert!(view.look(|live| live.line == *line), "whoever looks sees the same line");
}

/// A draw that could not be made elsewhere is made here, before anybody else joins.
#[test]
fn an_errand_that_fails_is_done_here() {
    const WAITING: u32 = DRAWN_HERE_MAX + 1;
    let mut core = pre_queue(WAITING);
    core.tick(10_000);
    let [draw] = <[Errand; 1]>::try_from(core.take_errands()).ok().unwrap();
    let mut late = ask(&mut core, join(WAITING + 1), 10_200);
    assert!(late.try_recv().is_err(), "it waits for the draw");
    core.made(draw.stream(), None, 10_300);
    assert!(!core.resume(10_300));
    late.try_recv().unwrap().unwrap();
    let line = core.states.slots::<Queue>()[&PRE_QUEUE.0].state.line();
    assert_eq!((line.drawn().len() as u32, line.place(WAITING + 1)), (WAITING, Some(WAITING)), "behind those drawn");
}

/// A queue is looked at on every tick while somebody is there, and otherwise when its timer says so: it opens in time.
#[test]
fn a_queue_in_which_nobody_is_is_left_alone() {
    let (log, mut core) = core(1);
    let (id, organizer) = (QueueId(Uuid::from_u128(5)), base::id::OrganizerId(Uuid::from_u128(2)));
    let terms = queue::Terms { opens_at_ms: 10_000, ..queue_terms() };
    let (commitment, content) = (queue::draw::Seed([7; 32]).commitment(), Fingerprint(1));
    let create = queue::Create { organizer, terms, commitment, content };
    ask(&mut core, (id, create), 1).try_recv().unwrap().unwrap();
    let opened = |core: &ShardCore| core.states.slots::<Queue>()[&id.0].state.line().is_opened();
    for now in [100, 5_000, 9_999] {
        core.tick(now);
        assert!(core.watched.is_empty() && !opened(&core), "at {now}");
    }
    core.tick(10_000);
    assert!(core.watched.is_empty() && opened(&core));
    let join = queue::Join::of(queue::Person::User(UserId(Uuid::from_u128(1))));
    ask(&mut core, (id, join), 10_050).try_recv().unwrap().unwrap();
    assert_eq!(core.watched.len(), 1);
    ask(&mut core, (id, queue::Leave { ticket: 1 }), 10_060).try_recv().unwrap().unwrap();
    assert!(core.watched.is_empty());
    let before = log.durable();
    core.tick(20_000);
    assert_eq!(log.durable(), before, "nothing happens where nobody is");
}

/// A tick lets all in whose turn it is, in several commands: others come between them.
#[test]
fn who_is_let_in_by_a_tick_is_let_in_in_parts() {
    let (_, mut core) = core(1);
    let (id, organizer) = (QueueId(Uuid::from_u128(5)), base::id::OrganizerId(Uuid::from_u128(2)));
    let policy = queue::policy::Policy { max_active: Some(queue::ADMITTED_MAX), manual: false, ..policy() };
    let (terms, content) = (queue::Terms { policy, ..queue_terms() }, Fingerprint(1));
    let commitment = queue::draw::Seed([7; 32]).commitment();
    ask(&mut core, (id, queue::Create { organizer, terms, commitment, content }), 1).try_recv().unwrap().unwrap();
    let people = 3 * queue::ADMITTED_AT_ONCE_MAX + 1;
    for number in 0..u128::from(people) {
        let join = queue::Join::of(queue::Person::User(UserId(Uuid::from_u128(1 << 64 | number))));
        ask(&mut core, (id, join), 2).try_recv().unwrap().unwrap();
    }
    let inside = |core: &ShardCore| core.states.slots::<Queue>()[&id.0].state.line().counts.inside();
    core.tick(100);
    assert_eq!((inside(&core), core.is_waiting()), (queue::ADMITTED_AT_ONCE_MAX, true));
    while core.resume(100) {}
    assert_eq!(inside(&core), people);
}

fn policy() -> queue::policy::Policy {
    queue::policy::Policy { rate: None, max_active: None, manual: true }
}

fn queue_terms() -> queue::Terms {
    queue::Terms {
        name: "Q".into(),
        redirect_urls: vec![],
        policy: policy(),
        opens_at_ms: 0,
        claim_ttl_s: 30,
        session_ttl_s: 600,
        idle_ttl_s: None,
        absent_after_s: None,
        purchase_completes: false,
        join: queue::event::JoinPolicy::Anyone,
    }
}

#[test]
fn what_the_log_refused_is_not_told_to_anybody() {
    let log = Arc::new(MemoryLog::new());
    let (ids, views) = (Arc::new(RandomIds), Arc::new(Views::default()));
    let seeds = Arc::new(|_: QueueId| queue::draw::Seed([0; 32]));
    let shared = Shared { log: log.clone(), ids, views, seeds, machine: Arc::new(|now| now) };
    let mut core = ShardCore::new(0, 1, shared, AggregateStore::on(None), 1);
    let account = |account: u128| AccountId(Uuid::from_u128(account));
    let create = |user: u128| {
        let (user, key) = (UserId(Uuid::from_u128(100 + user)), Some(Fingerprint(user)));
        Create { user, sealed: "sealed".into(), key }
    };
    let mut durable = ask(&mut core, (account(1), create(1)), 2);
    log.commit();
    let durable = durable.try_recv();
    assert!(matches!(durable, Ok(Ok(_))), "{durable:?}");

    let mut waiting = ask(&mut core, (account(2), create(2)), 2);
    log.fail_next();
    log.commit();
    assert!(matches!(waiting.try_recv(), Ok(Err(Failure::LogFailed))));
    assert!(ask(&mut core, (account(4), create(4)), 2).try_recv().is_err(), "dropped, which is read as a failed log");
    // Neither what was refused, nor what rests on it or on nothing: the same request again, a read, another's read.
    let again = ask(&mut core, (account(4), create(4)), 2).try_recv();
    assert!(matches!(again, Ok(Err(Failure::LogFailed))), "{again:?}");
    for number in [4, 2, 1, 5] {
        let read = ask(&mut core, (account(number), Read), 2).try_recv();
        assert!(matches!(read, Ok(Err(Failure::LogFailed))), "account {number}: {read:?}");
    }
}
